"""Claims about whole runs: resume, metrics, signals, bad input."""

import csv
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import embedding, methods, training
from psm_jax.engine import population
from psm_jax.runs import locks, run
from tests import tiny, training_runs
from tests.runs import events_test

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_STEPS = training_runs.STEPS
_PROGRAM = """
import json, pathlib, sys
from psm_jax import embedding, methods, training
from psm_jax import presets
from tests import tiny
methods.make = tiny.METHODS[sys.argv[3]]
config = presets.config_of(json.loads(pathlib.Path(sys.argv[1]).read_text()))
training.train(config, sys.argv[2])
"""


def _metric_rows(workdir):
  with open(pathlib.Path(workdir) / 'metrics.csv', newline='') as file:
    return list(csv.DictReader(file))


@pytest.mark.thorough
class KilledRunTest(parameterized.TestCase):
  """Runs in processes of their own."""

  def _start(self, workdir):
    """Starts a run in a process of its own."""
    config_path = self.folder / 'config_of_runs.json'
    config_path.write_text(json.dumps(self.config.to_dict()))
    return subprocess.Popen(
      [
        sys.executable,
        '-c',
        _PROGRAM,
        str(config_path),
        str(workdir),
        self.method,
      ],
      cwd=_ROOT,
      # Halves the time to compile, which is nearly all of it.
      env={**os.environ, 'XLA_FLAGS': '--xla_backend_optimization_level=0'},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )

  def _finish(self, workdir):
    process = self._start(workdir)
    _, errors = process.communicate(timeout=300)
    self.assertEqual(process.returncode, 0, errors[-2000:])

  def _kill(self, process, workdir):
    """Sends SIGKILL once a checkpoint exists, at no certain moment."""
    checkpoints = workdir / 'checkpoints/wave000'
    while process.poll() is None:
      done = [p for p in checkpoints.glob('*') if p.name.isdigit()]
      if done:
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        break
      time.sleep(0.01)
    process.communicate(timeout=300)
    self.assertEqual(process.returncode, -signal.SIGKILL)

  def test_a_killed_run_ends_as_an_unbroken_one(self):
    self._check('toy')

  @pytest.mark.slow
  def test_a_killed_run_of_real_models_ends_as_an_unbroken_one(self):
    self._check('facecycle')

  def _check(self, method):
    self.method = method
    made = mock.patch.object(methods, 'make', tiny.METHODS[method])
    self.enterContext(made)
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    # Long enough that the kill comes before the end.
    self.config = training_runs.config(
      training_runs.write_store(self.folder), train__steps=60
    )
    self.unbroken = self.folder / 'unbroken'
    self._finish(self.unbroken)
    workdir = self.folder / 'killed'
    self._kill(self._start(workdir), workdir)
    self._finish(workdir)
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(workdir),
      training_runs.final_states(self.unbroken),
    )
    ours, theirs = _metric_rows(workdir), _metric_rows(self.unbroken)
    for row in ours + theirs:
      del row['steps_per_s'], row['frames_per_s'], row['input_wait_share']
    self.assertEqual(ours, theirs)


