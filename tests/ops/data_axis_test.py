import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from psm_jax.ops import data_axis


class DataAxisTest(absltest.TestCase):
  def test_one_device_changes_nothing(self):
    axis = data_axis.DataAxis()
    x = jnp.arange(6.0).reshape(3, 2)
    for same in (axis.mean(x), axis.gather(x), axis.own(x)):
      np.testing.assert_array_equal(same, x)

  def test_own_rows_gather_to_the_joined_rows(self):
    axis = data_axis.DataAxis('data', 2)
    joined = jnp.arange(12.0).reshape(6, 2)

    def split_and_join(_, x):
      own = axis.own(x)
      return own, axis.gather(own), axis.mean(jnp.sum(own))

    own, gathered, mean = jax.pmap(
      split_and_join,
      axis_name='data',
      in_axes=(0, None),
      devices=jax.devices()[:2],
    )(jnp.arange(2), joined)
    np.testing.assert_array_equal(own.reshape(6, 2), joined)
    for device in range(2):
      np.testing.assert_array_equal(gathered[device], joined)
      self.assertEqual(mean[device], joined.sum() / 2)


if __name__ == '__main__':
  absltest.main()
