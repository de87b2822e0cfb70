import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.models import canonical
from tests import tiny

_WIDTH = 1 / 16


def _shapes(module, *args):
  return jax.eval_shape(module.init, jax.random.key(0), *args)


class EncoderTest(parameterized.TestCase):
  @parameterized.parameters(16, 32, 48, 64, 96, 128)
  def test_the_code_has_its_size_whatever_the_frames_have(self, size_px):
    encoder = canonical.Encoder(code_size=24, width=_WIDTH)
    image = jnp.zeros((2, size_px, size_px, 3))
    code = jax.eval_shape(encoder.apply, _shapes(encoder, image), image)
    self.assertEqual(code.shape, (2, 24))

  def test_width_multiplies_channels_in_whole_groups(self):
    image = jnp.zeros((1, 32, 32, 3))
    for width, expected in ((1.0, 64), (0.5, 32), (0.3, 16), (0.01, 8)):
      params = _shapes(canonical.Encoder(width=width), image)['params']
      self.assertEqual(params['Conv_0']['kernel'].shape[-1], expected)


class DecoderTest(parameterized.TestCase):
  @parameterized.parameters(16, 32, 48, 64, 96, 128)
  def test_flow_and_residual_have_half_the_side(self, size_px):
    decoder = canonical.Decoder(width=_WIDTH)
    code, face = jnp.zeros((2, 8)), jnp.zeros((2, size_px, size_px, 3))
    flow, residual = jax.eval_shape(
      decoder.apply, _shapes(decoder, code, face), code, face
    )
    half = size_px // 2
    self.assertEqual(flow.shape, (2, half, half, 2))
    self.assertEqual(residual.shape, (2, half, half, 3))

  def test_the_flow_stays_within_its_reach(self):
    generator = np.random.default_rng(0)
    code = 100 * generator.standard_normal((3, 8)).astype(np.float32)
    face = generator.uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    decoder = canonical.Decoder(reach=0.25, width=_WIDTH)
    params = tiny.filled(_shapes(decoder, code, face))
    params['params']['change']['kernel'] *= 100
    flow, residual = jax.jit(decoder.apply)(params, code, face)
    self.assertGreater(np.abs(flow).max(), 0.2)
    self.assertLessEqual(np.abs(flow).max(), 0.25)
    self.assertGreater(np.abs(residual).max(), 1)
    still = canonical.Decoder(reach=0.0, width=_WIDTH)
    flow, _ = jax.jit(functools.partial(still.apply))(params, code, face)
    self.assertEqual(np.abs(flow).max(), 0)


if __name__ == '__main__':
  absltest.main()
