"""Folders of frames as a TFDS data set; the pictures' bytes are kept as is.

  tfds build psm_jax/data/builders/frame_folder \
      --config='{"name": "lab", "options": {"path": "/data/frames"}}'

Options are those of `folders.scan`.
"""

from tqdm import auto as tqdm

from psm_jax.data import folders, labels
from psm_jax.data.builders import source_builder, videos


class Builder(source_builder.SourceBuilder):
  """People's videos kept as PERSON/VIDEO/*.jpg, with labels.csv if any."""

  def describe(self, options):
    """See `SourceBuilder`."""
    options = {'path': ''} | options
    return folders.scan(options.pop('path'), **options)

  def label_columns(self, source):
    """See `SourceBuilder`; all videos' labels, in order of appearance."""
    columns, self._broken = {}, {}
    for video in source.videos:
      if video.has_labels:
        try:
          path = source.root / video.name / 'labels.csv'
          columns.update(dict.fromkeys(labels.read_columns(path)))
        except ValueError as error:
          self._broken[video.name] = str(error)
    return columns

  def has_landmarks(self, source):
    """See `SourceBuilder`."""
    return any(video.has_landmarks for video in source.videos)

  def examples(self, source, columns, report):
    """See `SourceBuilder`."""
    has_landmarks = self.has_landmarks(source)
    for video in tqdm.tqdm(source.videos, desc='reading folders', unit='video'):
      example = read_video(
        source,
        video,
        columns,
        report,
        has_landmarks=has_landmarks,
        broken=self._broken.get(video.name),
      )
      if example is not None:
        yield example


def read_video(
  source, video, columns, report, *, has_landmarks=False, broken=None
):
  """Returns the TFDS example of one video, None if no frame can be used.

  Args:
    source: the folder's `FolderSource`.
    video: one of its videos.
    columns: names of the label columns wanted; those that are absent are NaN.
    report: takes (path, reason) of what is left out or missing.
    has_landmarks: whether the data set's frames have landmarks.
    broken: why the video's labels.csv cannot be read, if known.
  """
  table, labels_path = None, f'{video.name}/labels.csv'
  if video.has_labels and broken is None:
    try:
      table = labels.read_labels(source.root / labels_path)
    except ValueError as error:
      broken = str(error)
  if broken is not None:
    report(labels_path, f'labels not used: {broken}')
  return videos.read_video(
    source,
    video,
    columns,
    has_landmarks=has_landmarks,
    folder=source.root / video.name,
    table=table,
    report=report,
    labels_path=labels_path,
  )
