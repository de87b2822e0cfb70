"""What the builders of published data sets have in common.

They read a user's own copy. launch.train gives them what was found there; with
TFDS's own program they look in --manual_dir:

  tfds build psm_jax/data/builders/disfa --manual_dir=/data/DISFA

Options are fields of `trees.Options`, as JSON:

  tfds build psm_jax/data/builders/disfa --manual_dir=/data/DISFA \
      --config='{"name": "left", "options": {"images": "left/*"}}'
"""

from typing import ClassVar

from tqdm import auto as tqdm

from psm_jax.data.builders import source_builder, videos
from psm_jax.data.datasets import trees


class TreeBuilder(source_builder.SourceBuilder, skip_registration=True):
  """A published data set's videos and labels; subclasses name the data set."""

  DATASET: trees.Dataset
  BUILDER_CONFIGS: ClassVar = [
    source_builder.SourceConfig(
      name='manual', description="The folder that TFDS's user gives."
    )
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Ask the owners of the data set for a copy and give its folder. '
    'docs/datasets.md shows the layout expected.'
  )

  def describe(self, options):
    """See `SourceBuilder`: TFDS tells the folder later."""
    del options

  def label_columns(self, source):
    """See `SourceBuilder`."""
    # Features are fixed before TFDS tells the folder, so without a source they
    # are those that the data set has by its documentation.
    return source.label_columns if source else self.DATASET.columns

  def has_landmarks(self, source):
    """See `SourceBuilder`."""
    if source is None:
      return self.DATASET.has_landmarks
    return any(
      video.table is not None and video.table.landmarks is not None
      for video in source.videos
    )

  def _split_generators(self, dl_manager):
    if self.source is None:
      options = trees.Options(**self.builder_config.options)
      self.source = trees.scan(self.DATASET, dl_manager.manual_dir, options)
    return super()._split_generators(dl_manager)

  def examples(self, source, columns, report):
    """See `SourceBuilder`."""
    if left_out := sorted(set(source.label_columns) - set(columns)):
      report('.', f'labels outside the documented ones, left out: {left_out}')
    for video in tqdm.tqdm(
      source.videos, desc=f'reading {source.kind}', unit='video'
    ):
      example = videos.read_video(
        source,
        video,
        columns,
        has_landmarks='landmarks' in self.info.features['frames'],
        folder=video.folder,
        table=video.table,
        report=report,
        labels_path=video.name,
      )
      if example is not None:
        yield example
