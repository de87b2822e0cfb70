"""Claims about models that fail, return or stop while others go on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax.engine import feed as feed_lib, population, update
from psm_jax.sampling import plan as plan_lib
from tests import tiny

_STRATEGIES = ('loop', 'map', 'vmap', 'pmap')
_LENGTHS = (30, 21, 24)
_STEPS = 8


def _fragile(config, *, heard=None):
  """Returns the toy method; `method_state` is how often its loss is NaN.

  Beyond 1 it is by how much the loss is too large.

  Args:
    config: The experiment.
    heard: Is given the loss of each update that is computed.
  """
  toy = tiny.conv_method(config)

  def init(key):
    return toy.init(key)[0], jnp.float32(0)

  def loss(key, params, chance, shared, batch, schedule):
    value, _ = toy.loss(key, params, (), shared, batch, schedule)
    if heard is not None:
      jax.debug.callback(heard, value[0] if value.ndim else value)
    value *= jnp.maximum(chance, 1)
    is_bad = (jax.random.uniform(key) < chance) & (chance <= 1)
    return jnp.where(is_bad, jnp.nan, value), (chance, {})

  return dataclasses.replace(toy, init=init, loss=loss, over=None)


@functools.cache
def _built(strategy, rollbacks=0, patience=0):
  """Returns a population of three people and its feed."""
  on_devices = strategy == 'pmap'
  config = tiny.config(
    population__strategy='vmap' if on_devices else strategy,
    population__chunk=1,
    train__rollbacks=rollbacks,
    train__patience=patience,
    train__steps=_STEPS,
    train__batch_size=8,  # Two or three steps an epoch.
  )
  plans = [
    plan_lib.make_plan(person, config, seed=0)[0]
    for person in tiny.cohorts(*_LENGTHS)
  ]
  built = population.build(
    _fragile(config),
    plans,
    config,
    devices=jax.devices()[: 3 if on_devices else 1],
  )
  return built, feed_lib.ResidentFeed(built, tiny.frames(sum(_LENGTHS)), config)


def _run(strategy, *, chances=(0, 0, 0), steps=_STEPS, **fields):
  """Returns final states [N, ...] and the metrics of each step."""
  built, feed = _built(strategy, **fields)
  states = built.to_host(built.init())
  states = states.replace(method_state=np.float32(chances))
  slots, history = built.from_host(states), []
  for step in range(steps):
    slots, metrics = built.step(slots, feed.batches_at(step))
    history.append(built.to_host(metrics))
  return built.to_host(slots), history


def _assert_same(ours, theirs, index):
  for our, their in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
    np.testing.assert_array_equal(our[index], their[index])


@pytest.mark.thorough
class RollbacksTest(parameterized.TestCase):
  @parameterized.parameters(*_STRATEGIES)
  def test_a_model_goes_on_from_before_and_the_rest_is_untouched(
    self, strategy
  ):
    calm, _ = _run(strategy, rollbacks=99)
    states, history = _run(strategy, chances=(0, 0.4, 0), rollbacks=99)
    for index in (0, 2):
      _assert_same(states, calm, index)
    bad = [not np.isfinite(metrics['loss'][1]) for metrics in history]
    self.assertBetween(sum(bad), 1, _STEPS - 1)
    self.assertEqual(states.course.rollbacks.tolist(), [0, sum(bad), 0])
    self.assertEqual(states.step.tolist(), [_STEPS] * 3)
    self.assertEqual(states.failed_step.tolist(), [-1] * 3)
    self.assertTrue(np.isfinite(states.params['same']).all())

  @parameterized.parameters('loop', 'vmap')
  def test_after_so_many_it_is_frozen(self, strategy):
    states, history = _run(strategy, chances=(0, 1, 0), rollbacks=2)
    self.assertEqual(states.course.rollbacks.tolist(), [0, 2, 0])
    self.assertEqual(states.failed_step.tolist(), [-1, 2, -1])
    self.assertEqual(states.step.tolist(), [_STEPS, 2, _STEPS])
    active = [metrics['is_active'][1] for metrics in history]
    self.assertEqual(active, [True] * 3 + [False] * (_STEPS - 3))

  def test_a_gradient_without_a_finite_square_is_left_out(self):
    # Adam's second moment would be infinite ever after.
    states, history = _run('vmap', chances=(0, 1e25, 0))
    self.assertTrue(np.isfinite(history[0]['loss']).all())
    self.assertEqual(states.failed_step.tolist(), [-1, 0, -1])
    for leaf in jax.tree.leaves((states.params, states.opt_state)):
      self.assertTrue(np.isfinite(leaf).all())

  def test_each_rollback_halves_the_rate(self):
    built, feed = _built('loop', rollbacks=99)

    def moved(rollbacks):
      states = built.to_host(built.init())
      states.course.rollbacks[:] = rollbacks
      slots, _ = built.step(built.from_host(states), feed.batches_at(0))
      after = built.to_host(slots).params['same']
      return after - states.params['same']

    np.testing.assert_allclose(moved(2), moved(0) / 4, atol=1e-7)


@pytest.mark.thorough
class PatienceTest(parameterized.TestCase):
  @parameterized.parameters(*_STRATEGIES)
  def test_a_model_without_progress_stops_and_the_rest_is_untouched(
    self, strategy
  ):
    built, feed = _built(strategy, patience=2)
    states = built.to_host(built.init())
    # No loss is better than this; the others wait for long.
    states.course.best[1] = -1
    states.course.stale[[0, 2]] = -100
    slots = built.from_host(states)
    for step in range(_STEPS):
      slots, _ = built.step(slots, feed.batches_at(step))
    ended = built.to_host(slots)
    free, _ = _run(strategy)
    for index in (0, 2):
      _assert_same(ended.params, free.params, index)
    self.assertEqual(ended.course.stale[1], 2)
    self.assertLess(ended.step[1], _STEPS)
    self.assertEqual(ended.step[[0, 2]].tolist(), [_STEPS] * 2)

  def test_a_better_loss_begins_the_wait_anew(self):
    course = update.Course(*map(jnp.float32, (0, 1, 3, 1)))
    better = update._look(course, jnp.float32(2), is_end=True)
    self.assertEqual((better.best, better.stale), (2, 0))
    worse = update._look(course, jnp.float32(4), is_end=True)
    self.assertEqual((worse.best, worse.stale), (3, 2))
    self.assertEqual(update._look(course, jnp.float32(4), is_end=False), course)

  def test_a_validation_counts_where_there_is_one(self):
    config = tiny.config(train__patience=3)
    method = dataclasses.replace(
      tiny.toy_method(config), on_validation=lambda state, loss, epoch: state
    )
    state = update.init_model(np.zeros(2, np.uint32), method)
    for epoch, loss in enumerate((2.0, 1.0, 1.5)):
      state = update.observe(
        method, config, state, jnp.float32(loss), jnp.int32(epoch)
      )
    self.assertEqual((state.course.best, state.course.stale), (1, 1))


@pytest.mark.thorough
class CostTest(parameterized.TestCase):
  """How many updates are computed."""

  def test_a_slot_of_models_that_rest_is_not_called(self):
    built, feed = _built('loop')
    called = []

    def step_slot(state, *args):
      called.append(1)
      return built.step_slot(state, *args)

    counted = dataclasses.replace(built, step_slot=step_slot)
    slots, metrics = counted.step(counted.init(), feed.batches_at(0))
    resting = counted.rests(metrics, np.array([True, False, True]))
    self.assertEqual(list(resting), [0, 2])
    before = counted.to_host(slots)
    called.clear()
    slots, metrics = counted.step(slots, feed.batches_at(1), resting=resting)
    self.assertLen(called, 1)
    after = counted.to_host(slots)
    self.assertEqual(after.step.tolist(), [1, 2, 1])
    for index in (0, 2):
      _assert_same(after, before, index)
    active = counted.to_host(metrics)['is_active']
    self.assertEqual(active.tolist(), [False, True, False])

  def test_the_compiled_loop_passes_over_models_that_rest(self):
    heard = []
    config = tiny.config(population__strategy='map', train__steps=_STEPS)
    plans = [
      plan_lib.make_plan(person, config, seed=0)[0]
      for person in tiny.cohorts(*_LENGTHS)
    ]
    built = population.build(
      _fragile(config, heard=heard.append),
      plans,
      config,
      devices=jax.devices()[:1],
    )
    feed = feed_lib.ResidentFeed(built, tiny.frames(sum(_LENGTHS)), config)
    states = built.to_host(built.init())
    states.failed_step[:] = [-1, 3, -1]
    slots, metrics = built.step(built.from_host(states), feed.batches_at(0))
    ended, metrics = map(built.to_host, (slots, metrics))
    jax.effects_barrier()
    self.assertLen(heard, 2)
    self.assertEqual(ended.step.tolist(), [1, 0, 1])
    _assert_same(ended, states, 1)
    self.assertEqual(metrics['is_active'].tolist(), [True, False, True])
    self.assertEqual(metrics['failed_step'].tolist(), [-1, 3, -1])


if __name__ == '__main__':
  absltest.main()
