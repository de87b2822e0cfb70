"""Makes the frame store that a config asks for, unless it is there.

path = prepare.prepare(config.data, directory='/data/cache')
frames = store.open_store(path).frames
"""

import collections
import pathlib

import ml_collections
from absl import logging

from psm_jax import paths
from psm_jax.data import (
  folders,
  invented,
  pack,
  sources,
  store,
  store_files,
  upkeep,
)
from psm_jax.data.datasets import bp4d, ckplus, disfa, gft, trees, voxceleb
from psm_jax.data.ingest import folder as ingest_folder

# Published data sets, read as their owners ship them.
DATASETS = {
  dataset.kind: dataset
  for dataset in (
    disfa.DATASET,
    bp4d.DATASET,
    gft.DATASET,
    ckplus.DATASET,
    voxceleb.VOXCELEB1,
    voxceleb.VOXCELEB2,
  )
}
# Changes when the same pictures give other frames.
DECODER_VERSION = 2
# Of a person with less, a model learns little; launch.ingest's default too.
SHORT_S = 30.0
SOURCES = (
  'synthetic_faces',
  'frame_folder',
  'video_folder',
  *DATASETS,
  'store',
)


def prepare(
  config_data: ml_collections.ConfigDict, *, directory: str | pathlib.Path
) -> pathlib.Path:
  """Returns the path of a finished frame store for a config's data group.

  The videos go into a TFDS data set in directory/tfds, their decoded frames
  into directory/store-<fingerprint>. Both names change with any file or option
  that matters, so what exists is up to date and is used as it is, without
  importing TensorFlow. Decoding that was killed is gone on with.

  Args:
    config_data: with source (one of `SOURCES`), path, size_px, align,
      eye_distance, fps, persons and the groups synthetic (num_people,
      num_videos, num_frames, seed, fps) and, for one of `DATASETS`, tree (see
      `trees.Options`). A finished store (source 'store') is used whole: persons
      must be empty.
    directory: where caches lie; made if need be, for its owner alone.

  Raises:
    ValueError: If the config or the data cannot be used.
    OSError: If directory cannot be written.
  """
  if config_data.source == 'store':
    return _existing_store(config_data, directory)
  source = describe(config_data)
  fingerprint = sources.digest(
    [
      store_files.SCHEMA_VERSION,
      DECODER_VERSION,
      config_data.source,
      source.fingerprint,
      config_data.size_px,
    ]
  )
  directory = pathlib.Path(directory)
  path = directory / f'store-{fingerprint}'
  if path.exists():
    logging.info('Using the frame store %s.', path)
  else:
    paths.make_private_dir(directory)
    _warn_leftovers(directory, upkeep.part_folder(path))
    _build(config_data, source, directory, path, fingerprint)
  log_summary(store.open_store(path))
  return path


def log_summary(frame_store: store.FrameStore) -> None:
  """Logs what a store holds, who is short, and its problems by kind."""
  logging.info(
    '%s: %d people, %d videos, %d frames of %d px, labels: %s%s.',
    frame_store.path,
    len(frame_store.person_ids),
    sum(map(len, frame_store.videos_by_person.values())),
    len(frame_store.frames),
    frame_store.size_px,
    store.list_some(frame_store.label_columns),
    ', with landmarks' if frame_store.has_landmarks else '',
  )
  if short := [
    person_id
    for person_id, videos in frame_store.videos_by_person.items()
    if sum((v.stop - v.start) / v.fps for v in videos) < SHORT_S
  ]:
    logging.warning(
      'Fewer than %g s of %d of %d people: %s.',
      SHORT_S,
      len(short),
      len(frame_store.person_ids),
      store.list_some(short),
    )
  kinds = collections.defaultdict(list)
  for problem in frame_store.problems:
    kind = ''.join(c for c in problem['reason'] if not c.isdigit())
    kinds[kind.split(':')[0]].append(problem)
  for problems in kinds.values():
    logging.warning(
      '%d x %s (first: %s)',
      *(len(problems), problems[0]['reason'], problems[0]['path']),
    )
  if kinds:
    logging.warning(
      'All %d problems are listed in %s.',
      len(frame_store.problems),
      frame_store.path / store_files.MANIFEST,
    )


