"""The published rule on published numbers, its edges, and the nulls."""

import json
import os
import pathlib

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.discovery import descriptions, novelty, search

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = _ROOT.parent / 'shared/parity/novel_clusters_example.json'


def _frames_of(clusters):
  """Returns labels and active units of frames with the clusters' counts."""
  labels, active = [], []
  for cluster in clusters:
    frames = np.zeros((cluster['size'], len(cluster['active_counts'])), bool)
    for unit, count in enumerate(cluster['active_counts']):
      frames[:count, unit] = True
    active.append(frames)
    labels += [cluster['label']] * cluster['size']
  # Rows in another order than the clusters, as in a video.
  order = np.random.default_rng(0).permutation(len(labels))
  return np.array(labels)[order], np.concatenate(active)[order]


def _profiles(values):
  values = np.asarray(values, np.float64)
  return novelty.Profiles(
    labels=np.arange(len(values)), sizes=np.ones(len(values)), values=values
  )


class GoldenTest(absltest.TestCase):
  """The person's clusters in the file give its matrix and novel clusters."""

  def _check(self, path):
    golden = json.loads(path.read_text(encoding='utf-8'))
    self.assertNotEmpty(golden['persons'])
    for person_id, person in golden['persons'].items():
      with self.subTest(person_id):
        sides = {}
        for side in ('PSM', 'GM'):
          labels, active = _frames_of(person[side]['clusters'])
          found = novelty.profiles(labels, active)
          self.assertEqual(found.labels.tolist(), person['kept_labels'][side])
          self.assertEqual(
            np.setdiff1d(labels, found.labels).tolist(),
            person['dropped_all_zero_labels'][side],
          )
          means = {
            c['label']: c['mean_activation'] for c in person[side]['clusters']
          }
          np.testing.assert_allclose(
            found.values, [means[i] for i in found.labels], atol=1e-9
          )
          sides[side] = found
        compared = novelty.compare(sides['PSM'], sides['GM'])
        np.testing.assert_allclose(
          compared.normalised,
          person['normalised_metric_rows_psm_cols_gm'],
          atol=1e-6,
        )
        written = self._write(descriptions.similarities(*sides.values()))
        for name in ('metric', 'normalised'):
          column = {'metric': 'similarity'}.get(name, name)
          np.testing.assert_array_equal(
            written.pivot(
              index='cluster', columns='against_cluster', values=column
            ),
            getattr(compared, name),
          )
        for side, other in (('PSM', 'GM'), ('GM', 'PSM')):
          novel = novelty.compare(sides[side], sides[other]).novel
          self.assertEqual(
            sides[side].labels[novel].tolist(), person['expected_novel'][side]
          )

  def _write(self, rows):
    """Returns similarities.csv as it is read back from rows."""
    tables = {
      name: pd.DataFrame(columns=columns)
      for name, columns in search.COLUMNS.items()
    }
    tables['similarities'] = pd.DataFrame(rows)
    folder = pathlib.Path(self.create_tempdir().full_path)
    search.write(tables, folder)
    exact = dict.fromkeys(('similarity', 'normalised'), str)
    written = pd.read_csv(folder / 'similarities.csv', dtype=exact)
    return written.astype(dict.fromkeys(exact, float))

  def test_published_persons(self):
    if not _GOLDEN.exists():
      self.skipTest(f'{_GOLDEN} is not there')
    self._check(_GOLDEN)

  def test_file_of_the_environment(self):
    path = os.environ.get('PSM_NOVELTY_GOLDEN')
    if not path:
      self.skipTest('PSM_NOVELTY_GOLDEN names no file')
    self._check(pathlib.Path(path))


class ProfilesTest(absltest.TestCase):
  def test_mean_over_frames_and_silent_clusters_left_out(self):
    labels = np.array([3, -1, 3, 7, -1])
    active = np.array([[1, 0], [0, 1], [0, 0], [0, 0], [1, 1]], bool)
    found = novelty.profiles(labels, active)
    self.assertEqual(found.labels.tolist(), [-1, 3])
    self.assertEqual(found.sizes.tolist(), [2, 2])
    np.testing.assert_array_equal(found.values, [[0.5, 1], [0.5, 0]])
    whole = novelty.profiles(labels, active, keep_silent=True)
    self.assertEqual(whole.labels.tolist(), [-1, 3, 7])
    np.testing.assert_array_equal(whole.values[-1], [0, 0])


