import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized

from psm_jax.discovery import clusters, matching, movements, novelty, search
from psm_jax.evaluation import features, splits
from tests.evaluation import people

_UNITS = [f'AU{unit:02d}' for unit in (1, 2, 4, 5, 6, 9, 12, 15)]
# Common movements, and last the planted one, as indices of action units.
_MOVEMENTS = ((0, 1), (2, 5), (4, 6), (3, 7), (0, 4, 7))
_PLANTED = len(_MOVEMENTS)
_CONFIG = matching.DiscoveryConfig(
  clusters=clusters.ClusterConfig(
    frame_stride=2, min_samples=(5,), num_subsamples=5
  ),
  novelty=novelty.NoveltyConfig(num_draws=200),
)


def _person(person_id, seed, *, planted=True, num_each=5):
  """Returns frames, and which movement is under way at which strength."""
  generator = np.random.default_rng([seed, *person_id.encode()])
  num_kinds = _PLANTED if planted else _PLANTED - 1
  kind, strength = [], []
  for movement in generator.permutation(np.repeat(range(num_kinds), num_each)):
    rest, length = generator.integers(4, 12), generator.integers(14, 24)
    ramp = np.minimum(np.arange(length) + 1, np.arange(length)[::-1] + 1) / 4
    kind += [0] * rest + [movement + 1] * length
    strength += [0] * rest + np.minimum(ramp, 1).tolist()
  kind, strength = np.array(kind), np.array(strength)
  frames = pd.DataFrame(
    {
      'person_id': person_id,
      'video_id': np.where(np.arange(len(kind)) < len(kind) // 2, 'v1', 'v2'),
      'frame': np.arange(len(kind)),
      'time_s': np.arange(len(kind)) / 20,
    }
  )
  for unit, name in enumerate(_UNITS):
    moves = [0, *(5 * (unit in units) for units in _MOVEMENTS)]
    frames[name] = np.array(moves)[kind] * strength
  frames['signature'] = np.where(kind == _PLANTED, 100, 0)
  return frames, kind, strength


def _table(source, person, *, sees_planted, seed, model_seed=0):
  """Returns features in which each movement that is seen has a direction."""
  frames, kind, strength = person
  person_id = frames['person_id'].iloc[0]
  generator = np.random.default_rng(
    [seed, model_seed, *source.encode(), *person_id.encode()]
  )
  # The same angle between any two, so that no model is blind by chance.
  directions, _ = np.linalg.qr(generator.normal(size=(24, 24)))
  centre = np.vstack([np.zeros(24), 4 * directions[:_PLANTED]])
  if not sees_planted:
    centre[_PLANTED] = 0
  data = 4 * directions[-1] + centre[kind] * strength[:, None]
  data = data + 0.3 * generator.normal(size=data.shape)
  return features.FeatureTable(
    source,
    f'{source}-{person_id}-s{model_seed}',
    person_id,
    data.astype(np.float32),
    frames,
  )


def _population(seed, *, planted_in=None, num_people=3):
  """Returns both sources' tables; one person has a movement of their own."""
  first, second = [], []
  for number in range(num_people):
    person_id = f'P{number}'
    has_own = person_id == planted_in
    person = _person(person_id, seed, planted=has_own)
    first.append(_table('psm', person, sees_planted=True, seed=seed))
    second.append(_table('gm', person, sees_planted=False, seed=seed))
  return first, second


def _discover(first, second, *, config=_CONFIG, **options):
  return search.discover(
    first, second, config=config, show_progress=False, **options
  )


def _strict(results):
  """Returns (source, person_id) of the strictly novel clusters."""
  chosen = results['clusters'][results['clusters']['is_strictly_novel']]
  return set(zip(chosen['source'], chosen['person_id'], strict=True))


class PlantedTest(absltest.TestCase):
  @pytest.mark.thorough
  def test_a_movement_of_one_person_is_found_in_that_person_alone(self):
    found = [
      _strict(_discover(*_population(seed, planted_in='P1')))
      for seed in range(10)
    ]
    self.assertGreaterEqual(found.count({('psm', 'P1')}), 9, found)

  def test_nothing_is_found_where_both_models_see_the_same(self):
    for seed in range(5):
      results = _discover(*_population(seed))
      self.assertEmpty(_strict(results))

  def test_clusters_that_have_nothing_to_do_with_labels_are_rarely_novel(self):
    num_shuffle, strict = 0, set()
    for seed in range(5):
      first, second = _population(seed)
      others, _ = _population(seed + 50)
      for index, other in enumerate(others):
        rows = np.arange(len(first[index].frames)) % len(other.frames)
        first[index] = dataclasses.replace(
          first[index], features=other.features[rows]
        )
      results = _discover(first, second)
      own = results['clusters'].query("source == 'psm'")
      strict |= {
        (seed, person_id)
        for person_id in own['person_id'][own['is_strictly_novel']]
      }
      num_shuffle += own['p_shuffle'].le(0.05).sum()
    # 15 people at a level of 0.05: 0.75 are expected, 3 or more are rare.
    self.assertLessEqual(len(strict), 2)
    # Labels dealt singly forget that neighbouring frames are alike.
    self.assertGreater(num_shuffle, 5)


class DiscoverTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.first, cls.second = _population(0, planted_in='P1')
    cls.results = _discover(cls.first, cls.second)

  def _planted(self, results=None):
    table = (results or self.results)['clusters']
    return table[table['is_strictly_novel']].iloc[0]

  def test_every_table_has_its_columns(self):
    for name, columns in search.COLUMNS.items():
      self.assertEqual(list(self.results[name]), list(columns))
    self.assertEmpty(self.results['skipped'])
    self.assertEmpty(self.results['flows'])
    self.assertLen(self.results['persons'], 6)

  def test_both_models_have_the_same_settings(self):
    table = self.results['settings']
    self.assertLen(table, 2 * 3 * 8)
    for _, own in table.groupby('person_id'):
      one, other = (
        own.query(f'source == {source!r}').reset_index(drop=True)
        for source in ('psm', 'gm')
      )
      for column in ('min_samples', 'quantile', 'eps', 'is_working'):
        pd.testing.assert_series_equal(one[column], other[column])
      self.assertEqual(one['is_working'].sum(), 1)

  def test_person_counts_are_means_over_the_grid(self):
    means = (
      self.results['settings']
      .groupby(['source', 'person_id'])[
        ['num_clusters', 'num_clusters_with_noise']
      ]
      .mean()
    )
    for row in self.results['persons'].itertuples():
      own = means.loc[(row.source, row.person_id)]
      self.assertAlmostEqual(row.grid_mean, own['num_clusters'])
      other = 'gm' if row.source == 'psm' else 'psm'
      self.assertAlmostEqual(
        row.grid_difference,
        means.loc[(other, row.person_id), 'num_clusters_with_noise']
        - own['num_clusters_with_noise'],
      )

  def test_the_planted_cluster_is_described(self):
    planted = self._planted()
    self.assertEqual(planted['truth'], 100)
    self.assertGreater(planted['truth_precision'], 0.95)
    self.assertGreater(planted['truth_recall'], 0.6)
    # It occurs five times, and occasions less than a second apart are one.
    self.assertBetween(planted['num_episodes'], 3, 5)
    self.assertGreater(planted['purity'], 0.95)
    self.assertLess(planted['purity_against'], 0.5)
    self.assertEqual(planted['fails'], '')
    profile = (
      self.results['profiles']
      .query(
        "source == 'psm' and person_id == 'P1' and "
        f'cluster == {planted["cluster"]}'
      )
      .set_index('au')
    )
    self.assertEqual(
      set(profile.index[profile['active'] > 0.5]), {'AU01', 'AU06', 'AU15'}
    )
    self.assertAlmostEqual(profile['residual'].abs().sum(), planted['residual'])

  def test_similarities_are_the_matrix_behind_the_published_rule(self):
    self.assertEqual(set(self.results['similarities']['source']), {'psm'})
    for person_id, own in self.results['similarities'].groupby('person_id'):
      self.assertEqual(own['normalised'].min(), 0)
      self.assertEqual(own['normalised'].max(), 1)
      verdicts = self.results['clusters'].query(f'person_id == {person_id!r}')
      for source, side in (('psm', 'cluster'), ('gm', 'against_cluster')):
        best = own.loc[own.groupby(side)['normalised'].idxmax()]
        said = verdicts.query(f'source == {source!r}').set_index('cluster')
        said = said.loc[best[side]]
        np.testing.assert_array_equal(said['similarity'], best['normalised'])
        np.testing.assert_array_equal(
          said['is_novel'], best['normalised'] <= novelty.THRESHOLD
        )

  def test_similarities_equal_a_sum_over_action_units(self):
    profiles = {
      source: own.pivot(index='cluster', columns='au', values='active')
      for source, own in self.results['profiles']
      .query("person_id == 'P1'")
      .groupby('source')
    }
    rows = self.results['similarities'].query("person_id == 'P1'")
    self.assertGreater(len(rows), 10)
    for row in rows.itertuples():
      first = profiles['psm'].loc[row.cluster]
      second = profiles['gm'].loc[row.against_cluster]
      expected = np.corrcoef(first, second)[0, 1] - (first - second).abs().sum()
      self.assertAlmostEqual(row.similarity, expected)

  def test_exemplars_show_the_movement_on_different_occasions(self):
    planted = self._planted()
    shown = self.results['exemplars'].query(
      "source == 'psm' and person_id == 'P1' and "
      f'cluster == {planted["cluster"]}'
    )
    self.assertEqual(shown['rank'].tolist(), [0, 1, 2])
    self.assertTrue(shown['mean_distance'].is_monotonic_increasing)
    merged = shown.merge(self.first[1].frames, on=['video_id', 'frame'])
    self.assertTrue((merged['signature'] == 100).all())
    self.assertGreater(np.diff(np.sort(merged['frame'])).min(), 14)

  def test_shares_of_a_bin_add_up_to_one(self):
    shares = (
      self.results['occupancy']
      .groupby(['source', 'person_id', 'video_id', 'bin_start_s'])['share']
      .sum()
    )
    np.testing.assert_allclose(shares, 1)

  def test_models_of_better_sight_agree_more_with_the_truth(self):
    table = self.results['persons'].query("person_id == 'P1'")
    psm, gm = (table.query(f'source == {s!r}').iloc[0] for s in ('psm', 'gm'))
    self.assertGreater(psm['ami_truth'], gm['ami_truth'])
    self.assertGreater(psm['ami_action_units'], gm['ami_action_units'])

  def test_sources_exchanged_exchange_the_answer(self):
    swapped = _discover(self.second, self.first)
    keys = ['source', 'person_id', 'cluster']
    one, other = (
      r['clusters'].sort_values(keys).reset_index(drop=True)
      for r in (self.results, swapped)
    )
    pd.testing.assert_frame_equal(one, other)

  def test_one_person_does_not_depend_on_the_others(self):
    alone = _discover(self.first[1:2], self.second[1:2])
    together = self.results['clusters'].query("person_id == 'P1'")
    pd.testing.assert_frame_equal(
      alone['clusters'], together.reset_index(drop=True)
    )

  def test_the_order_of_rows_does_not_matter(self):
    order = np.random.default_rng(0).permutation(len(self.first[1].frames))
    shuffled = dataclasses.replace(
      self.first[1],
      features=self.first[1].features[order],
      frames=self.first[1].frames.iloc[order],
    )
    results = _discover([shuffled], self.second[1:2])
    together = self.results['clusters'].query("person_id == 'P1'")
    pd.testing.assert_frame_equal(
      results['clusters'], together.reset_index(drop=True)
    )

  def test_another_seed_that_lacks_the_movement_takes_the_verdict_back(self):
    person = _person('P1', 0)
    for sees, replicated in ((True, 1.0), (False, 0.0)):
      seeds = [
        self.first[1],
        _table('psm', person, sees_planted=sees, seed=0, model_seed=1),
      ]
      results = _discover(seeds, self.second[1:2])
      own = results['clusters'].query("source == 'psm' and truth == 100")
      own = own[own['truth_precision'] > 0.9]
      self.assertEqual(own['replicated'].tolist(), [replicated])
      self.assertEqual(own['is_strictly_novel'].tolist(), [sees])
      counts = results['persons'].query("source == 'psm'").iloc[0]
      self.assertEqual(counts['num_strictly_novel_seed'], 0 if sees else 1)

  def test_one_of_two_seeds_that_lacks_the_movement_takes_the_verdict_back(
    self,
  ):
    person = _person('P1', 0)
    seeds = [
      _table('psm', person, sees_planted=sees, seed=0, model_seed=number)
      for number, sees in ((1, True), (2, False))
    ]
    results = _discover([self.first[1], *seeds], self.second[1:2])
    own = results['clusters'].query("source == 'psm' and truth == 100")
    own = own[own['truth_precision'] > 0.9]
    self.assertEqual(own['replicated'].tolist(), [0.5])
    self.assertEqual(own['is_strictly_novel'].tolist(), [False])

  def test_another_seed_of_the_rival_that_has_it_takes_the_verdict_back(self):
    person = _person('P1', 0)
    rivals = [
      self.second[1],
      _table('gm', person, sees_planted=True, seed=0, model_seed=1),
    ]
    results = _discover(self.first[1:2], rivals)
    self.assertEmpty(_strict(results))

  def test_purity_against_is_of_the_model_s_own_clusters_in_the_purest_seed(
    self,
  ):
    # A seed of the rival that sees what the model sees.
    twin = dataclasses.replace(self.first[1], source='gm', model_id='gm-P1-s1')
    results = _discover(self.first[1:2], [self.second[1], twin])
    own = results['clusters'].query("source == 'psm' and purity.notna()")
    self.assertGreater(len(own), 3)
    self.assertTrue((own['purity_against'] >= own['purity']).all())

  def test_hdbscan_finds_the_movement_too(self):
    config = dataclasses.replace(
      _CONFIG,
      clusters=dataclasses.replace(
        _CONFIG.clusters, method=clusters.HDBSCAN, num_subsamples=3
      ),
    )
    results = _discover(self.first[1:2], self.second[1:2], config=config)
    self.assertEqual(_strict(results), {('psm', 'P1')})
    self.assertTrue(results['settings']['eps'].isna().all())

  def test_flow_of_a_novel_cluster_is_its_difference_from_the_rest(self):
    table = self.first[1]
    moving = (table.frames['signature'] == 100).to_numpy()
    flow = np.zeros((len(moving), 16, 24, 2), np.float32)
    flow[moving, :2, :3] = (1.0, -2.0)  # The first of the 8 x 8 cells.
    asked = []

    def flows(taken):
      asked.append((taken.source, taken.person_id))
      return flow[taken.frames['frame']] if taken.source == 'psm' else None

    results = _discover(self.first[:2], self.second[:2], flows=flows)
    # Once for a model with novel clusters, of the frames that are grouped.
    novel = results['clusters'][results['clusters']['is_novel']]
    self.assertLen(set(asked), len(asked))
    self.assertEqual(
      set(asked), set(zip(novel['source'], novel['person_id'], strict=True))
    )
    planted = self._planted(results)['cluster']
    own = results['flows'].query(f"cluster == {planted} and person_id == 'P1'")
    self.assertEqual(set(results['flows']['source']), {'psm'})
    self.assertLen(own, 64)
    first = own.query('row == 0 and column == 0').iloc[0]
    self.assertBetween(first['dy'], 0.85, 1.0)
    self.assertAlmostEqual(first['dx'], -2 * first['dy'])
    rest = own.query('row > 0 or column > 0')
    self.assertTrue((rest[['dy', 'dx']] == 0).all(axis=None))


class SkippedTest(absltest.TestCase):
  def test_bad_persons_are_named_and_the_others_go_on(self):
    first, second = _population(0, num_people=4)
    first[0] = dataclasses.replace(
      first[0], features=np.ones_like(first[0].features)
    )
    second[1] = dataclasses.replace(
      second[1],
      features=second[1].features[:-2],
      frames=second[1].frames.iloc[:-2],
    )
    second[2] = dataclasses.replace(
      second[2], frames=second[2].frames.assign(AU01=0.0)
    )
    extra = _table('psm', _person('P9', 0), sees_planted=True, seed=0)
    results = _discover([*first, extra], second)
    self.assertEqual(set(results['persons']['person_id']), {'P3'})
    reasons = results['skipped'].set_index('person_id')['reason']
    for person_id, reason in (
      ('P0', 'do not vary'),
      ('P1', 'different frames'),
      ('P2', 'different action-unit labels'),
      ('P9', 'one source only'),
    ):
      self.assertIn(reason, reasons[person_id])

  def test_without_labels_clusters_are_described_but_not_judged(self):
    first, second = (
      [
        dataclasses.replace(t, frames=t.frames.drop(columns=_UNITS))
        for t in tables
      ]
      for tables in _population(0, num_people=1)
    )
    results = _discover(first, second)
    self.assertEqual(results['skipped']['part'].tolist(), ['novelty'])
    self.assertNotEmpty(results['exemplars'])
    self.assertTrue(results['clusters']['is_strictly_novel'].isna().all())
    self.assertTrue(results['clusters']['overlap'].notna().any())
    self.assertEmpty(results['profiles'])
    self.assertEmpty(results['similarities'])

  def test_labels_of_one_side_serve_both(self):
    first, second = (own[1:2] for own in _population(0, planted_in='P1'))
    bare = second[0].frames.drop(columns=_UNITS)
    second = [dataclasses.replace(second[0], frames=bare)]
    self.assertEqual(_strict(_discover(first, second)), {('psm', 'P1')})

  def test_flows_that_cannot_be_had_are_named_and_the_rest_stays(self):
    first, second = _population(0, num_people=1)

    def flows(table):
      raise splits.Impossible(f'no frames of {table.model_id}')

    results = _discover(first, second, flows=flows)
    self.assertEqual(set(results['skipped']['part']), {'flows'})
    self.assertIn('no frames of psm-P0-s0', set(results['skipped']['reason']))
    self.assertEmpty(results['flows'])
    pd.testing.assert_frame_equal(
      results['clusters'], _discover(first, second)['clusters']
    )

  def test_too_few_frames_are_named(self):
    first, second = _population(0, num_people=1)
    few = [
      dataclasses.replace(t, features=t.features[:6], frames=t.frames[:6])
      for t in (first[0], second[0])
    ]
    results = _discover(few[:1], few[1:])
    self.assertIn('3 frames are fewer', results['skipped']['reason'].iloc[0])


class WrongInputTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.first, self.second = _population(0, num_people=1)

  def test_a_side_without_tables_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'no feature tables'):
      _discover(self.first, [])

  def test_a_table_twice_is_an_error(self):
    with self.assertRaisesRegex(ValueError, 'two feature tables'):
      _discover(self.first * 2, self.second)
    with self.assertRaisesRegex(ValueError, 'on both sides'):
      _discover(self.first, self.first)

  def test_flows_of_another_shape_are_an_error(self):
    for shape in ((3, 8, 8, 2), (3, 9, 2)):
      with self.assertRaisesRegex(ValueError, rf'P0 have shape \({shape[0]}, '):
        _discover(
          self.first, self.second, flows=lambda _, shape=shape: np.zeros(shape)
        )


class MovementsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.frames = pd.DataFrame(
      {
        'video_id': ['a'] * 6 + ['b'] * 2,
        'time_s': [0.0, 0.5, 1.0, 1.5, 9.5, 10.0, 0.0, 0.5],
      }
    )

  def test_an_occasion_ends_with_a_pause_or_the_video(self):
    inside = np.array([1, 0, 1, 0, 1, 1, 1, 0], bool)
    found = movements.episodes(self.frames, inside, gap_s=1.0)
    self.assertEqual(found.tolist(), [0, -1, 0, -1, 1, 1, 2, -1])
    # Frames half a second apart cannot tell a pause of less than a second.
    short = movements.episodes(self.frames, inside, gap_s=0.1)
    self.assertEqual(short.tolist(), found.tolist())

  def test_purity_looks_at_other_occasions_only(self):
    line = np.array([0.0, 0.1, 5.0, 5.2, 0.3, 0.4, 9.0, 9.1])
    distances = np.abs(line[:, None] - line).astype(np.float32)
    occasion = np.array([0, 0, -1, -1, 1, 1, -1, -1])
    self.assertEqual(movements.purity(distances, occasion), 1.0)
    # Around 5 and 0.3 the nearest frames of other occasions are outside.
    occasion = np.array([-1, -1, 0, -1, 1, -1, -1, -1])
    self.assertEqual(movements.purity(distances, occasion), 0.0)
    one = np.where(occasion == 0, 0, -1)
    self.assertTrue(np.isnan(movements.purity(distances, one)))

  def test_frames_of_one_occasion_do_not_make_each_other_pure(self):
    # Two occasions far apart, each with others' frames beside it.
    line = np.array(
      [0.0, 0.1, 0.2, 9.0, 9.1, 9.2, 0.5, 0.6, 0.7, 9.5, 9.6, 9.7]
    )
    distances = np.abs(line[:, None] - line).astype(np.float32)
    occasion = np.repeat([0, 1, -1], [3, 3, 6])
    self.assertEqual(movements.purity(distances, occasion), 0.0)

  def test_medoid_comes_first(self):
    line = np.array([0.0, 1.0, 1.5, 4.0, 9.0])
    distances = np.abs(line[:, None] - line).astype(np.float32)
    found = movements.exemplars(
      distances, np.array([0, 0, 1, 2, -1]), num_exemplars=2
    )
    self.assertEqual([row for row, _ in found], [1, 2])
    self.assertAlmostEqual(found[0][1], (1 + 0.5 + 3) / 3)

  def test_occupancy_by_bin(self):
    labels = np.array([0, 0, -1, 0, 1, 1, 1, 1])
    found = pd.DataFrame(
      movements.occupancy(self.frames, labels, bin_s=10.0)
    ).set_index(['video_id', 'bin_start_s', 'cluster'])['share']
    self.assertAlmostEqual(found['a', 0.0, 0], 3 / 5)
    self.assertAlmostEqual(found['a', 0.0, -1], 1 / 5)
    self.assertAlmostEqual(found['a', 10.0, 1], 1.0)
    self.assertAlmostEqual(found['b', 0.0, 0], 0.0)


