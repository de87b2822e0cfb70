import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from psm_jax.models import layers
from psm_jax.ops import data_axis


def _data(seed=0):
  return np.random.default_rng(seed).normal(2, 3, (4, 5, 5, 3)).astype('f4')


class BatchNormTest(absltest.TestCase):
  def test_training_uses_biased_and_keeps_unbiased_variance(self):
    x = _data()
    layer = layers.BatchNorm()
    variables = layer.init(jax.random.key(0), x, train=True)
    variables['params']['scale'] = jnp.array([1.0, 2.0, 0.5])
    variables['params']['bias'] = jnp.array([0.0, -1.0, 3.0])
    out, moved = layer.apply(
      variables, x, train=True, mutable=layers.STATISTICS
    )
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - mean) / np.sqrt(var + 1e-5) * [1, 2, 0.5] + [0, -1, 3]
    np.testing.assert_allclose(out, expected, atol=1e-5)
    running = moved[layers.STATISTICS]
    np.testing.assert_allclose(running['mean'], 0.1 * mean, rtol=1e-5)
    unbiased = x.reshape(-1, 3).var(0, ddof=1)
    np.testing.assert_allclose(running['var'], 0.9 + 0.1 * unbiased, rtol=1e-5)

  def test_evaluation_uses_the_running_statistics(self):
    x = _data()
    layer = layers.BatchNorm()
    variables = layer.init(jax.random.key(0), x, train=True)
    running = {'mean': jnp.array([1.0, 2, 3]), 'var': jnp.array([4.0, 9, 1])}
    variables = {**variables, layers.STATISTICS: running}
    out = layer.apply(variables, x, train=False)
    np.testing.assert_allclose(
      out, (x - [1, 2, 3]) / np.sqrt(np.array([4, 9, 1]) + 1e-5), atol=1e-5
    )

  def test_two_devices_normalise_as_one(self):
    x = _data()
    layer = layers.BatchNorm()
    variables = layer.init(jax.random.key(0), x, train=True)
    whole, moved = layer.apply(
      variables, x, train=True, mutable=layers.STATISTICS
    )
    shared = layers.BatchNorm(axis=data_axis.DataAxis('data', 2))
    halves, moved_halves = jax.pmap(
      lambda half: shared.apply(
        variables, half, train=True, mutable=layers.STATISTICS
      ),
      axis_name='data',
      devices=jax.devices()[:2],
    )(x.reshape(2, 2, 5, 5, 3))
    np.testing.assert_allclose(halves.reshape(x.shape), whole, atol=1e-5)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5),
      moved_halves,
      moved,
    )


if __name__ == '__main__':
  absltest.main()
