import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import builder as builder_lib, invented, synthetic
from psm_jax.data.tf import tfds

_OPTIONS = {
  'num_people': 3,
  'num_videos': 2,
  'num_frames': 5,
  'seed': 0,
  'fps': 25.0,
  'size_px': 16,
}


def _ids(source):
  return list(dict.fromkeys(video.person_id for video in source.videos))


class DescribeTest(parameterized.TestCase):
  def test_all_people_are_taken_by_default(self):
    source = invented.describe(**_OPTIONS)
    self.assertEqual(_ids(source), ['P001', 'P002', 'P003'])

  def test_people_are_chosen_by_id(self):
    source = invented.describe(**_OPTIONS, persons=('P003', 'P001'))
    self.assertEqual(_ids(source), ['P001', 'P003'])

  def test_people_come_in_the_order_of_their_ids(self):
    source = invented.describe(**(_OPTIONS | {'num_people': 1001}))
    self.assertEqual(_ids(source), sorted(_ids(source)))
    self.assertLen(_ids(source), 1001)

  def test_an_absent_person_is_named(self):
    with self.assertRaisesRegex(ValueError, 'data.persons names P004'):
      invented.describe(**_OPTIONS, persons=('P004',))

  def test_the_fingerprint_depends_on_every_option(self):
    changed = [
      invented.describe(**(_OPTIONS | {name: value + 1})).fingerprint
      for name, value in _OPTIONS.items()
    ]
    original = invented.describe(**_OPTIONS).fingerprint
    self.assertLen({original, *changed}, len(_OPTIONS) + 1)


class ShotsTest(absltest.TestCase):
  def test_the_labels_are_those_of_the_renderer(self):
    units = len(synthetic.ACTION_UNITS)
    self.assertEqual(invented.LABEL_COLUMNS[:units], synthetic.ACTION_UNITS)

  def test_examples_follow_the_source(self):
    source = invented.describe(**_OPTIONS, persons=('P002',))
    builder = builder_lib.Faces.of(
      source, data_dir=self.create_tempdir().full_path
    )
    metadata = builder_lib.read_metadata(builder_lib.write(builder))
    first, second = tfds.as_numpy(builder.as_dataset(split='train'))
    self.assertEqual(
      (first['person_id'], first['video_id'], second['video_id']),
      (b'P002', b'video01', b'video02'),
    )
    self.assertEqual(first['frames']['image'].shape, (5, 16, 16, 3))
    self.assertEqual(metadata['num_frames'], 10)
    self.assertEqual(metadata['label_columns'], list(invented.LABEL_COLUMNS))
    person = synthetic.sample_person(0, 1)
    performance = synthetic.sample_performance(person, 0, 1, 5, 25.0)
    np.testing.assert_array_equal(
      second['frames']['image'][3],
      synthetic.render(person, performance, 3, size_px=16),
    )
    np.testing.assert_array_equal(
      second['frames']['labels'][3, :12],
      performance.intensity[3].astype(np.float32),
    )


if __name__ == '__main__':
  absltest.main()
