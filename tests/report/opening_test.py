"""What a page opens with, of small runs without any labels."""

import json
import pathlib
import re
import tempfile

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.data import embedded, labels, movies
from psm_jax.report import groups, page, previews
from tests import tiny
from tests.report import checker

_LENGTH = 40


def _model(person_id, **changes):
  return {
    'model_id': f'm-{person_id}',
    'cohort': [person_id],
    'seed': 0,
    'total_steps': 100,
    'num_epochs': 4,
    'num_frames': 2 * _LENGTH,
    'num_videos': 2,
    'gap_cap': None,
    'status': 'done',
    'steps_done': 100,
    'failed_step': None,
    **changes,
  }


def _table(person_id, *, landmarks=False):
  """Returns embeddings of two videos, in which two movements alternate."""
  generator = np.random.default_rng(list(person_id.encode()))
  num = 2 * _LENGTH
  kind = np.arange(num) // 8 % 2
  values = 3 * kind[:, None] + generator.normal(size=(num, 8))
  table = pd.DataFrame(
    {
      'model_id': f'm-{person_id}',
      'person_id': person_id,
      'video_id': np.repeat(['a', 'b'], _LENGTH),
      'frame': np.tile(np.arange(_LENGTH), 2),
      'time_s': np.tile(np.arange(_LENGTH), 2) / 10,
      'confidence': np.float32(0.9),
    }
  )
  units = [f'e{i:03d}' for i in range(8)]
  parts = [table, pd.DataFrame(values.astype(np.float32), columns=units)]
  if landmarks:
    shape = generator.uniform(5, 27, (1, 68, 2))
    moved = (shape + kind[:, None, None]).reshape(num, -1)
    parts.append(pd.DataFrame(moved, columns=list(labels.LANDMARK_COLUMNS)))
  return pd.concat(parts, axis=1)


def _run(people, *, models=None, **options):
  """Returns the directory of a run that was embedded."""
  workdir = pathlib.Path(tempfile.mkdtemp())
  content = {
    'schema_version': 1,
    'method': 'm',
    'models': models or [_model(person) for person in people],
  }
  (workdir / 'models.json').write_text(json.dumps(content))
  (workdir / 'config.json').write_text(json.dumps({'data': {'size_px': 32}}))
  for person in people:
    folder = workdir / 'embeddings' / f'm-{person}' / person
    folder.mkdir(parents=True)
    for video, table in _table(person, **options).groupby('video_id'):
      table.to_parquet(folder / f'{video}.parquet', index=False)
  return workdir


def _maps(path):
  """Returns what the script of the page reads."""
  return [
    json.loads(attributes['data-map'])
    for _, attributes in checker.parse(path).elements
    if 'data-map' in attributes
  ]


