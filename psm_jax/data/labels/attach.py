"""Joins a folder of tool tables to a folder of frames or a run's embeddings."""

import collections
import dataclasses
import pathlib
import re

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths
from psm_jax.data import folders, labels
from psm_jax.data.ingest import folder as ingest_folder
from psm_jax.data.ingest import layout
from psm_jax.data.labels import collection, joining


@dataclasses.dataclass(frozen=True)
class _Frames:
  """Videos whose frames may get labels.

  Attributes:
    targets: the videos.
    paths: of the table of each, by PERSON/VIDEO; there or not.
    reserved: columns that frames have already; the tool's name goes before.
    problems: (path or video, reason) of what was left out.
  """

  targets: tuple[joining.Target, ...]
  paths: dict[str, pathlib.Path]
  reserved: tuple[str, ...] = ()
  problems: tuple[tuple[str, str], ...] = ()


def to_frames(
  tables: str | pathlib.Path,
  root: str | pathlib.Path,
  options: collection.Options,
  *,
  fps: float = 0.0,
) -> collection.Summary:
  """Adds labels to labels.csv beside the frames of people's videos.

  Rows and cells that are there stay as they are.

  Args:
    tables: folder of the tables, see `collection.find_table`.
    root: folder of frames, see `folders.scan`, or an ingest folder.
    options: how tables are read and what is written.
    fps: frames a second; 0 for dataset.json's, or else 25. Ingested videos have
      their own.

  Raises:
    ValueError: If nothing can be joined, or a column is there already.
  """
  root = pathlib.Path(root)
  if (root / layout.TRACKS).is_file():
    frames = _ingested(root, options, fps)
    options = dataclasses.replace(options, first_frame='0')
  else:
    frames = _pictures(root, fps)
  targets, paths_of = frames.targets, frames.paths
  there = {
    name: _read_text(path) for name, path in paths_of.items() if path.is_file()
  }
  summary, joined = collection.join_all(tables, targets, options)
  made = {
    name: _named(table, options, with_landmarks=options.landmarks).rename(
      columns={own: f'{options.tool}_{own}' for own in frames.reserved}
    )
    for name, table in joined.items()
  }
  for name, table in there.items():
    if name in made:
      _refuse_present(
        table.columns, made[name].columns, options, paths_of[name]
      )
  notes = list(frames.problems)
  for target in targets:
    if target.name in there and target.name in joined:
      own = _numeric(there[target.name]).reindex(target.frames)
      notes += _lag_note(target, own, joined[target.name].values)
  written = [
    paths.write_atomic(
      paths_of[target.name],
      _merge(there.get(target.name), target.frames, made[target.name]),
    )
    for target in targets
    if target.name in made
  ]
  return _finish(summary, notes, written)


def _pictures(root, fps):
  """The videos of a folder of PERSON/VIDEO/*.jpg."""
  source = folders.scan(root, fps=fps)
  return _Frames(
    targets=tuple(
      joining.Target(video.name, np.array(video.frames), source.fps)
      for video in source.videos
    ),
    paths={
      video.name: root / video.name / 'labels.csv' for video in source.videos
    },
  )


def _ingested(root, options, fps):
  """The videos of an ingest folder that show one confirmed person."""
  if fps or options.first_frame == '1':
    raise ValueError(
      f'{root} was made by launch.ingest, which counts frames from 0 and knows '
      'the times of videos. Leave out --fps and --first_frame.'
    )
  videos = ingest_folder.scan(root).videos
  count = collections.Counter(video.video_id for video in videos)
  alone = [video for video in videos if count[video.video_id] == 1]
  return _Frames(
    targets=tuple(
      joining.Target(
        video.name,
        ingest_folder.read_frames(root, video)['frame'].to_numpy(np.int64),
        video.fps,
      )
      for video in alone
    ),
    paths={
      video.name: layout.video_folder(root, video.video_id) / 'labels.csv'
      for video in alone
    },
    reserved=ingest_folder.QUALITY_COLUMNS,
    problems=tuple(
      (video_id, 'more than one person is confirmed; labels not written')
      for video_id in sorted(count)
      if count[video_id] > 1
    ),
  )


def to_embeddings(
  tables: str | pathlib.Path,
  workdir: str | pathlib.Path,
  options: collection.Options,
) -> collection.Summary:
  """Adds labels to the tables of launch.embed, for all models.

  Args:
    tables: folder of the tables, see `collection.find_table`.
    workdir: a run that launch.embed has embedded.
    options: how tables are read and what is written.

  Raises:
    ValueError: If nothing can be joined, or a column is there already.
  """
  root = pathlib.Path(workdir) / 'embeddings'
  files = {}
  for path in sorted(root.glob('*/*/*.parquet')):
    files.setdefault(f'{path.parent.name}/{path.stem}', []).append(path)
  if not files:
    raise ValueError(f'{root} holds no embeddings. Run launch.embed first.')
  keyed = {
    name: pd.read_parquet(own[0], columns=['frame', 'time_s'])
    for name, own in files.items()
  }
  targets = [
    joining.Target(name, table['frame'].to_numpy(np.int64), _rate(table))
    for name, table in keyed.items()
  ]
  if options.landmarks:
    raise ValueError('Landmarks are written beside frames only, not to a run.')
  summary, joined = collection.join_all(tables, targets, options)
  made = {
    name: _named(table, options, with_landmarks=False)
    for name, table in joined.items()
  }
  columns = list(dict.fromkeys(c for table in made.values() for c in table))
  notes, written = [], []
  for own in files.values():
    for path in own:
      _refuse_present(_parquet_columns(path), columns, options, path)
  for target in targets:
    # Every table of a run has the same columns.
    empty = pd.DataFrame(np.nan, range(len(target.frames)), columns)
    added = made.get(target.name, empty).reindex(columns=columns)
    added = added.astype(np.float32)
    for path in files[target.name]:
      table = pd.read_parquet(path)
      if not np.array_equal(table['frame'], target.frames):
        raise ValueError(
          f'{path} and {files[target.name][0]} are of different frames. Embed '
          'again: python -m launch.embed'
        )
      if path == files[target.name][0] and target.name in joined:
        notes += _lag_note(target, table, joined[target.name].values)
      kept = table.drop(columns=[c for c in columns if c in table])
      partial = path.with_name(f'.{path.name}.partial')
      labelled = pd.concat([kept, added], axis=1)
      labelled.attrs = table.attrs  # Of which model and step it is.
      labelled.to_parquet(partial, index=False)
      partial.replace(path)
      written.append(path)
  return _finish(summary, notes, written)


