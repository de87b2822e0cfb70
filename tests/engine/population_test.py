"""The claims a population makes about its models."""

import dataclasses
import functools
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, sampling
from psm_jax.engine import feed, population, update
from psm_jax.methods import interface
from tests import tiny

# The loss does not depend on these biases; Adam turns their rounding noise
# into full-size steps.
_NO_GRADIENT = 'theta'
_LENGTHS = (30, 21, 47)
_LAYOUTS = (
  ('vmap', 'matmul'),
  ('vmap', 'unrolled'),
  ('vmap', 'grouped'),
  ('map', 'matmul'),
  ('loop', 'matmul'),
)


@functools.cache
def _program(method, strategy, lowering, models_together, num_devices):
  """Returns the compiled functions of a layout, shared by the tests."""
  config = tiny.config(
    population__strategy=strategy, population__lowering=lowering
  )
  people = tiny.cohorts(*[30] * (models_together * num_devices))
  built = tiny.build(
    config, people, method=method, devices=jax.devices()[:num_devices]
  )
  return built.init_one, built.step_slot


def _population(
  people,
  *,
  strategy,
  lowering='matmul',
  method='toy',
  num_devices=1,
  steps=None,
  **fields,
):
  """Returns a population and its feed; equal layouts share one program."""
  config = tiny.config(
    population__strategy=strategy, population__lowering=lowering, **fields
  )
  devices = jax.devices()[:num_devices]
  built = tiny.build(
    config, people, method=method, steps=steps, devices=devices
  )
  init_one, step_slot = _program(
    method, strategy, lowering, built.slot_models, num_devices
  )
  built = dataclasses.replace(built, init_one=init_one, step_slot=step_slot)
  num_frames = 1 + max(int(person.rows.max()) for person in people)
  return built, feed.ResidentFeed(built, tiny.frames(num_frames), config)


def _people(members):
  everyone = tiny.cohorts(*_LENGTHS)
  return [everyone[index] for index in members]


def _run(built, source, states, steps):
  """Returns (states on the host, losses [steps, N]) after some steps."""
  losses = []
  for step in range(steps):
    states, metrics = built.step(states, source.batches_at(step))
    losses.append(built.to_host(metrics)['loss'])
  return built.to_host(states), np.array(losses)


@functools.cache
def _trained(strategy, lowering, members, method='toy'):
  """Returns (states, losses [5, N]) of some of the three people."""
  built, source = _population(
    _people(members), strategy=strategy, lowering=lowering, method=method
  )
  return _run(built, source, built.init(), 5)


@functools.cache
def _initial(members, method):
  built, _ = _population(_people(members), strategy='loop', method=method)
  return built.to_host(built.init())


def _changes(members, index, states, method):
  """Returns {path: change of a tensor of one model since its start}."""
  start, end = _initial(members, method).params, states.params
  changes = jax.tree.map(lambda a, b: b[index] - a[index], start, end)
  return {
    jax.tree_util.keystr(path): leaf
    for path, leaf in jax.tree.leaves_with_path(changes)
    if not (
      _NO_GRADIENT in jax.tree_util.keystr(path)
      and 'bias' in jax.tree_util.keystr(path)
    )
  }


def _relative(ours, theirs):
  return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-12)


def _assert_bitwise(ours, theirs):
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def _model(states, index):
  return jax.tree.map(lambda leaf: leaf[index], states)


