"""Choosing frames, reading annotations, telling labels of other frames."""

import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.labelling import choose, exports, probes, tables
from tests import tiny

_LENGTH = 120


def _values(seed=0):
  """Returns [n, D] embeddings and the label that they hold."""
  generator = np.random.default_rng(seed)
  label = (np.arange(_LENGTH) // 15 % 2).astype(float)
  mixing = generator.normal(size=(1, 16))
  noise = generator.normal(size=(_LENGTH, 16))
  return (3 * label[:, None] * mixing + noise).astype(np.float32), label


class ChooseTest(absltest.TestCase):
  def test_a_rare_movement_is_among_the_first(self):
    values, _ = _values()
    values[77] += 40
    self.assertIn(77, choose.spread(values, 5))

  def test_frames_are_chosen_once(self):
    values, _ = _values()
    taken = np.array([3, 50])
    rows = choose.spread(values, 500, taken=taken)
    self.assertCountEqual([*rows, *taken], range(_LENGTH))

  def test_frames_that_are_all_alike_are_chosen_too(self):
    self.assertLen(set(choose.spread(np.ones((9, 4), np.float32), 5)), 5)

  def test_the_least_certain_come_first(self):
    values, _ = _values()
    told = np.full((_LENGTH, 1), 0.99)
    told[40:48] = 0.5
    rows = choose.uncertain(values, told, 1, taken=np.array([], int))
    self.assertTrue(set(rows) <= set(range(40, 48)))


class ProbeTest(absltest.TestCase):
  def test_the_rest_is_told_from_few(self):
    values, label = _values()
    few = np.full(_LENGTH, np.nan)
    few[::6] = label[::6]
    probability, quality = probes.tell(values, few)
    self.assertGreater(quality['auc'], 0.9)
    self.assertGreater(((probability >= 0.5) == label).mean(), 0.9)
    num = quality['num_present'] + quality['num_absent']
    self.assertEqual(num, _LENGTH // 6)

  def test_what_embeddings_do_not_hold_is_said_to_be_guessed(self):
    values, _ = _values()
    label = np.random.default_rng(5).integers(0, 2, _LENGTH).astype(float)
    self.assertLess(probes.tell(values, label)[1]['auc'], 0.7)

  def test_one_kind_alone_is_not_told(self):
    values, _ = _values()
    self.assertIsNone(probes.tell(values, np.zeros(_LENGTH)))
    self.assertIsNone(probes.tell(values, np.full(_LENGTH, np.nan)))


class ExportsTest(parameterized.TestCase):
  @parameterized.parameters(
    'smile\t\t1.0\t2.5\t1.5\tbroad\nbrows up\t\t0.5\t1.0\t0.5\t\n',
    'smile\t\t00:00:01.000\t00:00:02.500\nbrows up\t\t00:00:00,5\t0:01.0\n',
    'Tier\tBegin\tEnd\nsmile\t1,0\t2,5\nbrows up\t0,5\t1,0\n',
    'Observation id,Subject,Behavior,Start (s),Stop (s)\n'
    'o,A,smile,1.0,2.5\no,A,brows up,0.5,1.0\n',
  )
  def test_intervals_become_labels_of_frames(self, text):
    path = pathlib.Path(self.create_tempdir().full_path) / 'export.txt'
    path.write_text(text)
    table = exports.labels(exports.read(path), np.arange(6) / 2)
    self.assertEqual(list(table), ['brows_up', 'smile'])
    self.assertEqual(table['smile'].tolist(), [0, 0, 1, 1, 1, 0])
    self.assertEqual(table['brows_up'].tolist(), [0, 1, 0, 0, 0, 0])

  def test_another_table_is_refused_with_its_line(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'export.txt'
    path.write_text('smile\t1.0\t2.0\nsmile\tlater\t3.0\n')
    with self.assertRaisesRegex(ValueError, 'line 2.*expected a tier'):
      exports.read(path)


class TablesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    values, self.label = _values()
    self.index = pd.DataFrame(
      {
        'person_id': 'P1',
        'video_id': np.repeat(['a', 'b'], _LENGTH // 2),
        'frame': np.tile(np.arange(_LENGTH // 2), 2),
        'time_s': np.tile(np.arange(_LENGTH // 2) / 25, 2),
      }
    )
    folder = self.workdir / 'embeddings' / 'm' / 'P1'
    folder.mkdir(parents=True)
    units = pd.DataFrame(values, columns=[f'e{i:03d}' for i in range(16)])
    whole = pd.concat([self.index.assign(model_id='m'), units], axis=1)
    for video_id, table in whole.groupby('video_id'):
      table.attrs = {
        'schema_version': 1,
        'step': 9,
        'state': 'a',
        'config': 'c',
      }
      table.to_parquet(folder / f'{video_id}.parquet', index=False)
    self.store = tiny.store_of(self.index)

  def _fill(self):
    path = self.workdir / 'labels' / 'frames.csv'
    table = pd.read_csv(path)
    place = self.index.reset_index().set_index(['video_id', 'frame'])['index']
    keys = list(zip(table['video_id'], table['frame'], strict=True))
    table['smile'] = self.label[place.loc[keys]].astype(int)
    table.to_csv(path, index=False)

  def test_from_an_empty_table_to_labels_of_every_frame(self):
    path = tables.ask(self.workdir, self.store, ['smile'], num=30)
    self.assertLen(pd.read_csv(path), 30)
    self.assertTrue((path.parent / 'sheets' / 'P1.jpg').is_file())
    with self.assertRaisesRegex(ValueError, 'fill in .*frames.csv'):
      tables.predict(self.workdir)
    self._fill()
    (row,) = tables.predict(self.workdir).to_dict('records')
    self.assertEqual((row['person_id'], row['label']), ('P1', 'smile'))
    self.assertGreater(row['auc'], 0.9)
    told = pd.read_parquet(path.parent / 'predicted' / 'P1' / 'b.parquet')
    self.assertEqual(told['frame'].tolist(), list(range(_LENGTH // 2)))
    self.assertGreater((told['smile'] == self.label[60:]).mean(), 0.9)
    self.assertGreaterEqual(told['smile_confidence'].min(), 0.5)

  def test_a_second_round_keeps_what_was_filled_in(self):
    tables.ask(self.workdir, self.store, ['smile'], num=20)
    self._fill()
    path = tables.ask(self.workdir, self.store, [], num=10)
    table = tables.read(path)
    self.assertLen(table, 30)
    self.assertFalse(table.duplicated(['video_id', 'frame']).any())
    self.assertEqual(table['smile'].notna().sum(), 20)

  def test_a_person_is_forgotten_with_sheets_and_rows(self):
    path = tables.ask(self.workdir, self.store, ['smile'], num=20)
    self._fill()
    tables.predict(self.workdir)
    done = tables.forget(self.workdir, 'P1')
    self.assertLen(done, 4)
    left = [p for p in path.parent.rglob('*') if p.is_file()]
    self.assertFalse(any('P1' in str(p) for p in left), left)
    self.assertFalse(any(b'P1' in p.read_bytes() for p in left))
    self.assertEmpty(tables.forget(self.workdir, 'P1'))

  def test_a_cell_that_is_no_label_is_named(self):
    path = tables.ask(self.workdir, self.store, ['smile'], num=5)
    text = path.read_text().replace(',1,\n', ',1,yes\n')
    path.write_text(text)
    with self.assertRaisesRegex(
      ValueError, "row 1 of data: smile should .* 'yes'"
    ):
      tables.read(path)

  def test_annotated_videos_need_no_table(self):
    seen = [
      exports.Interval('smile', start / 25, (start + 15) / 25)
      for start in (15, 45)
    ]
    (row,) = tables.predict(self.workdir, observed={'a': seen}).to_dict(
      'records'
    )
    self.assertEqual(row['num_present'], 30)
    self.assertGreater(row['auc'], 0.9)


if __name__ == '__main__':
  absltest.main()
