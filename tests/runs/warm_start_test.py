import pathlib
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest

from psm_jax import methods, sampling
from psm_jax.engine import update
from psm_jax.runs import checkpoint, run, warm_start, zoo
from tests import tiny


def _states(method, config, num_models, *, seed):
  """Returns stacked states [N, ...] of a method."""
  (person,) = tiny.cohorts(30)
  plans = [
    sampling.make_plan(person, config, seed=seed + index)[0]
    for index in range(num_models)
  ]
  states = [update.init_model(plan.clock.key, method) for plan in plans]
  return jax.tree.map(lambda *x: np.stack(x), *states)


class StartTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.config = tiny.config(method__name='toy')
    self.method = tiny.toy_method(self.config)
    self.enterContext(mock.patch.dict(methods.METHODS, toy=tiny.toy_method))
    self.source = pathlib.Path(self.create_tempdir().full_path)
    self.zoo = self.source / 'zoo'
    donors = _states(self.method, self.config, 3, seed=10)
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

  def _start(self, donors, source):
    states = _states(self.method, self.config, len(donors), seed=0)
    config = self.config.copy_and_resolve_references()
    config.init.path = str(source)
    opened = warm_start.open_pool(config)
    return states, warm_start.start(states, donors, pool=opened)

  def test_models_take_their_donors_parameters_and_nothing_else(self):
    self._save()
    states, started = self._start(['m2', 'm0', 'm2', 'm1'], self.source)
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

  def test_exported_models_give_what_their_run_gives(self):
    self._save()
    zoo.export_run(self.source, self.zoo)
    donors = ['m1', 'm2']
    _, of_run = self._start(donors, self.source)
    _, of_zoo = self._start(donors, self.zoo)
    jax.tree.map(np.testing.assert_array_equal, of_zoo, of_run)

  def test_one_exported_model_gives_to_everybody(self):
    self._save()
    zoo.export_run(self.source, self.zoo, model_ids=['m1'])
    self.config.init.path = str(self.zoo / 'm1')
    source = warm_start.open_pool(self.config)
    self.assertEqual(
      warm_start.choose(source, ('somebody',), match='one'), ('m1',)
    )

  def test_a_source_without_checkpoint_is_named(self):
    with self.assertRaisesRegex(ValueError, 'no checkpoint of m0'):
      self._start(['m0'], self.source)

  def test_exported_models_of_another_size_are_refused_by_field(self):
    self._save()
    zoo.export_run(self.source, self.zoo)
    self.config.method.width = 0.5
    self.config.init.path = str(self.zoo)
    with self.assertRaisesRegex(ValueError, 'method.width is 0.5, but 0.0625'):
      warm_start.open_pool(self.config)


if __name__ == '__main__':
  absltest.main()