@pytest.mark.thorough
class TogetherEqualsAloneTest(parameterized.TestCase):
  def _check(self, strategy, lowering, method):
    together, losses = _trained(strategy, lowering, (0, 1, 2), method)
    for index in range(3):
      alone, own_losses = _trained('loop', 'matmul', (index,), method)
      np.testing.assert_allclose(losses[:, index], own_losses[:, 0], rtol=1e-4)
      ours = _changes((0, 1, 2), index, together, method)
      theirs = _changes((index,), 0, alone, method)
      for path, change in theirs.items():
        self.assertLess(_relative(ours[path], change), 1e-2, path)

  @parameterized.parameters(
    ('vmap', 'matmul'),
    ('vmap', 'unrolled'),
    ('vmap', 'grouped'),
    ('map', 'matmul'),
    ('loop', 'matmul'),
  )
  @pytest.mark.thorough
  def test_three_small_models_end_as_each_alone(self, strategy, lowering):
    self._check(strategy, lowering, 'conv')

  @parameterized.parameters(
    ('vmap', 'matmul'),
    ('vmap', 'unrolled'),
    ('vmap', 'grouped'),
    ('loop', 'matmul'),
  )
  @pytest.mark.slow
  def test_three_people_end_as_each_alone(self, strategy, lowering):
    self._check(strategy, lowering, 'facecycle')

  def test_stacked_losses_equal_single_ones(self):
    self._check_facecycle('matmul', lambda loss: loss)

  @parameterized.parameters('matmul', 'unrolled', 'grouped')
  @pytest.mark.slow
  def test_stacked_gradients_equal_single_ones(self, lowering):
    self._check_facecycle(lowering, jax.grad)

  def _check_facecycle(self, lowering, transform):
    config = tiny.config(population__lowering=lowering)
    method = methods.make(config)
    keys = jax.random.split(jax.random.key(3), 3)
    # Not the start, where biases are 0 and some gradients nearly so.
    shapes, _ = jax.eval_shape(method.init, keys[0])
    drawn = [tiny.filled(shapes, seed=seed) for seed in range(3)]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
    batches = interface.Batch(
      tiny.frames(3 * 2 * tiny.BATCH).reshape(3, 2, tiny.BATCH, -1),
      np.zeros((3, tiny.BATCH), np.int32),
    )
    plan = sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)[0]
    schedule = update.schedule_at(plan.clock, jnp.int32(0), config)

    def transformed(key, params, batch):
      return transform(
        lambda p: method.loss(key, p, (), (), batch, schedule)[0]
      )(params)

    # Compiled as fast as possible: what is compared are the programs.
    options = {'xla_backend_optimization_level': 0}
    stacked = jax.jit(jax.vmap(transformed), compiler_options=options)(
      keys, params, batches
    )
    single = jax.jit(transformed, compiler_options=options)
    for index in range(3):
      alone = single(keys[index], _model(params, index), _model(batches, index))
      ours = _model(stacked, index)
      for (path, leaf), expected in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(alone), strict=True
      ):
        name = jax.tree_util.keystr(path)
        if _NO_GRADIENT in name and 'bias' in name:
          continue
        self.assertLess(_relative(leaf, expected), 1e-4, name)


class IndependenceTest(parameterized.TestCase):
  @parameterized.parameters('vmap', 'map', 'loop')
  def test_permuting_people_permutes_results_bitwise(self, strategy):
    states, losses = _trained(strategy, 'matmul', (0, 1, 2))
    turned, turned_losses = _trained(strategy, 'matmul', (2, 0, 1))
    np.testing.assert_array_equal(losses[:, [2, 0, 1]], turned_losses)
    for place, index in enumerate((2, 0, 1)):
      _assert_bitwise(_model(turned, place), _model(states, index))

  @parameterized.product(
    strategy=['vmap', 'map', 'loop'],
    bad=[np.nan, np.inf],
  )
  def test_a_broken_model_leaves_the_others_bitwise(self, strategy, bad):
    expected, _ = _trained(strategy, 'matmul', (0, 1, 2))
    built, source = _population(_people((0, 1, 2)), strategy=strategy)
    states = built.to_host(built.init())
    states.params['same'][1, 0, 0, 0, 0] = bad
    planted = _model(states, 1)
    after, _ = _run(built, source, built.from_host(states), 5)
    for index in (0, 2):
      _assert_bitwise(_model(after, index), _model(expected, index))
    self.assertEqual(after.failed_step[1], 0)
    self.assertEqual(after.step[1], 0)
    _assert_bitwise(_model(after, 1).params, planted.params)

  @parameterized.product(strategy=['vmap', 'map', 'loop'], bad=[np.nan, np.inf])
  def test_broken_moments_leave_the_others_bitwise(self, strategy, bad):
    expected, _ = _trained(strategy, 'matmul', (0, 1, 2))
    built, source = _population(_people((0, 1, 2)), strategy=strategy)
    states = built.to_host(built.init())
    states.opt_state.nu['same'][1, 0, 0, 0, 0] = bad
    after, _ = _run(built, source, built.from_host(states), 5)
    for index in (0, 2):
      _assert_bitwise(_model(after, index), _model(expected, index))
    # No gradient makes such a moment: it is seen by what comes of it.
    self.assertEqual(after.failed_step[1], 1 if np.isnan(bad) else -1)

  @parameterized.parameters('vmap', 'map', 'loop')
  def test_a_model_past_its_end_stays_bitwise_while_others_go_on(
    self, strategy
  ):
    built, source = _population(
      _people((0, 1, 2)), strategy=strategy, steps=(5, 2, 4)
    )
    states, history = built.init(), []
    for step in range(5):
      states, _ = built.step(states, source.batches_at(step))
      history.append(built.to_host(states))
    np.testing.assert_array_equal(history[-1].step, [5, 2, 4])
    _assert_bitwise(_model(history[-1], 1), _model(history[1], 1))
    unbroken, _ = _trained(strategy, 'matmul', (0, 1, 2))
    _assert_bitwise(_model(history[-1], 0), _model(unbroken, 0))

  def test_chunks_of_two_end_as_chunks_of_one(self):
    expected, losses = _trained('map', 'matmul', (0, 1, 2))
    config = tiny.config(population__strategy='map', population__chunk=2)
    built = tiny.build(config, _people((0, 1, 2)), devices=jax.devices()[:1])
    # The third chunk place is filled by an inert member.
    self.assertEqual(built.slot_models, 4)
    source = feed.ResidentFeed(built, tiny.frames(98), config)
    states, chunked = _run(built, source, built.init(), 5)
    np.testing.assert_allclose(chunked, losses, rtol=1e-4)
    np.testing.assert_array_equal(states.step, expected.step)

  def test_models_side_by_side_end_bitwise_as_one_after_another(self):
    ends = []
    for together in (1, 2, 3):
      built, source = _population(
        _people((0, 1, 2)), strategy='loop', population__chunk=together
      )
      self.assertEqual(built.lanes.size, together)
      self.assertEqual(built.models_at_once, together)
      ends.append(_run(built, source, built.init(), 5))
    for states, losses in ends[1:]:
      _assert_bitwise(states, ends[0][0])
      np.testing.assert_array_equal(losses, ends[0][1])

  def test_several_devices_share_the_cores_without_lanes(self):
    if jax.device_count() < 2:
      self.skipTest('needs 2 devices, forced host ones will do')
    built, _ = _population(
      _people((0, 1, 2)), strategy='loop', num_devices=2, population__chunk=3
    )
    self.assertEqual(built.lanes.size, 1)

  def test_seeds_and_people_begin_differently(self):
    config = tiny.config(population__strategy='loop')
    person, other = tiny.cohorts(30, 30)
    plans = [
      sampling.make_plan(cohort, config, seed=seed)[0]
      for cohort, seed in ((person, 0), (person, 1), (other, 0))
    ]
    built = population.build(tiny.toy_method(config), plans, config)
    kernel = built.to_host(built.init()).params['down']
    for first, second in ((0, 1), (0, 2), (1, 2)):
      self.assertFalse(np.allclose(kernel[first], kernel[second]))


