"""Groups of frames as film strips: their likeness, what they show, and when."""

import matplotlib.figure
import numpy as np
from scipy.cluster import hierarchy

from psm_jax.data import store as store_lib
from psm_jax.report import figures, formats, groups, previews

_BINS = 60
_ROW_IN = 0.62
_WIDTHS = (0.6, 4.6, 3.6)


def draw(
  name: str,
  model_id: str,
  found: groups.Groups,
  *,
  faces: store_lib.FrameStore | None,
  lines: previews.Lines | None,
) -> figures.Drawn:
  """Returns the film strips of one model.

  Args:
    name: Whose frames they are, for the caption.
    model_id: The model; names the file.
    found: Its groups.
    faces: The run's frames, if faces may be shown.
    lines: Line faces to be drawn instead, if there are any.
  """
  order = found.order
  figure = matplotlib.figure.Figure(
    figsize=(figures.FULL_IN, 0.75 + _ROW_IN * len(order)),
    layout='constrained',
  )
  grid = figure.add_gridspec(len(order), 3, width_ratios=_WIDTHS)
  _draw_tree(figure.add_subplot(grid[:, 0]), found.tree, len(order))
  shares = np.bincount(found.label, minlength=len(order)) / len(found.label)
  starts, bins = _bins(found)
  for row, group in enumerate(order):
    strip = figure.add_subplot(grid[row, 1])
    chosen = np.sort(found.exemplars[group])
    _draw_strip(strip, found.frames.iloc[chosen], faces, lines)
    strip.set_ylabel(
      f'{chr(65 + row)}  {100 * shares[group]:.0f}%',
      rotation=0,
      ha='right',
      va='center',
    )
    when = figure.add_subplot(grid[row, 2])
    is_last = row == len(order) - 1
    _draw_occupancy(when, bins, found.label == group, starts, is_last)
  parts = ', '.join(
    f'{chr(65 + row)} {100 * shares[group]:.0f}%'
    for row, group in enumerate(order)
  )
  kind = 'strips' if faces is None else 'faces_strips'
  text = (
    f'{name}: {len(order)} groups of frames that the model sees alike, with '
    f'their share of all frames ({parts}). Left: how they join, the more alike '
    'the sooner. Middle: frames that stand for a group, in order of time. '
    'Right: how much of each stretch of time a group fills, all videos one '
    'behind the other (lines between them).'
  )
  return figures.Drawn(f'{kind}_{model_id}', figure, text, text)


def _draw_tree(axes, tree, num):
  """Draws how groups join, the leaves at the heights of their rows."""
  made = hierarchy.dendrogram(tree, no_plot=True)
  for heights, places in zip(made['dcoord'], made['icoord'], strict=True):
    axes.plot(heights, np.array(places) / 10, color=figures.GREY, linewidth=1.2)
  axes.set_ylim(num, 0)
  axes.invert_xaxis()
  axes.set_axis_off()


def _draw_strip(axes, frames, faces, lines):
  """Draws the frames that stand for a group."""
  axes.set(xticks=[], yticks=[])
  axes.spines[:].set_visible(False)
  axes.grid(visible=False)
  if faces is not None:
    images = _images(frames, faces)
    axes.imshow(np.concatenate(images, axis=1))
    return
  if lines is not None:
    content = lines.of(frames)
    for place, flat in enumerate(content['faces']):
      points = np.reshape(flat, (-1, 2))
      for line in content['lines']:
        x, y = points[line].T
        axes.plot(x + 100 * place, y, color=figures.INK, linewidth=0.7)
    axes.set_xlim(0, 100 * groups.EXEMPLARS)
    axes.set_ylim(100, 0)
    axes.set_aspect('equal')
    return
  texts = [
    f'{formats.shorten(row.video_id, length=10)} {row.time_s:.1f} s'
    for row in frames.itertuples()
  ]
  axes.text(
    0,
    0.5,
    '\n'.join([', '.join(texts[:4]), ', '.join(texts[4:])]),
    va='center',
    fontsize=7,
  )


def _images(frames, store):
  keys = ['person_id', 'video_id', 'frame']
  places = store.index[keys].assign(row=np.arange(len(store.index)))
  rows = frames[keys].merge(places, on=keys, how='left')['row'].to_numpy(int)
  side = store.size_px
  return np.asarray(store.frames[rows]).reshape(-1, side, side, 3)


def _bins(found):
  """Returns (where videos begin, [n] bin of each frame), in bins."""
  num = len(found.frames)
  videos = found.frames[['person_id', 'video_id']].agg('/'.join, axis=1)
  starts = np.flatnonzero(videos != videos.shift()) * _BINS / num
  return starts[1:], np.arange(num) * _BINS // num


def _draw_occupancy(axes, bins, inside, starts, is_last):
  """Draws the share of a group in each stretch of time."""
  total = np.bincount(bins, minlength=_BINS)
  share = np.bincount(bins[inside], minlength=_BINS) / np.maximum(total, 1)
  axes.bar(
    np.arange(_BINS),
    share,
    width=1,
    align='edge',
    color=figures.BLUE,
    linewidth=0,
  )
  for start in starts:
    axes.axvline(start, color=figures.PALE, linewidth=0.8)
  axes.set(xlim=(0, _BINS), ylim=(0, 1), xticks=[], yticks=[])
  axes.grid(visible=False)
  if is_last:
    axes.set_xlabel('time →')
