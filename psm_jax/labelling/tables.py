"""The table that a person fills in, and what is made of it.

RUN/labels/frames.csv        a row a frame to look at: person_id, video_id,
                             frame, time_s, cell (of the sheet), and a column a
                             label: 1 seen, 0 not seen, empty not looked at
RUN/labels/sheets/PERSON.jpg the frames, by row and number; these show faces
RUN/labels/quality.csv       a row a person and label: how well it is told
RUN/labels/predicted/PERSON/VIDEO.parquet  every frame: each label's
                             probability, whether it is seen, and confidence
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from absl import logging

from psm_jax import paths, tabular
from psm_jax.data import embedded, store as store_lib
from psm_jax.data.ingest import layout, sheets
from psm_jax.evaluation import features
from psm_jax.labelling import choose, exports, probes

FRAMES, SHEETS = 'frames.csv', 'sheets'
QUALITY, PREDICTED = 'quality.csv', 'predicted'
_KEYS = ['person_id', 'video_id', 'frame']
_FIXED = (*_KEYS, 'time_s', 'cell')


def ask(
  workdir: str | pathlib.Path,
  store: store_lib.FrameStore,
  labels: Sequence[str],
  *,
  num: int,
) -> pathlib.Path:
  """Adds frames to the table, the most useful ones of each person.

  The first are spread over the embedding; once the table is filled in, those
  whose labels are least certain come first.

  Args:
    workdir: A run whose frames are embedded.
    store: Its frames.
    labels: Names of the columns to fill in.
    num: How many frames of each person.

  Returns:
    The table.

  Raises:
    ValueError: If there are no embeddings, or a label has an unsafe name.
  """
  folder = paths.make_private_dir(pathlib.Path(workdir) / 'labels')
  asked = _filled(folder)
  labels = labels if asked is None else _names(asked)
  for label in labels:
    paths.check_id(label, what='label')
  parts = [asked]
  for person, table in people(workdir):
    rows = _next(table, _of(asked, person), labels, num)
    new = table.iloc[np.sort(rows)][[*_KEYS, 'time_s']].copy()
    new[list(labels)] = np.nan
    parts.append(new)
  whole = pd.concat(parts, ignore_index=True)  # Leaves out None.
  whole['cell'] = whole.groupby('person_id').cumcount() + 1
  whole = whole[[*_FIXED, *labels]].sort_values(
    ['person_id', 'cell'], kind='stable'
  )
  path = _write(folder / FRAMES, whole)
  _draw(paths.make_private_dir(folder / SHEETS), store, whole)
  return path


def read(path: str | pathlib.Path) -> pd.DataFrame:
  """Returns the table as it was filled in; labels as numbers.

  Raises:
    ValueError: If it is no such table, or a cell is neither 0, 1 nor empty.
  """
  table = tabular.read(path, {'person_id': str, 'video_id': str, 'frame': int})
  kinds = dict.fromkeys(table.columns.difference(_KEYS), float)
  table = tabular.fit(table, kinds, path)
  for name in table.columns.difference(_FIXED):
    wrong = ~(table[name].isna() | table[name].isin([0, 1]))
    if wrong.any():
      row = int(wrong.argmax())
      raise ValueError(
        f'{path}, row {row + 1} of data: {name} is {table[name][row]:g}; '
        'expected 1 (seen), 0 (not seen) or nothing.'
      )
  return table


def predict(
  workdir: str | pathlib.Path,
  *,
  observed: Mapping[str, Sequence[exports.Interval]] | None = None,
) -> pd.DataFrame:
  """Writes the labels of every frame, and how well they hold.

  Args:
    workdir: A run whose frames are embedded.
    observed: Intervals of whole videos by video_id, from `exports.read`, beside
      or instead of the table.

  Returns:
    quality.csv: a row a person and label: person_id, label, num_present,
    num_absent, auc and balanced_accuracy of frames that the probe was not
    fitted to.

  Raises:
    ValueError: If nothing is labelled.
  """
  folder = paths.make_private_dir(pathlib.Path(workdir) / 'labels')
  filled, quality = _filled(folder), []
  for person, table in people(workdir):
    known = _known(table, _of(filled, person), observed or {})
    values, told = _values(table), table[[*_KEYS, 'time_s']].copy()
    for label in known:
      answer = probes.tell(values, known[label].to_numpy())
      if answer is None:
        logging.warning(
          '%s: too few frames show %s, or do not, to tell it: 2 of each at '
          'least.',
          person,
          label,
        )
        continue
      probability, held_out = answer
      told[f'{label}_probability'] = probability
      told[label] = (probability >= 0.5).astype(float)
      told[f'{label}_confidence'] = np.abs(probability - 0.5) + 0.5
      quality.append({'person_id': person, 'label': label, **held_out})
    _write_predicted(folder / PREDICTED, person, told)
  if not quality:
    raise ValueError(
      f'Nothing to learn from: fill in {folder / FRAMES}, 1 where a label is '
      'seen and 0 where it is not, or give intervals of ELAN or BORIS.'
    )
  table = pd.DataFrame(quality)
  _write(folder / QUALITY, table)
  return table


def forget(workdir: str | pathlib.Path, person_id: str) -> list[str]:
  """Removes a person's sheets, rows and predictions; returns what was done."""
  folder = pathlib.Path(workdir) / 'labels'
  theirs = [
    path
    for path in (
      *sorted((folder / SHEETS).glob('*.jpg')),
      *sorted((folder / PREDICTED).glob('*')),
    )
    if path.name.split('.')[0] == person_id
  ]
  for path in theirs:
    paths.remove(path)
  done = [f'Deleted {path}.' for path in theirs]
  for name in (FRAMES, QUALITY):
    if (folder / name).is_file():
      table = tabular.read(folder / name, {'person_id': str})
      rest = table[table['person_id'] != person_id]
      if len(rest) < len(table):
        _write(folder / name, rest)
        done.append(
          f'Removed {len(table) - len(rest)} rows of {folder / name}.'
        )
  return done


