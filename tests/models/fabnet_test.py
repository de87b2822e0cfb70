import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.models import fabnet, layers
from tests import tiny

_SIZE_PX = 16
_NUM = 2
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _networks(**options):
  return fabnet.Networks(size_px=_SIZE_PX, width=1 / 16, **options)


@functools.cache
def _variables():
  shapes = jax.eval_shape(_networks().init, jax.random.key(0))
  params = tiny.filled(shapes[0])
  statistics = jax.tree.map(
    lambda leaf: 1 + np.abs(leaf), tiny.filled(shapes[1])
  )
  return params, statistics


def _still(params):
  """Returns parameters whose sampler says to stay, by 0 offsets."""
  params = jax.tree.map(np.array, params)
  last = params['decoder'][f'conv{fabnet.num_stages_of(_SIZE_PX) - 1}']
  for leaf in last.values():
    leaf[:] = 0
  return params


def _image(num_sources, *, seed=0):
  shape = (1 + num_sources, _NUM, _SIZE_PX, _SIZE_PX, 3)
  return np.random.default_rng(seed).random(shape, np.float32)


@functools.cache
def _transfer(num_sources, **options):
  """Returns the compiled pass, one for each number of sources."""
  nets = _networks(**options)
  train = _jit(functools.partial(nets.transfer, train=True))
  return lambda params, statistics, seed=0: jax.device_get(
    train(params, statistics, _image(num_sources, seed=seed))
  )


class ShapeTest(parameterized.TestCase):
  def test_numbers_of_parameters_are_the_paper_s(self):
    params, _ = jax.eval_shape(fabnet.Networks().init, jax.random.key(0))
    counts = {
      part: sum(leaf.size for leaf in jax.tree.leaves(params[part]))
      for part in params
    }
    self.assertEqual(
      counts, {'encoder': 4_887_904, 'decoder': 3_340_514, 'mask': 3_340_225}
    )

  @parameterized.parameters((16, 1 / 16), (32, 1.0), (256, 1 / 16))
  def test_any_size_and_width_gives_embeddings_and_maps(self, size_px, width):
    nets = fabnet.Networks(size_px=size_px, width=width)
    params, statistics = jax.eval_shape(nets.init, jax.random.key(0))
    image = jax.ShapeDtypeStruct((3, 2, size_px, size_px, 3), jnp.float32)
    outputs, moved = jax.eval_shape(
      functools.partial(nets.transfer, train=True), params, statistics, image
    )
    maps = (2, 2, size_px, size_px)
    self.assertEqual(
      {name: leaf.shape for name, leaf in outputs.items()},
      {
        'embedding': (3, 2, 256),
        'mask_logit': (*maps, 1),
        'weight': (*maps, 1),
        'offset': (*maps, 2),
        'flow': (*maps, 2),
        'warped': (2, 2, size_px, size_px, 3),
        'result': (2, size_px, size_px, 3),
      },
    )
    self.assertEqual(moved, statistics)

  def test_smaller_models_leave_out_stages_next_to_the_embedding(self):
    params, _ = jax.eval_shape(
      fabnet.Networks(size_px=64).init, jax.random.key(0)
    )
    features = {
      part: [params[part][f'conv{i}']['kernel'].shape[-1] for i in range(6)]
      for part in params
    }
    self.assertEqual(
      features,
      {
        'encoder': [32, 64, 128, 256, 256, 256],
        'decoder': [256, 256, 128, 64, 32, 2],
        'mask': [256, 256, 128, 64, 32, 1],
      },
    )

  @parameterized.parameters(8, 48, 96, 512)
  def test_other_sizes_are_refused_by_name(self, size_px):
    with self.assertRaisesRegex(ValueError, f'data.size_px is {size_px}'):
      fabnet.Networks(size_px=size_px)


class DoubleTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 5)
  def test_edges_stay_in_place_without_aligned_corners(self, size):
    image = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    expected = jax.image.resize(image, (2, 2 * size, 2 * size, 3), 'bilinear')
    np.testing.assert_allclose(fabnet.double(image), expected, atol=1e-6)

  def test_outer_pixels_stay_in_place_with_aligned_corners(self):
    line = np.linspace(0, 1, 4, dtype=np.float32)
    image = (line[:, None] + 2 * line[None])[None, :, :, None]
    line = np.linspace(0, 1, 8)
    expected = (line[:, None] + 2 * line[None])[None, :, :, None]
    doubled = fabnet.double(image, align_corners=True)
    np.testing.assert_allclose(doubled, expected, atol=1e-6)

  @parameterized.parameters(True, False)
  def test_a_single_pixel_is_copied(self, align_corners):
    doubled = fabnet.double(jnp.ones((1, 1, 1, 2)), align_corners=align_corners)
    np.testing.assert_array_equal(doubled, np.ones((1, 2, 2, 2)))


