import functools

import jax
import numpy as np
from absl.testing import absltest, parameterized
from flax import linen as nn

from psm_jax.interop import layouts
from psm_jax.methods import facecycle
from psm_jax.models import fabnet, layers
from tests import torch_tensors

# Shapes of some tensors as the reference's checkpoints keep them.
_FACECYCLE = {
  'encoder': {
    'conv1.0.weight': (64, 3, 7, 7),
    'layer1.2.theta.bias': (64,),
    'layer2_1.2.g.weight': (128, 128, 1, 1),
    'resblock2.conv1.weight': (128, 128, 3, 3),
    'expresscode.0.weight': (512, 2048),
    'expresscode.2.bias': (256,),
  },
  'flow_net': {
    'motiongen1.0.weight': (4096, 256, 1, 1),
    'motiongen2.3.phi.weight': (128, 128, 1, 1),
    'resblock1.conv2.bias': (128,),
    'toflow4.3.weight': (2, 64, 1, 1),
  },
  'generator': {
    'cnn.7.conv2.weight': (256, 256, 3, 3),
    'up.0.weight': (256, 128, 4, 4),
    'up2.0.weight': (256, 128, 4, 4),
    'noise_encoding1.2.weight': (128, 128, 3, 3),
    'torgb.weight': (3, 128, 3, 3),
  },
  'stem': {'conv2_2.0.weight': (128, 128, 3, 3), 'conv3_1.0.bias': (256,)},
}
_NUM_TENSORS = {'encoder': 48, 'flow_net': 31, 'generator': 52, 'stem': 10}
_FABNET = {
  'encoder.0.weight': (32, 3, 4, 4),
  'encoder.2.weight': (64, 32, 4, 4),
  'encoder.3.running_var': (64,),
  'encoder.18.bias': (256,),
  'encoder.20.weight': (256, 256, 4, 4),
  'encoder.20.bias': (256,),
  'decoder.2.weight': (256, 512, 3, 3),
  'decoder.3.running_mean': (256,),
  'decoder.18.weight': (128, 256, 3, 3),
  'decoder.27.weight': (32,),
  'decoder.30.weight': (2, 32, 3, 3),
  'mask.30.weight': (1, 32, 3, 3),
  'mask.30.bias': (1,),
}


def _filled(nets):
  """Returns small integers in the shapes of all that a network has."""
  shapes = jax.eval_shape(nets.init, jax.random.key(0))
  generator = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: generator.integers(-9, 9, leaf.shape).astype(np.int8), shapes
  )


@functools.cache
def _facecycle(width=1.0):
  return _filled(facecycle.Networks(width=width))


@functools.cache
def _fab_net(size_px=256, width=1.0):
  filled = _filled(fabnet.Networks(size_px=size_px, width=width))
  return dict(zip(('params', 'statistics'), filled, strict=True))


def _small():
  return torch_tensors.of(_fab_net(32, 1 / 16), layouts.fab_net(5))


@parameterized.parameters(*_FACECYCLE)
class FaceCycleTest(parameterized.TestCase):
  def test_names_and_shapes_are_the_reference_s(self, part):
    layout = layouts.facecycle(part)
    tensors = torch_tensors.of(_facecycle()[part], layout)
    self.assertLen(tensors, _NUM_TENSORS[part])
    for name, shape in _FACECYCLE[part].items():
      self.assertEqual(tensors[name].shape, shape, name)

  def test_there_and_back_is_the_same_tree(self, part):
    layout = layouts.facecycle(part)
    params = _facecycle(1 / 16)[part]
    back = layouts.from_torch(torch_tensors.of(params, layout), layout)
    jax.tree.map(np.testing.assert_array_equal, back, params)

  def test_a_missing_tensor_is_named(self, part):
    layout = layouts.facecycle(part)
    tensors = torch_tensors.of(_facecycle(1 / 16)[part], layout)
    for name in tensors:
      rest = {key: value for key, value in tensors.items() if key != name}
      with self.assertRaisesRegex(ValueError, f'tensor {name} is missing'):
        layouts.from_torch(rest, layout)

  def test_tensors_of_other_parts_are_ignored(self, part):
    layout = layouts.facecycle(part)
    tensors = torch_tensors.of(_facecycle(1 / 16)[part], layout)
    expected = layouts.from_torch(tensors, layout)
    tensors['normalizer.torgb.weight'] = np.zeros((3, 128, 1, 1))
    params = layouts.from_torch(tensors, layout)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


