import dataclasses
import pathlib
import shutil

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import approaches
from tests.evaluation import people

_PERSONS = ('P1', 'P2')
_NO_COSTS = pd.DataFrame(columns=approaches.COST_COLUMNS)


def _psm(source='psm', *, seeds=(0,), length=60):
  return [
    people.table(
      people.frames(p, length=length),
      source,
      model_id=f'm-{p}-s{seed}',
      model_seed=seed,
    )
    for p in _PERSONS
    for seed in seeds
  ]


def _approach(name, persons=('P1', 'P2'), *, keep=slice(None), change=None):
  tables = []
  for person_id in persons:
    table = people.table(people.frames(person_id, length=50), name)
    frames = table.frames.iloc[keep]
    if change:
      frames = change(frames)
    tables.append(
      dataclasses.replace(
        table,
        features=table.features[keep],
        frames=frames,
      )
    )
  return approaches.Approach(name, tuple(tables), _NO_COSTS, {}, {})


def _take(*found, labels_of='a'):
  return approaches.take_common(found, labels_of=labels_of)


class ReadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def test_a_run_has_tables_seeds_origins_and_costs(self):
    people.write_run(
      self.folder,
      _psm(seeds=(0, 3)),
      seed_of={'m-P1-s3': 3, 'm-P2-s3': 3},
    )
    found = approaches.read_run('mine', self.folder)
    self.assertEqual({t.source for t in found.tables}, {'mine'})
    self.assertEqual(found.seeds['m-P2-s3'], '3')
    self.assertEqual(found.origins['m-P1-s0'], (self.folder, 'm-P1-s0'))
    costs = found.costs.set_index('model_id')
    self.assertLen(costs, 4)
    row = costs.loc['m-P1-s0']
    # 100 steps of 4 pairs, 8 images each.
    self.assertEqual(
      (row['steps'], row['examples'], row['images']), (100, 400, 800)
    )
    self.assertEqual(row['num_frames'], 120)
    # 50 s of four models that trained side by side.
    self.assertAlmostEqual(row['seconds'], 12.5)

  def test_without_metrics_images_and_seconds_are_unknown(self):
    people.write_run(self.folder, _psm())
    (self.folder / 'metrics.csv').unlink()
    costs = approaches.read_run('mine', self.folder).costs
    self.assertTrue(costs[['images', 'seconds']].isna().all(axis=None))
    self.assertEqual(costs['steps'].sum(), 200)

  def test_waves_one_after_another_each_take_their_time(self):
    people.write_run(self.folder, _psm())
    rows = ['step,model_id,steps_per_s,frames_per_s']
    rows += [f'{s},m-{p}-s0,2,16' for p in _PERSONS for s in (50, 100)]
    (self.folder / 'metrics.csv').write_text('\n'.join(rows) + '\n')
    costs = approaches.read_run('mine', self.folder).costs
    self.assertEqual(costs['seconds'].tolist(), [50, 50])

  def test_a_run_that_was_not_embedded_is_named(self):
    people.write_run(self.folder, _psm())
    shutil.rmtree(self.folder / 'embeddings')
    with self.assertRaisesRegex(ValueError, 'Run mine: Found no tables'):
      approaches.read_run('mine', self.folder)

  def test_a_folder_that_is_no_run_is_named(self):
    with self.assertRaisesRegex(ValueError, 'Run mine: .* no run directory'):
      approaches.read_run('mine', self.folder)

  def test_tables_of_other_programs_have_no_costs(self):
    path = self.folder / 'lab.csv'
    (table,) = _psm()[:1]
    units = [f'e{unit:03d}' for unit in range(people.NUM_FEATURES)]
    pd.concat(
      [table.frames, pd.DataFrame(table.features, columns=units)], axis=1
    ).to_csv(path, index=False)
    found = approaches.read_tables('lab', [str(path)])
    self.assertEmpty(found.costs)
    self.assertEqual(found.tables[0].model_id, 'lab')
    np.testing.assert_allclose(
      found.tables[0].features, table.features, rtol=1e-5
    )

  def test_an_unreadable_table_is_named(self):
    with self.assertRaisesRegex(ValueError, 'Table lab: .*nothing.csv'):
      approaches.read_tables('lab', [self.folder / 'nothing.csv'])

  @parameterized.parameters(
    ('pixel_pca', 'name of a control'), ('a b', 'not a safe name')
  )
  def test_a_name_that_will_not_do_is_an_error(self, name, message):
    costs = pd.DataFrame(columns=approaches.COST_COLUMNS)
    with self.assertRaisesRegex(ValueError, message):
      approaches.Approach(name, (), costs, {}, {})