class TransferTest(absltest.TestCase):
  def test_a_still_sampler_returns_the_source(self):
    params, statistics = _variables()
    outputs, _ = _transfer(1)(_still(params), statistics)
    np.testing.assert_array_equal(outputs['offset'], 0)
    np.testing.assert_allclose(outputs['result'], _image(1)[1], atol=1e-5)

  def test_without_aligned_corners_positions_count_from_the_edges(self):
    params, statistics = _variables()
    transfer = _transfer(1, sample_align_corners=False)
    outputs, _ = transfer(_still(params), statistics)
    # As a matrix: pixel i of the result is read at (i / (P - 1)) P - 1 / 2,
    # from -1 / 2 to P - 1 / 2; outside is black.
    position = np.arange(_SIZE_PX) / (_SIZE_PX - 1) * _SIZE_PX - 0.5
    distance = np.abs(position[:, None] - np.arange(_SIZE_PX))
    weights = np.maximum(0, 1 - distance)
    source = _image(1)[1]
    expected = np.einsum('ih,bhwc,jw->bijc', weights, source, weights)
    np.testing.assert_allclose(outputs['result'], expected, atol=1e-5)
    self.assertAlmostEqual(weights[0].sum(), 0.5)

  def test_nothing_is_taken_from_outside_the_image(self):
    params, statistics = _variables()
    params = _still(params)
    last = params['decoder'][f'conv{fabnet.num_stages_of(_SIZE_PX) - 1}']
    last['bias'][:] = (9, -9)  # To the right and up, by half a side.
    outputs, _ = _transfer(1)(params, statistics)
    line = np.linspace(-1, 1, _SIZE_PX)
    flow = outputs['flow']
    np.testing.assert_allclose(
      flow[..., 0], np.minimum(1, 1 - line) + 0 * flow[..., 0], atol=1e-5
    )
    source = _image(1)[1]
    # Row 0, last column: moved out by both, so the corner itself.
    np.testing.assert_allclose(
      outputs['result'][:, 0, -1], source[:, 0, -1], atol=1e-5
    )

  def test_sources_are_mixed_by_the_mask_head_s_logits(self):
    params, statistics = _variables()
    outputs, _ = _transfer(3)(_still(params), statistics)
    logits = outputs['mask_logit']
    self.assertGreater(np.ptp(logits, axis=0).max(), 0.1)
    weights = np.exp(logits) / np.exp(logits).sum(0)
    expected = (weights * _image(3)[1:]).sum(0)
    np.testing.assert_allclose(outputs['result'], expected, atol=1e-5)

  def test_running_statistics_move_call_by_call_targets_first(self):
    params, statistics = _variables()
    nets = _networks()
    _, moved = _transfer(3)(params, statistics)
    image = _image(3)
    expected = dict(statistics)
    embeddings = []

    @functools.partial(_jit, static_argnums=0)
    def call(part, statistics, x):
      out, new = getattr(nets, part).apply(
        {'params': params[part], layers.STATISTICS: statistics},
        x,
        train=True,
        mutable=[layers.STATISTICS],
      )
      return out, new[layers.STATISTICS]

    for frame in image:
      out, expected['encoder'] = call('encoder', expected['encoder'], frame)
      embeddings.append(out)
    for source in embeddings[1:]:
      pair = np.concatenate([source, embeddings[0]], axis=-1)
      for part in ('mask', 'decoder'):
        _, expected[part] = call(part, expected[part], pair)
    self.assertEqual(jax.tree.structure(moved), jax.tree.structure(expected))
    for ours, theirs in zip(
      jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)

  def test_one_source_leaves_the_mask_head_out(self):
    params, statistics = _variables()
    outputs, moved = _transfer(1)(params, statistics)
    self.assertNotIn('mask_logit', outputs)
    np.testing.assert_array_equal(outputs['weight'], 1)
    jax.tree.map(
      np.testing.assert_array_equal, moved['mask'], statistics['mask']
    )

  def test_evaluation_treats_each_example_by_itself(self):
    params, statistics = _variables()
    nets = _networks()
    evaluate = _jit(functools.partial(nets.transfer, train=False))
    outputs, kept = evaluate(params, statistics, _image(2))
    self.assertEqual(
      jax.tree.map(np.shape, kept), jax.tree.map(np.shape, statistics)
    )
    jax.tree.map(np.testing.assert_array_equal, kept, statistics)
    image = _image(2)
    image[:, 1] = _image(2, seed=1)[:, 1]
    others, _ = evaluate(params, statistics, image)
    np.testing.assert_array_equal(outputs['result'][0], others['result'][0])
    self.assertGreater(
      np.abs(outputs['result'][1] - others['result'][1]).max(), 0.1
    )
    embedding = _jit(nets.encode)(params, statistics, image[0])
    np.testing.assert_allclose(
      embedding, others['embedding'][0], rtol=1e-4, atol=1e-5
    )


class PrecisionTest(absltest.TestCase):
  def test_half_precision_gives_float32_and_nearly_the_same(self):
    params, statistics = _variables()
    image = _image(2)
    results = []
    for dtype in (jnp.float32, jnp.bfloat16):
      nets = _networks(dtype=dtype)
      run = _jit(functools.partial(nets.transfer, train=False))
      outputs, _ = run(params, statistics, image)
      for name, leaf in outputs.items():
        self.assertEqual(leaf.dtype, jnp.float32, name)
      results.append(outputs)
    full, half = results
    self.assertGreater(np.abs(full['offset'] - half['offset']).max(), 0)
    for name in ('embedding', 'offset', 'mask_logit'):
      error = np.linalg.norm(half[name] - full[name])
      self.assertLess(error / np.linalg.norm(full[name]), 0.05, name)


if __name__ == '__main__':
  absltest.main()