def _named(joined, options, *, with_landmarks):
  """The columns to write, under their names."""
  kind = collection.SCORES[options.score]
  columns = {}
  for name in joined.values:
    unit, _, suffix = str(name).partition('_')
    if kind and re.fullmatch(r'AU\d{2,}', unit) and suffix == kind:
      columns[unit] = joined.values[name]
    columns[options.prefix + name] = joined.values[name]
  if kind and not any(re.fullmatch(r'AU\d{2,}', name) for name in columns):
    raise ValueError(
      f'score is {options.score!r}, but the tables have no such columns; they '
      f'have {", ".join(map(str, joined.values.columns[:8]))}.'
    )
  table = pd.DataFrame(columns)
  if with_landmarks:
    if joined.landmarks is None:
      raise ValueError('The tables hold no landmarks x_0..x_67, y_0..y_67.')
    flat = joined.landmarks.reshape(len(table), -1)
    points = pd.DataFrame(flat, columns=list(labels.LANDMARK_COLUMNS))
    table = pd.concat([table, points], axis=1)
  return table


def _refuse_present(there, made, options, path):
  there = {labels.column_name(str(name)) for name in there}
  twice = sorted(there & {labels.column_name(str(name)) for name in made})
  if twice and not options.overwrite:
    raise ValueError(
      f'{path} has {", ".join(twice[:8])} already. Keep the tools apart with a '
      'prefix, or replace these columns with --overwrite.'
    )


def _finish(summary, notes, written):
  summary = dataclasses.replace(
    summary,
    problems=(*summary.problems, *notes),
    written=tuple(written),
  )
  for where, why in summary.problems:
    logging.warning('%s: %s', where, why)
  logging.info(
    '%d of %d frames in %d videos have labels now; %d rows belong to no frame.',
    summary.num_labelled,
    summary.num_frames,
    len(summary.videos),
    summary.num_unused,
  )
  return summary


def _lag_note(target, own, joined):
  """A remark if both sources agree better one or more frames apart."""
  whole = np.arange(target.frames[0], target.frames[-1] + 1)
  columns = [c for c in own if re.fullmatch(r'AU\d{2,}', str(c))]
  ours = own[columns].set_axis(target.frames).reindex(whole)
  theirs = joined.set_axis(target.frames).reindex(whole)
  found = joining.lag(ours, theirs)
  if found is None:
    return []
  unit, late, best, as_joined = found
  return [
    (
      target.name,
      f"{unit} of both sources agrees best if the tool's are taken {late:+d} "
      f'frames later (correlation {best:.3f}, as joined {as_joined:.3f}): are '
      'the frame numbers of one of them shifted?',
    )
  ]


def _rate(table):
  """Frames a second of a table with frame and time_s."""
  if len(table) < 2:
    return 25.0
  spans = table.iloc[-1] - table.iloc[0]
  return float(spans['frame'] / spans['time_s'])


def _read_text(path):
  """A label table as text, checked to be one."""
  labels.read_columns(path)
  return pd.read_csv(
    path,
    dtype=str,
    keep_default_na=False,
    index_col=False,
    encoding='utf-8-sig',
  )


def _numeric(table):
  """A label table by frame, under the store's names."""
  table = table.set_axis([labels.column_name(n) for n in table.columns], axis=1)
  numbers = table.apply(pd.to_numeric, errors='coerce')
  numbers = numbers[numbers['frame'].notna() & ~numbers['frame'].duplicated()]
  return numbers.set_index('frame')


def _merge(there, frames, made):
  """The text of labels.csv with the columns that were made."""
  texts = made.map(lambda value: '' if np.isnan(value) else f'{value:.9g}')
  texts.insert(0, 'frame', [str(frame) for frame in frames])
  if there is not None:
    frame_column = next(c for c in there.columns if c.strip() == 'frame')
    replaced = {labels.column_name(str(name)) for name in made}
    kept = [c for c in there if labels.column_name(c) not in replaced]
    there = there[kept].rename(columns={frame_column: 'frame'})
    there['frame'] = there['frame'].str.strip()
    texts = there.merge(texts, on='frame', how='outer', sort=False)
    texts = texts.fillna('')
    order = pd.to_numeric(texts['frame'], errors='coerce').to_numpy()
    texts = texts.iloc[np.argsort(order, kind='stable')]
  return texts.to_csv(index=False, lineterminator='\n')


def _parquet_columns(path):
  """Names of a table's columns, without reading its rows."""
  from pyarrow import parquet  # Slow to import, and pandas needs it anyway.

  return parquet.read_schema(path).names
