"""What figures show, read off their marks and their words."""

import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import learning_curve, results
from psm_jax.report import (
  evidence,
  figures,
  forest,
  previews,
  progress,
  training,
)
from tests.report import fake


class FiguresTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enterContext(figures.style())
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _read(self, **options):
    return evidence.read(fake.run(self.folder, **options), max_people=1)

  def test_a_mark_is_hollow_unless_a_difference_is_established(self):
    read = self._read(
      means={'trained': 0.7, 'pixel_pca': 0.6, 'head_pose': 0.7}
    )
    less = read.less_baseline('auc', read.split)
    panel = forest.Panel('AUC', less, zero=0.0, are_differences=True)
    (axes,) = forest.draw(read, [panel]).axes
    filled = {
      line.get_marker(): line.get_markerfacecolor() != 'white'
      for line in axes.lines
      if line.get_marker() not in ('', 'None')
    }
    self.assertEqual(filled, {'D': True, '^': False})

  def test_a_score_far_below_zero_is_written_not_drawn(self):
    read = self._read()
    values = read.values(results.ACTION_UNITS, 'auc', read.split)
    values.loc['pixel_pca', 'mean'] = -3.2
    panel = forest.Panel('R²', values.drop('random_encoder'))
    whole = forest.Panel('AUC', values)
    axes = forest.draw(read, [panel, whole]).axes[0]
    texts = [text.get_text() for text in axes.texts]
    self.assertEqual(texts, ['◂ −3.20', 'no such value'])

  @parameterized.parameters((5, 'mean'), (40, 'median'))
  def test_many_models_become_bands(self, number, what):
    people = [f'P{i}' for i in range(number)]
    read = self._read(people=people, units=('AU12',), means={'trained': 0.7})
    drawn = training.section(read)['figure']
    self.assertIn(f'the {what} goes from the first to the last', drawn.caption)
    loss = drawn.figure.axes[0]
    self.assertEqual(len(loss.lines) > number, number == 5)
    self.assertEqual(bool(loss.collections), number == 40)
    self.assertIn('left out: perceptual', drawn.caption)
    self.assertIn('Models end between 0.5 (m-P0) and', drawn.caption)

  def test_a_failed_model_is_marked_where_it_ends(self):
    models = [fake.model('P1'), fake.model('P2', status='failed')]
    read = self._read(people=('P1', 'P2'), models=models)
    loss = training.section(read)['figure'].figure.axes[0]
    self.assertIn('x', [line.get_marker() for line in loss.lines])

  def test_the_curve_over_labelled_frames_needs_its_rows_alone(self):
    self.assertIsNone(progress.few_labels(self._read()))
    more = [
      {**row, 'split': f'few_labels_{number}', 'value': row['value'] + gain}
      for number, gain in ((10, -0.2), (30, -0.1), (100, -0.01), (300, 0))
      for row in fake.rows({'trained': 0.8, 'pixel_pca': 0.7})
      if row['metric'] == 'auc'
    ]
    read = self._read(more=more)
    self.assertEqual(read.splits, [fake.SPLIT])
    made = progress.few_labels(read)
    self.assertIn('100 labelled frames of a person give', made['enough'])
    self.assertIn(
      'the trained encoder goes from .60 at 10 to .80 at 300', made['curve'].alt
    )
    (axes,) = made['curve'].figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [10, 30, 100, 300])

  def test_a_learning_curve_goes_through_its_means(self):
    read = self._read()
    self.assertIsNone(progress.learning_curve(read))
    means = {'psm': (0.5, 0.6, 0.7), 'ctl': (0.5, 0.7, 0.8)}
    rows = []
    for place, step in enumerate((0, 100, 200)):
      at = {'step': step, 'epochs': step / 40, 'metric': 'auc'}
      at |= {'target': results.ACTION_UNITS, 'split': 'cross_video'}
      values = {(name, ''): mean[place] for name, mean in means.items()}
      values['ctl', 'psm'] = means['ctl'][place] - means['psm'][place]
      rows += [
        {**at, 'first': a, 'second': b, 'mean': mean}
        | {'ci_low': mean - 0.05, 'ci_high': mean + 0.05}
        for (a, b), mean in values.items()
      ]
    columns = learning_curve.SUMMARY_COLUMNS
    pd.DataFrame(rows, columns=columns).to_csv(
      self.folder / 'evaluation' / progress.LEARNING_CURVE, index=False
    )
    made = progress.learning_curve(read)
    by_step, by_epoch = made['curve'].figure.axes
    self.assertEqual(list(by_step.lines[1].get_xdata()), [0, 100, 200])
    self.assertEqual(list(by_epoch.lines[1].get_xdata()), [0, 2.5, 5])
    self.assertEqual(list(by_step.lines[1].get_ydata()), list(means['ctl']))
    self.assertIn('ctl goes from .50 at 0 to .80 at 200', made['curve'].alt)
    verdicts = [row[-1] for row in made['table'].rows if '−' in row[2]]
    self.assertEqual(verdicts, ['not established', 'higher', 'higher'])

  def test_somebody_without_landmarks_stops_the_mean_face(self):
    tables = {p: fake.frames(p, landmarks=True) for p in ('P1', 'P2', 'P3')}
    self.assertIsNotNone(previews.lines_of(tables, size_px=32))
    tables['P4'] = fake.frames('P4')
    self.assertIsNone(previews.lines_of(tables, size_px=32))


if __name__ == '__main__':
  absltest.main()
