"""Pages as wholes: of runs and of comparisons, whatever is there of them."""

import base64
import json
import pathlib
import re
import tempfile

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized

from psm_jax.data import embedded, movies
from psm_jax.evaluation import approach_table
from psm_jax.report import page, pictures
from tests import tiny
from tests.report import checker, fake

_SPLITS = ('cross_video', 'random')


def _pictures(num_frames=2):
  image = np.zeros((num_frames, 16, 16, 3), np.uint8)
  return pictures.Pictures(
    input=image,
    made={'neutral': image, 'reconstruction': image},
    flow=np.zeros((num_frames, 4, 4, 2), np.float32),
    frames=[('P1', 'v1', frame) for frame in range(num_frames)],
  )


def _maps(path):
  """Returns what the script of the page reads."""
  return [
    json.loads(attributes['data-map'])
    for _, attributes in checker.parse(path).elements
    if 'data-map' in attributes
  ]


class WholePage(parameterized.TestCase):
  """What holds for every page; written once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.path = page.write(cls.fill(cls.folder))
    cls.parsed = checker.parse(cls.path)

  def test_every_element_is_closed(self):
    self.assertEmpty(self.parsed.open)

  def test_nothing_is_loaded_and_only_the_script_of_the_policy_runs(self):
    content = self.path.read_text('utf-8')
    outside = r'(?i)https?://|@import|url\(|<link|\son[a-z]+=|javascript:'
    self.assertIsNone(re.search(outside, content))
    self.assertLen(self.parsed.of('script'), 1)
    (policy,) = (
      m['content'] for m in self.parsed.of('meta') if 'http-equiv' in m
    )
    self.assertRegex(policy, r"script-src 'sha256-[\w+/]{43}='$")
    for image in self.parsed.of('img'):
      kind, data = image['src'].split(';base64,')
      self.assertStartsWith(kind, 'data:image/')
      if kind == 'data:image/svg+xml':
        svg = base64.b64decode(data).decode()
        outside = r'<script|href="(?!#|data:image/png;)|url\((?!#)'
        self.assertIsNone(re.search(outside, svg))

  def test_links_lead_to_sections(self):
    ids = {a['id'] for _, a in self.parsed.elements if 'id' in a}
    for link in self.parsed.of('a'):
      self.assertIn(link['href'][1:], ids)

  def test_every_image_says_what_it_shows(self):
    alts = [image['alt'] for image in self.parsed.of('img')]
    self.assertLen(set(alts), len(alts))
    self.assertTrue(all(re.search(r'\d', alt) for alt in alts))
    self.assertLen(self.parsed.of('figcaption'), len(alts))

  def test_tables_have_captions_and_scopes(self):
    tables = self.parsed.of('table')
    self.assertGreater(len(tables), 4)
    self.assertLen(self.parsed.of('caption'), len(tables))
    self.assertTrue(all('scope' in th for th in self.parsed.of('th')))

  def test_headings_follow_their_order(self):
    names = [n for n, _ in self.parsed.elements if re.fullmatch('h[1-6]', n)]
    levels = [int(name[1]) for name in names]
    self.assertEqual(levels.count(1), 1)
    self.assertTrue(all(b - a <= 1 for a, b in zip(levels, levels[1:])))  # noqa: B905

  def test_figures_are_files_too(self):
    files = list((self.folder / 'report').iterdir())
    self.assertLen(files, 2 * len(self.parsed.of('img')))
    for file in files:
      self.assertIn(file.read_bytes()[:4], (b'\x89PNG', b'<?xm'))

  def test_paths_stay_out(self):
    self.assertNotIn('/secret', self.path.read_text('utf-8'))

  def test_it_says_that_embeddings_do_not_share_coordinates(self):
    self.assertIn(
      'do not share coordinates', checker.section(self.path, 'embeddings')
    )

  def test_no_cell_is_not_a_number(self):
    cells = re.findall('<t[dh][^>]*>([^<]*)', self.path.read_text('utf-8'))
    self.assertEmpty({'nan', 'None', 'NaN', '<NA>'}.intersection(cells))


@pytest.mark.thorough
class RunTest(WholePage):
  @staticmethod
  def fill(folder):
    fake.run(folder, splits=_SPLITS)
    return fake.embedded(folder, fake.PEOPLE[:3], landmarks=True)

  def test_its_sections_come_in_the_order_of_reading(self):
    anchors = re.findall(r'<section id="(\w+)"', self.path.read_text())
    self.assertEqual(
      anchors[:6], ['people', 'maps', 'groups', 'summary', 'scores', 'persons']
    )
    self.assertNotIn('few_labels', anchors)
    self.assertNotIn('clusters', anchors)

  def test_the_verdict_is_one_sentence_with_its_interval(self):
    summary = checker.section(self.path, 'summary')
    (verdict,) = re.findall('class="verdict">([^<]*)<', summary)
    self.assertRegex(
      verdict, r'the models order 75 of 100 .*interval .* 7\d to'
    )
    self.assertIn('more than the pixels alone (74; more for 6 of 6', verdict)

  def test_without_pictures_there_is_no_face(self):
    self.assertIn('No face is shown', checker.text(self.path))
    self.assertNotIn('Neutral: the face', checker.text(self.path))
    self.assertEmpty(list((self.folder / 'report').glob('faces*')))
    self.assertIn('holds two numbers for each', checker.text(self.path))

  def test_without_faces_landmarks_move_the_mean_person(self):
    (shown,) = _maps(self.path)
    self.assertNotIn('sprite', shown)
    drawn = np.array(shown['faces'])
    means = drawn.reshape(3, -1, 136).mean(axis=1)
    # Whose they are cannot be told: everybody's mean is the same.
    np.testing.assert_allclose(means - means[0], 0, atol=0.1)
    self.assertGreater(np.ptp(drawn, axis=0).max(), 2)


@pytest.mark.thorough
class ComparisonTest(WholePage):
  @staticmethod
  def fill(folder):
    return fake.comparison(folder, noise=0.02)

  def test_the_best_approach_is_the_first_row(self):
    rows = re.findall(
      r'<th scope="row" class="name">([\w ]+?)(?: <span|<)',
      checker.section(self.path, 'scores'),
    )
    self.assertEqual(rows[0], 'gm')
    self.assertEqual(rows[3:5], ['ctl', 'Pixel PCA'])

  def test_the_baseline_is_marked(self):
    content = checker.section(self.path, 'scores')
    self.assertIn('psm <span class="badge">baseline', content)
    self.assertEqual(content.count('class="badge"'), 1)

  def test_differences_are_bold_only_if_established(self):
    content = checker.section(self.path, 'scores')
    self.assertRegex(content, r'<b>\+\.0\d+<span')
    self.assertRegex(content, r'(?<!<b>)\+?\.00\d*<span')

  def test_costs_are_told_against_the_baseline(self):
    content = checker.section(self.path, 'costs')
    self.assertIn('0.167', content)
    self.assertIn('30 min', content)
    self.assertIn('>gm</td>', content)

  def test_left_out_frames_are_told(self):
    self.assertIn('not in psm', checker.section(self.path, 'warnings'))


class PageTest(parameterized.TestCase):
  def _folder(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _unscored(self, people, **options):
    """Returns a run of embeddings that nobody labelled."""
    folder = self._folder()
    fake.trained(folder, [fake.model(person) for person in people])
    return fake.embedded(folder, people, **options)

  def test_embeddings_of_several_steps_are_refused(self):
    folder = self._unscored(['A', 'B'])
    path = folder / 'embeddings/m-B/B/a.parquet'
    table = pd.read_parquet(path)
    table.attrs['step'] += 1
    table.to_parquet(path, index=False)
    with self.assertRaisesRegex(ValueError, 'B/a.parquet has step 2'):
      page.write(folder)

  def test_an_empty_run_directory_gives_a_page_of_what_to_do(self):
    path = page.write(self._folder())
    self.assertEmpty(checker.parse(path).open)
    text = checker.text(path)
    for name in ('config.json', 'models.json', 'metrics.csv'):
      self.assertIn(f'{name} is missing', text)
    self.assertIn('evaluation/results.csv is missing', text)
    for program in ('train', 'embed', 'evaluate'):
      self.assertIn(f'python -m launch.{program}', text)

  def test_metrics_alone_are_drawn(self):
    folder = fake.run(self._folder())
    for path in (folder / 'evaluation').iterdir():
      path.unlink()
    page.write(folder)
    names = [path.stem for path in (folder / 'report').glob('*.png')]
    self.assertEqual(names, ['training'])

  def test_tables_without_rows_are_reported(self):
    folder = fake.run(self._folder())
    for path in (folder / 'metrics.csv', folder / 'evaluation/results.csv'):
      path.write_text(f'{path.read_text().splitlines()[0]}\n')
    text = checker.text(page.write(folder))
    self.assertIn('metrics.csv is empty', text)
    self.assertIn('evaluation/results.csv is empty', text)

  def test_a_comparison_without_scores_says_so(self):
    folder = fake.comparison(self._folder())
    keep = list(approach_table.COLUMNS[:7])
    table = pd.read_csv(folder / 'approaches.csv')[keep]
    for path in folder.glob('*.csv'):
      path.unlink()
    table.to_csv(folder / 'approaches.csv', index=False)
    path = page.write(folder)
    self.assertEmpty(checker.parse(path).open)
    self.assertIn('results.csv is missing', checker.text(path))
    self.assertIn('launch.compare', checker.text(path))
    self.assertIn('has no score', checker.section(path, 'summary'))

  def test_unlabelled_video_has_a_whole_page(self):
    path = page.write(self._unscored(['P1', 'P2'], landmarks=True))
    self.assertEmpty(checker.parse(path).open)
    text = checker.text(path)
    self.assertIn('Nobody labelled these frames', text)
    self.assertNotIn('evaluation/results.csv', text)
    anchors = re.findall(r'<section id="([\w-]+)"', path.read_text())
    self.assertEqual(anchors[:4], ['people', 'maps', 'groups', 'summary'])
    self.assertNotIn('scores', anchors)
    # Two people have no mean that hides them.
    self.assertNotIn('faces', _maps(path)[0])

  def test_weak_labels_are_called_so_wherever_they_are(self):
    unit = 'weak_jawOpen'
    folder = fake.run(self._folder(), people=fake.PEOPLE[:2], units=(unit,))
    fake.embedded(folder, ['P1'], **{unit: 0.9})
    text = checker.text(page.write(folder))
    self.assertIn('with and without a weak label', text)
    alts = [i['alt'] for i in checker.parse(folder / 'report.html').of('img')]
    self.assertTrue(any('jawOpen (weak)' in alt for alt in alts))
    self.assertIn('The labels are weak', text)
    self.assertNotIn(unit, text)
    (shown,) = _maps(folder / 'report.html')
    self.assertIn('jawOpen (weak)', shown['texts'][0])
    said = text.split('How to read this')[1].split('Biometric')[0]
    self.assertNotIn(
      'action unit',
      text.replace(said, '').replace('not action units that people coded', ''),
    )

  @pytest.mark.thorough
  def test_the_same_run_gives_the_same_page(self):
    folder = self._unscored(['P1'])
    before = page.write(folder).read_bytes()
    self.assertEqual(page.write(folder).read_bytes(), before)

  def test_hostile_names_stay_text(self):
    hostile = '"><img src=x onerror=alert(1)>&<b>$x_$'
    folder = fake.run(
      self._folder(),
      people=('P1', 'P2'),
      means={'trained': 0.7},
      skipped=[(hostile, 'random', f'because {hostile}')],
    )
    (folder / 'config.json').write_text(json.dumps({hostile: hostile}))
    path = page.write(folder, title=hostile)
    parsed = checker.parse(path)
    self.assertEmpty(parsed.open)
    self.assertNotIn('onerror', {key for _, a in parsed.elements for key in a})
    self.assertTrue(all('alt' in image for image in parsed.of('img')))
    self.assertIn(f'because {hostile}', checker.text(path))
    self.assertIn('<title>&#34;&gt;&lt;img', path.read_text('utf-8'))

  @pytest.mark.thorough
  def test_faces_are_shown_when_frames_are_given_and_never_after(self):
    folder = self._unscored(['P1', 'P2'])
    index = pd.concat([fake.frames(p) for p in ('P1', 'P2')], ignore_index=True)
    films = folder / embedded.FILMS
    films.mkdir(parents=True)
    clip = [np.zeros((16, 64, 3), np.uint8)] * 3
    for name in ('m-P1', 'transfer'):
      movies.write(films / f'{name}.mp4', clip, fps=10)
    (films / 'transfer.json').write_text('{"people": ["P1", "P2"]}')
    path = page.write(
      folder,
      store=tiny.store_of(index),
      pictures={f'm-P{i}': _pictures(1) for i in (1, 2)},
      max_pictures=1,
    )
    shown = checker.parse(path).of('video')
    self.assertLen(shown, 2)
    for film in shown:
      self.assertStartsWith(film['src'], 'data:video/mp4;base64,')
      self.assertIn('aria-label', film)
    self.assertIn('sprite', _maps(path)[0])
    self.assertIn('It shows faces', checker.text(path))
    self.assertIn('Pictures of 1 of 2 models', checker.text(path))
    self.assertIn('1 of 2 person-specific models', checker.text(path))
    names = {p.stem for p in (folder / 'report').glob('faces*.png')}
    self.assertEqual(names, {'faces_m-P1', 'faces_strips_m-P1_P1'})
    path = page.write(folder)
    self.assertEmpty(checker.parse(path).of('video'))
    self.assertEmpty(list((folder / 'report').glob('faces*')))

  def test_pictures_of_an_unknown_model_are_refused(self):
    with self.assertRaisesRegex(ValueError, r'pictures of m-P77.*models\.json'):
      page.write(self._folder(), pictures={'m-P77': _pictures()})

  @parameterized.parameters(1, 27, 500)
  @pytest.mark.thorough
  def test_any_number_of_people_stays_small_and_says_who_is_off(self, number):
    people = [f'P{i:03d}' for i in range(number)]
    models = [fake.model(person) for person in people]
    models[-1] = fake.model(people[-1], status='failed', failed_step=7)
    options = {'units': ('AU12',), 'means': {'trained': 0.7, 'pixel_pca': 0.6}}
    folder = fake.run(self._folder(), people=people, models=models, **options)
    path = page.write(folder)
    self.assertLess(path.stat().st_size, 3_000_000)
    self.assertIn(
      f'<h3>{people[-1]}</h3>', checker.section(path, 'people').split('<li>')[1]
    )
    self.assertIn('failed at step 7', checker.section(path, 'people'))
    if number == 500:
      self.assertIn('And 460 models more', checker.text(path))
      self.assertIn('a dot for each of up to 60 people', checker.text(path))
      self.assertIn('Table of 500 people', checker.text(path))

  def test_one_model_of_everybody_is_not_called_person_specific(self):
    folder = self._folder()
    fake.trained(folder, [fake.model('P1', cohort=('P1', 'P2'))])
    text = checker.text(page.write(folder))
    self.assertIn('1 model of facial movement, 2 people', text)

  def test_what_models_began_with_stands_below_the_title(self):
    for start, is_said in ((None, False), ('gm-all-s0', True)):
      folder = self._folder()
      fake.trained(folder, [fake.model('P1', init_from=start)])
      text = checker.text(page.write(folder))
      self.assertEqual('begun from gm-all-s0' in text, is_said)


del WholePage  # Only of its subclasses is there a page.

if __name__ == '__main__':
  absltest.main()
