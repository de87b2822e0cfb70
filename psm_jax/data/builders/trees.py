"""What the builders of published data sets have in common.

They read a user's own copy. launch.train gives them what was found there; with
TFDS's own program they look in --manual_dir:

  tfds build psm_jax/data/builders/disfa --manual_dir=/data/DISFA

Options are fields of `trees.Options`, as JSON:

  tfds build psm_jax/data/builders/disfa --manual_dir=/data/DISFA \
      --config='{"name": "left", "options": {"images": "left/*"}}'
"""

import dataclasses
from typing import ClassVar

from tqdm import auto as tqdm

from psm_jax.data.builders import records, videos
from psm_jax.data.datasets import trees
from psm_jax.data.tf import tfds


@dataclasses.dataclass(eq=False, kw_only=True)
class TreeConfig(tfds.core.BuilderConfig):
  """Which copy, and how to read it.

  Attributes:
    source: what `trees.scan` returned; None to look in TFDS's manual_dir.
    options: with manual_dir, fields of `trees.Options`.
  """

  # TFDS prints configs, and this one lists every file.
  source: trees.TreeSource | None = dataclasses.field(default=None, repr=False)
  options: dict = dataclasses.field(default_factory=dict)


class TreeBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A published data set's videos and labels; subclasses name the data set."""

  VERSION = tfds.core.Version('1.0.0')
  DATASET: trees.Dataset
  BUILDER_CONFIGS: ClassVar = [
    TreeConfig(name='manual', description="The folder that TFDS's user gives.")
  ]
  builder_config_cls = TreeConfig
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Ask the owners of the data set for a copy and give its folder. '
    'docs/datasets.md shows the layout expected.'
  )

  @classmethod
  def of(cls, source: trees.TreeSource, *, data_dir) -> 'TreeBuilder':
    """Returns the builder of what was found, under its fingerprint.

    Args:
      source: what `trees.scan` returned.
      data_dir: TFDS's folder.
    """
    config = TreeConfig(name=source.fingerprint, source=source)
    return cls(config=config, data_dir=data_dir)

  def _info(self) -> tfds.core.DatasetInfo:
    source = self.builder_config.source
    # Features are fixed before TFDS tells the folder, so without a source they
    # are those that the data set has by its documentation.
    columns = source.label_columns if source else self.DATASET.columns
    self._columns = list(columns)
    return self.dataset_info_from_configs(
      features=records.features(len(columns)),
      metadata=records.metadata(columns),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    source = self.builder_config.source
    if source is None:
      options = trees.Options(**self.builder_config.options)
      source = trees.scan(self.DATASET, dl_manager.manual_dir, options)
    return {records.SPLIT: self._generate_examples(source)}

  def _generate_examples(self, source):
    problems = list(source.problems)
    if left_out := sorted(set(source.label_columns) - set(self._columns)):
      reason = f'labels outside the documented ones, left out: {left_out}'
      problems.append({'path': '.', 'reason': reason})

    def report(path, reason):
      problems.append({'path': path, 'reason': reason})

    num_frames = 0
    for key, video in enumerate(
      tqdm.tqdm(source.videos, desc=f'reading {source.kind}', unit='video')
    ):
      example = videos.read_video(
        source,
        video,
        self._columns,
        folder=video.folder,
        table=video.table,
        report=report,
        labels_path=video.name,
      )
      if example is not None:
        num_frames += len(example['frames'])
        yield key, example
    if not num_frames:
      raise ValueError(
        f'No frame of {source.root} can be used: '
        + '; '.join(f'{p["path"]}: {p["reason"]}' for p in problems[:3])
      )
    self.info.metadata.update(num_frames=num_frames, problems=problems)
