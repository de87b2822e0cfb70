import functools
from unittest import mock

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized

from psm_jax import sampling
from psm_jax.engine import update
from psm_jax.methods import clp, contrast, interface
from psm_jax.models import clp as networks
from psm_jax.ops import data_axis
from psm_jax.presets import base, clp as clp_experiment
from tests import tiny

_CLIPS, _FRAMES = 4, 3
_PERSON = np.array([0, 1, 2, 0], np.int32)
_OPTIONS = {
  'stem_px': 7,
  'projection_size': 8,
  'temporal': 'both',
  'temporal_weight': 1.0,
  'temporal_margin': 0.03,
  'additive_margin': 0.1,
  'cross_identity': 'contrast',
  'cross_identity_weight': 1.0,
  'negatives': 'clip+batch',
  'dictionary_size': 24,
  'num_nearest': 2,
  'temperature': 0.1,
  'weight_temperature': 0.05,
  'key_momentum': 0.9,
  'key_momentum_schedule': 'constant',
  'optimizer': 'sgd',
  'weight_decay': 1e-4,
  'grey_probability': 0.2,
  'blur_probability': 0.5,
}
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _config(**fields):
  """Returns a config of tiny clips; fields are dotted with '__'."""
  config = tiny.config()
  config.method.clp = ml_collections.ConfigDict(_OPTIONS)
  config.curriculum.pairing = 'clips'
  config.curriculum.clip_frames = _FRAMES
  config.train.batch_size = _CLIPS
  config.augment.crop_scale = (0.8, 1.0)
  config.augment.flip = 'shared'
  return tiny.changed(config, fields)


def _options(**fields):
  return ml_collections.ConfigDict(_OPTIONS | fields)


def _state(shapes, *, seed=0):
  """Returns numbers for the parameters and state of one model.

  The dictionary is full but for some entries, so that all clips count.
  """
  generator = np.random.default_rng(seed)
  params, state = shapes
  params = tiny.filled(params, seed=seed)
  params = jax.tree.map_with_path(
    lambda path, leaf: 1 + leaf if 'scale' in str(path[-1]) else leaf, params
  )
  statistics = jax.tree.map(
    lambda leaf: np.ones(leaf.shape, 'f4'), state.statistics
  )
  keys = generator.standard_normal(state.dictionary.keys.shape)
  keys /= np.linalg.norm(keys, axis=1, keepdims=True)
  size = len(keys)
  slow = jax.tree.map(lambda leaf: np.float32(1.1) * leaf, params)
  state = clp.State(
    statistics=statistics,
    momentum={'params': slow, 'statistics': statistics},
    dictionary=contrast.Dictionary(
      keys=keys.astype(np.float32),
      identity=(np.arange(size) % 3).astype(np.int32),
      is_valid=np.arange(size) < 20,
      position=np.int32(size - 2),
    ),
    step=np.int32(0),
  )
  return jax.tree.map(jnp.asarray, (params, state))


def _batch(*, seed=0):
  frames = tiny.frames(_FRAMES * _CLIPS, seed=seed)
  return interface.Batch(frames.reshape(_FRAMES, _CLIPS, -1), _PERSON)


def _gradient(method, key, params, state, batch):
  """Returns ((loss, (state, terms)), gradients), of the constants too."""

  def loss(params, slow, entries):
    given = state.replace(
      momentum=state.momentum | {'params': slow},
      dictionary=state.dictionary.replace(keys=entries),
    )
    return method.loss(key, params, given, (), batch, None)

  return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(
    params, state.momentum['params'], state.dictionary.keys
  )


def _relative(ours, theirs):
  ours, theirs = np.asarray(ours, 'f8'), np.asarray(theirs, 'f8')
  return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-12)