@functools.cache
def _initial_of_six():
  people = tiny.cohorts(30, 21, 47, 25, 33, 20)
  built, _ = _population(people, strategy='loop')
  return built.to_host(built.init())


class DevicesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    if jax.device_count() < 4:
      self.skipTest('needs 4 devices, forced host ones will do')

  def _six_models(self, num_devices, strategy='vmap', **fields):
    people = tiny.cohorts(30, 21, 47, 25, 33, 20)
    return _population(
      people, strategy=strategy, num_devices=num_devices, **fields
    )

  @parameterized.parameters('vmap', 'map', 'loop')
  @pytest.mark.thorough
  def test_four_devices_agree_with_one(self, strategy):
    results = []
    for num_devices, layout in ((1, 'loop'), (4, strategy)):
      built, source = self._six_models(num_devices, layout)
      results.append(_run(built, source, built.init(), 3))
    (one, one_losses), (four, four_losses) = results
    self.assertEqual(four.step.tolist(), [3] * 6)
    np.testing.assert_allclose(four_losses, one_losses, rtol=1e-4)
    start = _initial_of_six()
    for (path, ours), theirs, begun in zip(
      jax.tree.leaves_with_path(four.params),
      jax.tree.leaves(one.params),
      jax.tree.leaves(start.params),
      strict=True,
    ):
      name = jax.tree_util.keystr(path)
      if not (_NO_GRADIENT in name and 'bias' in name):
        self.assertLess(_relative(ours - begun, theirs - begun), 1e-2, name)

  @pytest.mark.thorough
  def test_inert_members_take_no_step(self):
    built, source = self._six_models(4)
    states, _ = built.step(built.init(), source.batches_at(0))
    steps = np.asarray(states[0].step)
    self.assertEqual(steps.shape, (4, 2))
    self.assertEqual(steps.ravel().tolist(), [1] * 6 + [0] * 2)

  @parameterized.parameters(*_LAYOUTS)
  def test_the_compiled_step_has_no_collectives(self, strategy, lowering):
    built, source = self._six_models(
      4, strategy, lowering=lowering, method='conv'
    )
    states = built.init()
    text = (
      built.step_slot.lower(
        states[0], built.clocks[0], built.shared, source.batches_at(0)[0]
      )
      .compile()
      .as_text()
    )
    collectives = (
      r'all-(gather|reduce|to-all)|collective-permute|reduce-scatter'
    )
    self.assertNotRegex(text, collectives)
    self.assertRegex(text, r'\bdot\b|convolution')

  @parameterized.parameters('vmap', 'map', 'loop')
  @pytest.mark.thorough
  def test_widening_the_gap_compiles_nothing_new(self, strategy):
    built, source = self._six_models(
      4,
      strategy,
      train__steps=30,
      curriculum__gap__schedule='linear',
      curriculum__gap__end=6.0,
    )
    states, gaps = built.init(), []
    states, _ = built.step(states, source.batches_at(0))
    with jax.log_compiles(), self.assertNoLogs('jax', 'WARNING'):
      for step in range(1, 30):
        states, metrics = built.step(states, source.batches_at(step))
        gaps.append(metrics[0]['gap'])
    self.assertGreater(len({int(np.asarray(gap)[0, 0]) for gap in gaps}), 1)

  @pytest.mark.slow  # Of canonical it is tested always.
  def test_the_step_lowers_for_tpu_and_cuda(self):
    """Lowering only: nothing is compiled or run for these platforms."""
    config = tiny.config()
    method = methods.make(config)
    plan = sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)[0]
    clocks = sampling.stack([plan, plan]).clock
    states = jax.eval_shape(
      jax.vmap(functools.partial(update.init_model, method=method)), clocks.key
    )
    shape = (2, 2, tiny.BATCH, tiny.SIZE_PX**2 * 3)
    step = jax.jit(
      jax.vmap(
        functools.partial(update.train_step, method, config),
        in_axes=(0, 0, None, 0),
      )
    )
    exported = jax.export.export(step, platforms=['tpu', 'cuda'])(
      states,
      jax.tree.map(jnp.asarray, clocks),
      (),
      interface.Batch(
        jax.ShapeDtypeStruct(shape, np.uint8),
        jax.ShapeDtypeStruct((2, tiny.BATCH), np.int32),
      ),
    )
    self.assertEqual(exported.platforms, ('tpu', 'cuda'))
    self.assertIsNone(
      re.search(r'feature_group_count = [2-9]', exported.mlir_module())
    )


