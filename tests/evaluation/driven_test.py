import dataclasses
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from psm_jax.data import driven_squares
from psm_jax.evaluation import driven, probes, results
from tests.evaluation import people

_SIZE = 32
_GAIN, _BIAS = np.array([0.8, 1.1, 0.9]), np.array([10.0, -5.0, 20.0])


def _videos():
  """Returns frames, their canonical face, and both in another light."""
  generator = np.random.default_rng(0)
  face = generator.uniform(40, 200, (_SIZE, _SIZE, 3))
  frames = face + generator.normal(0, 20, (6, _SIZE, _SIZE, 3))
  return frames, face, frames * _GAIN + _BIAS, face * _GAIN + _BIAS


def _r2(*images, **faces):
  """Returns the R2 of each region."""
  sums = driven_squares.squares(*images, **faces)
  return {
    region: 1 - sums[f'rest_{region}'].sum() / sums[f'still_{region}'].sum()
    for region in driven_squares.REGIONS
  }


class SquaresTest(absltest.TestCase):
  def test_the_same_movement_in_another_light_is_all_of_it(self):
    frames, face, relit, relit_face = _videos()
    told = _r2(relit, frames, canonical=face, target=relit_face)
    for region, value in told.items():
      self.assertAlmostEqual(value, 1, places=6, msg=region)

  def test_a_face_that_does_not_move_is_nothing(self):
    frames, face, _, relit_face = _videos()
    still = np.repeat(relit_face[None], len(frames), axis=0)
    told = _r2(still, frames, canonical=face, target=relit_face)
    self.assertAlmostEqual(told['face'], 0, places=6)

  def test_the_movements_of_other_moments_are_worse_than_none(self):
    frames, face, relit, relit_face = _videos()
    told = _r2(relit[::-1], frames, canonical=face, target=relit_face)
    self.assertLess(told['face'], -0.5)

  def test_what_lies_outside_the_region_does_not_count(self):
    frames, face, relit, relit_face = _videos()
    relit[:, :18] = 0
    told = _r2(relit, frames, canonical=face, target=relit_face)
    self.assertAlmostEqual(told['mouth'], 1, places=6)
    self.assertLess(told['eyes'], 0)


class ScoreTest(absltest.TestCase):
  """A run whose driven faces move as the frames do, and leak nothing."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    workdir = pathlib.Path(folder)
    frames = people.frames('P1')
    sums = {f'rest_{region}': 1.0 for region in driven_squares.REGIONS}
    sums |= {f'still_{region}': 4.0 for region in driven_squares.REGIONS}
    sums['rest_mouth'] = np.where(frames.video_id == 'v0', 2.0, 0.0)
    options = {'source': 'trained', 'model_id': 'm-P1'}
    pixels = people.table(frames, 'pixel_pca', noise=0.1)
    drawn = people.table(frames.assign(**sums), noise=0.2, **options)
    still = dataclasses.replace(
      drawn, features=np.ones_like(drawn.features), frames=frames
    )
    people.write_tables(workdir / 'driven', [drawn])
    people.write_tables(workdir / 'neutral_faces', [still])
    table = people.table(frames, noise=0.3, **options)
    cls.rows = results.table(
      driven.score(workdir, table, pixels, config=probes.DEFAULT)
    )

  def _mean(self, split):
    rows = self.rows[self.rows.split == split]
    return rows.value[rows.target.isin(people.UNITS)].mean()

  def test_the_r2_of_each_region_and_direction_is_of_sums_over_frames(self):
    rows = self.rows[self.rows.metric == 'r2']
    told = rows.set_index(['target', 'direction']).value
    self.assertEqual(told['mouth', 'forward'], 1)
    self.assertEqual(told['mouth', 'backward'], 0.5)
    self.assertEqual(told['face', 'forward'], 0.75)
    self.assertLen(told, 6)

  def test_units_are_read_from_faces_that_move_as_the_frames_did(self):
    self.assertGreater(self._mean('driven'), 0.95)

  def test_half_a_video_later_they_are_others(self):
    self.assertLess(self._mean('driven_shuffled'), 0.75)

  def test_neutral_faces_that_never_change_tell_none(self):
    self.assertEqual(self._mean('neutral_face'), 0.5)


if __name__ == '__main__':
  absltest.main()