class SimilarityTest(parameterized.TestCase):
  def test_equals_numpy_entry_by_entry(self):
    first, second = np.random.default_rng(0).random((2, 5, 12))
    expected = [
      [np.corrcoef(p, g)[0, 1] - np.abs(p - g).sum() for g in second]
      for p in first
    ]
    np.testing.assert_allclose(
      novelty.similarity(first, second), expected, atol=1e-12
    )

  def test_equal_profiles_have_1(self):
    values = np.random.default_rng(0).random((4, 12))
    np.testing.assert_allclose(
      np.diag(novelty.similarity(values, values)), 1, atol=1e-12
    )

  @parameterized.parameters(0.1, 0.3, 1.0)
  def test_constant_profile_has_correlation_0(self, level):
    constant = np.full((1, 3), level)
    other = np.array([[1.0, 0.0, 0.5]])
    self.assertAlmostEqual(
      novelty.similarity(constant, other)[0, 0],
      -np.abs(constant - other).sum(),
    )

  def test_stacked_profiles_equal_one_after_the_other(self):
    first = np.random.default_rng(0).random((3, 4, 6))
    second = np.random.default_rng(1).random((5, 6))
    np.testing.assert_allclose(
      novelty.similarity(first, second),
      [novelty.similarity(own, second) for own in first],
      atol=1e-12,
    )


class CompareTest(parameterized.TestCase):
  def test_threshold_is_strict(self):
    # M is 1, 0.6 and 0 up to a shift, so the middle one is exactly 0.6.
    first = _profiles([[1.0, 0.0], [0.8, 0.0], [0.5, 0.0]])
    second = _profiles([[1.0, 0.0]])
    found = novelty.compare(first, second)
    np.testing.assert_allclose(found.normalised[:, 0], [1, 0.6, 0], atol=1e-12)
    middle = found.normalised[1, 0]
    for threshold, novel in ((middle, True), (middle - 1e-9, False)):
      found = novelty.compare(first, second, threshold=threshold)
      self.assertEqual(found.novel.tolist(), [False, novel, True])

  def test_models_exchanged_turn_the_matrix(self):
    first, second = (
      _profiles(np.random.default_rng(i).random((4 + i, 12))) for i in (0, 1)
    )
    one, other = (
      novelty.compare(first, second),
      novelty.compare(second, first),
    )
    np.testing.assert_allclose(one.normalised, other.normalised.T, atol=1e-12)

  def test_renamed_clusters_give_the_same_verdicts(self):
    generator = np.random.default_rng(0)
    labels = generator.integers(5, size=200)
    active = generator.random((200, 12)) < 0.3
    other = novelty.profiles(
      generator.integers(4, size=200), generator.random((200, 12)) < 0.3
    )
    plain = novelty.compare(novelty.profiles(labels, active), other)
    new_name = np.array([3, 0, 4, 1, 2])
    renamed = novelty.compare(novelty.profiles(new_name[labels], active), other)
    np.testing.assert_array_equal(plain.novel, renamed.novel[new_name])

  def test_all_similarities_equal_means_nothing_is_novel(self):
    same = _profiles([[0.5, 0.2]])
    found = novelty.compare(same, same)
    np.testing.assert_array_equal(found.normalised, [[1.0]])
    self.assertFalse(found.novel.any())

  def test_without_clusters_on_one_side_all_others_are_novel(self):
    nothing = novelty.profiles(np.zeros(4, int), np.zeros((4, 2), bool))
    self.assertEmpty(nothing.labels)
    something = _profiles([[1.0, 0.0], [0.0, 1.0]])
    self.assertTrue(novelty.compare(something, nothing).novel.all())
    self.assertEmpty(novelty.compare(nothing, nothing).novel)


