import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax import lax

from psm_jax.models import clp, layers
from tests import tiny

_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _images(*shape, seed=0):
  generator = np.random.default_rng(seed)
  return generator.standard_normal(shape).astype(np.float32)


def _variables(module, x):
  """Returns parameters, and running statistics of positive variance."""
  init = functools.partial(module.init, train=False)
  shapes = jax.eval_shape(init, jax.random.key(0), x)
  running = tiny.filled(shapes[layers.STATISTICS], seed=1)
  return {
    'params': tiny.filled(shapes['params']),
    layers.STATISTICS: jax.tree.map(lambda leaf: leaf**2 + 0.1, running),
  }


def _conv(x, kernel, stride):
  margin = (kernel.shape[0] // 2,) * 2
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    (margin, margin),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _normalised(variables, conv_name, norm_name, x, stride):
  """Returns a convolution and its evaluation-time normalisation."""
  params, running = variables['params'], variables[layers.STATISTICS][norm_name]
  x = np.asarray(_conv(x, params[conv_name]['kernel'], stride))
  x = (x - running['mean']) / np.sqrt(running['var'] + 1e-5)
  return x * params[norm_name]['scale'] + params[norm_name]['bias']


class BasicBlockTest(parameterized.TestCase):
  @parameterized.parameters((1, 4, False), (2, 6, True), (1, 6, True))
  def test_it_is_two_convolutions_around_a_skip(
    self, stride, features, has_skip
  ):
    x = _images(2, 6, 6, 4)
    block = clp.BasicBlock(features, stride)
    variables = _variables(block, x)
    self.assertEqual('conv_skip' in variables['params'], has_skip)
    y = _normalised(variables, 'conv1', 'norm1', x, stride)
    y = _normalised(variables, 'conv2', 'norm2', np.maximum(y, 0), 1)
    skip = x
    if has_skip:
      skip = _normalised(variables, 'conv_skip', 'norm_skip', x, stride)
    ours = _jit(functools.partial(block.apply, train=False))(variables, x)
    np.testing.assert_allclose(ours, np.maximum(y + skip, 0), atol=1e-4)


class ResNet18Test(parameterized.TestCase):
  def test_it_has_the_published_number_of_parameters(self):
    model = clp.ResNet18()
    variables = jax.eval_shape(
      functools.partial(model.init, train=False),
      jax.random.key(0),
      jnp.zeros((1, 32, 32, 3)),
    )
    sizes = jax.tree.map(lambda leaf: leaf.size, variables)
    # 11,689,512 with the classifier of 512 inputs and 1,000 classes.
    expected = 11_689_512 - 1000 * (512 + 1)
    self.assertEqual(sum(jax.tree.leaves(sizes['params'])), expected)
    # A mean and a variance for each scale and bias.
    affine = [
      size
      for path, size in jax.tree.leaves_with_path(sizes['params'])
      if 'norm' in jax.tree_util.keystr(path)
    ]
    self.assertEqual(
      sum(jax.tree.leaves(sizes[layers.STATISTICS])), sum(affine)
    )

  @parameterized.product(
    stem_px=clp.STEMS_PX, size_px=[32, 112, 256], width=[1 / 16, 0.3]
  )
  def test_embeddings_are_512_times_the_width(self, stem_px, size_px, width):
    model = clp.ResNet18(width, stem_px)
    (out, variables) = jax.eval_shape(
      functools.partial(model.init_with_output, train=False),
      jax.random.key(0),
      jnp.zeros((2, size_px, size_px, 3)),
    )
    self.assertEqual(out.shape, (2, clp.embedding_size(width)))
    self.assertEqual(out.shape[1], round(512 * width))
    self.assertEqual(
      variables['params']['stem']['kernel'].shape[:2], (stem_px, stem_px)
    )

  @parameterized.parameters((7, 2), (3, 1))
  def test_stem_and_pool_halve_or_quarter_the_image(self, stem_px, stride):
    self.enter_context(mock.patch.object(clp, '_STAGES', ((64, 0),)))
    x = _images(2, 32, 32, 3)
    model = clp.ResNet18(1 / 16, stem_px)
    variables = _variables(model, x)
    y = np.maximum(_normalised(variables, 'stem', 'norm_stem', x, stride), 0)
    padded = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = y.shape[1]
    pooled = np.max(
      [
        padded[:, i : i + size : 2, j : j + size : 2]
        for i in range(3)
        for j in range(3)
      ],
      axis=0,
    )
    self.assertEqual(pooled.shape[1], 32 // (2 * stride))
    ours = _jit(functools.partial(model.apply, train=False))(variables, x)
    np.testing.assert_allclose(ours, pooled.mean((1, 2)), atol=1e-5)


if __name__ == '__main__':
  absltest.main()
