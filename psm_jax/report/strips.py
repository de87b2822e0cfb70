"""Groups of frames as film strips: their likeness, what they show, and when."""

import matplotlib.collections
import matplotlib.figure
import numpy as np
from scipy.cluster import hierarchy

from psm_jax.discovery import groups
from psm_jax.report import evidence, figures, formats, previews

_MAX_STRIPS = 6
_BINS = 60
_ROW_IN = 0.62
_WIDTHS = (0.6, 4.6, 3.6)


def section(read: evidence.Evidence) -> dict | None:
  """Returns the film strips of some models."""
  faces = previews.Faces(read.store) if read.store else read.movement.lines
  drawn = []
  for ids, table in list(read.movement.tables.items())[:_MAX_STRIPS]:
    alike = groups.find(table)
    if alike is not None:
      drawn.append(draw(*ids, alike, faces=faces))
  return {'first': drawn[0], 'more': drawn[1:]} if drawn else None


def draw(
  model_id: str,
  person_id: str,
  alike: groups.Groups,
  *,
  faces: previews.Faces | previews.Lines | None,
) -> figures.Drawn:
  """Returns the film strips of one model's groups of frames."""
  order = alike.order
  figure = matplotlib.figure.Figure(
    figsize=(figures.FULL_IN, 0.75 + _ROW_IN * len(order)),
    layout='constrained',
  )
  grid = figure.add_gridspec(len(order), 3, width_ratios=_WIDTHS)
  tree = figure.add_subplot(grid[:, 0])
  drawn = hierarchy.dendrogram(alike.tree, no_plot=True)
  # Leaves are at 5, 15, 25, ...
  for heights, joins in zip(drawn['icoord'], drawn['dcoord'], strict=True):
    tree.plot(joins, np.array(heights), color=figures.GREY, linewidth=1)
  tree.set(ylim=(10 * len(order), 0), xlim=(1.05 * alike.tree[-1, 2], 0))
  tree.set_axis_off()
  shares = np.bincount(alike.label, minlength=len(order)) / len(alike.label)
  names = []
  for row, group in enumerate(order):
    names.append(f'{chr(65 + row)} {100 * shares[group]:.0f}%')
    strip = figure.add_subplot(grid[row, 1])
    figures.frameless(strip)
    _draw_strip(
      strip, alike.frames.iloc[np.sort(alike.exemplars[group])], faces
    )
    strip.set_ylabel(names[-1], rotation=0, ha='right', va='center')
    when = figure.add_subplot(grid[row, 2])
    _draw_occupancy(when, alike, group)
  when.set_xlabel('time →')
  kind = 'faces_strips' if isinstance(faces, previews.Faces) else 'strips'
  text = (
    f'{person_id}: {len(order)} groups of frames that the model sees alike, '
    f'with their share of all frames ({", ".join(names)}). Left: how they '
    'join, the more alike the sooner. Middle: frames that stand for a group, '
    'in order of time. Right: how much of each stretch of time a group fills, '
    'all videos one behind the other (lines between them).'
  )
  return figures.Drawn(f'{kind}_{model_id}_{person_id}', figure, text, text)


def _draw_strip(axes, frames, faces):
  """Draws the frames that stand for a group."""
  if isinstance(faces, previews.Faces):
    axes.imshow(np.concatenate(list(faces.images(frames)), axis=1))
    return
  if faces is not None:
    content = faces.of(frames)
    points = np.reshape(content['faces'], (len(frames), -1, 2))
    points[..., 0] += 100 * np.arange(len(frames))[:, None]
    lines = [face[line] for face in points for line in content['lines']]
    lines = matplotlib.collections.LineCollection(lines, color=figures.INK)
    lines.set_linewidth(0.7)
    axes.add_collection(lines)
    axes.set(xlim=(0, 100 * groups.EXEMPLARS), ylim=(100, 0), aspect='equal')
    return
  texts = [
    f'{formats.shorten(row.video_id, length=10)} {row.time_s:.1f} s'
    for row in frames.itertuples()
  ]
  lines = [', '.join(texts[:4]), ', '.join(texts[4:])]
  axes.text(0, 0.5, '\n'.join(lines), va='center', fontsize=7)


def _draw_occupancy(axes, alike, group):
  """Draws the share of a group in each stretch of time."""
  num = len(alike.frames)
  bins = np.arange(num) * _BINS // num
  inside = np.bincount(bins[alike.label == group], minlength=_BINS)
  share = inside / np.maximum(np.bincount(bins, minlength=_BINS), 1)
  look = {'width': 1, 'align': 'edge', 'linewidth': 0, 'color': figures.BLUE}
  axes.bar(np.arange(_BINS), share, **look)
  videos = alike.frames[['person_id', 'video_id']].agg('/'.join, axis=1)
  for start in np.flatnonzero(videos != videos.shift())[1:]:
    axes.axvline(start * _BINS / num, color=figures.PALE, linewidth=0.8)
  axes.set(xlim=(0, _BINS), ylim=(0, 1), xticks=[], yticks=[])
  axes.grid(visible=False)
