import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax.models import facecycle
from psm_jax.ops import warp
from tests import tiny

_KEY = jax.random.key(0)
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _like(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def _shapes(module, *args, **kwargs):
  """Returns the shapes of a module's outputs and of its parameters."""
  init = functools.partial(module.init_with_output, **kwargs)
  outputs, variables = jax.eval_shape(init, _KEY, *args)
  return outputs, variables['params']


def _generator_shapes(size, width):
  channels = [int(full * width) for full in (128, 256)]
  fine = _like(2, size // 2, size // 2, channels[0])
  coarse = _like(2, size // 4, size // 4, channels[1])

  def init(key, fine, coarse, flow):
    noise = {'relu2_1': fine, 'relu3_1': coarse}
    return facecycle.Generator(width).init_with_output(
      key, fine, coarse, flow=flow, noise=noise
    )

  flow = _like(2, size // 4, size // 4, 2)
  outputs, variables = jax.eval_shape(init, _KEY, fine, coarse, flow)
  return outputs, variables['params']


def _count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


class ShapeTest(parameterized.TestCase):
  @parameterized.product(size=(32, 64), width=(1.0, 0.125))
  def test_embedding_has_256_units_at_any_size_and_width(self, size, width):
    encoder = facecycle.Encoder(width)
    embedding, _ = _shapes(encoder, _like(2, size, size, 3))
    self.assertEqual(embedding.shape, (2, 256))

  @parameterized.product(size=(32, 64), width=(1.0, 0.125))
  def test_flows_are_a_quarter_of_the_image(self, size, width):
    flow_net = facecycle.FlowNet(size, width)
    flows, _ = _shapes(flow_net, _like(2, 256))
    for flow in flows:
      self.assertEqual(flow.shape, (2, size // 4, size // 4, 2))

  @parameterized.product(size=(32, 64), width=(1.0, 0.125))
  def test_generator_draws_images_of_the_input_s_size(self, size, width):
    image, _ = _generator_shapes(size, width)
    self.assertEqual(image.shape, (2, size, size, 3))


class ParameterCountTest(absltest.TestCase):
  """Numbers of the published networks at 64 px."""

  def test_encoder_has_the_published_number(self):
    _, params = _shapes(facecycle.Encoder(), _like(1, 64, 64, 3))
    self.assertEqual(_count(params), 4_240_000)
    self.assertLen(jax.tree.leaves(params), 48)

  def test_flow_net_has_the_published_number(self):
    _, params = _shapes(facecycle.FlowNet(), _like(1, 256))
    self.assertEqual(_count(params), 2_996_544)
    self.assertLen(jax.tree.leaves(params), 31)

  def test_generator_has_the_published_number_without_its_stem(self):
    _, params = _generator_shapes(64, 1.0)
    self.assertEqual(_count(params), 12_854_147)
    self.assertLen(jax.tree.leaves(params), 62 - 10)


class EncoderTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.encoder = facecycle.Encoder(1 / 16)
    _, shapes = _shapes(cls.encoder, _like(1, 16, 16, 3))
    cls.params = tiny.filled(shapes)
    # Eager, as one compiled program of it takes longer.
    generator = np.random.default_rng(1)
    cls.image = generator.standard_normal((2, 16, 16, 3)).astype(np.float32)
    cls.embedding = cls.encoder.apply({'params': cls.params}, cls.image)

  def test_embedding_lies_between_minus_one_and_one(self):
    self.assertLess(np.abs(self.embedding).max(), 1)
    self.assertGreater(np.std(self.embedding), 1e-3)

  def test_images_of_a_batch_do_not_touch_each_other(self):
    image = np.stack([self.image[1], -self.image[0]])
    embedding = self.encoder.apply({'params': self.params}, image)
    np.testing.assert_allclose(embedding[0], self.embedding[1], atol=1e-6)
    self.assertGreater(np.abs(embedding[1] - self.embedding[0]).max(), 1e-3)

  @pytest.mark.thorough
  def test_code_layers_have_their_own_spread(self):
    encoder = facecycle.Encoder(0.5, code_std=0.12)
    params = _jit(encoder.init)(_KEY, np.zeros((1, 16, 16, 3), np.float32))
    params = params['params']
    for name in ('expresscode_0', 'expresscode_2'):
      self.assertAlmostEqual(np.std(params[name]['kernel']), 0.12, delta=0.003)
    kernel = np.asarray(params['layer1_2']['theta']['kernel'])
    self.assertAlmostEqual(kernel.std() / (2 / 32) ** 0.5, 1, delta=0.1)


@pytest.mark.thorough
class FlowNetTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.flow_net = facecycle.FlowNet(16, 1 / 16)
    _, shapes = _shapes(cls.flow_net, _like(1, 256))
    params = tiny.filled(shapes)
    generator = np.random.default_rng(1)
    embedding = np.tanh(generator.standard_normal((2, 256))).astype(np.float32)
    cls.forward, cls.backward = cls.flow_net.apply(
      {'params': params}, embedding
    )

  def test_backward_flow_is_minus_the_forward_one_moved_by_itself(self):
    self.assertGreater(np.std(self.forward), 1e-2)
    expected = -np.clip(warp.warp(self.forward, self.forward), -1, 1)
    np.testing.assert_allclose(self.backward, expected, atol=1e-6)

  def test_flows_lie_between_minus_one_and_one(self):
    for flow in (self.forward, self.backward):
      self.assertLessEqual(np.abs(flow).max(), 1)

  def test_last_convolutions_begin_small_and_the_last_has_no_bias(self):
    flow_net = facecycle.FlowNet(16, 1.0)
    params = _jit(flow_net.init)(_KEY, np.zeros((1, 256), np.float32))['params']
    self.assertEqual(list(params['toflow4_3']), ['kernel'])
    for name, delta in (('toflow4_1', 0.001), ('toflow4_3', 0.015)):
      kernel = np.asarray(params[name]['kernel'])
      self.assertAlmostEqual(kernel.std(), 0.05, delta=delta)
    kernel = np.asarray(params['motiongen1_4']['kernel'])
    self.assertAlmostEqual(kernel.std() / (2 / 2304) ** 0.5, 1, delta=0.02)


class GeneratorTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    width = 1 / 32
    _, shapes = _generator_shapes(16, width)
    cls.params = tiny.filled(shapes)
    cls.generator = facecycle.Generator(width)
    generator = np.random.default_rng(1)
    cls.taps = [
      generator.standard_normal(shape).astype(np.float32)
      for shape in ((2, 8, 8, 4), (2, 4, 4, 8))
    ]
    cls.noise = {
      name: generator.standard_normal(tap.shape).astype(np.float32)
      for name, tap in zip(('relu2_1', 'relu3_1'), cls.taps, strict=True)
    }
    cls.flow = np.zeros((2, 4, 4, 2), np.float32)

  def _draw(self, flow=None, noise=None, params=None):
    return self.generator.apply(
      {'params': params or self.params}, *self.taps, flow=flow, noise=noise
    )

  def test_each_level_s_noise_changes_the_moved_image(self):
    base = self._draw(self.flow, self.noise)
    for name in self.noise:
      noise = self.noise | {name: -self.noise[name]}
      self.assertGreater(
        np.abs(self._draw(self.flow, noise) - base).max(), 1e-3
      )

  def test_without_texture_a_zero_flow_is_plain_auto_encoding(self):
    params = dict(self.params)
    for level in (0, 1):
      name = f'noise_encoding{level}_2'
      params[name] = jax.tree.map(np.zeros_like, params[name])
    np.testing.assert_allclose(
      self._draw(self.flow, self.noise, params), self._draw(), atol=1e-4
    )

  def test_auto_encoding_needs_no_texture_layers(self):
    params = {k: v for k, v in self.params.items() if 'noise' not in k}
    np.testing.assert_array_equal(self._draw(params=params), self._draw())


if __name__ == '__main__':
  absltest.main()
