import dataclasses
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.evaluation import coordinates, retrieval, splits
from tests.evaluation import people

_PERSONS = ('P1', 'P2', 'P3')


def _population(source='gm', *, seeds=(0, 0, 0), **options):
  return [
    people.table(people.frames(p), source, model_seed=seed, **options)
    for p, seed in zip(_PERSONS, seeds, strict=True)
  ]


def _retrieve(tables, *, max_frames=retrieval.MAX_FRAMES):
  """Returns a row a model, person and target, and the reasons."""
  with mock.patch.object(retrieval, 'MAX_FRAMES', max_frames):
    rows, skipped = retrieval.retrieve(tables)
  return people.wide(rows), [row['reason'] for row in skipped]


def _normalised(tables, target='retrieval', **options):
  found, _ = _retrieve(tables, **options)
  return found[found['target'] == target]['normalised'].mean()


def _with_labels_as_features(table):
  active = splits.action_unit_labels(table.frames, threshold=2.0).to_numpy()
  return dataclasses.replace(
    table, features=np.hstack([active, np.ones((len(active), 1))]).astype('f4')
  )


class AgreementTest(absltest.TestCase):
  def test_it_is_the_f1_of_two_sets(self):
    sets = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    np.testing.assert_allclose(
      retrieval.agreement(sets, sets), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]]
    )


class RetrieveTest(parameterized.TestCase):
  def test_labels_as_features_are_the_best_there_is(self):
    tables = [_with_labels_as_features(table) for table in _population()]
    found = (
      _retrieve(tables)[0]
      .query("target == 'retrieval'")
      .mean(numeric_only=True)
    )
    self.assertAlmostEqual(found['normalised'], 1.0)
    self.assertAlmostEqual(found['score'], found['best'])
    self.assertGreater(found['best'], found['chance'] + 0.2)

  def test_noise_is_no_better_than_chance(self):
    tables = _population(action=0.0, noise=1.0)
    self.assertLess(abs(_normalised(tables)), 0.05)

  def test_shared_movements_are_found_and_another_mixing_loses_them(self):
    together = _normalised(_population())
    apart = _normalised(_population(seeds=(0, 1, 2)))
    self.assertGreater(together, 0.8)
    self.assertLess(apart, 0.4)

  @parameterized.parameters('gm', 'pixel_pca')
  def test_centring_finds_what_a_persons_looks_hide(self, source):
    tables = _population(source, identity=20.0)
    self.assertGreater(
      _normalised(tables, 'retrieval_centred'), _normalised(tables) + 0.1
    )

  def test_scores_equal_those_of_a_plain_loop(self):
    tables = _population(identity=2.0)
    found = _retrieve(tables)[0].query("target == 'retrieval'")
    active = [
      splits.action_unit_labels(t.frames, threshold=2.0).to_numpy() == 1
      for t in tables
    ]
    unit = [t.features / np.linalg.norm(t.features, axis=1)[:, None]
            for t in tables]  # fmt: skip
    for person in range(3):
      others = [other for other in range(3) if other != person]
      near = np.concatenate([unit[o] for o in others])
      shows = np.concatenate([active[o] for o in others])
      scores, chances, bests = [], [], []
      for row in np.flatnonzero(active[person].any(axis=1)):
        own = active[person][row]
        f1 = 2 * (own & shows).sum(1) / (own.sum() + shows.sum(1))
        nearest = np.argsort(-(near @ unit[person][row]))[:5]
        scores.append(f1[nearest].mean())
        chances.append(f1.mean())
        bests.append(np.sort(f1)[-5:].mean())
      row = found.iloc[person]
      self.assertEqual(row['n_test'], len(scores))
      self.assertEqual(row['n_train'], 800)
      np.testing.assert_allclose(
        row[['score', 'chance', 'best']].astype(float),
        [np.mean(scores), np.mean(chances), np.mean(bests)],
        rtol=1e-6,
      )

  def test_a_bound_on_frames_is_kept_and_hardly_moves_the_score(self):
    tables = _population()
    persons, _ = _retrieve(tables, max_frames=300)
    self.assertTrue((persons['n_test'] <= 100).all())
    self.assertTrue((persons['n_train'] == 200).all())
    self.assertLess(
      abs(_normalised(tables, max_frames=300) - _normalised(tables)), 0.1
    )

  def test_a_model_each_has_a_reason_instead_of_a_value(self):
    tables = [
      dataclasses.replace(table, model_id=f'm-{table.person_id}')
      for table in _population('psm')
    ]
    found, reasons = _retrieve(tables)
    self.assertEqual(reasons, [coordinates.OWN_MODELS])
    self.assertEmpty(found)

  def test_a_person_without_labels_is_left_out(self):
    bare = people.frames('P4')
    bare[list(people.UNITS)] = np.nan
    hidden = people.table(bare.fillna(0.0))
    tables = [*_population(), dataclasses.replace(hidden, frames=bare)]
    persons, _ = _retrieve(tables)
    self.assertEqual(set(persons['person_id']), set(_PERSONS))
    self.assertEqual(set(persons['n_train']), {800})

  def test_nobody_labelled_is_a_reason(self):
    tables = []
    for table in _population():
      frames = table.frames.drop(columns=list(people.UNITS))
      tables.append(dataclasses.replace(table, frames=frames))
    _, (reason,) = _retrieve(tables)
    self.assertIn('no action-unit labels', reason)


if __name__ == '__main__':
  absltest.main()