class RunTest(parameterized.TestCase):
  """Toy models, which compile in a second."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.enterClassContext(mock.patch.object(methods, 'make', tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.store = training_runs.write_store(cls.folder)
    cls.config = training_runs.config(cls.store)
    cls.unbroken = cls.folder / 'unbroken'
    cls.outcome = training.train(cls.config, cls.unbroken)
    cls.states = training_runs.final_states(cls.unbroken)

  def _stop_at(self, step):
    """Has the next run stopped by SIGTERM once a step is logged."""
    original = training.metrics.MetricsLog.write

    def write_and_stop(log, at, *args, **kwargs):
      original(log, at, *args, **kwargs)
      if at == step:
        training.metrics.MetricsLog.write = original
        signal.raise_signal(signal.SIGTERM)

    training.metrics.MetricsLog.write = write_and_stop
    self.addCleanup(setattr, training.metrics.MetricsLog, 'write', original)

  @pytest.mark.thorough
  def test_a_stopped_run_goes_on_under_another_strategy(self):
    workdir = self.folder / 'strategies'
    config = self.config.copy_and_resolve_references()
    self._stop_at(8)
    self.assertTrue(training.train(config, workdir).was_stopped)
    self.assertEqual(training_runs.final_states(workdir).step.tolist(), [8, 8])
    config.population.strategy = 'vmap'
    self.assertFalse(training.train(config, workdir).was_stopped)
    self.assertEqual(
      training_runs.final_states(workdir).step.tolist(), [_STEPS] * 2
    )
    losses = [
      [float(row['loss']) for row in _metric_rows(folder)]
      for folder in (workdir, self.unbroken)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)

  @pytest.mark.thorough
  def test_each_step_sees_its_own_examples_of_the_plan_also_resumed(self):
    make, asked = training.feed_lib.make, []

    def make_and_ask(*args, **kwargs):
      source = make(*args, **kwargs)
      batches_at = source.batches_at
      source.batches_at = lambda step: asked.append(step) or batches_at(step)
      return source

    workdir = self.folder / 'asked'
    self._stop_at(6)
    with mock.patch.object(training.feed_lib, 'make', make_and_ask):
      training.train(self.config, workdir)
      training.train(self.config, workdir)
    self.assertEqual(asked, list(range(_STEPS)))

  def test_metrics_hold_each_logged_step_of_each_model_once(self):
    rows = _metric_rows(self.unbroken)
    keys = [(int(row['step']), row['model_id']) for row in rows]
    steps = [1, *range(2, _STEPS + 1, 2)]
    ids = ['facecycle-p0-s0', 'facecycle-p1-s0']
    self.assertCountEqual(keys, [(s, i) for s in steps for i in ids])
    for row in rows:
      self.assertGreater(float(row['loss']), 0)
      self.assertGreater(int(row['gap']), 0)

  def test_tensorboard_shows_faces_only_if_asked_to(self):
    def tags(workdir):
      (path,) = (workdir / 'tensorboard').rglob('events.*')
      return {value.tag for _, value in events_test.summaries(path)}

    self.assertContainsSubset(
      {'loss/facecycle-p0-s0', 'models/loss', 'weights/facecycle-p1-s0/down'},
      tags(self.unbroken),
    )
    self.assertEmpty([t for t in tags(self.unbroken) if t.startswith('faces')])
    workdir = self.folder / 'shown'
    training.train(self.config, workdir, show_faces=True)
    self.assertIn('faces/facecycle-p1-s0/input', tags(workdir))

  def test_models_are_done_and_described(self):
    opened = run.open_run(self.unbroken)
    for model in opened.models:
      self.assertEqual(model.status, 'done')
      self.assertEqual(model.steps_done, _STEPS)
    self.assertEqual(opened.models[0].cohort, ('p0',))
    self.assertEqual(opened.models[1].num_frames, 21)

  def test_a_finished_run_started_again_changes_nothing(self):
    outcome = training.train(self.config, self.unbroken)
    self.assertFalse(outcome.was_stopped)
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(self.unbroken),
      self.states,
    )

  def test_another_configuration_is_refused_by_field(self):
    changed = training_runs.config(self.store, curriculum__gap__end=7.0)
    with self.assertRaisesRegex(ValueError, r'curriculum\.gap\.end: 100'):
      training.train(changed, self.unbroken)

  def test_other_frames_of_the_same_number_are_refused(self):
    workdir = self.folder / 'replaced'
    shutil.copytree(self.unbroken, workdir)
    other = self.folder / 'other'
    other.mkdir()
    path = training_runs.write_store(other, seed=1)
    config = training_runs.config(path)
    content = json.loads((workdir / 'config.json').read_text())
    content['data']['path'] = str(path)
    (workdir / 'config.json').write_text(json.dumps(content))
    with self.assertRaisesRegex(ValueError, 'p0-s0: frames_digest .* there'):
      training.train(config, workdir)

  def _copy(self, name):
    workdir = self.folder / name
    shutil.copytree(self.unbroken, workdir)
    return workdir

  @pytest.mark.thorough
  def test_a_run_may_be_made_longer_and_ends_as_one_that_was_planned_so(self):
    longer = training_runs.config(self.store, train__steps=_STEPS + 6)
    workdir = self._copy('longer')
    with self.assertLogs('absl', 'INFO') as logs:
      outcome = training.train(longer, workdir)
    self.assertIn('From step 12 the run goes on to 18', ''.join(logs.output))
    self.assertEqual([m.status for m in outcome.models], ['done'] * 2)
    training.train(longer, self.folder / 'planned')
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(workdir),
      training_runs.final_states(self.folder / 'planned'),
    )
    with self.assertRaisesRegex(
      ValueError, 'planned for 18 steps of .*train.steps=12'
    ):
      training.train(self.config, workdir)

  @pytest.mark.thorough
  def test_a_schedule_that_depends_on_the_end_cannot_be_made_longer(self):
    config = training_runs.config(self.store, optim__schedule='cosine')
    workdir = self.folder / 'cosine'
    training.train(config, workdir)
    before = (workdir / 'models.json').read_bytes()
    config.train.steps = 2 * _STEPS
    with self.assertRaisesRegex(ValueError, 'p0-s0.*another learning_rate'):
      training.train(config, workdir)
    self.assertEqual((workdir / 'models.json').read_bytes(), before)

  def test_a_run_whose_checkpoint_is_gone_trains_on(self):
    workdir = self._copy('gone')
    shutil.rmtree(workdir / 'checkpoints/wave000/12')
    self.assertEqual(run.open_run(workdir).models[0].status, 'done')
    with self.assertLogs('absl', 'WARNING') as logs:
      training.train(self.config, workdir)
    self.assertIn('checkpoint of step 12', ' '.join(logs.output))
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(workdir),
      self.states,
    )

  def test_other_packages_are_said_and_another_precision_is_refused(self):
    workdir = self._copy('packages')
    path = workdir / 'config.json'
    content = json.loads(path.read_text())
    content['versions']['jax'] = '0.0.1'
    path.write_text(json.dumps(content))
    with self.assertLogs('absl', 'WARNING') as logs:
      training.train(self.config, workdir)
    self.assertIn('jax 0.0.1 then', ' '.join(logs.output))
    self.assertIn('not bit for bit', ' '.join(logs.output))
    content['computed_in'] = 'bfloat16'
    path.write_text(json.dumps(content))
    with self.assertRaisesRegex(
      ValueError, 'population.precision: .*bfloat16 there, float32 now'
    ):
      training.train(self.config, workdir)

  def test_a_second_writer_is_refused(self):
    workdir = self.folder / 'held'
    with (
      locks.locked(workdir),
      self.assertRaisesRegex(ValueError, 'Another process is writing'),
    ):
      training.train(self.config, workdir)

  def test_embeddings_have_a_row_for_every_frame(self):
    import pandas as pd

    written = embedding.write_embeddings(self.unbroken, controls=False)
    self.assertLen(written, 4)
    table = pd.read_parquet(written[0])
    self.assertEqual(
      list(table.columns[:5]),
      ['model_id', 'person_id', 'video_id', 'frame', 'time_s'],
    )
    self.assertLen(table, 20)
    self.assertEqual(table['AU12'].tolist(), [f % 4 for f in range(20)])
    (as_text,) = embedding.write_csv(written[:1])
    again = pd.read_csv(as_text).astype(table.dtypes)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    units = table[
      [name for name in table if re.fullmatch(r'e\d+', name)]
    ].to_numpy()
    self.assertEqual(units.dtype, np.float32)
    trained = embedding.Trained(self.unbroken)
    frames = trained.store.frames[:20]
    state = trained.model_state(0)
    expected = trained.method.embed(state.params, state.method_state, frames)
    np.testing.assert_allclose(units, expected, atol=1e-5)

  def test_too_few_frames_name_the_person_and_the_field(self):
    config = training_runs.config(self.store, train__batch_size=20)
    with self.assertRaisesRegex(ValueError, 'p1 has 21 usable.*batch_size=20'):
      training.train(config, self.folder / 'few')

  def test_a_workdir_that_cannot_be_made_is_an_os_error(self):
    blocked = self.folder / 'a_file'
    blocked.write_text('')
    with self.assertRaises(OSError):
      training.train(self.config, blocked / 'run')


class WavesTest(absltest.TestCase):
  """Five people in waves of two."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    for name in ('make', 'abstract'):
      cls.enterClassContext(mock.patch.object(methods, name, tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.config = training_runs.config(
      training_runs.write_store(cls.folder, lengths=(30, 21, 24, 33, 27)),
      population__wave=2,
    )
    cls.unbroken = cls.folder / 'unbroken'
    cls.outcome = training.train(cls.config, cls.unbroken)

  def test_every_model_is_done_and_stands_in_the_metrics_once(self):
    self.assertEqual([m.status for m in self.outcome.models], ['done'] * 5)
    rows = _metric_rows(self.unbroken)
    keys = [(row['model_id'], row['step']) for row in rows]
    self.assertLen(set(keys), len(keys))
    self.assertLen({model_id for model_id, _ in keys}, 5)

  @pytest.mark.thorough
  def test_a_run_cut_off_in_its_second_wave_ends_as_an_unbroken_one(self):
    workdir = self.folder / 'cut'
    original = training.checkpoint.Checkpoints.save
    saves = []

    def save_and_die(checkpoints, step, states, ids):
      original(checkpoints, step, states, ids)
      saves.append((ids[0], step))
      if ids[0] == 'facecycle-p2-s0':
        raise KeyboardInterrupt

    with (
      mock.patch.object(training.checkpoint.Checkpoints, 'save', save_and_die),
      self.assertRaises(KeyboardInterrupt),
    ):
      training.train(self.config, workdir)
    self.assertEqual(saves[-1], ('facecycle-p2-s0', 3))
    statuses = [model.status for model in run.open_run(workdir).models]
    self.assertEqual(statuses, ['done'] * 2 + ['running'] * 3)
    training.train(self.config, workdir)
    jax.tree.map(
      np.testing.assert_array_equal,
      training_runs.final_states(workdir),
      training_runs.final_states(self.unbroken),
    )
    ours, theirs = _metric_rows(workdir), _metric_rows(self.unbroken)
    for row in ours + theirs:
      del row['steps_per_s'], row['frames_per_s'], row['input_wait_share']
    self.assertCountEqual(
      [tuple(row.items()) for row in ours],
      [tuple(row.items()) for row in theirs],
    )

  def test_a_run_that_ended_is_not_trained_again(self):
    with mock.patch.object(population.Population, 'step') as stepped:
      training.train(self.config, self.unbroken)
    stepped.assert_not_called()

  @pytest.mark.thorough
  def test_models_of_other_runs_can_begin_with_these(self):
    config = training_runs.config(
      self.folder / 'store',
      init__path=str(self.unbroken),
      init__match='own',
      train__steps=1,
      optim__schedule='constant',
      population__wave=3,
    )
    config.optim.learning_rate = 1e-30
    workdir = self.folder / 'transferred'
    training.train(config, workdir)
    jax.tree.map(
      lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-9),
      training_runs.final_states(workdir).params,
      training_runs.final_states(self.unbroken).params,
    )


class FailureTest(absltest.TestCase):
  def test_a_diverging_model_is_recorded_and_the_others_finish(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    config = training_runs.config(training_runs.write_store(folder))
    self.enterContext(mock.patch.object(methods, 'make', tiny.toy_method))
    original = population.Population.init

    def init_with_a_bad_model(built):
      states = built.to_host(original(built))
      states.params['same'][1] = np.nan
      return built.from_host(states)

    population.Population.init = init_with_a_bad_model
    self.addCleanup(setattr, population.Population, 'init', original)
    outcome = training.train(config, folder / 'run')
    good, bad = outcome.models
    self.assertEqual((good.status, good.steps_done), ('done', _STEPS))
    self.assertEqual((bad.status, bad.failed_step), ('failed', 0))
    rows = _metric_rows(folder / 'run')
    self.assertEqual(
      {row['model_id'] for row in rows if int(row['step']) > 1},
      {good.model_id},
    )


if __name__ == '__main__':
  absltest.main()