class OpeningTest(absltest.TestCase):
  def test_unlabelled_video_has_a_whole_page(self):
    path = page.write(_run(['P1', 'P2']))
    self.assertEmpty(checker.parse(path).open)
    text = checker.text(path)
    self.assertIn('Nobody labelled these frames', text)
    for file in ('summary.csv', 'scores.csv'):
      self.assertNotIn(f'evaluation/{file} is missing', text)
    anchors = re.findall(r'<section id="([\w-]+)"', path.read_text())
    self.assertEqual(anchors[:4], ['people', 'map', 'groups', 'summary'])
    self.assertNotIn('scores', anchors)

  def test_one_person_in_one_run(self):
    path = page.write(_run(['P1']))
    self.assertIn('80 frames', checker.section(path, 'people'))
    self.assertIn('little: fewer than 30 s', checker.section(path, 'people'))

  def test_failed_and_unfinished_models_say_so(self):
    models = [
      _model('P1', status='failed', failed_step=7),
      _model('P2', status='running', steps_done=50),
    ]
    people = checker.section(
      page.write(_run(['P1', 'P2'], models=models)), 'people'
    )
    self.assertIn('failed at step 7', people)
    self.assertIn('50 of 100 steps', people)

  def test_300_people_stay_small_and_readable(self):
    people = [f'P{i:03d}' for i in range(300)]
    path = page.write(_run(people), max_pictures=3)
    self.assertLess(path.stat().st_size, 3_000_000)
    text = checker.text(path)
    self.assertIn('And 260 models more', text)

  def test_only_the_maps_script_runs(self):
    content = page.write(_run(['P1'])).read_text()
    self.assertEqual(content.count('<script'), 1)
    self.assertRegex(content, r'script-src &#39;sha256-')
    self.assertNotRegex(content, r'(?i)https?://|@import|url\(|<link')

  def test_without_faces_landmarks_move_the_mean_person(self):
    people = ['P1', 'P2', 'P3']
    (shown,) = _maps(page.write(_run(people, landmarks=True)))
    self.assertNotIn('sprite', shown)
    drawn = np.array(shown['faces'])
    means = drawn.reshape(3, -1, 136).mean(axis=1)
    # Whose they are cannot be told: everybody's mean is the same.
    np.testing.assert_allclose(means - means[0], 0, atol=0.1)
    self.assertGreater(np.ptp(drawn, axis=0).max(), 2)

  def test_two_people_have_no_mean_that_hides_them(self):
    (shown,) = _maps(page.write(_run(['P1', 'P2'], landmarks=True)))
    self.assertNotIn('faces', shown)

  def test_faces_are_shown_when_frames_are_given(self):
    workdir = _run(['P1', 'P2'])
    index = pd.concat([_table('P1'), _table('P2')], ignore_index=True)
    store = tiny.store_of(index)
    folder = workdir / embedded.FILMS
    folder.mkdir(parents=True)
    pictures = [np.zeros((16, 64, 3), np.uint8)] * 3
    for name in ('m-P1', 'transfer'):
      movies.write(folder / f'{name}.mp4', pictures, fps=10)
    (folder / 'transfer.json').write_text('{"people": ["P1", "P2"]}')
    path = page.write(workdir, store=store)
    films_shown = checker.parse(path).of('video')
    self.assertLen(films_shown, 2)
    for film in films_shown:
      self.assertStartsWith(film['src'], 'data:video/mp4;base64,')
      self.assertIn('aria-label', film)
    self.assertIn('sprite', _maps(path)[0])
    self.assertNotEmpty(list((workdir / 'report').glob('faces_strips*.png')))
    self.assertIn('It shows faces', checker.text(path))
    # And the next page without them leaves nothing behind.
    path = page.write(workdir)
    self.assertEmpty(checker.parse(path).of('video'))
    self.assertEmpty(list((workdir / 'report').glob('faces*')))


class GroupsTest(absltest.TestCase):
  def test_frames_that_are_alike_are_together(self):
    made = groups.find(_table('P1'))
    kind = np.arange(2 * _LENGTH) // 8 % 2
    for group in np.unique(made.label):
      self.assertLen(set(kind[made.label == group]), 1)
      self.assertTrue((made.label[made.exemplars[group]] == group).all())
    self.assertCountEqual(made.order, np.unique(made.label))

  def test_frames_that_are_all_the_same_have_no_groups(self):
    table = _table('P1')
    table[[c for c in table if re.fullmatch(r'e\d+', c)]] = np.float32(1)
    self.assertIsNone(groups.find(table))
    self.assertIsNone(groups.find(table[:5]))


class PreviewsTest(absltest.TestCase):
  def test_somebody_without_landmarks_stops_the_mean(self):
    tables = {p: _table(p, landmarks=True) for p in ('P1', 'P2', 'P3')}
    self.assertIsNotNone(previews.lines_of(tables, size_px=32))
    self.assertIsNone(
      previews.lines_of({**tables, 'P4': _table('P4')}, size_px=32)
    )


if __name__ == '__main__':
  absltest.main()
