"""New recordings as a trained model needs them: cut as those it learned from.

  with recordings.opened('today.mp4', data, crops=crops) as recording:
    recording.store.frames

The frames come out of the same ingest and the same frame store as those of the
training, so a recording that was trained on gives the same frames again.
"""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

import ml_collections
import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths
from psm_jax.data import prepare, store as store_lib
from psm_jax.data.ingest import folder, frame_tables, layout

ROW_COLUMNS = (*store_lib.KEY_COLUMNS, 'success', 'confidence')


@dataclasses.dataclass(frozen=True)
class Recording:
  """Frames of recordings, and a row for every frame there was.

  Attributes:
    store: The frames that show a face.
    rows: A row a frame, in order of person, video and time: person_id,
      video_id, frame, time_s, success (whether the face was found), confidence
      (of the detector; NaN where unknown), and `row` of the store, -1 without.
  """

  store: store_lib.FrameStore
  rows: pd.DataFrame


def kind_of(path: str | os.PathLike) -> str:
  """Returns which `data.source` a folder or file is.

  Raises:
    ValueError: If it does not exist.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise ValueError(f'{path} does not exist.')
  if path.is_file() or (path / 'store.json').is_file():
    return 'store'
  is_ingested = (path / layout.TRACKS).is_file()
  return 'video_folder' if is_ingested else 'frame_folder'


@contextlib.contextmanager
def opened(
  source: str | os.PathLike | store_lib.FrameStore,
  data: ml_collections.ConfigDict,
  *,
  crops: Mapping,
  person_id: str = '',
  boxes: str | os.PathLike | None = None,
) -> Iterator[Recording]:
  """Gives the frames of recordings; crops made for it are deleted afterwards.

  Args:
    source: A video, a folder of videos, a manifest (.csv), an ingest folder, or
      a frame store.
    data: The data group of the model's configuration.
    crops: How its frames were cut out of videos, see `jobs.Options.of`.
    person_id: Who is seen in videos that are ingested here; '' for their names.
    boxes: Boxes of the faces instead of a detector, see `batch.ingest`.

  Raises:
    ValueError: If it is nothing of this kind, how to cut is unknown, or two
      faces are seen at once.
  """
  if isinstance(source, store_lib.FrameStore):
    yield _of_store(source)
    return
  path = pathlib.Path(source)
  if not path.exists():
    raise ValueError(
      f'{path} does not exist. Give a video, a folder of videos, an ingest '
      'folder or a frame store.'
    )
  if (path / 'store.json').is_file():
    yield _of_store(store_lib.open_store(path))
    return
  # mkdtemp makes folders that only their owner may enter.
  with tempfile.TemporaryDirectory(prefix='psm_jax-') as scratch:
    root = path
    if not (path / layout.TRACKS).is_file():
      root = pathlib.Path(scratch) / 'ingested'
      _ingest(path, root, crops, person_id, boxes)
    yield _of_ingest(root, data, pathlib.Path(scratch) / 'data')


def _ingest(path, root, crops, person_id, boxes):
  """Ingests videos and names who is seen."""
  if not crops:
    raise ValueError(
      f'How the frames of this model were cut out of videos is unknown, so '
      f'{path} cannot be cut alike. Give aligned frames, or a folder that '
      'launch.ingest made with the same --eye_distance.'
    )
  # OpenCV and PyAV are not needed to embed frames that are there.
  from psm_jax.data.ingest import batch, jobs

  if crops.get('table') and boxes is None:
    raise ValueError(
      "This model's frames were cut by a table of boxes. Give boxes=, the "
      f'table of {path} by the same program.'
    )
  outcome = batch.ingest(
    path,
    root,
    options=jobs.Options.of(crops),
    boxes=boxes,
    in_process=True,
  )
  problems = [row for row in outcome.rows if row['status'] != 'ok']
  for row in problems:
    logging.warning('%s: %s', row['name'], row['reason'])
  if len(problems) == len(outcome.rows):
    raise ValueError(f'No face to embed in {path}: {problems[0]["reason"]}.')
  _name_tracks(path, root, person_id)


def _name_tracks(path, root, person_id):
  """Writes one person into all tracks of each video.

  Tracks that follow one another are one face that was lost and found.
  """
  from psm_jax.data.ingest import tracks

  contents, _ = layout.list_videos(root)
  table = tracks.read(root)
  for content in contents.values():
    last = -1
    for track in content['tracks']:
      if track['first_frame'] <= last:
        raise ValueError(
          f'{path}: two faces are seen at once in {content["name"]} at frame '
          f'{track["first_frame"]} ({track["first_s"]:.2f} s). Run python -m '
          f'launch.ingest --input={path} --output=FOLDER, name them in FOLDER/'
          f'{layout.TRACKS}, and give FOLDER.'
        )
      last = max(last, track['last_frame'])
    if len(content['tracks']) > 1:
      logging.warning(
        '%s: the face was lost and found %d times; it is taken to be one '
        'person throughout.',
        content['name'],
        len(content['tracks']) - 1,
      )
    name = person_id or content['suggestion'] or content['video_id']
    for row in table.of_video(content['video_id']):
      row['person_id'] = paths.check_id(name, what='person_id')
  paths.write_atomic(root / layout.TRACKS, table.text())


def _of_ingest(root, data, directory):
  """Returns the recording that an ingest folder holds."""
  data = ml_collections.ConfigDict(data)
  data.source, data.path = 'video_folder', str(root)
  data.fps, data.persons = 0.0, ()
  # What aligns pictures by labels is aligned by its eyes when it is ingested.
  if data.align != 'landmarks':
    data.align = 'none'
  store = store_lib.open_store(prepare.prepare(data, directory=directory))
  parts = []
  for video in folder.scan(root).videos:
    table = frame_tables.read_table(root, video.video_id)
    seen = frame_tables.rows_of(table, video.parts)
    seen = seen.loc[seen['success'], ['frame', 'confidence']]
    every = table[['frame', 'time_s']].drop_duplicates('frame')
    part = every.merge(seen, on='frame', how='left')
    parts.append(
      part.assign(person_id=video.person_id, video_id=video.video_id)
    )
  return _recording(pd.concat(parts, ignore_index=True), store)


def _of_store(store):
  """Returns the recording that a frame store holds; all its frames."""
  rows = store.index[list(store_lib.KEY_COLUMNS)].copy()
  rows['confidence'] = store.index.get('confidence', np.nan)
  return _recording(rows, store)


def _recording(rows, store):
  """Gives rows their place in a store, -1 and no success without one."""
  keys = ['person_id', 'video_id', 'frame']
  places = store.index[keys].assign(row=np.arange(len(store.index)))
  rows = rows.merge(places, on=keys, how='left')
  rows['row'] = rows['row'].fillna(-1).astype(np.int64)
  rows['success'] = rows['row'] >= 0
  rows.loc[~rows['success'], 'confidence'] = np.nan
  return Recording(store, rows[[*ROW_COLUMNS, 'row']])


@contextlib.contextmanager
def given(
  frames: np.ndarray, *, size_px: int, person_id: str
) -> Iterator[Recording]:
  """Gives frames that are aligned already, as a recording of one video.

  Args:
    frames: [n, S, S, 3] uint8, R, G, B.
    size_px: S of the model.
    person_id: Who is seen.

  Raises:
    ValueError: If they are of another type or size.
  """
  if frames.dtype != np.uint8 or frames.shape[1:] != (size_px, size_px, 3):
    raise ValueError(
      f'Frames should be uint8 of {size_px} x {size_px} x 3, but are '
      f'{frames.dtype} of shape {frames.shape}.'
    )
  num = len(frames)
  store = store_lib.FrameStore(
    path=pathlib.Path('frames'),
    size_px=size_px,
    frames=np.ascontiguousarray(frames).reshape(num, -1),
    index=pd.DataFrame(
      {
        'person_id': person_id,
        'video_id': '',
        'frame': np.arange(num),
        'time_s': np.nan,
      }
    ),
    person_ids=(person_id,),
    problems=(),
    source={},
    videos_by_person={person_id: (store_lib.Video('', 0, num, 25.0),)},
  )
  yield _of_store(store)