class FaceCycleLayersTest(absltest.TestCase):
  """What PyTorch would compute, in NumPy, from the reference's tensors."""

  def setUp(self):
    super().setUp()
    self.generator = np.random.default_rng(0)

  def _draw(self, *shape):
    return self.generator.standard_normal(shape).astype(np.float32)

  def _converted(self, part, path, **tensors):
    """Returns one layer's parameters after conversion of given tensors."""
    layout = layouts.facecycle(part)
    params = torch_tensors.of(_facecycle(1 / 16)[part], layout)
    params.update({name.replace('__', '.'): v for name, v in tensors.items()})
    converted = layouts.from_torch(params, layout)
    return converted[path]

  def test_convolutions_correlate_with_the_unflipped_kernel(self):
    weight, bias = self._draw(5, 4, 3, 3), self._draw(5)
    params = self._converted(
      'generator', 'redconv_0', redconv__0__weight=weight, redconv__0__bias=bias
    )
    image = self._draw(1, 6, 7, 4)
    out = layers.Conv(5).apply({'params': params}, image)
    window = image[0, 1:4, 2:5].transpose(2, 0, 1)
    expected = (weight * window).sum((1, 2, 3)) + bias
    np.testing.assert_allclose(out[0, 2, 3], expected, rtol=1e-4)

  def test_transposed_convolutions_scatter_the_kernel(self):
    weight, bias = self._draw(4, 5, 4, 4), self._draw(5)
    params = self._converted(
      'generator', 'up_0', up__0__weight=weight, up__0__bias=bias
    )
    image = np.zeros((1, 6, 6, 4), np.float32)
    image[0, 2, 3] = self._draw(4)
    out = layers.ConvTranspose(5).apply({'params': params}, image)
    # Stride 2, padding 1: pixel i writes to 2 i - 1 + k.
    patch = np.einsum('c,cohw->hwo', image[0, 2, 3], weight) + bias
    np.testing.assert_allclose(out[0, 3:7, 5:9], patch, rtol=1e-4, atol=1e-5)

  def test_linear_layers_multiply_from_the_left(self):
    weight, bias = self._draw(6, 3), self._draw(6)
    params = self._converted(
      'encoder',
      'expresscode_0',
      expresscode__0__weight=weight,
      expresscode__0__bias=bias,
    )
    x = self._draw(2, 3)
    out = nn.Dense(6).apply({'params': params}, x)
    np.testing.assert_allclose(out, x @ weight.T + bias, rtol=1e-4, atol=1e-5)


class FabNetTest(parameterized.TestCase):
  def test_names_and_shapes_are_the_reference_s(self):
    tensors = torch_tensors.of(_fab_net(), layouts.fab_net(8))
    counts = {
      part: sum(name.startswith(f'{part}.') for name in tensors)
      for part in fabnet.PARTS
    }
    self.assertEqual(counts, {'encoder': 40, 'decoder': 44, 'mask': 44})
    for name, shape in _FABNET.items():
      self.assertEqual(tensors[name].shape, shape, name)

  @parameterized.parameters(*fabnet.SIZES_PX)
  def test_there_and_back_is_the_same_tree_at_any_size(self, size_px):
    variables = _fab_net(size_px, 1 / 16)
    layout = layouts.fab_net(fabnet.num_stages_of(size_px))
    back = layouts.from_torch(torch_tensors.of(variables, layout), layout)
    jax.tree.map(np.testing.assert_array_equal, back, variables)

  def test_a_missing_tensor_is_named(self):
    tensors = _small()
    for name in tensors:
      rest = {key: value for key, value in tensors.items() if key != name}
      with self.assertRaisesRegex(ValueError, f'tensor {name} is missing'):
        layouts.from_torch(rest, layouts.fab_net(5))

  def test_tensors_of_other_parts_are_ignored(self):
    tensors, layout = _small(), layouts.fab_net(5)
    more = tensors | {'0.running_mean': np.zeros(256, np.float32)}
    jax.tree.map(
      np.testing.assert_array_equal,
      layouts.from_torch(more, layout),
      layouts.from_torch(tensors, layout),
    )


class FabNetLayersTest(absltest.TestCase):
  def test_kernels_and_statistics_mean_what_they_do_in_pytorch(self):
    generator = np.random.default_rng(0)

    def draw(*shape):
      return generator.standard_normal(shape).astype(np.float32)

    layout = layouts.fab_net(4)
    tensors = torch_tensors.of(_fab_net(16, 1 / 8), layout)
    weight, bias = draw(8, 4, 4, 4), draw(8)
    tensors |= {'encoder.2.weight': weight, 'encoder.2.bias': bias}
    values = {name: draw(8) for name in ('weight', 'bias', 'running_mean')} | {
      'running_var': 1 + np.abs(draw(8))
    }
    tensors |= {f'encoder.3.{name}': v for name, v in values.items()}
    variables = layouts.from_torch(tensors, layout)
    params, statistics = variables['params'], variables['statistics']
    image = draw(1, 6, 6, 4)
    conv = layers.Conv(8, 4, 2, init_scheme='default')
    x = conv.apply({'params': params['encoder']['conv1']}, image)
    # Output (1, 1) sees rows and columns 1 to 4 of the unpadded image.
    window = image[0, 1:5, 1:5].transpose(2, 0, 1)
    expected = (weight * window).sum((1, 2, 3)) + bias
    np.testing.assert_allclose(x[0, 1, 1], expected, rtol=1e-4, atol=1e-5)
    y = layers.BatchNorm().apply(
      {
        'params': params['encoder']['norm1'],
        layers.STATISTICS: statistics['encoder']['norm1'],
      },
      x,
      train=False,
    )
    scaled = (expected - values['running_mean']) / np.sqrt(
      values['running_var'] + 1e-5
    )
    expected = scaled * values['weight'] + values['bias']
    np.testing.assert_allclose(y[0, 1, 1], expected, rtol=1e-4, atol=1e-5)


if __name__ == '__main__':
  absltest.main()
