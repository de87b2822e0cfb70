import dataclasses
import pathlib
import shutil

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import approaches
from tests.evaluation import people

_PERSONS = ('P1', 'P2')


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


if __name__ == '__main__':
  absltest.main()