class JoinSeedsTest(absltest.TestCase):
  def _approach(self, name):
    costs = pd.DataFrame(
      [{'approach': name, 'model_id': 'm-P1-s0', 'steps': 10}],
      columns=approaches.COST_COLUMNS,
    )
    origins = {f'm-{p}-s0': (pathlib.Path(name), f'm-{p}-s0') for p in _PERSONS}
    seeds = dict.fromkeys(origins, '0')
    return approaches.Approach(name, tuple(_psm(name)), costs, seeds, origins)

  def test_runs_of_one_name_become_one_approach(self):
    joined = approaches.join_seeds(
      [self._approach(name) for name in ('psm-s0', 'gm', 'psm-s1')]
    )
    self.assertEqual([a.name for a in joined], ['psm', 'gm'])
    psm, gm = joined
    self.assertEqual(
      sorted(t.model_id for t in psm.tables),
      ['m-P1-s0-r0', 'm-P1-s0-r1', 'm-P2-s0-r0', 'm-P2-s0-r1'],
    )
    self.assertEqual({t.source for t in psm.tables}, {'psm'})
    self.assertEqual(set(psm.seeds.values()), {'0:0', '1:0'})
    self.assertEqual(
      psm.origins['m-P2-s0-r1'], (pathlib.Path('psm-s1'), 'm-P2-s0')
    )
    self.assertEqual(psm.costs['steps'].sum(), 20)
    self.assertEqual(gm.tables[0].model_id, 'm-P1-s0')

  def test_a_run_beside_its_own_seeds_is_an_error(self):
    with self.assertRaisesRegex(ValueError, r"psm .*\['psm-s1'\]"):
      approaches.join_seeds([self._approach('psm'), self._approach('psm-s1')])


class ControlsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.tables = _psm('mine', seeds=(0, 3))
    people.write_run(self.folder, self.tables)

  def test_pixels_once_a_person_and_random_weights_once_a_seed(self):
    people.write_tables(self.folder / 'controls/random_encoder', self.tables)
    grey = [
      dataclasses.replace(table, model_id='grey') for table in self.tables[::2]
    ]
    people.write_tables(self.folder / 'controls/pixel_pca', grey)
    made = approaches.controls_of(approaches.read_run('mine', self.folder))
    counts = pd.Series([table.source for table in made]).value_counts()
    self.assertEqual(
      counts.to_dict(),
      {
        'random_encoder': 4,
        'pixel_pca': 2,
        'head_pose': 2,
        'nearest_in_time': 2,
      },
    )

  def test_a_run_without_controls_says_the_command(self):
    with self.assertRaisesRegex(ValueError, 'no controls.*launch.embed'):
      approaches.controls_of(approaches.read_run('mine', self.folder))

  def test_tables_of_another_program_have_none(self):
    costs = pd.DataFrame(columns=approaches.COST_COLUMNS)
    approach = approaches.Approach('lab', tuple(_psm('lab')), costs, {}, {})
    with self.assertRaisesRegex(ValueError, 'lab is no run'):
      approaches.controls_of(approach)


