import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods
from psm_jax.methods import facecycle, interface
from psm_jax.models import vgg
from psm_jax.ops import image_losses
from psm_jax.presets import base
from tests import tiny

_WIDTH = 1 / 32
_SIZE = 16
_PAIRS = 2
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _networks():
  return facecycle.Networks(width=_WIDTH, size_px=_SIZE)


def _trunk():
  draw = functools.partial(vgg.init, width=_WIDTH)
  return tiny.filled(jax.eval_shape(draw, jax.random.key(0)), seed=1)


def _params(trunk):
  init = functools.partial(_networks().init, trunk=trunk)
  return tiny.filled(jax.eval_shape(init, jax.random.key(0)))


def _noise(params, trunk):
  """Returns noise in the shapes of `draw_noise`."""
  draw = functools.partial(_networks().draw_noise, num_images=2 * _PAIRS)
  shapes = jax.eval_shape(draw, jax.random.key(0), params, trunk)
  generator = np.random.default_rng(2)
  return jax.tree.map(
    lambda leaf: generator.standard_normal(leaf.shape).astype(np.float32),
    shapes,
  )


def _image():
  generator = np.random.default_rng(3)
  shape = (2 * _PAIRS, _SIZE, _SIZE, 3)
  return generator.standard_normal(shape).astype(np.float32)


def _swap(tree):
  return jax.tree.map(lambda leaf: np.roll(leaf, _PAIRS, axis=0), tree)


def _config(**method):
  config = base.get_config()
  config.data.size_px = _SIZE
  config.method.width = _WIDTH
  config.method.update(method)
  config.augment.enabled = False
  return config


