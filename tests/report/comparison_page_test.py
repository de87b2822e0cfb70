import re
import tempfile

import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import comparison, comparison_page
from tests.report import checker, fake_comparison


class WholePageTest(absltest.TestCase):
  """A page of a comparison with every table, without maps; written once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = fake_comparison.fill(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.path = comparison_page.write(cls.folder)
    cls.parsed = checker.parse(cls.path)

  def test_every_element_is_closed(self):
    self.assertEmpty(self.parsed.open)

  def test_nothing_is_loaded_and_nothing_runs(self):
    content = self.path.read_text('utf-8')
    self.assertNotRegex(content, r'(?i)https?://|@import|url\(|<script|<link')
    for image in self.parsed.of('img'):
      self.assertStartsWith(image['src'], 'data:image/')

  def test_links_lead_to_sections(self):
    ids = {a['id'] for _, a in self.parsed.elements if 'id' in a}
    for link in self.parsed.of('a'):
      self.assertIn(link['href'][1:], ids)

  def test_every_image_says_what_it_shows(self):
    alts = [image['alt'] for image in self.parsed.of('img')]
    self.assertLen(set(alts), 5)
    self.assertTrue(all(re.search(r'\d', alt) for alt in alts))

  def test_tables_have_captions_and_scopes(self):
    tables = self.parsed.of('table')
    self.assertLen(self.parsed.of('caption'), len(tables))
    self.assertTrue(all('scope' in th for th in self.parsed.of('th')))

  def test_headings_follow_their_order(self):
    names = [n for n, _ in self.parsed.elements if re.fullmatch('h[1-6]', n)]
    levels = [int(name[1]) for name in names]
    self.assertEqual(levels.count(1), 1)
    self.assertTrue(all(b - a <= 1 for a, b in zip(levels, levels[1:])))  # noqa: B905

  def test_figures_are_files_too(self):
    names = {path.name for path in (self.folder / 'report').iterdir()}
    for name in ('approaches', 'approach_differences', 'leakage'):
      self.assertContainsSubset({f'{name}.png', f'{name}.svg'}, names)

  def test_the_best_approach_is_the_first_row(self):
    rows = re.findall(
      r'<th scope="row" class="name">(\w+)',
      checker.section(self.path, 'approaches'),
    )
    self.assertEqual(rows[:4], ['gm', 'gm_to_psm', 'psm', 'ctl'])

  def test_the_baseline_is_marked_once_a_table(self):
    content = checker.section(self.path, 'approaches')
    self.assertEqual(content.count('class="badge"'), 1)
    self.assertIn('psm <span class="badge">baseline', content)

  def test_differences_are_bold_only_if_established(self):
    content = checker.section(self.path, 'approaches')
    self.assertIn('<b>+.06<span', content)
    self.assertNotIn('<b>+.01<span', content)

  def test_the_warning_on_coordinates_is_there(self):
    self.assertIn(
      'do not share coordinates', checker.section(self.path, 'leakage')
    )

  def test_costs_are_told_against_the_baseline(self):
    content = checker.section(self.path, 'costs')
    self.assertIn('0.333 ×', content)
    self.assertIn('15 min', content)

  def test_paths_of_other_runs_stay_out(self):
    content = self.path.read_text('utf-8')
    self.assertIn('>gm</td>', content)
    self.assertNotIn('/secret', content)

  def test_left_out_frames_are_told(self):
    self.assertIn('not in psm', checker.section(self.path, 'warnings'))


class ComparisonPageTest(parameterized.TestCase):
  def _folder(self, **options):
    return fake_comparison.fill(self.create_tempdir().full_path, **options)

  def test_missing_tables_are_named(self):
    folder = self._folder()
    for name in comparison.FILES[1:]:
      (folder / name).unlink()
    path = comparison_page.write(folder)
    self.assertEmpty(checker.parse(path).open)
    for name in ('scores.csv', 'summary.csv'):
      self.assertIn(f'{name} is missing', checker.text(path))
    self.assertIn('python -m launch.compare', checker.text(path))

  def test_an_approach_without_any_score_is_warned_about(self):
    changes = {'gm': {'auc_cross_video': None, 'f1_cross_video': None}}
    folder = self._folder(changes=changes)
    path = comparison_page.write(folder)
    self.assertIn('No AUC across videos: gm', checker.section(path, 'warnings'))

  def test_a_table_of_approaches_alone_may_be_without_scores(self):
    folder = self._folder()
    path = folder / comparison.APPROACHES
    keep = ['approach', 'kind', 'is_baseline', 'num_persons']
    pd.read_csv(path)[keep].to_csv(path, index=False)
    for name in comparison.FILES[1:]:
      (folder / name).unlink()
    page = comparison_page.write(folder)
    self.assertIn('approaches.csv holds no score', checker.text(page))
    self.assertIn('has no score', checker.section(page, 'summary'))

  def test_hostile_reasons_stay_text(self):
    folder = self._folder()
    hostile = '"><img src=x onerror=alert(1)>'
    row = {'person_id': ['P1'], 'split': ['random'], 'reason': [hostile]}
    pd.DataFrame(row).to_csv(folder / 'skipped.csv', index=False)
    for name in ('scores.csv', 'summary.csv'):
      (folder / name).unlink()
    path = comparison_page.write(folder)
    parsed = checker.parse(path)
    self.assertNotIn('onerror', {key for _, a in parsed.elements for key in a})
    self.assertIn(hostile, checker.text(path))


if __name__ == '__main__':
  absltest.main()
