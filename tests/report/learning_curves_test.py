import pathlib

import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import learning_curve
from psm_jax.report import document, figures, learning_curves

_MEANS = {'psm': (0.5, 0.6, 0.7), 'ctl': (0.5, 0.7, 0.8)}


def write(folder, *, names=('psm', 'ctl'), splits=('blocked', 'cross_video')):
  """Writes a curve of three steps; differences are .1 (.05 to .15), or 0."""
  rows = []
  for split in splits:
    for place, step in enumerate((0, 100, 200)):
      seen = {'step': step, 'epochs': step / 40, 'examples_seen': 8 * step}
      for metric in ('auc', 'f1_bootstrap'):
        cell = {**seen, 'split': split, 'metric': metric, 'num_persons': 6}
        cell['target'] = 'action_units'
        for name in names:
          mean = _MEANS[name][place]
          ends = {'ci_low': mean - 0.05, 'ci_high': mean + 0.05}
          rows.append({**cell, 'first': name, 'mean': mean, **ends})
        if len(names) == 2:
          mean = _MEANS['ctl'][place] - _MEANS['psm'][place]
          ends = {'ci_low': mean - 0.05, 'ci_high': mean + 0.05}
          wins = {'wins': 6, 'losses': 0}
          pair = {'first': 'ctl', 'second': 'psm'}
          rows.append({**cell, **pair, 'mean': mean, **ends, **wins})
  columns = learning_curve.SUMMARY_COLUMNS
  pd.DataFrame(rows, columns=columns).to_csv(
    folder / learning_curves.FILE, index=False
  )


class LearningCurvesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _read(self, **options):
    write(self.folder, **options)
    return learning_curves.read(self.folder)

  def test_without_a_curve_there_are_no_rows(self):
    self.assertEmpty(learning_curves.read(self.folder))

  def test_lines_go_through_the_means_by_steps_and_by_epochs(self):
    with figures.style():
      panels = learning_curves.draw(self._read()).figure.axes
    self.assertLen(panels, 4)
    by_step, by_epoch = (axes.lines[1] for axes in panels[:2])
    self.assertEqual(list(by_step.get_xdata()), [0, 100, 200])
    self.assertEqual(list(by_epoch.get_xdata()), [0, 2.5, 5])
    for line in (by_step, by_epoch):
      self.assertEqual(list(line.get_ydata()), list(_MEANS['ctl']))

  def test_the_split_that_asks_most_comes_first(self):
    with figures.style():
      drawn = learning_curves.draw(self._read())
    self.assertEqual(
      drawn.figure.axes[0].get_title(loc='left'), 'Across videos'
    )
    self.assertIn('across videos', drawn.alt)
    self.assertIn('ctl goes from .50 at step 0 to .80 at step 200', drawn.alt)

  def test_a_difference_is_called_higher_only_where_it_is_established(self):
    with figures.style():
      content = learning_curves.section(self._read(), document.embedder({}))
    cells = [cell.split('<')[0] for cell in content.split('>')]
    verdicts = [cell for cell in cells if ' to ' in cell and ',' in cell]
    self.assertIn('.00 (−.05 to +.05), not established', verdicts)
    self.assertIn('+.10 (+.05 to +.15), higher', verdicts)

  def test_one_run_has_no_differences(self):
    with figures.style():
      content = learning_curves.section(
        self._read(names=('psm',), splits=('blocked',)), document.embedder({})
      )
    self.assertNotIn('Differences', content)
    self.assertIn('Blocked in time', content.replace('blocked', 'Blocked'))


if __name__ == '__main__':
  absltest.main()
