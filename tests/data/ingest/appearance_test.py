import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data.ingest import appearance
from tests.data.ingest import films


def _changed_at(crops):
  watch = appearance.Watch(len(crops))
  for crop in crops:
    watch.add(np.round(crop).clip(0, 255).astype(np.uint8))
  return watch.changed_at


def _face(person, frame):
  return films.face(person, frame % 32).astype(float)


class WatchTest(parameterized.TestCase):
  @parameterized.parameters(0, 1, 2, 3, 4, 5)
  def test_one_face_that_talks_stays_itself(self, person):
    self.assertIsNone(_changed_at([_face(person, i) for i in range(60)]))

  @parameterized.parameters((0, 3), (1, 2), (4, 5))
  def test_another_face_is_noticed_where_it_begins(self, one, other):
    crops = [_face(one, i) for i in range(25)]
    crops += [_face(other, i) for i in range(25)]
    self.assertEqual(_changed_at(crops), 25)
    self.assertEqual(_changed_at([0.3 * crop for crop in crops]), 25)

  def test_light_that_changes_is_no_other_face(self):
    crops = [_face(0, i) * (1.0 if i < 20 else 0.4) for i in range(40)]
    self.assertIsNone(_changed_at(crops))

  def test_what_passes_before_the_face_is_no_other_face(self):
    crops = [_face(0, i) for i in range(40)]
    crops[18] = crops[19] = np.full_like(crops[0], 60)
    self.assertIsNone(_changed_at(crops))

  def test_few_crops_tell_too(self):
    self.assertIsNone(_changed_at([_face(0, 0)]))
    crops = [_face(0, i) for i in range(5)] + [_face(3, i) for i in range(5)]
    self.assertEqual(_changed_at(crops), 5)


if __name__ == '__main__':
  absltest.main()