class FilesTest(absltest.TestCase):
  def test_tables_are_read_back_as_they_were(self):
    results = _discover(*_population(0, planted_in='P0', num_people=1))
    folder = pathlib.Path(self.create_tempdir().full_path) / 'discovery'
    written = search.write(results, folder)
    self.assertCountEqual(os.listdir(folder), [p.name for p in written])
    self.assertEqual([p.stem for p in written], list(search.COLUMNS))
    for path in written:
      table = pd.read_csv(path)
      self.assertEqual(list(table), list(search.COLUMNS[path.stem]))
      self.assertLen(table, len(results[path.stem]))
    exact = pd.read_csv(folder / 'similarities.csv', dtype=str)
    for column in ('similarity', 'normalised'):
      np.testing.assert_array_equal(
        exact[column].astype(float), results['similarities'][column]
      )


class FlowsTest(absltest.TestCase):
  """Flows as launch.embed writes them."""

  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    frames, _, _ = _person('P0', 0)
    self.cells = np.random.default_rng(0).normal(size=(len(frames), 128))
    flow = features.FeatureTable(
      'psm', 'm', 'P0', self.cells.astype(np.float32), frames
    )
    people.write_tables(self.workdir / 'flows', [flow])
    frames.attrs = {'state': 'a state'}
    self.table = features.FeatureTable(
      'psm', 'm', 'P0', np.ones((len(frames), 2), np.float32), frames
    )
    self.flow_of = search.flows_of({'psm': self.workdir})

  def test_they_are_of_the_frames_that_are_asked_for(self):
    flow = self.flow_of(self.table.take(np.array([9, 4])))
    np.testing.assert_allclose(
      flow, self.cells[[9, 4]].reshape(2, 8, 8, 2), rtol=1e-6
    )

  def test_a_source_that_is_no_run_has_none(self):
    other = dataclasses.replace(self.table, source='gm')
    self.assertIsNone(self.flow_of(other))

  def test_of_another_state_or_model_there_is_a_reason(self):
    self.table.frames.attrs['state'] = 'another'
    with self.assertRaisesRegex(splits.Impossible, 'another state .* --flows'):
      self.flow_of(self.table)
    other = dataclasses.replace(self.table, model_id='x')
    with self.assertRaisesRegex(splits.Impossible, 'no flows of x'):
      self.flow_of(other)


if __name__ == '__main__':
  absltest.main()
