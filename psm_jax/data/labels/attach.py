"""Joins a folder of tool tables to a folder of frames or a run's embeddings."""

import dataclasses
import pathlib
import re

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import csv_files, paths, tabular
from psm_jax.data import embedded, folders
from psm_jax.data.ingest import (
  folder as ingest_folder,
  frame_tables,
  layout,
  tracks,
)
from psm_jax.data.labels import (
  collection,
  columns,
  lags,
  table_files,
)


def to_frames(
  tables: str | pathlib.Path,
  root: str | pathlib.Path,
  options: collection.Options,
  *,
  fps: float = 0.0,
) -> collection.Summary:
  """Adds labels to labels.csv beside the frames of people's videos.

  Rows and cells that are there stay as they are. Where a video shows several
  people, each gets a file of labels.

  Args:
    tables: folder of the tables, see `table_files.assign`.
    root: folder of frames, see `folders.scan`, or an ingest folder.
    options: how tables are read and what is written.
    fps: frames a second; 0 for dataset.json's. Ingested videos have times of
      their own.

  Raises:
    ValueError: If nothing can be joined, or a column is there already.
  """
  root = pathlib.Path(root)
  is_ingested = (root / layout.TRACKS).is_file()
  if is_ingested and (fps or options.first_frame == '1'):
    raise ValueError(
      f'{root} was made by launch.ingest, which counts frames from 0 and knows '
      'the times of videos. Leave out --fps and --first_frame.'
    )
  videos, paths_of, problems = (
    _ingested(root) if is_ingested else _pictures(root, fps)
  )
  reserved = ingest_folder.QUALITY_COLUMNS if is_ingested else ()
  summary, joined = collection.join_all(tables, videos, options)
  frames = {name: video.frames for video in videos for name in video.people}
  there, made, notes = {}, {}, list(problems)
  for name, labels in joined.items():
    made[name] = _named(labels, options).rename(
      columns={column: f'{options.tool}_{column}' for column in reserved}
    )
    if paths_of[name].is_file():
      known = columns.read_labels(paths_of[name]).values.reindex(frames[name])
      there[name] = tabular.read(paths_of[name], {})
      _refuse_present(there[name], made[name], options, paths_of[name])
      if remark := lags.remark(frames[name], known, labels.values):
        notes.append((name, remark))
  written = [
    paths.write_atomic(
      paths_of[name], _merge(there.get(name), frames[name], table)
    )
    for name, table in made.items()
  ]
  return _finish(summary, notes, written)


def _pictures(root, fps):
  """(videos of a folder of PERSON/VIDEO/*.jpg, tables' paths, problems)."""
  source = folders.scan(root, fps=fps)
  # A rate that nobody stated must not move rows.
  is_stated = bool(fps) or (root / 'dataset.json').is_file()
  videos = [
    collection.Video(
      video.name,
      np.array(video.frames),
      np.array(video.frames) / video.fps if is_stated else None,
      table_names=_table_names(video.person_id, video.video_id),
      people={video.name: None},
    )
    for video in source.videos
  ]
  paths_of = {
    video.name: root / video.name / 'labels.csv' for video in source.videos
  }
  return videos, paths_of, ()


def _table_names(person_id, video_id):
  return (
    f'{person_id}/{video_id}',
    f'{person_id}_{video_id}',
    f'{person_id}-{video_id}',
    video_id,
  )


def _ingested(root):
  """(videos of an ingest folder that have tracks, paths, problems)."""
  contents, damaged = layout.list_videos(root)
  who = tracks.assignments(root, tracks.read(root), contents)
  videos, paths_of = [], {}
  problems = [(layout.VIDEOS, reason) for reason in damaged]
  for video_id, content in contents.items():
    people = who[video_id]
    names = table_files.names_of(content['name'])
    if len(people) == 1:
      names += _table_names(next(iter(people)), video_id)
    if not people and len(content['tracks']) == 1:
      # Whoever it is: the only face there is.
      people = {'': ((0, 0, content['counts']['decoded']),)}
    if not people:
      problems.append((video_id, 'nobody is confirmed in it; no labels'))
      continue
    table = frame_tables.read_table(root, video_id)
    moments = table.drop_duplicates('frame')
    names_of_people = {p: f'{p}/{video_id}' if p else video_id for p in people}
    videos.append(
      collection.Video(
        next(iter(names_of_people.values())) if len(people) == 1 else video_id,
        moments['frame'].to_numpy(np.int64),
        moments['time_s'].to_numpy(np.float64),
        is_whole=True,
        table_names=tuple(dict.fromkeys([*names, video_id])),
        people={
          names_of_people[person]: _boxes(table, parts, len(moments))
          for person, parts in people.items()
        },
        scale=tuple(content['pixel_scale']),
        has_others=len(content['tracks'])
        > len({track for parts in people.values() for track, *_ in parts}),
      )
    )
    for person in people:
      paths_of[names_of_people[person]] = ingest_folder.labels_path(
        root, video_id, person, is_alone=len(people) == 1
      )
  return videos, paths_of, problems


