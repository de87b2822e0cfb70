import json
import pathlib
import stat

from absl.testing import absltest, parameterized

from psm_jax.runs import locks, planning, run
from tests import tiny


class RunDirectoryTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.config = tiny.run_config(population__seeds=(0, 2))
    self.store = tiny.empty_store(A=(30,), B=(20, 12))
    self.models, _ = planning.plan_models(self.config, self.store)
    self.data_dir = self.workdir / 'data'

  def _start(self, config=None, models=None):
    run.start(
      self.workdir,
      config or self.config,
      self.models if models is None else models,
      self.data_dir,
    )

  def test_what_was_started_is_what_is_opened(self):
    self._start()
    opened = run.open_run(self.workdir)
    self.assertEqual(opened.models, tuple(self.models))
    self.assertEqual(opened.config.to_dict(), self.config.to_dict())
    self.assertEqual(opened.data_dir, self.data_dir)
    self.assertEqual(opened.workdir, self.workdir)

  def test_files_are_json_with_versions(self):
    self._start()
    config = json.loads((self.workdir / 'config.json').read_text())
    self.assertContainsSubset({'jax', 'flax'}, config['versions'])
    self.assertEqual(config['train']['batch_size'], 4)
    models = json.loads((self.workdir / 'models.json').read_text())
    self.assertEqual(
      (models['schema_version'], models['method']), (1, 'facecycle')
    )
    self.assertEqual(models['models'][0]['cohort'], ['A'])

  def test_progress_is_written_over_the_plan(self):
    self._start()
    self.models[0].status, self.models[0].failed_step = 'failed', 3
    run.write_models(self.workdir, 'facecycle', self.models, self.data_dir)
    opened = run.open_run(self.workdir).models[0]
    self.assertEqual((opened.status, opened.failed_step), ('failed', 3))

  def test_going_on_keeps_the_files(self):
    self._start()
    self.models[0].steps_done = 3
    run.write_models(self.workdir, 'facecycle', self.models, self.data_dir)
    before = {p: p.read_bytes() for p in self.workdir.iterdir()}
    planned, _ = planning.plan_models(self.config, self.store)
    self._start(models=planned)
    after = {p: p.read_bytes() for p in self.workdir.iterdir()}
    self.assertEqual(before, after)

  @parameterized.parameters(
    ('seed', 1, '0 there, 1 now'),
    ('optim.learning_rate', 1e-3, '8e-05 there, 0.001 now'),
    ('population.seeds', (0, 3), r'\(0, 2\) there, \(0, 3\) now'),
    ('data.path', 'others', "'frames' there, 'others' now"),
  )
  def test_another_configuration_is_refused_by_field(self, field, value, text):
    self._start()
    self.config.update_from_flattened_dict({field: value})
    with self.assertRaisesRegex(ValueError, f'{field}: {text}') as caught:
      self._start()
    self.assertIn(str(self.workdir), str(caught.exception))

  @parameterized.parameters(
    ('population.strategy', 'vmap'),
    ('population.lowering', 'unrolled'),
    ('population.num_devices', 1),
    ('train.save_minutes', 1.0),
    ('train.save_steps', 7),
  )
  def test_how_it_is_computed_may_change(self, field, value):
    self._start()
    self.config.update_from_flattened_dict({field: value})
    self._start()

  @parameterized.parameters(
    (
      {'A': (30,), 'B': (20, 13)},
      'facecycle-B-s0: num_frames 32 there, 33 now',
    ),
    ({'A': (30,), 'B': (32,)}, 'facecycle-B-s2: num_videos 2 there, 1 now'),
    ({'A': (30,)}, 'facecycle-B-s0 is only there'),
    ({'A': (30,), 'B': (20, 12), 'C': (9,)}, 'facecycle-C-s0 is only here'),
  )
  def test_other_data_are_refused(self, lengths, text):
    self._start()
    models, _ = planning.plan_models(self.config, tiny.empty_store(**lengths))
    with self.assertRaisesRegex(ValueError, f'other data .*{text}'):
      self._start(models=models)

  def test_a_start_that_was_cut_off_can_be_repeated(self):
    self._start()
    (self.workdir / 'config.json').unlink()
    self._start()
    self.assertEqual(run.open_run(self.workdir).models, tuple(self.models))

  @parameterized.parameters('config.json', 'models.json')
  def test_a_folder_that_is_no_run_is_refused(self, missing):
    self._start()
    (self.workdir / missing).unlink()
    with self.assertRaisesRegex(
      ValueError, f'{self.workdir} is no run .*{missing}.*launch.train'
    ):
      run.open_run(self.workdir)

  def test_another_schema_version_is_refused(self):
    self._start()
    path = self.workdir / 'models.json'
    path.write_text(
      path.read_text().replace('"schema_version": 1', '"schema_version": 9')
    )
    with self.assertRaisesRegex(ValueError, 'models.json has .*version 9'):
      run.open_run(self.workdir)


class LockedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path) / 'new' / 'run'

  def test_a_second_writer_is_refused(self):
    with (
      locks.locked(self.workdir),
      self.assertRaisesRegex(ValueError, f'writing to {self.workdir}'),
      locks.locked(self.workdir),
    ):
      self.fail('two writers')

  def test_the_lock_is_given_back_even_after_an_error(self):
    with self.assertRaises(KeyError), locks.locked(self.workdir):
      raise KeyError
    with locks.locked(self.workdir):
      pass

  def test_the_folder_is_made_for_its_owner_alone(self):
    with locks.locked(self.workdir):
      mode = stat.S_IMODE(self.workdir.stat().st_mode)
    self.assertEqual(mode, 0o700)


if __name__ == '__main__':
  absltest.main()
