"""What a page opens with: the people, how they move, and what is alike.

All of it is read from the run's embeddings; faces only if they may be shown.
"""

import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd

from psm_jax import tabular
from psm_jax.data import store as store_lib
from psm_jax.data.ingest import folder
from psm_jax.evaluation import features
from psm_jax.report import clips as clips_lib
from psm_jax.report import (
  document,
  formats,
  groups,
  map_views,
  maps,
  markup,
  previews,
  strips,
)
from psm_jax.report import run as report_run

_MAX_LISTED = 40
_MAX_STRIPS = 6
_SHORT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Opening:
  """What is known of a run's movement.

  Attributes:
    store: The run's frames, if faces may be shown.
    clips: The films, if faces may be shown.
    tables: (model_id, person_id) -> embeddings, of as many as are drawn.
    lines: Line faces, None without landmarks.
    seconds: person_id -> seconds of video with a face.
  """

  store: store_lib.FrameStore | None
  clips: clips_lib.Clips | None
  tables: dict[tuple[str, str], pd.DataFrame]
  lines: previews.Lines | None
  seconds: dict[str, float]


def read(
  workdir: str | os.PathLike,
  *,
  store: store_lib.FrameStore | None = None,
  max_people: int,
) -> Opening:
  """Reads what the first part of a page shows.

  Args:
    workdir: The run directory; without embeddings there is little to show.
    store: The run's frames, if faces may be shown.
    max_people: Of whom there are films, maps and strips.
  """
  root = pathlib.Path(workdir) / 'embeddings'
  tables, seconds = {}, {}
  for path in sorted(root.glob('*/*')):
    person = path.name
    shown = len(tables) < max_people
    if person in seconds and not shown:
      continue
    shape = {'video_id': str, 'time_s': float}
    parts = [
      tabular.read(file, shape, only=not shown)
      for file in sorted(path.glob('*.parquet'))
    ]
    seconds[person] = sum(map(_seconds, parts))
    if shown and parts:
      tables[path.parent.name, person] = pd.concat(parts, ignore_index=True)
  clips = None
  if store is not None:
    clips = clips_lib.read(workdir, max_people=max_people)
  lines = None
  if tables:
    by_person = {person: table for (_, person), table in tables.items()}
    lines = previews.lines_of(by_person, size_px=_size_px(workdir))
  return Opening(store, clips, tables, lines, seconds)


def sections(
  run: report_run.Run,
  found: Opening,
  embed: document.Embed,
) -> list[tuple[str, str, markup.Html]]:
  """Returns (anchor, heading, content) of the first sections.

  Args:
    run: The run.
    found: What its opening shows.
    embed: Takes a figure and returns its element.
  """
  made = [('people', 'People', _people(run, found))]
  if found.clips and found.clips.transfer:
    made.append(('transfer', 'Movement transfer', _transfer(found.clips)))
  if found.tables:
    drawn = maps.of_tables('run', _features(found.tables))
    shown = previews.Faces(found.store) if found.store else found.lines
    views = map_views.views(drawn, embed, shown=shown)
    made.append(('map', 'Map of the embedding', markup.join(views)))
    if content := _strips(found, embed):
      made.append(('groups', 'Groups of frames', content))
  return made


def _features(tables):
  """Returns tables as maps take them."""
  made = []
  for (model_id, person), table in tables.items():
    units = [c for c in table if c[0] == 'e' and c[1:].isdigit()]
    made.append(
      features.FeatureTable(
        features.TRAINED,
        model_id,
        person,
        table[units].to_numpy(np.float32),
        table.drop(columns=[*units, 'model_id']),
      )
    )
  return made


def _people(run, found):
  """Returns a card a person, with the film if there is one."""
  cards = [
    {
      'name': model.model_id if len(model.cohort) > 1 else model.cohort[0],
      'clip': _clip(found, model),
      'width': 448,
      'height': 112,
      'facts': _facts(model, found),
      'problem': _problem(model),
    }
    for model in run.models[:_MAX_LISTED]
  ]
  more = len(run.models) - len(cards)
  return document.fill(
    'people.html.j2',
    people=cards,
    panels=clips_lib.PANELS,
    others=f'And {formats.plural(more, "model")} more, see Models.'
    if more > 0
    else '',
  )


def _clip(found, model):
  return found.clips and found.clips.people.get(model.model_id)


def _facts(model, found):
  """Returns what is known of a model in a few words each."""
  facts = [formats.plural(model.num_videos, 'video')]
  if len(model.cohort) > 1:
    facts.insert(0, formats.people(len(model.cohort)))
  elif model.cohort[0] in found.seconds:
    seconds = found.seconds[model.cohort[0]]
    facts.append(
      f'{seconds / 60:.1f} min' if seconds >= 90 else f'{seconds:.0f} s'
    )
    if seconds < _SHORT_S:
      facts.append(f'little: fewer than {_SHORT_S:.0f} s')
  facts.append(formats.plural(model.num_frames, 'frame'))
  return facts


def _problem(model):
  """Returns what is wrong with a model, '' if nothing is."""
  if model.status == 'failed':
    return f'The model failed at step {model.failed_step}.'
  if model.status == 'running':
    return (
      f'Not finished: {formats.count(model.steps_done)} of '
      f'{formats.count(model.total_steps)} steps.'
    )
  return ''


def _transfer(clips):
  people = formats.listing(list(clips.moved))
  side = 96 * (len(clips.moved) + 1)
  return markup.tag(
    'figure',
    markup.tag(
      'video',
      src=clips.transfer,
      controls=True,
      loop=True,
      muted=True,
      playsinline=True,
      width=side,
      height=side,
      style=f'max-width: {side}px',
      aria_label=f'Movement of {people} on the neutral face of each of them',
    ),
    markup.tag(
      'figcaption',
      f'Columns: {people} as they move. Rows: the neutral face of each of them '
      '(left), moved as the column says. Each model reads the others by '
      'itself; on the diagonal it draws its own person.',
    ),
  )


def _strips(found, embed):
  """Returns the film strips of some models."""
  shown = []
  for (model_id, person), table in list(found.tables.items())[:_MAX_STRIPS]:
    made = groups.find(table)
    if made is not None:
      drawn = strips.draw(
        person,
        f'{model_id}_{person}',
        made,
        faces=found.store,
        lines=found.lines,
      )
      shown.append(embed(drawn))
  if not shown:
    return None
  more = markup.fold('More people', *shown[1:]) if shown[1:] else None
  return markup.join([shown[0], more])


def _seconds(table):
  """Returns how long a video's frames last."""
  times = table['time_s'].sort_values()
  steps = times.diff().dropna()
  steps = steps[steps > 0]
  return float(len(times) * steps.median()) if len(steps) else 0.0


def _size_px(workdir):
  """Returns the side of a run's frames."""
  return report_run.read(workdir).config['data']['size_px']


def has_labels(tables: dict) -> bool:
  """Whether frames have labels beyond what launch.ingest measures."""
  keys = {*folder.QUALITY_COLUMNS, 'model_id', *store_lib.KEY_COLUMNS}
  return any(
    not (column in keys or column[0] in 'xye' and column[1:].isdigit())
    for table in tables.values()
    for column in table
  )
