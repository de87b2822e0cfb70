"""Claims about scores along training."""

import pathlib
import tempfile

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import evaluate, learning_curve, results
from tests.evaluation import people

_STEPS = (0, 4, 10)


class LearningCurveTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    for name, gain in (('one', 1.0), ('other', 3.0)):
      for step in _STEPS:
        people.write_tables(
          cls.folder / name / 'steps' / f'{step:09d}',
          cls._tables(name, gain * step / 10),
          step=step,
        )
    cls.written = learning_curve.score(
      {'one': cls.folder / 'one', 'other': cls.folder / 'other'},
      cls.folder / 'curve',
    )
    cls.curve, cls.summary = (
      pd.read_csv(path, keep_default_na=False, na_values={'auc': ''})
      for path in cls.written
    )

  @staticmethod
  def _tables(source, gain):
    """Returns what models know that tell action units the more, the later."""
    return [
      people.table(
        people.frames(p), source, model_id=f'm-{p}', action=gain, noise=4.0
      )
      for p in ('P1', 'P2')
    ]

  def test_every_step_is_scored(self):
    cells = self.curve.groupby(['source', 'person_id', 'split'])['step']
    self.assertLen(cells, 2 * 2 * 2)
    for _, steps in cells:
      self.assertEqual(steps.tolist(), list(_STEPS))
    self.assertEqual(set(self.curve['num_units']), {len(people.UNITS)})

  def test_columns_are_the_described_ones(self):
    self.assertEqual(tuple(self.curve), learning_curve.COLUMNS)
    self.assertEqual(tuple(self.summary), learning_curve.SUMMARY_COLUMNS)

  def test_a_step_has_the_scores_of_its_embeddings(self):
    rows, _ = evaluate.evaluate(
      self._tables('one', 1.0),
      config=learning_curve.DEFAULT,
      add_controls=False,
      show_progress=False,
    )
    table = results.table(rows)
    is_auc = (table['metric'] == 'auc') & (table['target'] != 'action_units')
    keys = ['person_id', 'split']
    expected = table[is_auc].groupby(keys)['value'].mean()
    last = self.curve[
      (self.curve['step'] == 10) & (self.curve['source'] == 'one')
    ].set_index(keys)['auc']
    np.testing.assert_allclose(
      last[expected.index].astype(float), expected, rtol=1e-6
    )

  def test_runs_are_compared_with_the_first_step_by_step(self):
    pairs = self.summary[self.summary['second'] == 'one']
    self.assertEqual(set(pairs['first']), {'other'})
    auc = pairs[pairs['metric'] == 'auc'].groupby('step')['mean'].mean()
    self.assertEqual(auc.index.tolist(), list(_STEPS))
    self.assertGreater(auc[10], 0.03)

  def test_means_are_over_people(self):
    rows = self.summary[
      (self.summary['metric'] == 'auc')
      & (self.summary['first'] == 'one')
      & (self.summary['second'] == '')
      & (self.summary['split'] == 'blocked')
    ]
    own = self.curve[
      (self.curve['source'] == 'one') & (self.curve['split'] == 'blocked')
    ]
    np.testing.assert_allclose(
      rows['mean'], own.groupby('step')['auc'].mean(), rtol=1e-6
    )

  def test_what_was_seen_is_what_the_tables_say(self):
    seen = self.curve.groupby('step')[['epochs', 'examples_seen']].first()
    np.testing.assert_allclose(seen['epochs'], np.array(_STEPS) / 10)
    np.testing.assert_allclose(seen['examples_seen'], 4 * np.array(_STEPS))
    summary = self.summary.groupby('step')['epochs'].first()
    np.testing.assert_allclose(summary, np.array(_STEPS) / 10)

  def test_a_run_without_tables_says_the_command(self):
    with self.assertRaisesRegex(ValueError, 'keep_steps.* --kept_steps'):
      learning_curve.score({'psm': self.folder / 'none'}, self.folder / 'out')


if __name__ == '__main__':
  absltest.main()
