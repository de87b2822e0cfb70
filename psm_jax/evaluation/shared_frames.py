"""The persons and frames that several approaches have in common.

  both, omitted = shared_frames.take_common([psm, gm], labels_of='psm')

omitted, a row per person of an approach who, or frames of whom, are left out:
  approach,person_id,num_frames,reason
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.evaluation import approaches, features, splits

OMITTED_COLUMNS = ('approach', 'person_id', 'num_frames', 'reason')
_TIME_TOLERANCE_S = 0.01  # Tables of other programs round their times.
_LABEL_TOLERANCE = 1e-4


def take_common(
  compared: Sequence[approaches.Approach], *, labels_of: str
) -> tuple[list[approaches.Approach], pd.DataFrame]:
  """Takes the persons and frames that all approaches have.

  Times and labels of the frames become those of one approach.

  Args:
    compared: Two or more approaches, or one, which stays.
    labels_of: Approach whose labels are taken; if it has no action units, those
      of the first that has.

  Returns:
    The approaches, and what was left out, see the module's description.

  Raises:
    ValueError: If nothing is left, two approaches have one name, or they differ
      in a frame's time or in a label that both have.
  """
  names = [approach.name for approach in compared]
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'More than one approach is called {", ".join(twice)}.')
  first = min(compared, key=lambda a: (not _has_units(a), a.name != labels_of))
  kept, omitted = {name: [] for name in names}, []
  for person_id in sorted({t.person_id for a in compared for t in a.tables}):
    held = {
      a.name: [t for t in a.tables if t.person_id == person_id]
      for a in compared
    }
    frames, reason = (), 'frames not in all'
    if lacking := [name for name, tables in held.items() if not tables]:
      reason = f'not in {", ".join(lacking)}'
    else:
      frames = _common_frames([t for tables in held.values() for t in tables])
    for name, tables in held.items():
      left_out = len(tables[0].frames) - len(frames) if tables else 0
      if left_out:
        omitted.append(
          {
            'approach': name,
            'person_id': person_id,
            'num_frames': left_out,
            'reason': reason,
          }
        )
    if len(frames):
      reference = _restrict(held[first.name][0], frames)
      for name, tables in held.items():
        kept[name] += [_described(t, frames, reference) for t in tables]
  if not any(kept.values()):
    raise ValueError(
      'No frame of any person is in all approaches. They hold '
      + '; '.join(map(_content, compared))
      + '. Compare runs of the same data.'
    )
  return [
    dataclasses.replace(a, tables=tuple(kept[a.name])) for a in compared
  ], pd.DataFrame(omitted, columns=OMITTED_COLUMNS)


def _has_units(approach) -> bool:
  """Tells whether an approach's frames have action units."""
  return any(splits.action_unit_columns(t.frames) for t in approach.tables)


def _common_frames(tables) -> pd.MultiIndex:
  """Returns the frames that all tables of a person have, in order."""
  common = features.keys_of(tables[0].frames)
  for table in tables[1:]:
    other = features.keys_of(table.frames)
    if not common.equals(other):
      common = common.intersection(other)
  return common.sort_values()


def _restrict(table, frames) -> pd.DataFrame:
  """Returns the rows of a table's frames."""
  rows = features.keys_of(table.frames).get_indexer(frames)
  held = table.frames.iloc[rows].reset_index(drop=True)
  # Which frames a model did not see is not the same for all approaches.
  held = held.drop(columns='held_out', errors='ignore')
  return held.astype({'video_id': str, 'frame': np.int64})


def _described(table, frames, reference) -> features.FeatureTable:
  """Returns a table of the common frames, with the reference's labels."""
  held = _restrict(table, frames)
  for column in ['time_s', *splits.action_unit_columns(held)]:
    if column not in reference:
      continue
    one, other = (
      side[column].to_numpy(np.float64) for side in (held, reference)
    )
    limit = _TIME_TOLERANCE_S if column == 'time_s' else _LABEL_TOLERANCE
    bad = ~np.isclose(one, other, rtol=0, atol=limit, equal_nan=True)
    if bad.any():
      row = int(bad.argmax())
      raise ValueError(
        f'{table.source} ({table.model_id}) has {column} {one[row]:g} at frame '
        f'{held["frame"][row]} of video {held["video_id"][row]} of person '
        f'{table.person_id}, another approach {other[row]:g} '
        f'({int(bad.sum())} frames differ). Embed both from the same data.'
      )
  return features.at(table, reference)


def _content(approach) -> str:
  """Returns whom an approach holds, for an error."""
  held = sorted({table.person_id for table in approach.tables})
  videos = sorted(
    {str(v) for t in approach.tables[:1] for v in t.frames['video_id'].unique()}
  )
  more = f' and {len(held) - 3} more' if len(held) > 3 else ''
  return (
    f'{approach.name}: persons {", ".join(held[:3])}{more}, the first with '
    f'videos {", ".join(videos[:3])}'
  )