def _warn_leftovers(directory, part_folder):
  """Names what killed runs left: it may belong to one that still runs."""
  for pattern in ('.store-*.part', 'tfds/*/*/*incomplete*'):
    for folder in sorted(directory.glob(pattern)):
      if folder != part_folder:
        logging.warning(
          '%s was left by a run that was killed, unless one is preparing data '
          'right now. It can be deleted.',
          folder,
        )


def _existing_store(config_data, directory):
  """The path of a finished store that the config names."""
  path = pathlib.Path(config_data.path)
  if path.is_file():
    path = pack.unpack(path, directory=directory)
  frame_store = store.open_store(path)
  if frame_store.size_px != config_data.size_px:
    raise ValueError(
      f'{config_data.path} holds frames of {frame_store.size_px} px, but '
      f'data.size_px is {config_data.size_px}. Change it, or prepare another '
      'store.'
    )
  if config_data.persons:
    raise ValueError(
      'data.persons chooses people when a store is made; the finished store '
      f'{config_data.path} is used whole. Leave it empty.'
    )
  log_summary(frame_store)
  return frame_store.path


def describe(config_data: ml_collections.ConfigDict) -> sources.Source:
  """Returns the source of frames that a config's data group names.

  Args:
    config_data: as `prepare` takes it; source is none of 'store'.

  Raises:
    ValueError: If the config or the data cannot be used.
  """
  if config_data.source not in SOURCES[:-1]:
    raise ValueError(
      f'data.source {config_data.source!r} is none of {list(SOURCES)}.'
    )
  if config_data.source == 'frame_folder':
    return folders.scan(
      config_data.path,
      align=config_data.align,
      eye_distance=config_data.eye_distance,
      fps=config_data.fps,
      persons=tuple(config_data.persons),
    )
  if config_data.source in DATASETS:
    options = trees.Options(
      **config_data.tree,
      align=config_data.align,
      eye_distance=config_data.eye_distance,
      fps=config_data.fps,
      persons=tuple(config_data.persons),
    )
    return trees.scan(DATASETS[config_data.source], config_data.path, options)
  if config_data.source == 'video_folder':
    if config_data.fps:
      raise ValueError(
        f'data.fps is {config_data.fps}, but ingested videos have their own '
        'times. Leave it 0.'
      )
    return ingest_folder.scan(
      config_data.path,
      persons=tuple(config_data.persons),
      align=config_data.align,
      eye_distance=config_data.eye_distance,
    )
  if config_data.align != 'none':
    raise ValueError(
      f'data.align {config_data.align!r} needs landmarks; synthetic faces are '
      "drawn in place. Use 'none'."
    )
  return invented.describe(
    **config_data.synthetic,
    size_px=config_data.size_px,
    persons=tuple(config_data.persons),
  )


def _build(config_data, source, directory, path, fingerprint):
  """Writes the TFDS data set and the store, whichever is missing."""
  # TensorFlow takes seconds to load and is not needed to use a store.
  from psm_jax.data import builder, decode

  tfds_dir = paths.make_private_dir(directory / 'tfds')
  with paths.locked(
    tfds_dir / f'.{source.fingerprint}.lock',
    busy=f'Another process is reading {source.root}; waiting for it.',
    wait=True,
  ):
    folder = builder.write(builder.Faces.of(source, data_dir=tfds_dir))
  logging.info('Decoding %s into %s.', folder, path)
  described = {
    'kind': config_data.source,
    'path': config_data.path,
    'fingerprint': fingerprint,
    'records': '/'.join(folder.relative_to(tfds_dir).parts[:2]),
    'align': config_data.align,
    'eye_distance': config_data.eye_distance,
  }
  if config_data.source == 'video_folder':
    described['crops'] = ingest_folder.options(config_data.path)
  if config_data.source in DATASETS:
    described['folds'] = dict(source.folds)
  decode.fill_store(folder, path, size_px=config_data.size_px, source=described)
