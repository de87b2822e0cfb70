from absl.testing import absltest, parameterized

from psm_jax.data import sources

_OPTIONS = {
  'num_people': 3,
  'num_videos': 2,
  'num_frames': 5,
  'seed': 0,
  'fps': 25.0,
  'size_px': 16,
}


class DescribeSyntheticTest(parameterized.TestCase):
  def test_all_people_are_taken_by_default(self):
    source = sources.describe_synthetic(**_OPTIONS)
    self.assertEqual(source.person_indices, (0, 1, 2))

  def test_people_are_chosen_by_id(self):
    source = sources.describe_synthetic(**_OPTIONS, persons=('P003', 'P001'))
    self.assertEqual(source.person_indices, (0, 2))

  def test_people_come_in_the_order_of_their_ids(self):
    source = sources.describe_synthetic(**(_OPTIONS | {'num_people': 1001}))
    ids = [sources.person_id(index) for index in source.person_indices]
    self.assertEqual(ids, sorted(ids))

  def test_an_absent_person_is_named(self):
    with self.assertRaisesRegex(ValueError, 'data.persons names P004'):
      sources.describe_synthetic(**_OPTIONS, persons=('P004',))

  @parameterized.parameters(
    ('num_people', 0),
    ('num_videos', 0),
    ('num_frames', 0),
    ('seed', -1),
    ('fps', 0.0),
    ('fps', float('inf')),
  )
  def test_numbers_out_of_range_are_named(self, name, value):
    with self.assertRaisesRegex(ValueError, f'data.synthetic.{name}'):
      sources.describe_synthetic(**(_OPTIONS | {name: value}))

  def test_the_fingerprint_depends_on_every_option(self):
    changed = [
      sources.describe_synthetic(**(_OPTIONS | {name: value + 1})).fingerprint
      for name, value in _OPTIONS.items()
    ]
    original = sources.describe_synthetic(**_OPTIONS).fingerprint
    self.assertLen({original, *changed}, len(_OPTIONS) + 1)


if __name__ == '__main__':
  absltest.main()
