import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import cuts, video
from tests.data.ingest import films

_ALIKE = (
  lambda pixels: pixels,
  lambda pixels: np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1),
  lambda pixels: 0.35 * pixels,
  lambda pixels: 128 + 0.25 * (pixels - 128),
)


def _ground():
  noise = np.random.default_rng(0).normal(size=(30, 40))
  return np.kron(110 + 25 * noise, np.ones((4, 4)))[..., None].repeat(3, 2)


def _scene(*faces):
  """A textured room with faces, each (person_index, frame, left, top)."""
  room = _ground()
  for person_index, frame, left, top in faces:
    low, high = max(0, left), min(160, left + films.FACE_PX)
    face = films.face(person_index, frame)
    room[top : top + films.FACE_PX, low:high] = face[
      :, low - left : high - left
    ]
  return room.clip(0, 255)


class CutTest(parameterized.TestCase):
  def _cuts(self, pictures):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    films.write(
      path, [np.round(p).clip(0, 255).astype(np.uint8) for p in pictures]
    )
    finder = cuts.CutFinder()
    for frame in video.read(path, video.Counts()):
      finder.add(frame)
    return finder.cuts()

  @parameterized.parameters(*_ALIKE)
  def test_another_face_at_the_same_place_is_a_cut(self, look):
    one = [look(films.picture((0, i, 36, 16))) for i in range(12)]
    other = [look(films.picture((3, i, 36, 16))) for i in range(12)]
    self.assertEqual(self._cuts(one + other + one), [12, 24])

  @parameterized.parameters(1, 2, 4, 8, 16)
  def test_people_who_pass_each_other_are_none(self, step):
    films_of_two = [
      _scene((0, i % 32, -88 + step * i, 16), (3, i % 32, 160 - step * i, 20))
      for i in range(min(60, 248 // step))
    ]
    self.assertEmpty(self._cuts(films_of_two))

  def test_somebody_who_enters_and_moves_is_none(self):
    moved = [films.picture((1, i, 4 * i, i)) for i in range(16)]
    self.assertEmpty(self._cuts([films.picture((1, 0, 0, 0))] * 6 + moved))

  def test_light_and_contrast_that_change_are_none(self):
    still = films.picture((1, 0, 36, 16)).astype(float)
    lit = [still] * 6 + [0.5 * still] * 6 + [0.5 * still + 100] * 6
    self.assertEmpty(self._cuts(lit))

  def test_noise_is_none_and_hides_none(self):
    generator = np.random.default_rng(0)
    pictures = [films.picture((i // 12 * 3, i % 12, 36, 16)) for i in range(24)]
    noisy = [0.3 * p + generator.normal(0, 6, p.shape) for p in pictures]
    self.assertEqual(self._cuts(noisy), [12])

  def test_black_pictures_are_no_scenes(self):
    black = [np.zeros((120, 160, 3))] * 6
    shown = [films.picture((1, i, 36, 16)) for i in range(6)]
    self.assertEqual(self._cuts(black + shown + black), [6, 12])


if __name__ == '__main__':
  absltest.main()
