"""Whether the tests check the calls they make against annotations."""

import jax.numpy as jnp
import jaxtyping
from absl.testing import absltest, parameterized

from psm_jax.ops import warp

_IMAGE = jnp.zeros((1, 4, 4, 3))


class ShapesTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('shape', jnp.zeros((1, 4, 4, 3))),
    ('batch', jnp.zeros((2, 4, 4, 2))),
    ('dtype', jnp.zeros((1, 4, 4, 2), jnp.int32)),
  )
  def test_a_call_is_refused_for_a_wrong(self, flow):
    with self.assertRaisesRegex(jaxtyping.TypeCheckError, "parameter 'flow'"):
      warp.warp(_IMAGE, flow)


if __name__ == '__main__':
  absltest.main()
