from absl.testing import absltest

from psm_jax.data import sources
from psm_jax.data.builders import records
from psm_jax.data.builders.synthetic_faces import (
  synthetic_faces_dataset_builder,
)
from psm_jax.data.tf import tfds


class SyntheticFacesBuilderTest(absltest.TestCase):
  def test_examples_follow_the_source(self):
    source = sources.SyntheticSource(
      person_indices=(1, 0),
      num_videos=2,
      num_frames=2,
      seed=0,
      fps=10.0,
      size_px=8,
    )
    builder = synthetic_faces_dataset_builder.Builder.of(
      source, data_dir=self.create_tempdir().full_path
    )
    prepared = records.prepare(builder)
    videos = list(tfds.as_numpy(builder.as_dataset(split='train')))
    self.assertEqual(
      [(video['person_id'], video['video_id']) for video in videos],
      [
        (b'P002', b'video01'),
        (b'P002', b'video02'),
        (b'P001', b'video01'),
        (b'P001', b'video02'),
      ],
    )
    self.assertEqual(videos[0]['frames']['image'].shape, (2, 8, 8, 3))
    metadata = records.read_metadata(prepared)
    self.assertEqual(metadata['num_frames'], 8)
    self.assertIn('AU12', metadata['label_columns'])


if __name__ == '__main__':
  absltest.main()
