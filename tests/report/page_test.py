import base64
import json
import pathlib
import re
import tempfile

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import page, pictures
from tests.report import checker

_FILES = (
  'config.json',
  'models.json',
  'metrics.csv',
  'evaluation/scores.csv',
  'evaluation/summary.csv',
  'evaluation/skipped.csv',
)
_SLOW_FILES = (
  'metrics.csv',
  'evaluation/scores.csv',
)
_SOURCES = ('trained', 'random_encoder', 'pixel_pca')
_SPLITS = ('random', 'cross_video')
_METRICS = ('f1', 'f1_flat', 'auc', 'ap', 'balanced_accuracy', 'mcc')


def _models(person_ids, **changes):
  return [
    {
      'model_id': f'facecycle-{person_id}-s0',
      'cohort': [person_id],
      'seed': 0,
      'total_steps': 100,
      'num_epochs': 4,
      'num_frames': 1200,
      'num_videos': 2,
      'gap_cap': None,
      'status': 'done',
      'steps_done': 100,
      'failed_step': None,
    }
    | changes
    for person_id in person_ids
  ]


def _metrics(models):
  steps = np.arange(10, 101, 10)
  rows = [
    pd.DataFrame(
      {
        'step': steps,
        'model_id': model['model_id'],
        'epoch': 1,
        'gap': steps // 10,
        'learning_rate': 1e-4,
        'neutral_weight': 1.0,
        'loss': 50.0 / steps + 0.01 * index,
        'pixel': 5.0 / steps,
        'ssim': 0.5,
        'perceptual': 0.0,
        'grad_norm': 1.0,
        'steps_per_s': 8.0,
        'frames_per_s': 256.0,
      }
    )
    for index, model in enumerate(models)
  ]
  return pd.concat(rows)


def _scores(models, units):
  generator = np.random.default_rng(0)
  rows = [
    (source, model['model_id'], person_id, split, direction, unit)
    for model in models
    for person_id in model['cohort']
    for split in _SPLITS
    for direction in (
      ('forward', 'backward') if split == 'cross_video' else ('within',)
    )
    for unit in units
    for source in _SOURCES
  ]
  columns = ('source', 'model_id', 'person_id', 'split', 'direction', 'target')
  table = pd.DataFrame(rows, columns=columns)
  table['base_rate'] = 0.1
  for metric in ('f1', 'f1_bootstrap', 'balanced_accuracy', 'auc', 'ap', 'mcc'):
    table[metric] = generator.uniform(0.4, 0.9, len(table))
  return pd.concat([table, _structure(models)])


def _summary(*, low=-0.01, high=0.09):
  rows = []
  for split in _SPLITS:
    for metric in _METRICS:
      metric = 'f1_bootstrap' if metric == 'f1' else metric
      at = split, 'action_units', metric
      rows += [
        (source, '', *at, 0.7, 0.65, 0.75, 27, None, None)
        for source in _SOURCES
      ]
      rows += [
        ('trained', 'random_encoder', *at, 0.04, low, high, 27, 20, 7),
        ('trained', 'pixel_pca', *at, -0.15, -0.2, -0.1, 27, 1, 26),
      ]
  columns = ('first', 'second', 'split', 'target', 'metric', 'mean', 'ci_low')
  columns += ('ci_high', 'num_persons', 'wins', 'losses')
  return pd.DataFrame(rows, columns=columns)


def _structure(models):
  rows = []
  for model in models:
    for source in _SOURCES:
      ids = {
        'source': source,
        'model_id': model['model_id'],
        'person_id': model['cohort'][0],
      }
      rows.append(
        {
          **ids,
          'split': '',
          'target': 'embedding',
          'effective_rank': 2.5,
          'unit_std': 0.05,
        }
      )
      rows += [
        {**ids, 'split': 'cross_video', 'target': pose, 'pearson': value}
        for pose, value in (('yaw', 0.9), ('roll', 0.4))
      ]
  return pd.DataFrame(rows)


def _fill(workdir, *, models=None, units=('AU01', 'AU12'), skipped=()):
  """Writes a run directory and returns it."""
  models = models or _models(['P01', 'P02', 'P03'])
  workdir = pathlib.Path(workdir)
  (workdir / 'evaluation').mkdir()
  (workdir / 'config.json').write_text(
    json.dumps({'seed': 0, 'data': {'path': '/secret', 'size_px': 64}})
  )
  (workdir / 'models.json').write_text(
    json.dumps({'schema_version': 1, 'method': 'facecycle', 'models': models})
  )
  tables = {
    'metrics.csv': _metrics(models),
    'evaluation/scores.csv': _scores(models, units),
    'evaluation/summary.csv': _summary(),
    'evaluation/skipped.csv': pd.DataFrame(
      skipped, columns=['person_id', 'split', 'reason']
    ),
  }
  for name, table in tables.items():
    table.to_csv(workdir / name, index=False)
  return workdir


