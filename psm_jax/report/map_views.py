"""Maps of embeddings in the page: a picture, and frames to walk through.

Without the script the picture stays; with it a slider and the pointer say whose
frame a dot is. The places of the dots travel in an attribute.
"""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.discovery import maps
from psm_jax.evaluation import features
from psm_jax.report import evidence, figures, formats, movement, previews

_COLOURS = (
  *('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9'),
  *('#7a6a00', '#8250df'),
)
_MARKERS = 'osD^'
_MAX_NAMED = 16  # People in a legend.
_COLUMNS = 4


@dataclasses.dataclass(frozen=True)
class View:
  """A map in the page.

  Attributes:
    drawn: The picture.
    data: JSON for the script: places [panels, n, 2] of dots in the picture,
      right and down from 0 to 1, texts [n], and what frames look like.
  """

  drawn: figures.Drawn
  data: str


def section(read: evidence.Evidence) -> dict | None:
  """Returns (name, views) of each approach's maps."""
  if read.movement.tables:
    drawn = maps.of_tables('run', _features(read.movement.tables))
    faces = previews.Faces(read.store) if read.store else read.movement.lines
    alone = sum(len(model.cohort) == 1 for model in read.run.models)
    drawn = dataclasses.replace(drawn, num_single=alone or drawn.num_single)
    return {'maps': [('', views(drawn, faces=faces))]}
  if not read.maps:
    return None
  return {'maps': [(drawn.name, views(drawn)) for drawn in read.maps]}


def views(
  drawn: maps.Maps, *, faces: previews.Faces | previews.Lines | None = None
) -> list[View]:
  """Returns the maps of an approach.

  Args:
    drawn: The maps.
    faces: What the frame that is pointed at looks like; None: text alone.
  """
  counts = {}
  for one in [*drawn.shared, *drawn.single]:
    for name in one.active:
      counts[name] = counts.get(name, 0) + (one.active[name] == 1).sum()
  unit = max(counts, key=counts.get, default=None)
  unit = unit if counts.get(unit) else None
  made = [_shared(drawn, one, unit, faces) for one in drawn.shared]
  return [*made, _single(drawn, unit, faces)] if drawn.single else made


def _features(tables) -> list[features.FeatureTable]:
  """Returns tables of embeddings as maps take them."""
  made = []
  for ids, table in tables.items():
    units = [c for c in table if movement.is_number_of(c)]
    values = table[units].to_numpy(np.float32)
    frames = table.drop(columns=[*units, 'model_id'])
    made.append(features.FeatureTable(features.TRAINED, *ids, values, frames))
  return made


def _shared(drawn, one: maps.Map, unit, faces) -> View:
  """Returns the map of one model of several people, by person and by unit."""
  columns = 1 if unit is None else 2
  figure, panels = figures.new(figures.FULL_IN, 5.0, columns=columns)
  handles = []
  for index, person_id in enumerate(one.person_ids):
    place, colour = divmod(index, len(_COLOURS))
    look = _COLOURS[colour], _MARKERS[place % len(_MARKERS)]
    rows = (one.frames['person_id'] == person_id).to_numpy()
    _scatter(panels[0], one.places[rows], *look)
    handles.append(figures.handle(*look, formats.shorten(person_id)))
  panels[0].set_title('By person')
  handles, by = handles if len(handles) <= _MAX_NAMED else [], 'person'
  if unit is not None:
    handles += _draw_unit(panels[1], one, unit)
    panels[1].set_title(f'By {formats.unit(unit)}')
    by = f'person (left) and {formats.unit(unit)} (right)'
  figures.legend(figure, handles, columns=7)
  text = (
    f'{len(one.frames):,} of {one.num_frames:,} frames of '
    f'{formats.people(len(one.person_ids))} by {by}. {_how(drawn, [one])} '
    'People who lie apart can be told apart.'
  )
  name = f'map_{drawn.name}_{one.model_id}'
  shown = [[(axes, one)] for axes in panels]
  return _view(drawn, name, text, figure, shown, faces)


