"""What the canonical method promises, alone and in a population."""

import dataclasses
import functools
import pathlib

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, model as model_lib, sampling
from psm_jax.data import canonical_faces
from psm_jax.engine import feed, population, update
from psm_jax.methods import canonical, interface
from psm_jax.ops import data_axis, regions
from psm_jax.runs import zoo
from tests import tiny

_SIZE = 16
_PAIRS = 2
_SCHEDULE = interface.Schedule(*(np.float32(1) for _ in range(4)))
_LENGTHS = (30, 21, 47)


def _config(**fields):
  return tiny.config(
    method__name='canonical',
    data__size_px=_SIZE,
    curriculum__pairing='repaired',
    **fields,
  )


def _bytes(*shape, seed=0):
  generator = np.random.default_rng(seed)
  shape = (*shape, _SIZE * _SIZE * 3)
  return generator.integers(0, 256, shape, dtype=np.uint8)


def _batch():
  return interface.Batch(
    _bytes(2, _PAIRS),
    np.zeros(_PAIRS, np.int32),
    _bytes(2, _PAIRS, seed=1),
  )


def _params(method, *, seed=0):
  shapes, _ = jax.eval_shape(method.init, jax.random.key(0))
  return tiny.filled(shapes, seed=seed)


def _still(params):
  """Returns parameters by which the decoder changes nothing."""
  change = jax.tree.map(np.zeros_like, params['decoder']['change'])
  return params | {'decoder': params['decoder'] | {'change': change}}


def _scaled(frames):
  return frames.reshape((-1, _SIZE, _SIZE, 3)) / np.float32(127.5) - 1


@functools.cache
def _made(**fields):
  """Returns a method and its compiled loss of a batch."""
  method = methods.make(_config(**fields))

  @functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 1}
  )
  def loss(params, batch):
    return method.loss(jax.random.key(0), params, (), (), batch, _SCHEDULE)

  return method, loss


class LossTest(absltest.TestCase):
  def test_without_a_change_it_compares_frames_with_their_canonical_faces(self):
    method, loss = _made()
    batch = _batch()
    total, (state, terms) = loss(_still(_params(method)), batch)
    error = _scaled(batch.canonical) - _scaled(batch.frames)
    weights = regions.weights(_SIZE, eye_distance=0.4)[..., None]
    pixel, square = (
      np.mean(weights * value) for value in (np.abs(error), error**2)
    )
    self.assertAlmostEqual(terms['pixel'] / pixel, 1, places=5)
    self.assertAlmostEqual(terms['square'] / square, 1, places=5)
    self.assertAlmostEqual(total / (pixel + 0.1 * square), 1, places=5)
    self.assertEqual(state, ())

  @pytest.mark.thorough
  def test_parts_of_a_batch_have_the_loss_of_the_whole(self):
    method, loss = _made()
    params, batch = _params(method), _batch()
    total, _ = loss(params, batch)
    parts = []
    for index in range(_PAIRS):
      axis = data_axis.Microbatch(
        data_axis.ONE_DEVICE, jnp.int32(index), _PAIRS
      )
      part = interface.Batch(
        batch.frames[:, [index]],
        batch.person[[index]],
        batch.canonical[:, [index]],
      )
      parts.append(
        jax.jit(method.over(axis).loss)(
          jax.random.key(0), params, (), (), part, _SCHEDULE
        )[0]
      )
    self.assertNotAlmostEqual(parts[0], parts[1], places=3)
    self.assertAlmostEqual(np.mean(parts) / total, 1, places=5)

  def test_bfloat16_is_for_the_networks_and_float32_for_what_they_give(self):
    method = methods.make(_config(population__precision='bfloat16'))
    program, (total, (_, terms)) = jax.make_jaxpr(
      lambda params, batch: method.loss(
        jax.random.key(0), params, (), (), batch, _SCHEDULE
      ),
      return_shape=True,
    )(_params(method), _batch())
    for value in (total, *terms.values()):
      self.assertEqual(value.dtype, np.float32)
    convolutions = [
      line for line in str(program).split('\n') if 'conv_general' in line
    ]
    self.assertNotEmpty(convolutions)
    for line in convolutions:
      self.assertIn(':bf16[', line)


