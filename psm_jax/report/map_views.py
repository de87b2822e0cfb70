"""Maps of embeddings in the page: a picture, and frames to walk through.

Without the script the picture stays; with it a slider and the pointer say whose
frame a dot is. The places of the dots travel in an attribute.
"""

import json

import matplotlib.axes
import matplotlib.figure
import numpy as np
import pandas as pd

from psm_jax.report import (
  comparison_figures,
  document,
  figures,
  formats,
  maps,
  markup,
  previews,
)

_COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#7a6a00',
  '#8250df',
)
_MARKERS = 'osD^'
_MAX_NAMED = 16  # People in a legend.
_OWN_COLUMNS = 4


def views(
  drawn: maps.Maps,
  embed: document.Embed,
  *,
  shown: previews.Faces | previews.Lines | None = None,
) -> list[markup.Html]:
  """Returns the maps of an approach as elements.

  Args:
    drawn: The maps.
    embed: Takes a figure and returns its element.
    shown: What the frame that is pointed at looks like; None: text alone.
  """
  unit = _shown_unit([*drawn.shared, *drawn.own])
  made = [_shared(drawn, a_map, unit, embed, shown) for a_map in drawn.shared]
  if drawn.own:
    made.append(_own(drawn, unit, embed, shown))
  return made


def _shared(drawn, a_map: maps.Map, unit, embed, shown) -> markup.Html:
  """Returns the map of one model of several people, by person and by unit."""
  figure, panels = figures.new(
    figures.FULL_IN, 5.0, columns=1 if unit is None else 2
  )
  _draw_people(panels[0], a_map)
  if unit is not None:
    _draw_unit(panels[1], a_map, unit)
  for axes in panels:
    _finish(axes)
  handles = _people_handles(a_map)
  if unit is not None:
    handles += _unit_handles(unit)
  figures.legend(figure, handles, columns=7)
  by = 'person' if unit is None else f'person (left) and {unit} (right)'
  text = (
    f'{len(a_map.frames):,} of {a_map.num_frames:,} frames of '
    f'{formats.people(len(a_map.person_ids))} by {by}. {_how(drawn, [a_map])} '
    'People who lie apart can be told apart.'
  )
  name = f'map_{drawn.name}_{a_map.model_id}'
  return _interactive(
    figures.Drawn(
      name, figure, f'Map of the embeddings of {drawn.name}. {text}', text
    ),
    embed,
    [_fractions(figure, axes, a_map.places) for axes in panels],
    _texts(a_map),
    shown and shown.of(a_map.frames),
  )


