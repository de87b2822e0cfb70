import pathlib

import jax
import numpy as np
from absl.testing import absltest

from psm_jax import checkpoint, population, run, sampling, transfer
from tests import tiny


def _states(method, config, num_models, *, seed):
  """Returns (stacked states [N, ...], a clock) of a method."""
  (person,) = tiny.cohorts(30)
  plans = [
    sampling.make_plan(person, config, seed=seed + index)[0]
    for index in range(num_models)
  ]
  states = [population.init_model(method, plan.clock) for plan in plans]
  return jax.tree.map(lambda *x: np.stack(x), *states), plans[0].clock


class StartTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.config = tiny.config()
    self.method = tiny.toy_method(self.config)
    self.source = pathlib.Path(self.create_tempdir().full_path)
    donors, _ = _states(self.method, self.config, 3, seed=10)
    self.donors = donors.replace(step=np.full(3, 77, np.int32))
    models = [
      run.Model(f'm{index}', (f'p{index}',), 0, 5, 1, 30, 1, None)
      for index in range(3)
    ]
    run.start(self.source, self.config, models, self.source)

  def _save(self):
    checkpoints = checkpoint.Checkpoints(self.source)
    checkpoints.save(77, self.donors, ['m0', 'm1', 'm2'])
    checkpoints.close()

  def _start(self, donors):
    states, clock = _states(self.method, self.config, len(donors), seed=0)
    started = transfer.start(
      states, donors, source=self.source, method=self.method, clock=clock
    )
    return states, started

  def test_models_take_their_donors_parameters_and_nothing_else(self):
    self._save()
    states, started = self._start(['m2', 'm0', 'm2', 'm1'])
    jax.tree.map(
      lambda ours, theirs: np.testing.assert_array_equal(
        ours, theirs[[2, 0, 2, 1]]
      ),
      started.params,
      self.donors.params,
    )
    for field in ('step', 'opt_state', 'failed_step'):
      jax.tree.map(
        np.testing.assert_array_equal,
        getattr(started, field),
        getattr(states, field),
      )

  def test_a_source_without_checkpoint_is_named(self):
    with self.assertRaisesRegex(ValueError, 'no checkpoint of m0'):
      self._start(['m0'])


if __name__ == '__main__':
  absltest.main()