class OptimizerTest(absltest.TestCase):
  def test_weights_decay_by_a_share_of_themselves_whatever_the_gradient(self):
    # Loshchilov and Hutter (2019): Adam does not see the decay.
    optimizer = _made()[0].optimizer
    params = {'w': np.float32([4, -2, 0.5])}
    for gradient in ([0, 0, 0], [1e-3, -5, 0]):
      after, _ = update.apply_gradients(
        optimizer,
        params,
        optimizer.init(params),
        {'w': np.float32(gradient)},
        0.1,
      )
      # Adam's first step is of length 1, in the direction of the gradient.
      step = np.sign(gradient) + 1e-3 * params['w']
      np.testing.assert_allclose(
        after['w'], params['w'] - 0.1 * step, atol=1e-5
      )


class PicturesTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    method, _ = _made()
    cls.pictures = staticmethod(
      jax.jit(
        lambda params, frames, faces: method.pictures(
          jax.random.key(0), params, (), (), frames, faces
        )
      )
    )
    cls.params = _params(method)
    cls.frames, cls.faces = _bytes(4), _bytes(4, seed=1)

  def test_they_can_be_shown(self):
    made = self.pictures(self.params, self.frames, self.faces)
    image, flow = (4, _SIZE, _SIZE, 3), (4, _SIZE // 2, _SIZE // 2, 2)
    self.assertEqual(
      {name: leaf.shape for name, leaf in made.items()},
      {
        'neutral': image,
        'reconstruction': image,
        'driven': image,
        'flow': flow,
      },
    )
    for name in ('neutral', 'reconstruction', 'driven'):
      self.assertBetween(np.min(made[name]), 0, 1)
      self.assertBetween(np.max(made[name]), 0, 1)

  def test_a_frame_reaches_its_reconstruction_by_its_code_alone(self):
    blind = self.params['encoder'] | {
      'code': jax.tree.map(np.zeros_like, self.params['encoder']['code'])
    }
    params = self.params | {'encoder': blind}
    made = self.pictures(params, self.frames, self.faces)
    other = self.pictures(params, self.frames[::-1], self.faces)
    jax.tree.map(np.testing.assert_array_equal, made, other)
    seen = self.pictures(self.params, self.frames[::-1], self.faces)
    self.assertGreater(
      np.abs(seen['reconstruction'] - made['reconstruction']).max(), 0.01
    )

  def test_a_driven_face_is_another_s_moved_by_the_frame_s_code(self):
    made = self.pictures(self.params, self.frames, self.faces)
    turned = self.pictures(
      self.params, self.frames, np.roll(self.faces, 2, axis=0)
    )
    np.testing.assert_allclose(
      made['driven'], turned['reconstruction'], atol=1e-5
    )

  def test_an_unmoved_face_is_the_canonical_one(self):
    made = self.pictures(_still(self.params), self.frames, self.faces)
    shown = self.faces.reshape((-1, _SIZE, _SIZE, 3)) / 255
    np.testing.assert_allclose(made['neutral'], shown, atol=1e-6)
    np.testing.assert_allclose(made['reconstruction'], shown, atol=1e-6)
    np.testing.assert_allclose(made['flow'], 0, atol=0)


class DisturbedTest(absltest.TestCase):
  def _disturbed(self, image, draws, **fields):
    options = _config().method.canonical
    nothing = dict.fromkeys(
      ('log_gain', 'bias', 'shift', 'turn_deg', 'log_scale'), 0.0
    )
    options.update(nothing | fields)
    (changed,) = canonical.disturbed(
      np.float32(draws)[None], image, options=options
    )
    return changed

  def setUp(self):
    super().setUp()
    self.image = _scaled(_bytes(1))

  def test_no_deviation_changes_nothing(self):
    draws = np.random.default_rng(0).standard_normal(10)
    same = self._disturbed(self.image, draws)
    np.testing.assert_array_equal(same, self.image)

  def test_each_channel_has_its_gain_and_bias(self):
    draws = [1, 0, -1, 2, 0, 0, 9, 9, 9, 9]
    changed = self._disturbed(self.image, draws, log_gain=0.1, bias=0.05)
    gain, bias = np.exp([0.1, 0, -0.1]), np.array([0.1, 0, 0])
    np.testing.assert_allclose(changed, gain * self.image + bias, atol=1e-6)

  def test_a_shift_is_in_halves_of_the_side(self):
    draws = [0] * 6 + [1, 0, 9, 9]
    moved = self._disturbed(self.image, draws, shift=2 / (_SIZE - 1))
    np.testing.assert_allclose(
      moved[:, :, :-1], self.image[:, :, 1:], atol=1e-5
    )

  def test_a_quarter_turn_turns_the_image(self):
    draws = [0] * 8 + [1, 9]
    turned = self._disturbed(self.image, draws, turn_deg=90.0)
    np.testing.assert_allclose(turned[0], np.rot90(self.image[0]), atol=1e-4)


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(
    ('data__size_px', 36),
    ('data__size_px', 8),
    ('method__canonical__code_size', 0),
    ('method__canonical__reach', -0.1),
    ('method__canonical__turn_deg', -1.0),
  )
  def test_a_wrong_value_names_its_field(self, field, value):
    config = tiny.config(**{'method__name': 'canonical', field: value})
    with self.assertRaisesRegex(ValueError, field.replace('__', '.')):
      canonical.check(config)


class EmbedTest(parameterized.TestCase):
  @parameterized.parameters(False, True)
  def test_an_exported_model_takes_the_canonical_face_of_its_frames(self, sees):
    fields = {'method__canonical__sees_difference': sees}
    method, _ = _made(**fields)
    params, frames = jax.tree.map(np.float32, _params(method)), _bytes(3)
    model = zoo.Model('m', ('p',), _config(**fields), params, (), steps=5)
    out = pathlib.Path(self.create_tempdir().full_path) / 'zoo'
    folder = zoo.save(model, out)
    table = model_lib.Model(zoo.load(folder)).transform(
      frames.reshape(3, _SIZE, _SIZE, 3), errors=False
    )
    embedded = table.filter(regex=r'^e\d').to_numpy(np.float32)
    self.assertEqual(embedded.shape, (3, 256))
    embed = jax.jit(method.embed)
    faces = np.repeat(canonical_faces.median(frames)[None], 3, axis=0)
    expected = embed(params, (), frames, faces)
    np.testing.assert_allclose(embedded, expected, rtol=1e-4, atol=1e-4)
    other = embed(params, (), frames, _bytes(3, seed=1))
    self.assertEqual(np.abs(other - expected).max() > 0.01, sees)

  def test_frame_and_face_are_disturbed_alike_before_their_difference(self):
    # An encoder that is blind for all but the difference, which has no bias.
    fields = dict.fromkeys(('log_gain', 'shift'), 0.0) | {'bias': 5.0}
    method, loss = _made(
      method__canonical__sees_difference=True,
      **{f'method__canonical__{name}': v for name, v in fields.items()},
    )
    _, calm = _made(
      method__canonical__sees_difference=True,
      **{f'method__canonical__{name}': 0.0 for name in fields},
    )
    params = _params(method)
    first = params['encoder']['Conv_0']['kernel'].copy()
    first[:, :, :3] = 0
    encoder = params['encoder'] | {'Conv_0': {'kernel': first}}
    blind = params | {'encoder': encoder}
    (moved, _), (still, _) = loss(blind, _batch()), calm(blind, _batch())
    self.assertAlmostEqual(moved / still, 1, places=4)
    (moved, _), (still, _) = loss(params, _batch()), calm(params, _batch())
    self.assertNotAlmostEqual(moved / still, 1, places=3)


def _source(built, config):
  frames = _bytes(sum(_LENGTHS))
  faces = canonical_faces.CanonicalFaces(
    _bytes(3, seed=1), np.repeat(np.arange(3, dtype=np.int32), _LENGTHS)
  )
  return feed.ResidentFeed(built, frames, config, canonical=faces)


@pytest.mark.thorough
class PopulationTest(absltest.TestCase):
  """Three models: stacked on two devices, and one after another."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.built, cls.sources = {}, {}
    for strategy, num_devices in (('vmap', 2), ('loop', 1)):
      config = _config(population__strategy=strategy)
      plans = [
        sampling.make_plan(person, config, seed=0)[0]
        for person in tiny.cohorts(*_LENGTHS)
      ]
      cls.built[strategy] = population.build(
        methods.make(config),
        plans,
        config,
        devices=jax.devices()[:num_devices],
      )
      cls.sources[strategy] = _source(cls.built[strategy], config)
    built = cls.built['vmap']
    cls.begun = cls.built['loop'].to_host(cls.built['loop'].init())
    # Compiled once, for its text and for its results.
    compiled = built.step_slot.lower(
      built.from_host(cls.begun)[0],
      built.clocks[0],
      built.shared,
      cls.sources['vmap'].batches_at(0)[0],
    ).compile()
    cls.text = compiled.as_text()
    cls.built['vmap'] = dataclasses.replace(built, step_slot=compiled)

  def _end(self, strategy, states):
    built = self.built[strategy]
    states = built.from_host(states)
    for step in range(3):
      batches = self.sources[strategy].batches_at(step)
      states, metrics = built.step(states, batches)
    return built.to_host(states), built.to_host(metrics)

  def test_models_trained_together_end_as_each_alone(self):
    (together, metrics), (alone, own) = (
      self._end(strategy, self.begun) for strategy in ('vmap', 'loop')
    )
    np.testing.assert_allclose(metrics['loss'], own['loss'], rtol=1e-4)
    for (path, ours), theirs, begun in zip(
      jax.tree.leaves_with_path(together.params),
      jax.tree.leaves(alone.params),
      jax.tree.leaves(self.begun.params),
      strict=True,
    ):
      moved = np.linalg.norm(theirs - begun)
      self.assertLess(
        np.linalg.norm(ours - theirs), 0.02 * moved, jax.tree_util.keystr(path)
      )

  def test_a_broken_model_leaves_the_others_bitwise(self):
    expected, _ = self._end('vmap', self.begun)
    broken = jax.tree.map(np.array, self.begun)
    broken.params['encoder']['code']['kernel'][1, 0, 0] = np.nan
    after, _ = self._end('vmap', broken)
    np.testing.assert_array_equal(after.failed_step, [-1, 0, -1])
    for index in (0, 2):
      jax.tree.map(
        lambda a, b, i=index: np.testing.assert_array_equal(a[i], b[i]),
        after,
        expected,
      )

  def test_no_device_waits_for_another(self):
    self.assertNotRegex(
      self.text, 'all-(gather|reduce|to-all)|collective-permute|reduce-scatter'
    )
    self.assertRegex(self.text, r'\bdot\b|convolution')

  def test_the_step_lowers_for_tpu_and_cuda_without_grouped_convolutions(self):
    config = _config()
    method = methods.make(config)
    plan = sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)[0]
    clocks = jax.tree.map(jnp.asarray, sampling.stack([plan, plan]).clock)
    stacked = functools.partial(
      jax.tree.map, lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype)
    )
    step = jax.vmap(functools.partial(update.train_step, method, config))
    exported = jax.export.export(jax.jit(step), platforms=['tpu', 'cuda'])(
      jax.eval_shape(
        jax.vmap(functools.partial(update.init_model, method=method)),
        clocks.key,
      ),
      clocks,
      (),
      stacked(method.batch_shapes(tiny.BATCH)),
    )
    self.assertNotRegex(exported.mlir_module(), r'feature_group_count = [2-9]')


if __name__ == '__main__':
  absltest.main()
