import functools

import jax
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.interop import fabnet
from psm_jax.models import fabnet as networks
from psm_jax.models import layers

# Some tensors as the reference's checkpoints keep them.
_TENSORS = {
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
  'decoder.27.num_batches_tracked': (),
  'decoder.30.weight': (2, 32, 3, 3),
  'mask.30.weight': (1, 32, 3, 3),
  'mask.30.bias': (1,),
}


@functools.cache
def _variables(size_px=256, width=1.0):
  """Returns small integers in the shapes of parameters and statistics."""
  nets = networks.Networks(size_px=size_px, width=width)
  shapes = jax.eval_shape(nets.init, jax.random.key(0))
  generator = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: generator.integers(-9, 9, leaf.shape).astype(np.int8), shapes
  )


def _small():
  return fabnet.to_torch(*_variables(32, 1 / 16))


class TensorsTest(parameterized.TestCase):
  def test_names_and_shapes_are_the_reference_s(self):
    tensors = fabnet.to_torch(*_variables())
    counts = {
      part: sum(name.startswith(f'{part}.') for name in tensors)
      for part in networks.PARTS
    }
    self.assertEqual(counts, {'encoder': 46, 'decoder': 51, 'mask': 51})
    for name, shape in _TENSORS.items():
      self.assertEqual(tensors[name].shape, shape, name)

  @parameterized.parameters(*networks.SIZES_PX)
  def test_there_and_back_is_the_same_tree_at_any_size(self, size_px):
    variables = _variables(size_px, 1 / 16)
    back = fabnet.from_torch(fabnet.to_torch(*variables))
    jax.tree.map(np.testing.assert_array_equal, back, variables)

  def test_counters_of_batches_may_be_absent(self):
    tensors = _small()
    fewer = {n: t for n, t in tensors.items() if 'num_batches' not in n}
    self.assertLess(len(fewer), len(tensors))
    jax.tree.map(
      np.testing.assert_array_equal,
      fabnet.from_torch(fewer),
      fabnet.from_torch(tensors),
    )

  def test_a_missing_tensor_is_named(self):
    tensors = _small()
    for name in tensors:
      if name.endswith('num_batches_tracked'):
        continue
      rest = {key: value for key, value in tensors.items() if key != name}
      with self.assertRaisesRegex(ValueError, f'tensor {name} is missing'):
        fabnet.from_torch(rest)

  @parameterized.parameters(
    ('encoder.2.weight', (4, 4, 3, 3), r'\(4, 4, 3, 3\).*\(any, 4, 4, 4\)'),
    ('decoder.2.weight', (16, 256, 3, 3), r'expected \(any, 512, 3, 3\)'),
    ('mask.3.running_var', (5,), r'\(5,\); expected \(16\)'),
    ('encoder.11.weight', (128, 16, 4, 4), r'expected \(256, 16, 4, 4\)'),
  )
  def test_a_tensor_of_another_shape_is_named(self, name, shape, message):
    tensors = _small()
    self.assertIn(name, tensors)
    tensors[name] = np.zeros(shape, np.float32)
    with self.assertRaisesRegex(ValueError, message):
      fabnet.from_torch(tensors)

  def test_a_last_layer_of_another_width_is_named(self):
    tensors = _small()
    tensors['mask.18.weight'] = tensors['decoder.18.weight']
    tensors['mask.18.bias'] = tensors['decoder.18.bias']
    with self.assertRaisesRegex(
      ValueError, r'mask.18.weight has shape \(2, .* expected \(1, '
    ):
      fabnet.from_torch(tensors)

  def test_a_layer_that_no_part_has_is_named(self):
    extra = {'encoder.4.weight': np.zeros((4, 4, 1, 1), np.float32)}
    with self.assertRaisesRegex(ValueError, 'encoder.4.weight belongs to no'):
      fabnet.from_torch(_small() | extra)

  def test_tensors_of_other_parts_are_ignored(self):
    tensors = _small()
    more = tensors | {'0.running_mean': np.zeros(256, np.float32)}
    jax.tree.map(
      np.testing.assert_array_equal,
      fabnet.from_torch(more),
      fabnet.from_torch(tensors),
    )


class LayoutTest(absltest.TestCase):
  def test_kernels_and_statistics_mean_what_they_do_in_pytorch(self):
    generator = np.random.default_rng(0)

    def draw(*shape):
      return generator.standard_normal(shape).astype(np.float32)

    params, statistics = _variables(16, 1 / 8)
    tensors = fabnet.to_torch(params, statistics)
    weight, bias = draw(8, 4, 4, 4), draw(8)
    tensors |= {'encoder.2.weight': weight, 'encoder.2.bias': bias}
    values = {name: draw(8) for name in ('weight', 'bias', 'running_mean')} | {
      'running_var': 1 + np.abs(draw(8))
    }
    tensors |= {f'encoder.3.{name}': v for name, v in values.items()}
    params, statistics = fabnet.from_torch(tensors)
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