def _boxes(table, parts, num_frames):
  """[T, 4] float64 boxes of a person's face, NaN where it was not found."""
  rows = frame_tables.rows_of(table, parts)
  rows = rows[rows['success']]
  boxes = np.full((num_frames, 4), np.nan)
  boxes[rows['frame']] = rows[['x', 'y', 'width', 'height']]
  return boxes


def to_embeddings(
  tables: str | pathlib.Path,
  workdir: str | pathlib.Path,
  options: collection.Options,
) -> collection.Summary:
  """Adds labels to the tables of launch.embed, for all models.

  Args:
    tables: folder of the tables, see `table_files.assign`.
    workdir: a run that launch.embed has embedded.
    options: how tables are read and what is written.

  Raises:
    ValueError: If nothing can be joined, or a column is there already.
  """
  files = {}
  for path in embedded.files(pathlib.Path(workdir) / embedded.EMBEDDINGS):
    files.setdefault(f'{path.parent.name}/{path.stem}', []).append(path)
  if options.landmarks:
    raise ValueError('Landmarks are written beside frames only, not to a run.')
  videos = []
  for name, of_models in files.items():
    keys = tabular.read(
      of_models[0], {'frame': int, 'time_s': float}, only=True
    )
    videos.append(
      collection.Video(
        name,
        keys['frame'].to_numpy(),
        keys['time_s'].to_numpy(),
        table_names=_table_names(*name.split('/')),
        people={name: None},
      )
    )
  summary, joined = collection.join_all(tables, videos, options)
  made = {name: _named(labels, options) for name, labels in joined.items()}
  names = list(dict.fromkeys(c for table in made.values() for c in table))
  for path in [path for of_models in files.values() for path in of_models]:
    _refuse_present(tabular.head(path)[0], names, options, path)
  notes, written = [], []
  for video in videos:
    # Every table of a run has the same columns.
    empty = pd.DataFrame(np.nan, range(len(video.frames)), names)
    added = made.get(video.name, empty).reindex(columns=names)
    added = added.astype(np.float32)
    for path in files[video.name]:
      table = embedded.read(path)
      if not np.array_equal(table['frame'], video.frames):
        raise ValueError(
          f'{path} and {files[video.name][0]} are of different frames. Embed '
          'again: python -m launch.embed'
        )
      if path == files[video.name][0] and video.name in joined:
        values = joined[video.name].values
        if remark := lags.remark(video.frames, table, values):
          notes.append((video.name, remark))
      labelled = table.drop(columns=names, errors='ignore').join(added)
      labelled.attrs = table.attrs  # Of which model and step it is.
      with paths.writing_atomic(path) as file:
        labelled.to_parquet(file, index=False, write_page_checksum=True)
      written.append(path)
  return _finish(summary, notes, written)


def _named(joined, options):
  """The columns to write, under their names."""
  kind = collection.SCORES[options.score]
  made = {}
  for name in joined.values:
    unit, _, suffix = str(name).partition('_')
    if kind and re.fullmatch(r'AU\d{2,}', unit) and suffix == kind:
      made[unit] = joined.values[name]
    made[options.prefix + name] = joined.values[name]
  if kind and not any(re.fullmatch(r'AU\d{2,}', name) for name in made):
    raise ValueError(
      f'score is {options.score!r}, but the tables have no such columns; they '
      f'have {", ".join(map(str, joined.values.columns[:8]))}.'
    )
  table = pd.DataFrame(made)
  if options.landmarks:
    if joined.landmarks is None:
      raise ValueError('The tables hold no landmarks x_0..x_67, y_0..y_67.')
    points = pd.DataFrame(
      joined.landmarks.reshape(len(table), -1),
      columns=list(columns.LANDMARK_COLUMNS),
    )
    table = table.join(points)
  return table


def _refuse_present(there, made, options, path):
  twice = sorted(
    {columns.column_name(str(name)) for name in there}
    & {columns.column_name(str(name)) for name in made}
  )
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
    '%d of %d frames in %d videos have labels now, from %d rows; %d rows are '
    'not used.%s',
    summary.num_labelled,
    summary.num_frames,
    len(summary.videos),
    summary.num_used,
    summary.num_unused,
    f' Time stamps and frames differ by {summary.difference_s:.3f} s at most.'
    if np.isfinite(summary.difference_s)
    else '',
  )
  return summary


def _merge(there, frames, made):
  """The text of labels.csv with the columns that were made."""
  texts = made.map(lambda value: '' if np.isnan(value) else f'{value:.9g}')
  texts.insert(0, 'frame', [str(frame) for frame in frames])
  if there is not None:
    replaced = {columns.column_name(str(name)) for name in made}
    kept = [c for c in there if columns.column_name(c) not in replaced]
    there = there[kept].assign(frame=there['frame'].str.strip())
    texts = there.merge(texts, on='frame', how='outer', sort=False)
    texts = texts.fillna('')
    texts = texts.sort_values(
      'frame',
      key=lambda frame: pd.to_numeric(frame, errors='coerce'),
      kind='stable',
    )
  return csv_files.text_of(texts)
