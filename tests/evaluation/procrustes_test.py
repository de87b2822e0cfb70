import dataclasses

import numpy as np
from absl.testing import absltest

from psm_jax.evaluation import procrustes, retrieval, splits
from tests.evaluation import people


def _rotation(seed, size=people.NUM_FEATURES):
  generator = np.random.default_rng(seed)
  return np.linalg.qr(generator.normal(size=(size, size)))[0]


def _turned(table, seed, **changes):
  """Returns a table whose coordinates were turned about the origin."""
  turned = table.features @ _rotation(seed)
  return dataclasses.replace(
    table, features=turned.astype(np.float32), **changes
  )


def _r2(quality):
  return people.wide(quality).groupby('target')['r2'].mean()


class FitTest(absltest.TestCase):
  def test_a_known_map_is_found_again(self):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(50, 6))
    rotation, shift = _rotation(1, 6), generator.normal(size=6)
    alignment = procrustes.fit(data, 2.5 * data @ rotation + shift)
    np.testing.assert_allclose(alignment.rotation, rotation, atol=1e-9)
    self.assertAlmostEqual(alignment.scale, 2.5)
    new = generator.normal(size=(5, 6))
    np.testing.assert_allclose(
      alignment.apply(new), 2.5 * new @ rotation + shift, atol=1e-9
    )

  def test_the_map_is_orthogonal_and_beats_any_other(self):
    generator = np.random.default_rng(0)
    data, target = generator.normal(size=(2, 40, 5))
    best = procrustes.fit(data, target)
    np.testing.assert_allclose(
      best.rotation @ best.rotation.T, np.eye(5), atol=1e-9
    )
    reached = ((best.apply(data) - target) ** 2).sum()
    for seed in range(20):
      other = procrustes.fit(data, target, rotation=_rotation(seed, 5))
      self.assertGreaterEqual(
        ((other.apply(data) - target) ** 2).sum(), reached
      )

  def test_a_map_against_the_data_has_scale_0(self):
    data = np.random.default_rng(0).normal(size=(20, 4))
    opposite = procrustes.fit(data, -data, rotation=np.eye(4))
    self.assertEqual(opposite.scale, 0.0)

  def test_other_numbers_of_units_are_an_error(self):
    with self.assertRaisesRegex(ValueError, r'\(4, 3\).*\(4, 2\)'):
      procrustes.fit(np.zeros((4, 3)), np.zeros((4, 2)))

  def test_rows_that_do_not_vary_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'all equal'):
      procrustes.fit(np.ones((4, 3)), np.zeros((4, 3)))


class AlignToGeneralTest(absltest.TestCase):
  def test_a_turned_embedding_is_turned_back(self):
    general = people.table(people.frames('P1'))
    own = _turned(general, 1, source='psm', model_id='m-P1')
    aligned = procrustes.align_to_general(own, general)
    r2 = _r2(aligned.quality)
    self.assertGreater(r2['aligned'], 0.999)
    self.assertLess(r2['aligned_identity'], 0.5)
    self.assertLess(r2['aligned_random'], 0.5)
    self.assertEqual(
      (aligned.table.source, aligned.table.model_id), ('psm_in_gm', 'gm')
    )
    general_unit = general.features / np.linalg.norm(
      general.features, axis=1, keepdims=True
    )
    np.testing.assert_allclose(aligned.table.features, general_unit, atol=1e-4)

  def test_an_unrelated_embedding_shows_that_it_is_useless(self):
    frames = people.frames('P1')
    general = people.table(frames)
    noise = people.table(frames, 'psm', model_id='m-P1', action=0, noise=1.0)
    aligned = procrustes.align_to_general(noise, general)
    self.assertLess(_r2(aligned.quality)['aligned'], 0.1)

  def test_one_video_is_mapped_by_its_other_half(self):
    general = people.table(people.frames('P1', num_videos=1))
    own = _turned(general, 1, source='psm', model_id='m-P1')
    aligned = procrustes.align_to_general(own, general)
    quality = people.wide(aligned.quality)
    self.assertEqual(set(quality['split']), {'blocked'})
    self.assertEqual(set(quality['n_test']), {80})
    # What lies in the guard was never held out.
    self.assertLen(aligned.table.frames, 160)

  def test_each_video_is_mapped_by_the_map_that_was_fitted_on_the_other(self):
    frames = people.frames('P1')
    general = people.table(frames)
    own = people.table(frames, 'psm', model_id='m-P1', model_seed=1, noise=2.0)
    aligned = procrustes.align_to_general(own, general)
    data = own.scaled()
    # The later video is mapped as the earlier one asks, and the reverse.
    for video, direction in (('v0', 'backward'), ('v1', 'forward')):
      here = (frames['video_id'] == video).to_numpy()
      alignment = aligned.alignments[direction]
      np.testing.assert_allclose(
        aligned.table.features[here], alignment.apply(data[here]), atol=1e-5
      )
      other = np.split(data, 2)[video == 'v0']
      np.testing.assert_allclose(alignment.mean, other.mean(axis=0))

  def test_aligned_persons_can_be_searched_in(self):
    apart, together = [], []
    for seed, person_id in enumerate(('P1', 'P2', 'P3')):
      general = people.table(people.frames(person_id))
      own = _turned(general, seed, source='psm', model_id=f'm-{person_id}')
      aligned = procrustes.align_to_general(own, general).table
      together.append(aligned)
      apart.append(dataclasses.replace(own, model_id='as-if-shared'))
    score = [
      people.wide(retrieval.retrieve(tables)[0])['normalised'].mean()
      for tables in (apart, together)
    ]
    self.assertGreater(score[1], score[0] + 0.3)

  def test_other_frames_are_an_error(self):
    general = people.table(people.frames('P1'))
    own = people.table(people.frames('P1', length=150), 'psm')
    with self.assertRaisesRegex(ValueError, 'different frames of P1'):
      procrustes.align_to_general(own, general)


class AlignByProfilesTest(absltest.TestCase):
  def test_persons_of_one_movement_space_are_brought_together(self):
    first = people.table(people.frames('P1', length=400), 'psm')
    second = _turned(
      people.table(people.frames('P2', length=400), 'psm'), 3, model_id='m-P2'
    )
    aligned = procrustes.align_by_profiles(first, second)
    r2 = _r2(aligned.quality)
    self.assertGreater(r2['aligned'], 0.5)
    self.assertGreater(r2['aligned'], r2['aligned_random'] + 0.4)
    self.assertIsNone(aligned.table)
    self.assertGreaterEqual(people.wide(aligned.quality)['n_train'].min(), 3)

  def test_persons_who_share_too_little_are_a_reason(self):
    first = people.table(people.frames('P1'))
    still = people.frames('P2')
    still[list(people.UNITS)] = 0.0
    with self.assertRaisesRegex(splits.Impossible, 'share 1 profiles'):
      procrustes.align_by_profiles(first, people.table(still))


if __name__ == '__main__':
  absltest.main()