class LossTest(absltest.TestCase):
  """The loss with a frozen trunk, one compiled program."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.trunk = _trunk()
    cls.params = _params(cls.trunk)
    cls.image = _image()
    cls.noise = _noise(cls.params, cls.trunk)
    cls.loss = staticmethod(_jit(_networks().loss))
    cls.total, (cls.terms, cls.outputs) = cls.loss(
      cls.params, cls.trunk, cls.image, cls.noise, 1.0
    )

  def test_total_is_the_weighted_sum_of_its_terms(self):
    terms = self.terms
    expected = (
      0.01 * terms['perceptual']
      + terms['pixel']
      + 1.5 * terms['symmetry']
      + 5 * terms['ssim']
    )
    self.assertAlmostEqual(self.total / expected, 1, places=5)

  def test_sums_hold_their_parts_with_the_published_weights(self):
    t = self.terms
    expected = {
      'pixel': t['l1_recon']
      + t['l1_auto']
      + t['l1_swapped']
      + 1.5 * t['l1_direct'],
      'ssim': t['ssim_recon'] + t['ssim_auto'] + 1.5 * t['ssim_direct'],
      'symmetry': t['symmetry_neutral'] + 0.5 * t['symmetry_warped'],
      'perceptual': t['perceptual_relu2_1']
      + t['perceptual_relu3_1']
      + t['perceptual_relu4_1'],
    }
    for name, value in expected.items():
      self.assertGreater(value, 0)
      self.assertAlmostEqual(t[name] / value, 1, places=5, msg=name)

  def test_single_terms_compare_the_outputs_with_the_images(self):
    pairs = {
      'l1_recon': 'recon',
      'l1_auto': 'auto',
      'l1_swapped': 'swapped',
      'l1_direct': 'direct',
    }
    for term, output in pairs.items():
      expected = np.mean(np.abs(self.outputs[output] - self.image))
      self.assertAlmostEqual(self.terms[term] / expected, 1, places=5)
    for term, output in (
      ('symmetry_neutral', 'neutral'),
      ('symmetry_warped', 'warped'),
    ):
      image = np.asarray(self.outputs[output])
      half = _SIZE // 2
      halves = image[:, :, :half] - image[:, :, : half - 1 : -1]
      expected = np.mean(np.abs(halves))
      self.assertAlmostEqual(self.terms[term] / expected, 1, places=5)

  def test_pairs_are_read_in_either_direction(self):
    total, (terms, outputs) = self.loss(
      self.params, self.trunk, _swap(self.image), _swap(self.noise), 1.0
    )
    # Equal but for the order of sums.
    self.assertAlmostEqual(total / self.total, 1, places=5)
    for name, value in self.terms.items():
      self.assertAlmostEqual(terms[name] / value, 1, places=4, msg=name)
    for name, value in self.outputs.items():
      np.testing.assert_allclose(
        outputs[name], _swap(value), rtol=1e-3, atol=1e-4, err_msg=name
      )

  def test_a_partner_s_neutral_face_makes_the_reconstruction(self):
    # The neutral face alone depends on the noise of its pass; changing it for
    # the first member of pair 0 must reach that of the second, and no other.
    noise = jax.tree.map(np.array, self.noise)
    noise['neutral']['relu3_1'][0] += 1
    _, (_, outputs) = self.loss(self.params, self.trunk, self.image, noise, 1.0)

    def changed(name):
      difference = np.abs(outputs[name] - self.outputs[name])
      return np.flatnonzero(difference.max((1, 2, 3)) > 1e-6).tolist()

    self.assertEqual(changed('neutral'), [0])
    self.assertEqual(changed('swapped'), [_PAIRS])
    self.assertEqual(changed('recon'), [_PAIRS])
    self.assertEqual(changed('auto'), [])

  def test_neutral_weight_acts_on_the_neutral_face_s_symmetry_only(self):
    total, (terms, _) = self.loss(
      self.params, self.trunk, self.image, self.noise, 3.0
    )
    for name, value in self.terms.items():
      if name != 'symmetry':
        self.assertAlmostEqual(terms[name] / value, 1, places=6, msg=name)
    self.assertAlmostEqual(
      terms['symmetry'] - self.terms['symmetry'],
      2 * self.terms['symmetry_neutral'],
      places=4,
    )
    self.assertAlmostEqual(
      (total - self.total) / (1.5 * 2 * self.terms['symmetry_neutral']),
      1,
      places=3,
    )

  @pytest.mark.thorough
  def test_a_frozen_trunk_is_not_among_the_parameters(self):
    self.assertEqual(set(self.params), {'encoder', 'flow_net', 'generator'})


@pytest.mark.thorough
class MendedTest(absltest.TestCase):
  def test_it_weighs_regions_and_compares_the_neutral_faces_of_a_pair(self):
    generator = np.random.default_rng(5)
    weights = generator.uniform(0, 2, (_SIZE, _SIZE)).astype(np.float32)
    networks = facecycle.Networks(
      width=_WIDTH,
      size_px=_SIZE,
      encoder='plain',
      neutral_consistency=0.5,
      weights=weights,
    )
    params = tiny.filled(jax.eval_shape(networks.init, jax.random.key(0)))
    self.assertEqual(
      params['encoder']['code']['kernel'].shape[-1],
      facecycle.networks.EMBEDDING_SIZE,
    )
    image = _image()
    total, (terms, outputs) = _jit(networks.loss)(
      params, (), image, _noise(params, ()), 1.0
    )
    neutral = outputs['neutral']
    pair = np.mean(np.abs(neutral - _swap(neutral)))
    self.assertAlmostEqual(terms['neutral_pair'] / pair, 1, places=5)
    recon = np.mean(
      weights[None, :, :, None] * np.abs(outputs['recon'] - image)
    )
    self.assertAlmostEqual(terms['l1_recon'] / recon, 1, places=5)
    (ssim,) = image_losses.ssim_losses(
      image, [outputs['recon']], weights=weights
    )
    self.assertAlmostEqual(terms['ssim_recon'] / ssim, 1, places=4)
    expected = (
      terms['pixel']
      + 1.5 * terms['symmetry']
      + 5 * terms['ssim']
      + 0.5 * terms['neutral_pair']
    )
    self.assertAlmostEqual(total / expected, 1, places=5)


@pytest.mark.thorough
class TrainedStemTest(absltest.TestCase):
  """The loss without a trunk, and the stem's gradient."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.params = _params(())
    noise = _noise(cls.params, ())
    loss = functools.partial(_networks().loss, image=_image(), noise=noise)

    def of_stem(stem):
      return loss(cls.params | {'stem': stem}, (), neutral_weight=1.0)

    (cls.total, (cls.terms, _)), cls.grads = _jit(
      jax.value_and_grad(of_stem, has_aux=True)
    )(cls.params['stem'])

  def test_there_is_no_perceptual_term(self):
    self.assertEqual(self.terms['perceptual'], 0)
    self.assertEqual(self.terms['perceptual'].dtype, self.total.dtype)
    self.assertEmpty([n for n in self.terms if n.startswith('perceptual_')])

  def test_the_stem_is_trained(self):
    self.assertEqual(set(self.params['stem']), {f'conv{i}' for i in range(5)})
    for name, layer in self.grads.items():
      self.assertGreater(np.abs(layer['kernel']).max(), 1e-6, name)


class MethodTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.trunk = _trunk()
    self.params = _params(self.trunk)
    self.method = facecycle.make(_config())
    generator = np.random.default_rng(4)
    self.frames = generator.integers(
      0, 256, (2, _PAIRS, _SIZE * _SIZE * 3), dtype=np.uint8
    )

  def test_frames_are_two_members_of_each_pair(self):
    seen = {}

    def record(networks, params, trunk, image, noise, neutral_weight):
      seen.update(image=image, noise=noise, neutral_weight=neutral_weight)
      return 0.0, ({'pixel': 0.0}, {})

    self.enter_context(mock.patch.object(facecycle.Networks, 'loss', record))
    schedule = interface.Schedule(
      epoch=1, gap=2, learning_rate=1e-4, neutral_weight=0.5
    )
    loss, (state, terms) = self.method.loss(
      jax.random.key(0),
      self.params,
      ('kept',),
      self.trunk,
      interface.Batch(self.frames, np.zeros(_PAIRS, np.int32)),
      schedule,
    )
    expected = self.frames.reshape(2 * _PAIRS, _SIZE, _SIZE, 3)
    np.testing.assert_allclose(
      255 * facecycle.displayable(seen['image']), expected, atol=1e-3
    )
    self.assertEqual(seen['neutral_weight'], 0.5)
    self.assertEqual((loss, state, terms), (0.0, ('kept',), {'pixel': 0.0}))

  @pytest.mark.thorough
  def test_terms_do_not_depend_on_augmentation_or_its_absence(self):
    schedule = interface.Schedule(*(jnp.float32(1) for _ in range(4)))
    terms = []
    for enabled in (False, True):
      config = _config()
      config.augment.enabled = enabled
      loss = facecycle.make(config).loss
      _, (_, shapes) = jax.eval_shape(
        lambda *args, loss=loss: loss(*args, schedule),
        jax.random.key(0),
        self.params,
        (),
        self.trunk,
        interface.Batch(self.frames, np.zeros(_PAIRS, np.int32)),
      )
      terms.append({name: shape.dtype for name, shape in shapes.items()})
      for shape in shapes.values():
        self.assertEqual(shape.shape, ())
    self.assertEqual(terms[0], terms[1])

  def test_bfloat16_is_for_the_networks_and_float32_for_what_they_give(self):
    config = _config()
    config.population.precision = 'bfloat16'
    method = facecycle.make(config)
    schedule = interface.Schedule(*(jnp.float32(1) for _ in range(4)))
    program, (total, (_, terms)) = jax.make_jaxpr(
      lambda *args: method.loss(*args, schedule), return_shape=True
    )(
      jax.random.key(0),
      self.params,
      (),
      self.trunk,
      interface.Batch(self.frames, np.zeros(_PAIRS, np.int32)),
    )
    for value in (total, *terms.values()):
      self.assertEqual(value.dtype, np.float32)
    convolutions = [
      line for line in str(program).split('\n') if 'conv_general' in line
    ]
    self.assertNotEmpty(convolutions)
    for line in convolutions:
      self.assertIn(':bf16[', line)

  def test_embeddings_are_the_encoder_s_of_normalised_frames(self):
    encoded = []

    def record(networks, params, image):
      encoded.append((params, image))
      return 'embedding'

    self.enter_context(mock.patch.object(facecycle.Networks, 'encode', record))
    ours = self.method.embed(self.params, (), self.frames[0])
    self.assertEqual(ours, 'embedding')
    ((params, image),) = encoded
    self.assertIs(params, self.params)
    np.testing.assert_allclose(
      255 * facecycle.displayable(image),
      self.frames[0].reshape(-1, _SIZE, _SIZE, 3),
      atol=1e-3,
    )

  def test_pictures_can_be_shown(self):
    shapes = jax.eval_shape(
      self.method.pictures,
      jax.random.key(0),
      self.params,
      (),
      self.trunk,
      self.frames[0],
      (),
    )
    image = (_PAIRS, _SIZE, _SIZE, 3)
    flow = (_PAIRS, _SIZE // 4, _SIZE // 4, 2)
    self.assertEqual(
      {name: leaf.shape for name, leaf in shapes.items()},
      {'neutral': image, 'reconstruction': image, 'flow': flow},
    )

  @pytest.mark.thorough
  def test_a_face_is_drawn_by_its_embedding_alone(self):
    generator = np.random.default_rng(5)
    embedding = generator.normal(size=(_PAIRS, 256)).astype(np.float32)
    shape = (_PAIRS, _SIZE, _SIZE, 3)
    face = generator.uniform(size=shape).astype(np.float32)
    draw = functools.partial(_jit(self.method.draw), self.params, self.trunk)
    drawn = draw(embedding, face)
    self.assertEqual(drawn.shape, face.shape)
    self.assertBetween(drawn.min(), 0, 1)
    self.assertBetween(drawn.max(), 0, 1)
    self.assertGreater(np.abs(np.diff(drawn, axis=0)).max(), 1e-3)
    # Whoever is drawn beside it: films are drawn in parts.
    alone = draw(embedding[1:2], face[1:2])
    np.testing.assert_allclose(alone[0], drawn[1], atol=1e-5)


class NoiseTest(absltest.TestCase):
  def test_every_pass_and_level_has_its_own_standard_normal_numbers(self):
    trunk = _trunk()
    noise = _networks().draw_noise(jax.random.key(0), {}, trunk, 64)
    parts = [
      np.asarray(noise[name][tap])
      for name in ('neutral', 'recon')
      for tap in ('relu3_1', 'relu2_1')
    ]
    shapes = [part.shape for part in parts]
    self.assertEqual(shapes, [(64, 4, 4, 8), (64, 8, 8, 4)] * 2)
    for part in parts:
      # 8,192 or more numbers: four standard errors.
      self.assertAlmostEqual(part.mean(), 0, delta=4 / part.size**0.5)
      self.assertAlmostEqual(part.std(), 1, delta=4 / (2 * part.size) ** 0.5)
    for index, part in enumerate(parts):
      for other in parts[:index]:
        size = min(part.size, other.size)
        ours, theirs = part.ravel()[:size], other.ravel()[:size]
        correlation = np.corrcoef(ours, theirs)[0, 1]
        self.assertLess(abs(correlation), 5 / size**0.5)


class NormaliseTest(parameterized.TestCase):
  def test_displayable_is_its_inverse(self):
    levels = np.arange(256, dtype=np.float32)
    image = np.repeat(levels[:, None], 3, axis=1)
    shown = facecycle.displayable(facecycle.normalise(image))
    np.testing.assert_allclose(shown, image / 255, atol=1e-6)

  def test_constants_are_imagenet_s_in_rgb(self):
    image = np.array([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]], np.float32)
    expected = [[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]]
    expected.append([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    np.testing.assert_allclose(facecycle.normalise(image), expected, rtol=1e-6)

  def test_what_cannot_be_shown_is_clipped(self):
    image = np.array([[-9.0, 0.0, 9.0]], np.float32)
    np.testing.assert_allclose(
      facecycle.displayable(image), [[0, 0.456, 1]], atol=1e-6
    )


class MakeTest(absltest.TestCase):
  def test_without_a_trunk_nothing_is_shared(self):
    method = methods.make(_config(vgg='none'))
    self.assertEqual(method.shared, ())
    self.assertEqual((method.name, method.size_px), ('facecycle', _SIZE))

  def test_a_random_trunk_is_announced_and_the_same_each_time(self):
    # Drawing the real one takes many seconds to compile.
    def draw(key, *, width):
      return {'key': jax.random.key_data(key), 'width': width}

    self.enter_context(mock.patch.object(vgg, 'init', draw))
    trunks = []
    for seed in (0, 1):
      config = _config(vgg='random')
      config.seed = seed
      with self.assertLogs('absl', 'WARNING') as logs:
        trunks.append(methods.make(config).shared)
      self.assertIn('method.vgg=file', logs.output[0])
    jax.tree.map(np.testing.assert_array_equal, *trunks)
    self.assertEqual(trunks[0]['width'], _WIDTH)

  def test_a_trunk_file_that_is_missing_is_named(self):
    with self.assertRaisesRegex(ValueError, 'nowhere.npz'):
      methods.make(_config(vgg='file', vgg_path='nowhere.npz'))


class SsimTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    generator = np.random.default_rng(0)
    # A bright and a dark area, as a face before a wall.
    face = np.where(np.arange(16) < 8, 40, 215)[:, None, None]
    noise = generator.normal(0, 10, (2, 16, 16, 3))
    pixels = np.clip(face + noise, 0, 255).astype(np.float32)
    self.image = facecycle.normalise(jnp.asarray(pixels))

  def _loss(self, other, scale):
    return float(facecycle._ssim(self.image, [other], scale)[0])

  def test_positive_is_ssim_of_images_whose_black_is_zero(self):
    pixels = facecycle.displayable(self.image)
    std = np.float32((0.229, 0.224, 0.225))[None, None, None]
    (expected,) = image_losses.ssim_losses(pixels / std, [pixels**2 / std])
    other = facecycle.normalise(255 * pixels**2)
    self.assertAlmostEqual(
      self._loss(other, 'positive'), float(expected), places=4
    )

  def test_only_the_published_scale_likes_inverted_colours(self):
    self.assertLess(self._loss(-self.image, 'normalised'), 1)
    self.assertGreater(self._loss(-self.image, 'positive'), 1)


if __name__ == '__main__':
  absltest.main()
