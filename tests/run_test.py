import json
import pathlib
import stat

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from configs import base
from psm_jax import run
from psm_jax.data import store as store_lib


def _store(**lengths):
  """Returns a store of people with videos of some lengths, without frames."""
  videos, start = {}, 0
  for person, own in lengths.items():
    videos[person] = ()
    for number, length in enumerate(own):
      stop = start + length
      video = store_lib.Video(f'v{number}', start, stop, fps=20.0)
      videos[person] += (video,)
      start = stop
  return store_lib.FrameStore(
    path=pathlib.Path('some/store'),
    size_px=16,
    frames=np.zeros((start, 0), np.uint8),
    index=pd.DataFrame(index=range(start)),
    person_ids=tuple(sorted(videos)),
    problems=(),
    source={},
    videos_by_person=videos,
  )


def _config(**fields):
  """Returns a config of 5 steps with some fields ('.' as '__') set."""
  config = base.get_config()
  config.data.path = 'frames'
  config.train.batch_size = 4
  config.train.epochs, config.train.steps = 0, 5
  config.update_from_flattened_dict(
    {name.replace('__', '.'): value for name, value in fields.items()}
  )
  return config


class PlanModelsTest(parameterized.TestCase):
  store = _store(B=(20, 12), A=(30,), C=(16, 4, 4))

  def _ids(self, **fields):
    models, plans = run.plan_models(_config(**fields), self.store)
    self.assertLen(plans, len(models))
    return [model.model_id for model in models]

  def test_each_person_is_a_cohort_in_the_order_of_names(self):
    self.assertEqual(
      self._ids(), ['facecycle-A-s0', 'facecycle-B-s0', 'facecycle-C-s0']
    )

  def test_each_cohort_has_a_model_for_each_seed(self):
    ids = self._ids(population__seeds=(3, 1), data__persons=('A', 'B'))
    self.assertEqual(
      ids,
      [f'facecycle-{person}-s{seed}' for person in 'AB' for seed in (3, 1)],
    )

  def test_all_is_one_cohort_of_everybody(self):
    config = _config(population__cohorts='all')
    (model,), (plan,) = run.plan_models(config, self.store)
    self.assertEqual(model.model_id, 'facecycle-all-s0')
    self.assertEqual(model.cohort, ('A', 'B', 'C'))
    self.assertEqual((model.num_frames, model.num_videos), (86, 6))
    videos = [v for p in 'ABC' for v in self.store.videos(p)]
    rows = np.concatenate([np.arange(v.start, v.stop) for v in videos])
    np.testing.assert_array_equal(plan.rows, rows)
    starts = np.cumsum([0] + [v.stop - v.start for v in videos])
    np.testing.assert_array_equal(plan.video_start, starts)

  def test_a_model_is_told_what_it_learns_from(self):
    models, plans = run.plan_models(_config(population__seeds=(4,)), self.store)
    model, plan = models[1], plans[1]
    self.assertEqual((model.cohort, model.seed), (('B',), 4))
    self.assertEqual((model.num_frames, model.num_videos), (32, 2))
    self.assertEqual(model.total_steps, 5)
    # Sixteen disjoint pairs, so four batches an epoch.
    self.assertEqual(model.num_epochs, 2)
    self.assertIsNone(model.gap_cap)
    self.assertEqual((model.status, model.steps_done), ('running', 0))
    self.assertIsNone(model.failed_step)
    np.testing.assert_array_equal(plan.rows, np.arange(32))

  def test_models_of_one_person_draw_differently(self):
    _, plans = run.plan_models(_config(population__seeds=(0, 1)), self.store)
    self.assertNotEqual(plans[0].order_seed, plans[1].order_seed)
    self.assertTrue(np.any(plans[0].clock.key != plans[1].clock.key))

  def test_a_model_does_not_depend_on_who_else_is_trained(self):
    _, many = run.plan_models(_config(), self.store)
    _, (alone,) = run.plan_models(_config(data__persons=('B',)), self.store)
    np.testing.assert_array_equal(alone.clock.key, many[1].clock.key)
    np.testing.assert_array_equal(alone.partner, many[1].partner)

  def test_people_with_too_few_frames_are_left_out_by_name(self):
    with self.assertLogs('absl', 'WARNING') as logs:
      ids = self._ids(data__min_frames=28)
    self.assertEqual(ids, ['facecycle-A-s0', 'facecycle-B-s0'])
    (line,) = logs.output
    self.assertIn('C is left out: 24 frames', line)
    self.assertIn('data.min_frames=28', line)

  def test_exactly_min_frames_are_enough(self):
    self.assertLen(self._ids(data__min_frames=24), 3)

  def test_somebody_must_be_left(self):
    with self.assertRaisesRegex(ValueError, 'data.min_frames=99 .*some/store'):
      run.plan_models(_config(data__min_frames=99), self.store)

  def test_a_cohort_too_small_for_a_batch_is_named(self):
    store = _store(A=(30,), tiny=(5, 2))
    with self.assertRaisesRegex(
      ValueError, 'tiny has 7 usable frames in 2 videos.*data.min_frames'
    ):
      run.plan_models(_config(), store)

  def test_a_person_the_store_lacks_is_named(self):
    with self.assertRaisesRegex(ValueError, "no person 'Z'.*A, B, C"):
      run.plan_models(_config(data__persons=('A', 'Z')), self.store)

  def test_a_person_id_too_long_for_a_model_id_is_refused(self):
    with self.assertRaisesRegex(ValueError, "model_id 'facecycle-P{60}-s0'"):
      run.plan_models(_config(), _store(**{'P' * 60: (30,)}))

  def test_a_capped_gap_is_kept_and_logged(self):
    config = _config(
      curriculum__pairing='gap',
      curriculum__gap__schedule='linear',
      curriculum__gap__start=50.0,
      data__persons=('A',),
    )
    with self.assertLogs('absl', 'WARNING') as logs:
      (model,), _ = run.plan_models(config, self.store)
    self.assertEqual(model.gap_cap, 26)
    self.assertIn('facecycle-A-s0: the gap is capped at 26', logs.output[0])


class RunDirectoryTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.config = _config(population__seeds=(0, 2))
    self.store = _store(A=(30,), B=(20, 12))
    self.models, _ = run.plan_models(self.config, self.store)
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
    planned, _ = run.plan_models(self.config, self.store)
    self._start(models=planned)
    after = {p: p.read_bytes() for p in self.workdir.iterdir()}
    self.assertEqual(before, after)

  @parameterized.parameters(
    ('seed', 1, '0 there, 1 now'),
    ('curriculum.learning_rate.initial', 1e-3, '8e-05 there, 0.001 now'),
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
    models, _ = run.plan_models(self.config, _store(**lengths))
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
      run.locked(self.workdir),
      self.assertRaisesRegex(ValueError, f'writing to {self.workdir}'),
      run.locked(self.workdir),
    ):
      self.fail('two writers')

  def test_the_lock_is_given_back_even_after_an_error(self):
    with self.assertRaises(KeyError), run.locked(self.workdir):
      raise KeyError
    with run.locked(self.workdir):
      pass

  def test_the_folder_is_made_for_its_owner_alone(self):
    with run.locked(self.workdir):
      mode = stat.S_IMODE(self.workdir.stat().st_mode)
    self.assertEqual(mode, 0o700)


if __name__ == '__main__':
  absltest.main()
