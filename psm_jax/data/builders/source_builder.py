"""What all builders have in common: a source, and an example a video of it.

launch.train describes the source and hands it to a builder's `of`. TFDS's own
program hands over options, as JSON, by which a builder describes it:

  tfds build psm_jax/data/builders/frame_folder \
      --config='{"name": "lab", "options": {"path": "/data/frames"}}'
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from psm_jax.data.builders import records
from psm_jax.data.tf import tfds


@dataclasses.dataclass(eq=False, kw_only=True)
class SourceConfig(tfds.core.BuilderConfig):
  """What is read, and how.

  Attributes:
    source: as described by launch.train; None to go by the options.
    options: what TFDS's user gives.
  """

  # TFDS prints configs, and this may list every file.
  source: Any = dataclasses.field(default=None, repr=False)
  options: dict = dataclasses.field(default_factory=dict)


class SourceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Videos of a source with a fingerprint; subclasses say which and how."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS: ClassVar = [
    SourceConfig(name='options', description='What TFDS is told to read.')
  ]
  builder_config_cls = SourceConfig

  @classmethod
  def of(cls, source: Any, *, data_dir) -> 'SourceBuilder':
    """Returns the builder of a source, under its fingerprint.

    Args:
      source: what is to be read.
      data_dir: TFDS's folder.
    """
    config = SourceConfig(name=source.fingerprint, source=source)
    return cls(config=config, data_dir=data_dir)

  @abc.abstractmethod
  def describe(self, options: dict) -> Any:
    """Returns the source that options name, None if TFDS tells it later.

    Args:
      options: of the builder's config.
    """

  @abc.abstractmethod
  def label_columns(self, source: Any) -> Sequence[str]:
    """Returns the names of the labels that every frame will have.

    Args:
      source: what `describe` returned.
    """

  @abc.abstractmethod
  def has_landmarks(self, source: Any) -> bool:
    """Tells whether frames have landmarks, NaN where they are missing.

    Args:
      source: what `describe` returned.
    """

  @abc.abstractmethod
  def examples(
    self,
    source: Any,
    columns: Sequence[str],
    report: Callable[[str, str], None],
  ) -> Iterator[dict]:
    """Yields the examples of `records.features`, sorted by person and video.

    Args:
      source: what is read.
      columns: what `label_columns` returned.
      report: takes (path, reason) of what is left out or doubtful.
    """

  def _info(self) -> tfds.core.DatasetInfo:
    config = self.builder_config
    self.source = config.source or self.describe(config.options)
    self.columns = list(self.label_columns(self.source))
    return self.dataset_info_from_configs(
      features=records.features(
        len(self.columns), has_landmarks=self.has_landmarks(self.source)
      ),
      metadata=records.metadata(self.columns),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {records.SPLIT: self._generate_examples()}

  def _generate_examples(self):
    problems = list(self.source.problems)

    def report(path, reason):
      problems.append({'path': path, 'reason': reason})

    num_frames = 0
    examples = self.examples(self.source, self.columns, report)
    for key, example in enumerate(examples):
      num_frames += len(example['frames'])
      yield key, example
    if not num_frames:
      raise ValueError(
        f'No frame of {self.source.root} can be used: '
        + '; '.join(f'{p["path"]}: {p["reason"]}' for p in problems[:3])
      )
    self.info.metadata.update(num_frames=num_frames, problems=problems)
