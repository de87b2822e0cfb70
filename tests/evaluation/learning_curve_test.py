"""Claims about scores along training."""

import pathlib
import shutil
import tempfile
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax import embedding, methods, sampling, training
from psm_jax.evaluation import features, learning_curve, tables
from psm_jax.runs import checkpoint, run
from tests import runs, tiny

_STEPS = 10


def _train(folder, store, *, keep_steps=4, **fields):
  config = tiny.config(
    data__source='store',
    data__path=str(store),
    train__keep_steps=keep_steps,
    **{'train__steps': _STEPS, **fields},
  )
  training.train(config, folder)
  return folder


class EpochsTest(parameterized.TestCase):
  @parameterized.parameters((0, 0), (2, 0.5), (4, 1), (7, 2.25), (9, 2.5))
  def test_parts_of_an_epoch_count(self, step, epochs):
    # Epochs of 4, 2 and 4 steps; the model ends in the midst of the third.
    clock = sampling.Clock(
      key=np.zeros(2, np.uint32),
      total_steps=np.int32(8),
      num_epochs=np.int32(3),
      # A fourth epoch is another model's.
      epoch_start=np.array([0, 4, 6, 100], np.int32),
      gap=np.ones((4, 1), np.int32),
    )
    nothing = np.zeros(0, np.int32)
    plan = sampling.Plan(
      clock=clock,
      order_seed=np.uint32(0),
      num_examples=np.array([13, 6, 12, 1], np.int32),
      num_people=np.int32(1),
      person_start=nothing,
      video_start=nothing,
      partner=nothing,
      rows=nothing,
    )
    self.assertAlmostEqual(
      learning_curve.epochs_at(plan, step, batch_size=3), epochs
    )


class LearningCurveTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    for name in ('make', 'abstract'):
      cls.enterClassContext(mock.patch.object(methods, name, tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.store = runs.write_store(cls.folder, lengths=(240, 210))
    cls.workdir = _train(cls.folder / 'run', cls.store)
    cls.other = _train(
      cls.folder / 'other', cls.store, curriculum__pairing='fixed'
    )
    cls.written = learning_curve.score(
      {'one': cls.workdir, 'other': cls.other}, cls.folder / 'curve'
    )
    cls.curve, cls.summary = (pd.read_csv(path) for path in cls.written)

  def test_every_kept_step_the_start_and_the_end_are_scored(self):
    self.assertEqual(
      checkpoint.kept_steps(run.open_run(self.workdir)), [4, 8, 10]
    )
    cells = self.curve.groupby(['source', 'person_id', 'split'])['step']
    self.assertLen(cells, 2 * 2 * 2)
    for _, steps in cells:
      self.assertEqual(steps.tolist(), [0, 4, 8, 10])

  def test_columns_are_the_described_ones(self):
    self.assertEqual(tuple(self.curve), learning_curve.COLUMNS)
    self.assertEqual(tuple(self.summary), learning_curve.SUMMARY_COLUMNS)

  def test_the_last_step_has_the_scores_of_the_final_embeddings(self):
    embedding.write_embeddings(self.workdir)
    results = tables.evaluate(
      features.read_embeddings(self.workdir),
      config=learning_curve.DEFAULT,
      show_progress=False,
    )
    expected = results.scores.groupby(['person_id', 'split'])['auc'].mean()
    ours = self.curve[
      (self.curve['step'] == _STEPS) & (self.curve['source'] == 'one')
    ].set_index(['person_id', 'split'])['auc']
    np.testing.assert_allclose(ours[expected.index], expected, rtol=1e-4)

  def test_runs_that_begin_alike_differ_by_nothing_at_step_0(self):
    pairs = self.summary[self.summary['source'] == 'other - one']
    at_start = pairs[pairs['step'] == 0]
    self.assertNotEmpty(at_start)
    self.assertTrue((at_start['mean'] == 0).all())
    self.assertTrue((pairs[pairs['step'] == _STEPS]['mean'] != 0).any())

  def test_means_are_over_people(self):
    rows = self.summary[
      (self.summary['metric'] == 'auc')
      & (self.summary['source'] == 'one')
      & (self.summary['split'] == 'blocked')
    ]
    own = self.curve[
      (self.curve['source'] == 'one') & (self.curve['split'] == 'blocked')
    ]
    np.testing.assert_allclose(
      rows['mean'], own.groupby('step')['auc'].mean(), rtol=1e-4
    )
    np.testing.assert_allclose(
      rows['epochs'], own.groupby('step')['epochs'].mean(), rtol=1e-4
    )

  def test_what_was_seen_grows_to_the_end(self):
    seen = self.curve[self.curve['person_id'] == 'p0'].groupby('step')
    np.testing.assert_array_equal(
      seen['examples_seen'].first(), tiny.BATCH * np.array([0, 4, 8, 10])
    )
    self.assertTrue(seen['epochs'].first().is_monotonic_increasing)

  def test_an_unreadable_checkpoint_leaves_its_step_out(self):
    broken = shutil.copytree(self.workdir, self.folder / 'broken')
    path = broken / 'checkpoints/wave000/4/state/_METADATA'
    path.write_bytes(path.read_bytes()[:10])
    with self.assertLogs('absl', 'WARNING') as logs:
      curve, _ = learning_curve.score(
        {'psm': broken}, self.folder / 'broken_curve'
      )
    self.assertIn('Step 4 of psm is left out', ' '.join(logs.output))
    self.assertEqual(set(pd.read_csv(curve)['step']), {0, 8, 10})

  def test_a_run_that_kept_nothing_is_refused_by_field(self):
    kept = shutil.copytree(self.workdir, self.folder / 'none')
    for step in (4, 8):
      shutil.rmtree(kept / f'checkpoints/wave000/{step}')
    with self.assertRaisesRegex(ValueError, r'train\.keep_steps'):
      learning_curve.score({'psm': kept}, self.folder / 'none_curve')

  def test_a_wave_that_ended_early_stays_at_its_end(self):
    # Epochs of 15 and 10 steps, so the waves end apart.
    workdir = _train(
      self.folder / 'waves',
      runs.write_store(self.folder / 'short', lengths=(30, 21)),
      keep_steps=6,
      train__steps=0,
      train__epochs=1,
      population__wave=1,
      curriculum__pairing='fixed',
    )
    opened = run.open_run(workdir)
    first, second = (model.total_steps for model in opened.models)
    self.assertGreater(first, second)
    kept = checkpoint.kept_steps(opened)
    self.assertIn(first, kept)
    trained = embedding.Trained(workdir).at_step(first)
    self.assertEqual(int(trained.model_state(1).step), second)


if __name__ == '__main__':
  absltest.main()
