import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from psm_jax import sampling
from psm_jax.engine import feed, population, update, validation
from tests import tiny

_LENGTHS = (30, 21, 47)
_STEPS = 12


def _validating(made_config):
  """Returns the toy method, which keeps what validation told it."""
  toy = tiny.toy_method(made_config)

  def init(key):
    params, _ = toy.init(key)
    return params, {'loss': jnp.float32(0), 'epochs': jnp.zeros(9, jnp.int32)}

  def validate(params, method_state, shared, batch):
    key = jax.random.key(0, impl='threefry2x32')
    return toy.loss(key, params, method_state, shared, batch, None)[0]

  def on_validation(method_state, loss, epoch):
    return {
      'loss': loss,
      'epochs': method_state['epochs'].at[epoch].add(1),
    }

  return dataclasses.replace(
    toy, init=init, validate=validate, on_validation=on_validation
  )


class ValidationTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    config = tiny.config(
      population__strategy='vmap',
      curriculum__gap__schedule='linear',
      curriculum__gap__start=1.0,
      curriculum__gap__end=1.0,
      train__batch_size=4,
      train__steps=_STEPS,
      train__validation_batches=2,
    )
    people = tiny.cohorts(*_LENGTHS)
    plans = [sampling.make_plan(p, config, seed=0)[0] for p in people]
    held_out = [sampling.make_plan(p, config, seed=9)[0] for p in people]
    frames = tiny.frames(sum(_LENGTHS))
    cls.method = _validating(config)
    built = population.build(
      cls.method, plans, config, devices=jax.devices()[:2]
    )
    source = feed.ResidentFeed(built, frames, config)
    looks = validation.Validation(built, plans, held_out, frames, config)
    cls.plans, cls.held_out, cls.frames = plans, held_out, frames
    cls.config = config
    states = built.init()
    cls.history = []
    for step in range(1, _STEPS + 1):
      states, _ = built.step(states, source.batches_at(step - 1))
      before = built.to_host(states)
      states = looks.after_step(step, states)
      cls.history.append((before, built.to_host(states)))

  def test_each_model_is_told_once_at_the_end_of_each_of_its_epochs(self):
    epochs = self.history[-1][1].method_state['epochs']
    for row, plan in zip(epochs, self.plans, strict=True):
      expected = np.arange(9) < plan.clock.num_epochs
      np.testing.assert_array_equal(row, expected)
    self.assertGreater(len({int(p.clock.num_epochs) for p in self.plans}), 1)

  def test_models_in_the_middle_of_an_epoch_stay_as_they_were(self):
    for step, (before, after) in enumerate(self.history, start=1):
      for index, plan in enumerate(self.plans):
        ends = [*plan.clock.epoch_start[1:], plan.clock.total_steps]
        was_told = not np.array_equal(
          before.method_state['epochs'][index],
          after.method_state['epochs'][index],
        )
        self.assertEqual(was_told, step in ends)
      jax.tree.map(np.testing.assert_array_equal, before.params, after.params)

  def test_the_loss_is_the_mean_over_the_same_held_out_frames(self):
    _, after = self.history[-1]
    for index, plan in enumerate(self.held_out):
      params = jax.tree.map(lambda leaf, i=index: leaf[i], after.params)
      losses = []
      for number in range(2):
        positions, person = sampling.positions(
          plan, np.int32(number), config=self.config, xp=np
        )
        batch = population.interface.Batch(
          self.frames[plan.rows[positions]], person
        )
        losses.append(self.method.validate(params, None, (), batch))
      self.assertAlmostEqual(
        float(after.method_state['loss'][index]), np.mean(losses), places=5
      )

  def test_a_failed_model_is_told_nothing(self):
    before, after = self.history[-1]
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), before)
    failed = state.replace(failed_step=jnp.int32(3))
    told = update.observe(
      self.method, self.config, failed, jnp.float32(7), jnp.int32(1)
    )
    jax.tree.map(np.testing.assert_array_equal, told, failed)


if __name__ == '__main__':
  absltest.main()