def _index(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


class MethodTest(absltest.TestCase):
  """One step of three models, each alone: one compiled program."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # One of eight blocks: what couples models, devices and views is the same.
    stages = mock.patch.object(networks, '_STAGES', ((64, 0), (128, 1)))
    stages.start()
    cls.addClassCleanup(stages.stop)
    cls.method = clp.make(_config())
    cls.shapes = jax.eval_shape(cls.method.init, jax.random.key(0))
    cls.models = [_state(cls.shapes, seed=seed) for seed in range(3)]
    cls.batches = [_batch(seed=seed) for seed in range(3)]
    cls.keys = jax.random.split(jax.random.key(5), 3)
    gradient = _jit(functools.partial(_gradient, cls.method))
    cls.results = [
      jax.device_get(gradient(key, *model, batch))
      for key, model, batch in zip(
        cls.keys, cls.models, cls.batches, strict=True
      )
    ]

  def test_the_loss_is_the_sum_of_its_terms(self):
    (loss, (_, terms)), (grads, *_) = self.results[0]
    self.assertEqual(
      set(terms),
      {
        'temporal_rank',
        'temporal_disc',
        'cross_identity',
        'cross_identity_share',
      },
    )
    terms = dict(terms)
    self.assertEqual(terms.pop('cross_identity_share'), 1)
    for value in terms.values():
      self.assertGreater(value, 0)
    self.assertAlmostEqual(loss / sum(terms.values()), 1, places=5)
    for leaf in jax.tree.leaves(grads):
      self.assertGreater(np.abs(leaf).max(), 0)

  @pytest.mark.thorough
  def test_three_models_together_have_the_gradients_of_each_alone(self):
    def stack(trees):
      return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    gradient = jax.vmap(functools.partial(_gradient, self.method))
    models = stack(self.models)
    together = _jit(gradient)(self.keys, *models, stack(self.batches))
    for index, alone in enumerate(self.results):
      ours = _index(together, index)
      for (path, leaf), expected in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(alone), strict=True
      ):
        name = jax.tree_util.keystr(path)
        self.assertLess(_relative(leaf, expected), 1e-4, name)

  @pytest.mark.thorough
  def test_two_devices_have_the_loss_and_gradients_of_one(self):
    axis = data_axis.DataAxis('data', 2)
    method = clp.make(_config(), axis=axis)

    def step(frames, person):
      batch = interface.Batch(frames, person)
      (loss, (state, terms)), grads = _gradient(
        method, self.keys[0], *self.models[0], batch
      )
      return jax.tree.map(axis.mean, (loss, terms, grads)), state

    batch = self.batches[0]
    (loss, terms, grads), state = jax.pmap(
      step, axis_name='data', devices=jax.devices()[:2]
    )(
      np.stack(np.split(batch.frames, 2, axis=1)),
      batch.person.reshape(2, -1),
    )
    (own_loss, (own_state, own_terms)), own_grads = self.results[0]
    ours = {'loss': loss, 'terms': terms, 'grads': grads, 'state': state}
    theirs = {
      'loss': own_loss,
      'terms': own_terms,
      'grads': own_grads,
      'state': own_state,
    }
    for (path, leaf), expected in zip(
      jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
      name = jax.tree_util.keystr(path)
      self.assertLess(_relative(leaf[0], expected), 1e-4, name)
      np.testing.assert_array_equal(leaf[0], leaf[1], name)

  def test_keys_and_dictionary_get_no_gradient(self):
    _, (_, *grads) = self.results[0]
    for value in jax.tree.leaves(grads):
      np.testing.assert_array_equal(value, 0)

  def test_one_key_of_each_clip_is_pushed(self):
    (_, (state, _)), _ = self.results[0]
    before, after = self.models[0][1].dictionary, state.dictionary
    written = (before.position + np.arange(_CLIPS)) % len(before.keys)
    self.assertEqual(after.position, (written[-1] + 1) % len(before.keys))
    np.testing.assert_array_equal(after.identity[written], _PERSON)
    self.assertTrue(np.all(after.is_valid[written]))
    lengths = np.linalg.norm(after.keys[written], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    kept = np.setdiff1d(np.arange(len(before.keys)), written)
    np.testing.assert_array_equal(after.keys[kept], before.keys[kept])

  def test_running_statistics_move_towards_the_batch_s(self):
    (_, (state, _)), _ = self.results[0]
    before = self.models[0][1].statistics
    for old, new in zip(
      jax.tree.leaves(before), jax.tree.leaves(state.statistics), strict=True
    ):
      self.assertTrue(np.all(np.isfinite(new)))
      self.assertGreater(np.abs(new - old).max(), 0)
    np.testing.assert_array_equal(
      state.momentum['statistics']['norm_stem']['mean'],
      before['norm_stem']['mean'],
    )

  def test_the_momentum_encoder_stays_follows_or_copies(self):
    (_, (state, _)), _ = self.results[0]
    params, _ = self.models[0]
    slow = state.momentum['params']
    expected = {
      1.0: slow,
      0.0: params,
      0.9: jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, slow, params),
    }
    for momentum, wanted in expected.items():
      method = clp.make(_config(method__clp__key_momentum=momentum))
      moved = method.after_update(params, state)
      compare = functools.partial(np.testing.assert_allclose, rtol=1e-6)
      if momentum in (0, 1):
        compare = np.testing.assert_array_equal
      jax.tree.map(compare, moved.momentum['params'], wanted)
      jax.tree.map(
        np.testing.assert_array_equal,
        moved.momentum['statistics'],
        state.statistics,
      )
      self.assertEqual(moved.step, 1)

  @pytest.mark.thorough
  def test_embeddings_are_each_frame_s_own(self):
    params, state = self.models[0]
    frames = self.batches[0].frames[0]
    embed = _jit(self.method.embed)
    ours = embed(params, state, frames)
    self.assertEqual(ours.shape, (_CLIPS, 128 // 16))
    self.assertEqual(ours.dtype, np.float32)
    np.testing.assert_allclose(
      embed(params, state, frames[::-1])[::-1], ours, atol=1e-5
    )

  def test_it_begins_with_an_empty_dictionary_and_a_copy(self):
    params, state = _jit(self.method.init)(jax.random.key(0))
    self.assertFalse(np.any(state.dictionary.is_valid))
    self.assertEqual(state.dictionary.keys.shape, (24, 8))
    jax.tree.map(
      np.testing.assert_array_equal, state.momentum['params'], params
    )
    self.assertEqual(state.statistics['norm_stem']['var'].max(), 1)

  def test_there_are_no_pictures(self):
    self.assertEqual(self.method.pictures(None, {}, (), (), None), {})


class SignalsTest(parameterized.TestCase):
  def _loss(self, options, *, num_frames=_FRAMES):
    generator = np.random.default_rng(0)
    shape = (2, _CLIPS, num_frames, 8)
    query, keys = generator.standard_normal(shape).astype(np.float32)
    dictionary = ()
    if options.cross_identity_weight:
      dictionary = contrast.empty_dictionary(24, 8)
    function = functools.partial(
      clp._loss_of_embeddings, options=options, axis=data_axis.DataAxis()
    )
    arguments = jax.random.key(0), query, keys, _PERSON, dictionary
    return function, arguments

  @parameterized.parameters(
    ({}, {'temporal_rank', 'temporal_disc', 'cross_identity'}),
    ({'temporal': 'rank'}, {'temporal_rank', 'cross_identity'}),
    ({'temporal': 'disc'}, {'temporal_disc', 'cross_identity'}),
    ({'temporal_weight': 0.0}, {'cross_identity'}),
    ({'cross_identity_weight': 0.0}, {'temporal_rank', 'temporal_disc'}),
  )
  def test_a_signal_that_is_off_leaves_no_program(self, fields, names):
    function, arguments = self._loss(_options(**fields))
    _, terms, dictionary = jax.eval_shape(function, *arguments)
    self.assertEqual(set(terms) - {'cross_identity_share'}, names)
    program = str(jax.make_jaxpr(function)(*arguments))
    self.assertEqual('top_k' in program, 'cross_identity' in names)
    self.assertEqual(dictionary == (), 'cross_identity' not in names)

  def test_without_the_cross_identity_signal_there_is_no_dictionary(self):
    method = clp.make(_config(method__clp__cross_identity_weight=0.0))
    _, state = jax.eval_shape(method.init, jax.random.key(0))
    self.assertEqual(state.dictionary, ())

  def test_weights_multiply_the_signals(self):
    options = _options(temporal_weight=2.0, cross_identity_weight=3.0)
    options.num_nearest = 0
    function, arguments = self._loss(options)
    *others, dictionary = arguments
    keys = np.eye(24, 8, dtype=np.float32)
    dictionary = contrast.push(dictionary, keys, 9 * np.ones(24, np.int32))
    total, terms, _ = _jit(function)(*others, dictionary)
    expected = 2 * (terms['temporal_rank'] + terms['temporal_disc'])
    expected += 3 * terms['cross_identity']
    self.assertGreater(terms['cross_identity'], 0)
    self.assertAlmostEqual(total / expected, 1, places=5)

  def test_what_is_pushed_are_frames_of_the_step_after_its_loss(self):
    function, arguments = self._loss(_options())
    _, terms, dictionary = _jit(function)(*arguments)
    # The dictionary was empty when the loss looked into it.
    self.assertEqual(terms['cross_identity_share'], 0)
    keys = arguments[2]
    for clip in range(_CLIPS):
      pushed = np.asarray(dictionary.keys[clip])
      distance = np.abs(keys[clip] - pushed).max(axis=1)
      self.assertEqual(distance.min(), 0)
      self.assertEqual(dictionary.identity[clip], _PERSON[clip])

  def test_clips_of_one_frame_still_learn_across_people(self):
    function, arguments = self._loss(_options(num_nearest=0), num_frames=1)
    *others, dictionary = arguments
    keys = np.eye(8, dtype=np.float32)
    dictionary = contrast.push(dictionary, keys, np.arange(8) % 3)
    _, terms, _ = _jit(function)(*others, dictionary)
    self.assertEqual(terms['temporal_rank'], 0)
    self.assertEqual(terms['temporal_disc'], 0)
    self.assertGreater(terms['cross_identity'], 0)


class EngineTest(absltest.TestCase):
  def test_a_training_step_keeps_the_shapes_and_types_of_the_state(self):
    self.enter_context(mock.patch.object(networks, '_STAGES', ((64, 1),)))
    config = _config()
    method = clp.make(config)
    cohort = sampling.Cohort(
      name='a+b+c',
      rows=np.arange(60),
      video_lengths=np.full(3, 20),
      fps=np.full(3, 25.0),
      video_people=np.arange(3),
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    state = jax.eval_shape(
      functools.partial(update.init_model, method=method), plan.clock.key
    )
    step = functools.partial(update.train_step, method, config)
    new, metrics = jax.eval_shape(step, state, plan.clock, (), _batch())
    for (path, ours), theirs in zip(
      jax.tree.leaves_with_path(new), jax.tree.leaves(state), strict=True
    ):
      name = jax.tree_util.keystr(path)
      self.assertEqual(ours.shape, theirs.shape, name)
      self.assertEqual(ours.dtype, theirs.dtype, name)
    self.assertEqual(metrics['cross_identity'].shape, ())


class ScheduleTest(absltest.TestCase):
  def test_key_momentum_rises_to_one_by_a_cosine(self):
    config = _config(
      method__clp__key_momentum_schedule='cosine', train__steps=100
    )
    ours = [
      float(clp.key_momentum(config, jnp.int32(step)))
      for step in (0, 50, 100, 150)
    ]
    np.testing.assert_allclose(ours, [0.9, 0.95, 1, 1], atol=1e-6)

  def test_sgd_decays_the_gradient_and_has_momentum(self):
    optimizer = clp.make_optimizer(_options(weight_decay=0.5))
    params, gradient = jnp.float32(2), jnp.float32(3)
    state = optimizer.init(params)
    first, state = optimizer.update(gradient, state, params)
    second, _ = optimizer.update(gradient, state, params)
    self.assertEqual((first, second), (4, 4 + 0.9 * 4))

  def test_adamw_decays_the_weights(self):
    optimizer = clp.make_optimizer(
      _options(weight_decay=0.5, optimizer='adamw')
    )
    params, gradient = jnp.float32(2), jnp.float32(3)
    update, _ = optimizer.update(gradient, optimizer.init(params), params)
    self.assertAlmostEqual(update, 1 + 0.5 * 2, places=4)


class CheckTest(parameterized.TestCase):
  def test_the_tests_own_configuration_passes(self):
    clp.check(_config())
    clp.check_cohort(_config(), 3)

  @parameterized.parameters(
    ({'curriculum__pairing': 'gap'}, 'curriculum.pairing'),
    ({'data__size_px': 16}, 'data.size_px'),
    ({'data__size_px': 512}, 'data.size_px'),
    ({'method__clp__key_momentum': 1.5}, 'method.clp.key_momentum'),
    (
      {
        'method__clp__key_momentum_schedule': 'cosine',
        'train__steps': 0,
      },
      'train.steps',
    ),
    (
      {
        'method__clp__temporal_weight': 0.0,
        'method__clp__cross_identity_weight': 0.0,
      },
      'method.clp.temporal_weight',
    ),
    (
      {
        'curriculum__clip_frames': 1,
        'method__clp__cross_identity_weight': 0.0,
      },
      'curriculum.clip_frames',
    ),
    ({'method__clp__dictionary_size': 7}, 'method.clp.dictionary_size'),
    ({'train__batch_size': 25}, 'method.clp.dictionary_size'),
    (
      {'curriculum__clip_frames': 1, 'method__clp__negatives': 'clip'},
      'method.clp.negatives',
    ),
    (
      {'train__batch_size': 1, 'method__clp__negatives': 'batch'},
      'method.clp.negatives',
    ),
    ({'method__clp__blur_probability': 2.0}, 'method.clp.blur_probability'),
    ({'method__clp__stem_px': 5}, 'method.clp.stem_px'),
    ({'method__clp__negatives': 'others'}, 'method.clp.negatives'),
    ({'method__clp__temperature': 0.0}, 'method.clp.temperature'),
    ({'method__clp__num_nearest': -1}, 'method.clp.num_nearest'),
  )
  def test_what_cannot_go_together_is_named(self, fields, name):
    with self.assertRaisesRegex(ValueError, name):
      clp.check(_config(**fields))

  def test_one_person_needs_the_cross_identity_signal_off(self):
    with self.assertRaisesRegex(ValueError, 'cross_identity_weight=0'):
      clp.check_cohort(_config(), 1)
    off = _config(method__clp__cross_identity_weight=0.0)
    clp.check(off)
    clp.check_cohort(off, 1)

  def test_two_people_need_a_dictionary_twice_as_large(self):
    config = _config(method__clp__dictionary_size=8)
    clp.check(config)
    with self.assertRaisesRegex(ValueError, 'dictionary_size'):
      clp.check_cohort(config, 2)
    config.method.clp.dictionary_size = 16
    clp.check_cohort(config, 2)


class ConfigTest(absltest.TestCase):
  def test_the_experiment_can_be_run(self):
    if 'clp' not in base.get_config().method:
      self.skipTest('configs/base.py has no method.clp yet')
    config = clp_experiment.get_config()
    clp.check(config)
    clp.check_cohort(config, 2)
    self.assertEqual(set(config.method.clp), set(_OPTIONS))
    method = clp.make(config)
    self.assertIsInstance(method.optimizer, optax.GradientTransformation)
    params, state = jax.eval_shape(method.init, jax.random.key(0))
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    # The encoder, and two layers of 512 x 512 and 512 x 128 with biases.
    self.assertEqual(sum(sizes), 11_176_512 + 512 * 513 + 128 * 513)
    self.assertEqual(state.dictionary.keys.shape, (16384, 128))


if __name__ == '__main__':
  absltest.main()