def _pictures(num_frames=2):
  image = np.zeros((num_frames, 16, 16, 3), np.uint8)
  return pictures.Pictures(
    input=image,
    made={'neutral': image, 'reconstruction': image},
    flow=np.zeros((num_frames, 4, 4, 2), np.float32),
    frames=[('P01', 'v1', frame) for frame in range(num_frames)],
  )


class WholePageTest(absltest.TestCase):
  """A page of a run with everything but pictures; written once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.workdir = _fill(cls.enterClassContext(tempfile.TemporaryDirectory()))
    cls.path = page.write(cls.workdir)
    cls.parsed = checker.parse(cls.path)

  def test_every_element_is_closed(self):
    self.assertEmpty(self.parsed.open)

  def test_nothing_is_loaded_and_nothing_runs(self):
    content = self.path.read_text('utf-8')
    self.assertNotRegex(content, r'(?i)https?://|@import|url\(|<script|<link')
    self.assertNotRegex(content, r'(?i)\son[a-z]+=|javascript:')
    for image in self.parsed.of('img'):
      self.assertStartsWith(image['src'], 'data:image/')
    links = [a['href'] for a in self.parsed.of('a')]
    self.assertTrue(all(href.startswith('#') for href in links))

  def test_images_load_nothing_either(self):
    for image in self.parsed.of('img'):
      kind, content = image['src'].split(';base64,')
      if kind == 'data:image/svg+xml':
        svg = base64.b64decode(content).decode()
        self.assertNotRegex(svg, r'<script|<image|href="(?!#)|url\((?!#)')

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
    self.assertGreater(len(tables), 5)
    self.assertLen(self.parsed.of('caption'), len(tables))
    self.assertTrue(all('scope' in th for th in self.parsed.of('th')))

  def test_headings_follow_their_order(self):
    levels = [
      int(name[1])
      for name, _ in self.parsed.elements
      if re.fullmatch('h[1-6]', name)
    ]
    self.assertEqual(levels.count(1), 1)
    self.assertTrue(all(b - a <= 1 for a, b in zip(levels, levels[1:])))  # noqa: B905

  def test_figures_are_files_too(self):
    files = list((self.workdir / 'report').iterdir())
    self.assertLen(files, 2 * len(self.parsed.of('img')))
    for file in files:
      self.assertIn(file.read_bytes()[:4], (b'\x89PNG', b'<?xm'))

  def test_without_pictures_there_is_no_face(self):
    self.assertIn('No face is shown', checker.text(self.path))
    self.assertNotIn('Neutral: the face', checker.text(self.path))
    self.assertEmpty(list((self.workdir / 'report').glob('faces*')))

  def test_paths_of_the_configuration_stay_out(self):
    self.assertIn('data.size_px', self.path.read_text('utf-8'))
    self.assertNotIn('/secret', self.path.read_text('utf-8'))

  def test_it_says_that_embeddings_do_not_share_coordinates(self):
    self.assertIn(
      'do not share coordinates', checker.section(self.path, 'embeddings')
    )

  def test_summary_does_not_claim_what_the_interval_does_not_show(self):
    summary = checker.section(self.path, 'summary')
    self.assertIn('to the random encoder is +.04', summary)
    self.assertIn('not established', summary)
    self.assertIn('.15 below pixel PCA', summary)


class PageTest(parameterized.TestCase):
  def _workdir(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _quick_run(self, **options):
    """Fills a run that is quick to report: with two figures."""
    workdir = _fill(self._workdir(), **options)
    for name in _SLOW_FILES:
      (workdir / name).unlink()
    return workdir

  def test_an_empty_run_directory_gives_a_page_of_what_to_do(self):
    path = page.write(self._workdir())
    self.assertEmpty(checker.parse(path).open)
    for name in set(_FILES) - {'evaluation/skipped.csv'}:
      self.assertIn(f'{name} is missing', checker.text(path))
    for program in ('train', 'embed', 'evaluate'):
      self.assertIn(f'python -m launch.{program}', checker.text(path))

  def test_missing_tables_are_named(self):
    text = checker.text(page.write(self._quick_run()))
    for name in _SLOW_FILES:
      self.assertIn(f'{name} is missing', text)

  @parameterized.parameters('config.json', 'models.json', _FILES[4])
  def test_each_other_file_may_be_missing(self, name):
    workdir = self._quick_run()
    (workdir / name).unlink()
    path = page.write(workdir)
    self.assertEmpty(checker.parse(path).open)
    self.assertIn(f'{name} is missing', checker.text(path))

  def test_nobody_may_be_skipped(self):
    workdir = self._quick_run()
    (workdir / 'evaluation/skipped.csv').unlink()
    self.assertNotIn('could not be scored', checker.text(page.write(workdir)))

  def test_metrics_alone_are_drawn(self):
    workdir = _fill(self._workdir())
    for name in _FILES[3:]:
      (workdir / name).unlink()
    page.write(workdir)
    names = sorted(p.stem for p in (workdir / 'report').glob('*.png'))
    self.assertEqual(names, ['gap', 'loss', 'loss_terms'])

  def test_tables_without_rows_are_reported(self):
    workdir = _fill(self._workdir())
    for name in _FILES[2:]:
      header = (workdir / name).read_text().splitlines()[0]
      (workdir / name).write_text(f'{header}\n')
    text = checker.text(page.write(workdir))
    self.assertIn('metrics.csv holds no logged step', text)
    self.assertIn('evaluation/scores.csv holds no scores', text)

  def test_the_same_run_gives_the_same_page(self):
    workdir = self._quick_run()
    before = page.write(workdir).read_bytes()
    self.assertEqual(page.write(workdir).read_bytes(), before)

  def test_a_gain_whose_interval_leaves_out_zero_is_stated(self):
    workdir = self._quick_run()
    summary = _summary(low=0.01, high=0.07)
    summary.to_csv(workdir / 'evaluation/summary.csv', index=False)
    summary = checker.section(page.write(workdir), 'summary')
    self.assertIn('.04 above the random encoder', summary)
    self.assertNotIn('not established', summary)

  def test_hostile_names_stay_text(self):
    hostile = '"><img src=x onerror=alert(1)>&<b>$x_$'
    models = _models([hostile, 'P02'])
    workdir = _fill(
      self._workdir(),
      models=models,
      units=('AU01',),
      skipped=[(hostile, 'random', f'because {hostile}')],
    )
    (workdir / 'config.json').write_text(json.dumps({hostile: hostile}))
    path = page.write(workdir, title=hostile)
    parsed = checker.parse(path)
    self.assertEmpty(parsed.open)
    self.assertNotIn('onerror', {key for _, a in parsed.elements for key in a})
    self.assertTrue(all('alt' in image for image in parsed.of('img')))
    self.assertIn(f'because {hostile}', checker.text(path))
    self.assertIn('<title>&#34;&gt;&lt;img', path.read_text('utf-8'))

  def test_a_failed_model_is_highlighted_and_warned_about(self):
    failed = _models(['P09'], status='failed', steps_done=50, failed_step=50)
    workdir = _fill(self._workdir(), models=_models(['P01', 'P02']) + failed)
    metrics = pd.read_csv(workdir / 'metrics.csv')
    is_last = (metrics['model_id'] == 'facecycle-P09-s0') & (
      metrics['step'] >= 50
    )
    metrics.loc[is_last, 'loss'] = np.nan
    metrics.to_csv(workdir / 'metrics.csv', index=False)
    path = page.write(workdir)
    self.assertIn(
      '<span class="bad">failed at step 50</span>',
      checker.section(path, 'models'),
    )
    self.assertIn('2 finished and 1 failed', checker.section(path, 'summary'))
    self.assertIn(
      '1 model failed: facecycle-P09-s0 (at step 50)',
      checker.section(path, 'warnings'),
    )

  def test_pictures_are_shown_when_they_are_given(self):
    workdir = self._quick_run()
    path = page.write(workdir, pictures={'facecycle-P01-s0': _pictures()})
    self.assertIn('Face pictures of P01', checker.section(path, 'pictures'))
    self.assertIn('It shows faces', checker.text(path))
    self.assertTrue((workdir / 'report/faces_facecycle-P01-s0.png').exists())

  def test_a_page_without_pictures_removes_those_of_an_earlier_one(self):
    workdir = self._quick_run()
    page.write(workdir, pictures={'facecycle-P01-s0': _pictures()})
    page.write(workdir)
    self.assertEmpty(list((workdir / 'report').glob('faces*')))

  def test_pictures_of_few_models_only(self):
    workdir = self._quick_run()
    given = {f'facecycle-P0{i}-s0': _pictures(1) for i in (1, 2, 3)}
    path = page.write(workdir, pictures=given, max_pictures=2)
    self.assertIn('Pictures of 2 of 3 models', checker.text(path))
    self.assertLen(list((workdir / 'report').glob('faces*.png')), 2)

  def test_pictures_of_an_unknown_model_are_refused(self):
    workdir = self._quick_run()
    with self.assertRaisesRegex(ValueError, r'facecycle-P77.*models\.json'):
      page.write(workdir, pictures={'facecycle-P77-s0': _pictures()})

  def test_200_models_stay_small(self):
    models = _models([f'P{i:03d}' for i in range(200)])
    path = page.write(_fill(self._workdir(), models=models))
    self.assertLess(path.stat().st_size, 2_500_000)
    self.assertIn('Table of 200 people', checker.text(path))
    self.assertIn('Table of 200 models', checker.text(path))

  def test_one_model_of_everybody_is_not_called_person_specific(self):
    model = _models(['P01'])[0] | {'cohort': ['P01', 'P02']}
    text = checker.text(page.write(self._quick_run(models=[model])))
    self.assertIn('1 model of 2 people of facial movement', text)


if __name__ == '__main__':
  absltest.main()