class WavesTest(parameterized.TestCase):
  @parameterized.parameters('vmap', 'loop')
  @pytest.mark.thorough
  def test_waves_train_in_one_program_as_they_would_together(self, strategy):
    people = tiny.cohorts(30, 21, 47, 25, 33)
    config = tiny.config(population__strategy=strategy)
    plans = [sampling.make_plan(p, config, seed=0)[0] for p in people]
    method, frames = tiny.toy_method(config), tiny.frames(156)
    waves = population.build_waves(
      method, plans, config, devices=jax.devices()[:1], sizes=[2, 2, 1]
    )
    self.assertEqual([wave.num_models for wave in waves], [2, 2, 1])
    losses = []
    for wave in waves:
      source = feed.ResidentFeed(wave, frames, config)
      states, batches = wave.init(), source.batches_at(0)
      # Only the first wave may compile its step.
      expected_logs = self.assertNoLogs if losses else self.assertLogs
      with jax.log_compiles(), expected_logs('jax', 'WARNING'):
        jax.block_until_ready(wave.step(states, batches))
      losses.append(_run(wave, source, wave.init(), 3)[1])
    together = population.build(
      method, plans, config, devices=jax.devices()[:1]
    )
    source = feed.ResidentFeed(together, frames, config)
    _, expected = _run(together, source, together.init(), 3)
    np.testing.assert_allclose(
      np.concatenate(losses, axis=1), expected, rtol=1e-4
    )


class FeedTest(absltest.TestCase):
  def test_the_feed_gives_the_frames_that_the_plan_names(self):
    config = tiny.config(population__strategy='vmap')
    people = tiny.cohorts(30, 21, 47)
    built = tiny.build(config, people, devices=jax.devices()[:2])
    frames = tiny.frames(98)
    source = feed.ResidentFeed(built, frames, config)
    for step in (0, 3):
      given = built.to_host(source.batches_at(step))
      for index, person in enumerate(people):
        plan, _ = sampling.make_plan(person, config, seed=0)
        positions, who = sampling.positions(
          plan, np.int32(step), config=config, xp=np
        )
        expected = frames[person.rows[positions]]
        np.testing.assert_array_equal(given.frames[index], expected)
        np.testing.assert_array_equal(given.person[index], who)

  def test_each_device_holds_the_frames_of_its_own_models(self):
    config = tiny.config(population__strategy='loop')
    people = tiny.cohorts(30, 21, 47)
    built = tiny.build(config, people, devices=jax.devices()[:3])
    source = feed.ResidentFeed(built, tiny.frames(98), config)
    self.assertEqual(source.num_bytes, 98 * tiny.SIZE_PX**2 * 3)


if __name__ == '__main__':
  absltest.main()