class TakeCommonTest(absltest.TestCase):
  def test_equal_frames_are_all_kept(self):
    (first, second), omitted = _take(_approach('a'), _approach('b'))
    self.assertEmpty(omitted)
    self.assertEqual([len(t.frames) for t in first.tables], [100, 100])
    for one, other in zip(first.tables, second.tables, strict=True):
      pd.testing.assert_frame_equal(one.frames, other.frames)

  def test_what_one_lacks_is_left_out_of_the_other_and_said(self):
    (first, second), omitted = _take(
      _approach('a', ('P1', 'P2', 'P3'), keep=slice(10, None)), _approach('b')
    )
    self.assertEqual({t.person_id for t in first.tables}, {'P1', 'P2'})
    self.assertEqual([len(t.frames) for t in second.tables], [90, 90])
    self.assertEqual(
      omitted.to_dict('records'),
      [
        {
          'approach': 'b',
          'person_id': 'P1',
          'num_frames': 10,
          'reason': 'frames not in all',
        },
        {
          'approach': 'b',
          'person_id': 'P2',
          'num_frames': 10,
          'reason': 'frames not in all',
        },
        {
          'approach': 'a',
          'person_id': 'P3',
          'num_frames': 90,
          'reason': 'not in b',
        },
      ],
    )

  def test_features_stay_with_their_frames(self):
    order = np.random.default_rng(0).permutation(100)
    (first, second), _ = _take(_approach('a'), _approach('b', keep=order[:70]))
    expected = {}
    for table in _approach('b').tables:
      keys = zip(
        [table.person_id] * 100,
        table.frames['video_id'],
        table.frames['frame'],
        strict=True,
      )
      expected |= dict(zip(keys, table.features, strict=True))
    for table in second.tables:
      self.assertLen(table.frames, 70)
      rows = table.frames[['person_id', 'video_id', 'frame']]
      for key, row in zip(
        rows.itertuples(index=False, name=None), table.features, strict=True
      ):
        np.testing.assert_array_equal(row, expected[key])
    pd.testing.assert_frame_equal(
      first.tables[0].frames, second.tables[0].frames
    )

  def test_each_is_compared_as_its_own_method_says(self):
    def told(frames, unit_length):
      frames = frames.copy()
      frames.attrs['unit_length'] = unit_length
      return frames

    taken, _ = _take(
      _approach('a', change=lambda frames: told(frames, True)),
      _approach('b', change=lambda frames: told(frames, False)),
    )
    for approach, has_length in zip(taken, (False, True), strict=True):
      for table in approach.tables:
        self.assertEqual(table.has_length, has_length)
        norm = np.linalg.norm(table.scaled(), axis=1)
        self.assertEqual(np.allclose(norm, 1), not has_length)

  def test_labels_come_from_whom_they_are_asked_of_or_who_has_them(self):
    bare = _approach('a', change=lambda f: f.drop(columns=list(people.UNITS)))
    for first, second in ((bare, _approach('b')), (_approach('b'), bare)):
      found, _ = _take(first, second)
      for approach in found:
        self.assertIn('AU04', approach.tables[0].frames)

  def test_other_labels_are_an_error_that_names_the_frame(self):
    def change(frames):
      return frames.assign(AU04=frames['AU04'].where(frames['frame'] != 7, 5.0))

    with self.assertRaisesRegex(
      ValueError, r'b \(b\) has AU04 5 at frame 7 of video v0 of person P1'
    ):
      _take(_approach('a'), _approach('b', change=change))

  def test_times_may_be_rounded_but_not_other(self):
    def rounded(frames):
      return frames.assign(time_s=frames['time_s'].round(2))

    def slow(frames):
      return frames.assign(time_s=frames['time_s'] * 2)

    _take(_approach('a'), _approach('b', change=rounded))
    with self.assertRaisesRegex(ValueError, 'time_s'):
      _take(_approach('a'), _approach('b', change=slow))

  def test_what_a_model_did_not_see_is_not_told_of_another(self):
    def held_out(frames):
      return frames.assign(held_out=1.0)

    (first, second), _ = _take(_approach('a', change=held_out), _approach('b'))
    self.assertNotIn('held_out', first.tables[0].frames)
    self.assertNotIn('held_out', second.tables[0].frames)

  def test_nothing_in_common_says_who_has_what(self):
    def renamed(frames):
      return frames.assign(video_id='x-' + frames['video_id'])

    with self.assertRaisesRegex(ValueError, r'a: persons P1.*b: persons P2'):
      _take(_approach('a', ('P1',)), _approach('b', ('P2',)))
    with self.assertRaisesRegex(ValueError, 'videos v0, v1.*videos x-v0, x-v1'):
      _take(_approach('a'), _approach('b', change=renamed))

  def test_two_of_one_name_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'one approach is called a'):
      _take(_approach('a'), _approach('a'))


if __name__ == '__main__':
  absltest.main()