def people(workdir: str | pathlib.Path):
  """Yields (person_id, embeddings of the first model that knows them)."""
  firsts = {}
  for path in embedded.files(pathlib.Path(workdir) / embedded.EMBEDDINGS):
    firsts.setdefault(path.parent.name, path.parent)
  for person, folder in sorted(firsts.items()):
    tables = map(embedded.read, sorted(folder.glob('*.parquet')))
    yield person, pd.concat(tables, ignore_index=True)


def _filled(folder):
  """Returns the table as it was filled in, None if there is none."""
  path = folder / FRAMES
  return read(path) if path.is_file() else None


def _write(path, table):
  """Writes a table as CSV."""
  rows = table.to_dict('records')
  return paths.write_atomic(path, layout.table(list(table), rows))


def _of(table, person):
  """Returns a person's rows of the filled table."""
  if table is None:
    return pd.DataFrame(columns=list(_FIXED))
  return table[table['person_id'] == person]


def _names(table):
  """Returns the label columns of a table."""
  return [name for name in table if name not in _FIXED]


def _values(table):
  """Returns [n, D] float32 embeddings."""
  return table[embedded.units_of(table)].to_numpy(np.float32)


def _places(table, filled):
  """Returns the rows of a table of embeddings that a filled one names."""
  places = features.keys_of(table).get_indexer(features.keys_of(filled))
  return places[places >= 0]


def _next(table, filled, labels, num):
  """Returns the rows of a person to look at next."""
  values, taken = _values(table), _places(table, filled)
  known = _known(table, filled, {})
  told = [
    answer[0]
    for label in labels
    if label in known
    and (answer := probes.tell(values, known[label].to_numpy()))
  ]
  if told:
    return choose.uncertain(values, np.stack(told, axis=1), num, taken=taken)
  return choose.spread(values, num, taken=taken)


def _known(table, filled, observed):
  """Returns labels of a person's frames, NaN where nobody looked."""
  labels = np.full((len(table), len(_names(filled))), np.nan)
  labels[_places(table, filled)] = filled[_names(filled)].to_numpy(float)
  known = pd.DataFrame(labels, columns=_names(filled))
  for video_id, intervals in observed.items():
    rows = np.flatnonzero(table['video_id'] == video_id)
    if len(rows):
      seen = exports.labels(intervals, table['time_s'].to_numpy()[rows])
      for label in seen:
        column = known.get(label, pd.Series(np.nan, index=known.index)).copy()
        column.iloc[rows] = seen[label].to_numpy()
        known[label] = column
  return known


def _draw(folder, store, table):
  """Writes a sheet a person: the frames to look at, with their cells."""
  keys = store.index[_KEYS].assign(row=np.arange(len(store.index)))
  merged = table.merge(keys, on=_KEYS, how='left')
  for person, theirs in merged.groupby('person_id'):
    theirs = theirs[theirs['row'].notna()]
    images = store.images(theirs['row'].to_numpy(int))
    rows = []
    for start in range(0, len(theirs), sheets.COLUMNS):
      cells = theirs['cell'].iloc[start : start + sheets.COLUMNS].astype(int)
      shown = dict(zip(cells, images[start:], strict=False))
      rows.append((f'{person}: cells {cells.iloc[0]} on', shown))
    sheets.write(folder, person, rows)


def _write_predicted(root, person, told):
  """Writes a table a video."""
  folder = paths.make_private_dir(paths.child(root, person))
  for video_id, table in told.groupby('video_id', sort=False):
    path = paths.child(folder, f'{video_id}.parquet')
    with paths.writing_atomic(path) as file:
      table.reset_index(drop=True).to_parquet(file, index=False)