class ResidualTest(absltest.TestCase):
  def test_is_the_distance_to_the_nearest_in_action_units(self):
    found = novelty.residuals(
      np.array([[1.0, 1.0, 0.0], [0.0, 0.25, 0.0]]),
      np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    np.testing.assert_allclose(found, [1.0, 0.25])

  def test_does_not_depend_on_the_persons_other_clusters(self):
    generator = np.random.default_rng(0)
    values, others = generator.random((4, 12)), generator.random((3, 12))
    np.testing.assert_array_equal(
      novelty.residuals(values, others)[:1],
      novelty.residuals(values[:1], others),
    )


class NullTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    generator = np.random.default_rng(0)
    self.labels = generator.integers(-1, 4, size=60)
    self.active = generator.random((60, 5)) < 0.1
    self.other = novelty.profiles(
      generator.integers(3, size=60), generator.random((60, 5)) < 0.4
    )
    self.orders = novelty.shuffles(60, num_draws=30, generator=generator)

  def test_shuffles_and_shifts_are_permutations(self):
    shifts = novelty.shifts(
      60, num_draws=30, generator=np.random.default_rng(0)
    )
    for orders in (self.orders, shifts):
      self.assertEqual(orders.shape, (30, 60))
      self.assertTrue((np.sort(orders, axis=1) == np.arange(60)).all())
    self.assertTrue((np.diff(shifts, axis=1) % 60 == 1).all())
    self.assertTrue(((shifts[:, 0] >= 3) & (shifts[:, 0] <= 57)).all())
    self.assertLen(np.unique(shifts[:, 0]), 30)

  def test_there_are_no_more_shifts_than_turns(self):
    shifts = novelty.shifts(
      10, num_draws=1000, generator=np.random.default_rng(0)
    )
    self.assertEqual(shifts[:, 0].tolist(), list(range(1, 10)))

  def test_chance_profiles_equal_profiles_of_the_dealt_frames(self):
    chance = novelty.chance_profiles(
      self.labels, self.active, orders=self.orders
    )
    for order, own in zip(self.orders, chance, strict=True):
      dealt = self.active[order]
      expected = [
        dealt[self.labels == label].mean(axis=0)
        for label in np.unique(self.labels)
      ]
      np.testing.assert_allclose(own, expected, atol=1e-12)

  def test_chance_counts_equal_the_rule_draw_by_draw(self):
    for active in (self.active, self.active & (np.arange(5) == 2)):
      chance = novelty.chance_profiles(self.labels, active, orders=self.orders)
      expected = [
        novelty.compare(
          novelty.profiles(self.labels, active[order]), self.other
        ).novel.sum()
        for order in self.orders
      ]
      found = novelty.chance_counts(chance, self.other)
      np.testing.assert_array_equal(found, expected)
    self.assertGreater(len(set(expected)), 1)

  def test_chance_counts_against_nothing_are_all_spoken_clusters(self):
    nothing = novelty.profiles(self.labels, np.zeros((60, 5), bool))
    chance = novelty.chance_profiles(
      self.labels, self.active, orders=self.orders
    )
    np.testing.assert_array_equal(
      novelty.chance_counts(chance, nothing), chance.any(axis=2).sum(axis=1)
    )

  def test_p_of_one_cluster_is_the_share_of_draws_beyond(self):
    chance = np.arange(99.0)[:, None]
    for observed, expected in ((200.0, 0.01), (98.0, 0.02), (-1.0, 1.0)):
      found = novelty.adjusted_p(np.array([observed]), chance)
      np.testing.assert_allclose(found, [expected])

  def test_p_below_the_level_is_as_rare_as_the_level_over_all_clusters(self):
    generator = np.random.default_rng(0)
    spread = np.array([0.1, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    hits = 0
    for _ in range(400):
      draws = np.abs(generator.normal(size=(201, 8))) * spread
      hits += novelty.adjusted_p(draws[0], draws[1:]).min() <= 0.05
    # 20 are expected; the standard deviation is 4.4. Unadjusted: 133.
    self.assertBetween(hits, 5, 35)

  def test_p_without_clusters_or_spread(self):
    self.assertEmpty(novelty.adjusted_p(np.zeros(0), np.zeros((9, 0))))
    np.testing.assert_array_equal(
      novelty.adjusted_p(np.ones(1), np.ones((9, 1))), [1.0]
    )


if __name__ == '__main__':
  absltest.main()
