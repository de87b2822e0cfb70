import functools

import jax
import numpy as np
from absl.testing import absltest, parameterized
from flax import linen as nn

from psm_jax.interop import facecycle
from psm_jax.methods import facecycle as method
from psm_jax.models import layers

# Shapes of some tensors as the reference's checkpoints keep them.
_TENSORS = {
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


@functools.cache
def _params(width=1.0):
  """Returns distinct small integers in the shapes of all parameters."""
  nets = method.Networks(width=width)
  shapes = jax.eval_shape(nets.init, jax.random.key(0))
  generator = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: generator.integers(-9, 9, leaf.shape).astype(np.int8), shapes
  )


@parameterized.parameters(*_TENSORS)
class PartTest(parameterized.TestCase):
  def test_names_and_shapes_are_the_reference_s(self, part):
    tensors = facecycle.to_torch(_params()[part], part=part)
    self.assertLen(tensors, _NUM_TENSORS[part])
    for name, shape in _TENSORS[part].items():
      self.assertEqual(tensors[name].shape, shape, name)

  def test_there_and_back_is_the_same_tree(self, part):
    params = _params(1 / 16)[part]
    back = facecycle.from_torch(
      facecycle.to_torch(params, part=part), part=part
    )
    jax.tree.map(np.testing.assert_array_equal, back, params)

  def test_a_missing_tensor_is_named(self, part):
    tensors = facecycle.to_torch(_params(1 / 16)[part], part=part)
    for name in tensors:
      rest = {key: value for key, value in tensors.items() if key != name}
      with self.assertRaisesRegex(ValueError, f'tensor {name} of .*missing'):
        facecycle.from_torch(rest, part=part)

  def test_tensors_of_other_parts_are_ignored(self, part):
    tensors = facecycle.to_torch(_params(1 / 16)[part], part=part)
    expected = facecycle.from_torch(tensors, part=part)
    tensors['normalizer.torgb.weight'] = np.zeros((3, 128, 1, 1))
    params = facecycle.from_torch(tensors, part=part)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


class LayoutTest(absltest.TestCase):
  """What PyTorch would compute, in NumPy, from the reference's tensors."""

  def setUp(self):
    super().setUp()
    self.generator = np.random.default_rng(0)

  def _draw(self, *shape):
    return self.generator.standard_normal(shape).astype(np.float32)

  def _converted(self, part, path, **tensors):
    """Returns one layer's parameters after conversion of given tensors."""
    params = facecycle.to_torch(_params(1 / 16)[part], part=part)
    params.update({name.replace('__', '.'): v for name, v in tensors.items()})
    converted = facecycle.from_torch(params, part=part)
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


if __name__ == '__main__':
  absltest.main()
