"""Batches spread over devices or in time train what whole ones would."""

import contextlib
import dataclasses
import functools

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, sampling
from psm_jax.engine import feed, population, update
from psm_jax.methods import interface
from psm_jax.ops import data_axis
from tests import tiny

_LENGTHS = (30, 24)
_BATCH = 4


def _config(**fields):
  return tiny.config(**{'train__batch_size': _BATCH, **fields})


def _built(config, num_devices):
  return tiny.build(
    config, tiny.cohorts(*_LENGTHS), devices=jax.devices()[:num_devices]
  )


@functools.cache
def _train(strategy, num_devices, source='resident'):
  """Returns (population, last states on the devices, losses [steps, N])."""
  config = _config(
    population__strategy=strategy,
    population__data_parallel=num_devices > 1,
    data__feed=source,
  )
  built = _built(config, num_devices)
  states, losses = built.init(), []
  frames = tiny.frames(sum(_LENGTHS))
  with contextlib.closing(feed.make(built, frames, config)) as made:
    for step in range(4):
      states, metrics = built.step(states, made.batches_at(step))
      losses.append(built.to_host(metrics)['loss'])
  return built, states, np.array(losses)


class DataParallelTest(parameterized.TestCase):
  @parameterized.product(strategy=('vmap', 'loop'), num_devices=(2, 4))
  @pytest.mark.thorough
  def test_devices_train_what_one_would(self, strategy, num_devices):
    alone, own_states, own_losses = _train(strategy, 1)
    shared, states, losses = _train(strategy, num_devices)
    self.assertLen(shared.devices, num_devices)
    np.testing.assert_allclose(losses, own_losses, rtol=1e-5)
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, atol=2e-5),
      shared.to_host(states).params,
      alone.to_host(own_states).params,
    )

  def test_all_devices_hold_the_same_models(self):
    _, states, _ = _train('vmap', 2)
    for leaf in jax.tree.leaves(states):
      first, second = np.asarray(leaf)
      np.testing.assert_array_equal(first, second)

  @pytest.mark.thorough
  def test_streamed_parts_are_the_resident_ones(self):
    built, resident, _ = _train('loop', 2)
    _, streamed, _ = _train('loop', 2, source='stream')
    jax.tree.map(
      np.testing.assert_array_equal,
      built.to_host(resident),
      built.to_host(streamed),
    )

  def test_states_return_to_the_devices_as_they_were(self):
    built, states, _ = _train('vmap', 2)
    again = built.from_host(built.to_host(states))
    for ours, theirs in zip(
      jax.tree.leaves(again), jax.tree.leaves(states), strict=True
    ):
      np.testing.assert_array_equal(ours, theirs)
      self.assertEqual(ours.sharding, theirs.sharding)

  def test_the_step_joins_gradients_over_the_devices(self):
    built, states, _ = _train('vmap', 2)
    config = _config(population__data_parallel=True)
    source = feed.ResidentFeed(built, tiny.frames(sum(_LENGTHS)), config)
    program = built.step_slot.lower(
      states[0], built.clocks[0], built.shared, source.batches_at(0)[0]
    ).as_text()
    self.assertIn('all_reduce', program)

  def test_a_batch_that_cannot_be_shared_is_named(self):
    config = _config(population__data_parallel=True, train__batch_size=5)
    with self.assertRaisesRegex(ValueError, 'train.batch_size is 5.*2 devices'):
      _built(config, 2)

  def test_a_method_that_cannot_be_shared_is_named(self):
    config = _config(population__data_parallel=True)
    method = dataclasses.replace(tiny.toy_method(config), over=None)
    plans = [sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)[0]]
    with self.assertRaisesRegex(ValueError, 'method toy cannot share'):
      population.build(method, plans, config, devices=jax.devices()[:2])


class MicrobatchesTest(parameterized.TestCase):
  @staticmethod
  @functools.cache
  def _train(num_devices=1, **fields):
    config = _config(**fields)
    built = tiny.build(
      config,
      tiny.cohorts(*_LENGTHS),
      method='separable',
      devices=jax.devices()[:num_devices],
    )
    source = feed.ResidentFeed(built, tiny.frames(sum(_LENGTHS)), config)
    states, history = built.init(), []
    for step in range(4):
      states, metrics = built.step(states, source.batches_at(step))
      host = built.to_host(metrics)
      # Adam forgets the length of gradients, other optimisers do not.
      history.append([host['loss'], host['grad_norm']])
    return built.to_host(states).params, np.array(history)

  @parameterized.parameters((2, 1), (4, 1), (2, 2))
  @pytest.mark.thorough
  def test_parts_train_what_the_whole_batch_would(self, parts, num_devices):
    params, history = self._train()
    own_params, own_history = self._train(
      num_devices,
      train__microbatches=parts,
      population__data_parallel=num_devices > 1,
    )
    np.testing.assert_allclose(own_history, history, rtol=1e-4)
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, atol=2e-5),
      own_params,
      params,
    )

  def test_a_loss_that_couples_examples_is_refused(self):
    config = _config(train__microbatches=2)
    built = _built(config, 1)
    source = feed.ResidentFeed(built, tiny.frames(sum(_LENGTHS)), config)
    with self.assertRaisesRegex(ValueError, 'train.microbatches.*couples'):
      built.step(built.init(), source.batches_at(0))


@pytest.mark.slow
class FaceCycleTest(absltest.TestCase):
  def test_spread_or_recomputed_batches_have_the_same_gradients(self):
    config = tiny.config(augment__mirror_probability=0.5)
    plan, _ = sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)
    method = methods.make(config)
    state = update.init_model(plan.clock.key, method)
    schedule = update.schedule_at(plan.clock, state.step, config)
    frames = tiny.frames(2 * _BATCH).reshape(2, _BATCH, -1)

    def gradients(method, frames, axis=data_axis.ONE_DEVICE):
      batch = interface.Batch(frames, np.zeros(frames.shape[1], np.int32))

      def loss_of(params):
        return method.loss(
          jax.random.key(3), params, (), method.shared, batch, schedule
        )

      (loss, (_, terms)), grads = jax.value_and_grad(loss_of, has_aux=True)(
        state.params
      )
      return jax.tree.map(axis.mean, (loss, terms, grads))

    axis = data_axis.DataAxis('batch', 2)
    halves = np.stack(np.split(frames, 2, axis=1))
    over_devices = jax.pmap(
      functools.partial(gradients, method.over(axis), axis=axis),
      axis.name,
      devices=jax.devices()[:2],
    )(halves)

    @jax.jit
    def of_part(index, half):
      part = data_axis.Microbatch(data_axis.ONE_DEVICE, index, 2)
      return gradients(method.over(part), half)

    parts = [of_part(index, half) for index, half in enumerate(halves)]
    config.train.remat = True
    recomputed = jax.jit(functools.partial(gradients, methods.make(config)))(
      frames
    )
    theirs = jax.jit(functools.partial(gradients, method))(frames)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    for ours in (
      jax.tree.map(lambda leaf: leaf[0], over_devices),
      jax.tree.map(lambda *leaves: sum(leaves) / 2, *parts),
      recomputed,
    ):
      for (path, leaf), expected in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
      ):
        # Some gradients are nothing but rounding, as of a bias that a softmax
        # takes out.
        scale = max(np.abs(expected).max(), 1e-5 * largest)
        np.testing.assert_allclose(
          leaf / scale, expected / scale, atol=1e-4, err_msg=str(path)
        )


if __name__ == '__main__':
  absltest.main()
