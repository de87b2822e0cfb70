import numpy as np
from absl.testing import absltest

from psm_jax.evaluation import driven

_SIZE = 32
_GAIN, _BIAS = np.array([0.8, 1.1, 0.9]), np.array([10.0, -5.0, 20.0])


def _videos():
  """Returns frames, their canonical face, and both in another light."""
  generator = np.random.default_rng(0)
  face = generator.uniform(40, 200, (_SIZE, _SIZE, 3))
  frames = face + generator.normal(0, 20, (6, _SIZE, _SIZE, 3))
  return frames, face, frames * _GAIN + _BIAS, face * _GAIN + _BIAS


class R2Test(absltest.TestCase):
  def test_the_same_movement_in_another_light_is_all_of_it(self):
    frames, face, relit, relit_face = _videos()
    for region in driven.REGIONS:
      value = driven.r2(
        relit, frames, canonical=face, target=relit_face, region=region
      )
      self.assertAlmostEqual(value, 1, places=6, msg=region)

  def test_a_face_that_does_not_move_is_nothing(self):
    frames, face, _, relit_face = _videos()
    still = np.repeat(relit_face[None], len(frames), axis=0)
    value = driven.r2(still, frames, canonical=face, target=relit_face)
    self.assertAlmostEqual(value, 0, places=6)

  def test_the_movements_of_other_moments_are_worse_than_none(self):
    frames, face, relit, relit_face = _videos()
    value = driven.r2(relit[::-1], frames, canonical=face, target=relit_face)
    self.assertLess(value, -0.5)

  def test_what_lies_outside_the_region_does_not_count(self):
    frames, face, relit, relit_face = _videos()
    relit[:, :18] = 0
    values = {
      region: driven.r2(
        relit, frames, canonical=face, target=relit_face, region=region
      )
      for region in ('mouth', 'eyes')
    }
    self.assertAlmostEqual(values['mouth'], 1, places=6)
    self.assertLess(values['eyes'], 0)


if __name__ == '__main__':
  absltest.main()