def _own(drawn, unit, embed, shown) -> markup.Html:
  """Returns the maps of models of one person, side by side."""
  number = len(drawn.own)
  columns = min(3 if number in (5, 6, 9) else _OWN_COLUMNS, number)
  rows = -(-number // columns)
  figure, panels = figures.new(
    figures.FULL_IN, 0.4 + 2.3 * rows, rows=rows, columns=columns
  )
  for axes, a_map in zip(panels, drawn.own, strict=False):
    if unit is None:
      _scatter(axes, a_map.places, figures.BLUE)
    else:
      _draw_unit(axes, a_map, unit)
    _draw_time(axes, a_map)
    _finish(axes)
    axes.set_title(formats.shorten(a_map.person_ids[0]))
  for axes in panels[number:]:
    axes.remove()
  if unit is not None:
    figures.legend(figure, _unit_handles(unit), columns=3)
  frames = sum(len(a_map.frames) for a_map in drawn.own)
  text = (
    f'A map for each of {number} of {formats.plural(drawn.num_own, "model")} '
    f'of one person, {frames:,} frames. {_how(drawn, drawn.own)} Coordinates '
    'are not shared: left in one map has nothing to do with left in another. '
    'Lines join the frames of a video in time.'
  )
  places = [
    place
    for axes, a_map in zip(panels, drawn.own, strict=False)
    for place in _fractions(figure, axes, a_map.places)
  ]
  return _interactive(
    figures.Drawn(
      f'maps_{drawn.name}',
      figure,
      f'Maps of the embeddings of {drawn.name}. {text}',
      text,
    ),
    embed,
    [places],
    [text for a_map in drawn.own for text in _texts(a_map)],
    shown and shown.of(pd.concat([a_map.frames for a_map in drawn.own])),
  )


def _interactive(
  picture: figures.Drawn,
  embed,
  places: list,
  texts: list[str],
  shown: dict | None,
) -> markup.Html:
  """Returns a figure that the script finds."""
  content = json.dumps(
    {'places': places, 'texts': texts, **(shown or {})}, separators=(',', ':')
  )
  return markup.tag('div', embed(picture), class_='map', data_map=content)


def _fractions(
  figure: matplotlib.figure.Figure,
  axes: matplotlib.axes.Axes,
  places: np.ndarray,
) -> list[list[float]]:
  """Returns where dots are in the picture: right and down, 0 to 1."""
  figure.draw_without_rendering()  # Only then the layout is known.
  at = axes.transData.transform(places) / figure.bbox.size
  at[:, 1] = 1 - at[:, 1]
  return at.round(4).tolist()


def _texts(a_map: maps.Map) -> list[str]:
  """Returns what is said of each frame."""
  active = a_map.active.to_numpy() == 1
  names = np.array(a_map.active.columns, dtype=object)
  texts = []
  for row, is_active in zip(a_map.frames.itertuples(), active, strict=True):
    text = f'{row.person_id}, {row.video_id}, {row.time_s:.2f} s'
    if len(names):
      units = ', '.join(names[is_active])
      text += f': {units or "no active action unit"}'
    texts.append(text)
  return texts


def _shown_unit(drawn: list[maps.Map]) -> str | None:
  """Returns the action unit that is active most often, None if none is."""
  counts = {}
  for a_map in drawn:
    for unit in a_map.active:
      counts[unit] = counts.get(unit, 0) + (a_map.active[unit] == 1).sum()
  best = max(counts, key=counts.get, default=None)
  return best if best is not None and counts[best] else None


def _draw_people(axes, a_map: maps.Map) -> None:
  """Draws frames by person."""
  for index, person_id in enumerate(a_map.person_ids):
    colour, marker = _look(index)
    rows = (a_map.frames['person_id'] == person_id).to_numpy()
    _scatter(axes, a_map.places[rows], colour, marker=marker)
  axes.set_title('By person')


def _draw_unit(axes, a_map: maps.Map, unit: str) -> None:
  """Draws frames by whether an action unit is active."""
  known = a_map.active.get(unit)
  is_active = np.zeros(len(a_map.places), bool)
  if known is not None:
    is_active = (known == 1).to_numpy()
  _scatter(axes, a_map.places[~is_active], figures.PALE)
  _scatter(axes, a_map.places[is_active], figures.INK)
  axes.set_title(f'By {unit} {formats.ACTION_UNITS.get(unit, "")}'.strip())


def _draw_time(axes, a_map: maps.Map) -> None:
  """Joins the frames of each video in the order of time."""
  for rows in a_map.frames.groupby('video_id').indices.values():
    axes.plot(*a_map.places[rows].T, color=figures.GREY, lw=0.4, alpha=0.35)


def _scatter(axes, places, colour, *, marker='o') -> None:
  """Draws dots."""
  axes.scatter(
    places[:, 0],
    places[:, 1],
    s=11,
    color=colour,
    marker=marker,
    alpha=0.6,
    linewidth=0,
  )


def _look(index: int) -> tuple[str, str]:
  """Returns the colour and marker of a person."""
  return (
    _COLOURS[index % len(_COLOURS)],
    _MARKERS[index // len(_COLOURS) % len(_MARKERS)],
  )


def _people_handles(a_map: maps.Map) -> list:
  """Returns the legend of the people, none if they are too many."""
  people = a_map.person_ids
  if len(people) > _MAX_NAMED:
    return []
  return [
    comparison_figures.legend_entry(*_look(index), formats.shorten(person_id))
    for index, person_id in enumerate(people)
  ]


def _unit_handles(unit: str) -> list:
  """Returns the legend of an action unit."""
  return [
    comparison_figures.legend_entry(figures.INK, 'o', f'{unit} active'),
    comparison_figures.legend_entry(figures.PALE, 'o', 'not active'),
  ]


def _how(drawn: maps.Maps, shown) -> str:
  """Returns how the two dimensions came about."""
  if drawn.projection == maps.TSNE:
    return 't-SNE: neighbours are alike, distances between groups mean nothing.'
  share = np.mean([a_map.explained for a_map in shown])
  return (
    'The first two principal components, '
    f'{formats.score(share)} of the variance.'
  )


def _finish(axes) -> None:
  """Takes the scales away, which mean nothing."""
  axes.set(xticks=[], yticks=[])
  axes.set_aspect('equal', 'datalim')
  axes.grid(visible=False)
  axes.spines[:].set_visible(True)
  axes.spines[:].set_color(figures.PALE)