def _single(drawn, unit, faces) -> View:
  """Returns the maps of models of one person, side by side."""
  number = len(drawn.single)
  columns = min(3 if number in (5, 6, 9) else _COLUMNS, number)
  rows = -(-number // columns)
  height = 0.4 + 2.3 * rows if number > 1 else 4.5
  figure, panels = figures.new(
    figures.FULL_IN, height, rows=rows, columns=columns
  )
  for axes in panels[number:]:
    axes.remove()
  shown = list(zip(panels, drawn.single, strict=False))
  for axes, one in shown:
    if unit is None:
      _scatter(axes, one.places, figures.BLUE)
    else:
      handles = _draw_unit(axes, one, unit)
    for video in one.frames.groupby('video_id').indices.values():
      axes.plot(*one.places[video].T, color=figures.GREY, lw=0.4, alpha=0.35)
    axes.set_title(formats.shorten(one.person_ids[0]))
  if unit is not None:
    figures.legend(figure, handles, columns=3)
  frames = sum(len(one.frames) for one in drawn.single)
  part = f'{number} of ' if number < drawn.num_single else ''
  text = (
    f'A map a model: {part}'
    f'{formats.plural(drawn.num_single, "person-specific model")}, '
    f'{frames:,} frames. {_how(drawn, drawn.single)} '
    'Coordinates are not shared: left in one map has nothing to do with left '
    'in another. Lines join the frames of a video in time.'
  )
  return _view(drawn, f'maps_{drawn.name}', text, figure, [shown], faces)


def _view(drawn, name, text, figure, panels: Sequence, faces) -> View:
  """Returns a picture; panels are sets of (axes, map) of the same n frames."""
  for axes, _ in sum(panels, []):
    figures.frameless(axes)
    axes.set_aspect('equal', 'datalim')
    axes.spines[:].set(visible=True, color=figures.PALE)
  figure.draw_without_rendering()  # Only then the layout is known.
  places = []
  for shown in panels:
    at = [axes.transData.transform(one.places) for axes, one in shown]
    at = np.concatenate(at) / figure.bbox.size
    at[:, 1] = 1 - at[:, 1]
    places.append(at.round(4).tolist())
  frames = [one for _, one in panels[0]]
  data = {'places': places, 'texts': [t for one in frames for t in _texts(one)]}
  if faces is not None:
    data |= faces.of(pd.concat([one.frames for one in frames]))
  alt = f'Map of the embeddings of {drawn.name}. {text}'
  content = json.dumps(data, separators=(',', ':'))
  return View(figures.Drawn(name, figure, alt, text), content)


def _texts(one: maps.Map) -> list[str]:
  """Returns what is said of each frame."""
  names = np.array([formats.unit(name) for name in one.active], dtype=object)
  is_weak = any(map(formats.is_weak, one.active))
  none = f'no active {"weak label" if is_weak else "action unit"}'
  texts = []
  for row, is_active in zip(
    one.frames.itertuples(), one.active.to_numpy() == 1, strict=True
  ):
    text = f'{row.person_id}, {row.video_id}, {row.time_s:.2f} s'
    if len(names):
      text += f': {", ".join(names[is_active]) or none}'
    texts.append(text)
  return texts


def _draw_unit(axes, one: maps.Map, unit: str) -> list:
  """Draws frames by whether an action unit is active; returns the legend."""
  is_active = np.zeros(len(one.places), bool)
  if unit in one.active:
    is_active = (one.active[unit] == 1).to_numpy()
  _scatter(axes, one.places[~is_active], figures.PALE)
  _scatter(axes, one.places[is_active], figures.INK)
  return [
    figures.handle(figures.INK, 'o', f'{formats.unit(unit)} active'),
    figures.handle(figures.PALE, 'o', 'not active'),
  ]


def _scatter(axes, places, colour, marker='o') -> None:
  """Draws dots."""
  look = {'color': colour, 'marker': marker, 'alpha': 0.6, 'linewidth': 0}
  axes.scatter(*places.T, s=11, **look)


def _how(drawn: maps.Maps, shown) -> str:
  """Returns how the two dimensions came about."""
  if drawn.projection == maps.TSNE:
    return 't-SNE: neighbours are alike, distances between groups mean nothing.'
  # One that does not vary has no share.
  share = formats.score(pd.Series([one.explained for one in shown]).mean())
  return f'The first two principal components, {share} of the variance.'
