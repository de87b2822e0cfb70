"""Films of recordings: what a model sees in each frame, side by side.

  film.write(model, 'recording.mp4', 'film.mp4')

Under the pictures lies a ribbon of labels over time, with a line at the moment
that is shown. A film shows faces.
"""

import os
import pathlib
from collections.abc import Iterator, Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.backends import backend_agg

from psm_jax import model as model_lib
from psm_jax.data import movies, store as store_lib
from psm_jax.data.ingest import folder
from psm_jax.data.labels import LANDMARK_COLUMNS

_PANEL_PX = 224
_TITLE_PX = 24
_ROW_PX = 22
_DPI = 100
_NAMES = {
  'input': 'input',
  'neutral': 'neutral face',
  'reconstruction': 'reconstruction',
  'flow': 'movement',
  'driven': 'driven',
}
_MOST_ROWS = 12
_INK, _PAPER = '#1c1c1c', 'white'
_LINE = np.array([200, 30, 30], np.uint8)


def write(
  model: model_lib.Model,
  source: model_lib.Source,
  path: str | os.PathLike,
  *,
  face: model_lib.Source | None = None,
  labels: pd.DataFrame | None = None,
  fps: float = 25.0,
) -> pathlib.Path:
  """Writes the film of a recording.

  Args:
    model: Whose pictures are drawn.
    source: The recording, see `model.Model`; frames without a face are left
      out.
    path: The film, .mp4.
    face: Another face, which is moved as the recording moves, see
      `model.Model.drive`; None: nobody's.
    labels: A row for each frame with a face, numbers or names in its columns;
      each column becomes a row of the ribbon.
    fps: Frames a second of the film.

  Returns:
    The film's path.

  Raises:
    ValueError: If the method draws no faces, or labels are of other frames.
  """
  shown = model.pictures(source, 'input', 'neutral', 'reconstruction', 'flow')
  if face is not None:
    shown['driven'] = model.drive(source, face=face)
  return movies.write(path, pictures(shown, labels=labels), fps=fps)


def pictures(
  shown: dict[str, np.ndarray], *, labels: pd.DataFrame | None = None
) -> Iterator[np.ndarray]:
  """Yields the pictures of a film.

  Args:
    shown: name -> [n, S, S, 3] uint8 or, for flows, [n, h, w, 2] float.
    labels: See `write`.

  Raises:
    ValueError: If labels are of another number of frames.
  """
  num = len(next(iter(shown.values())))
  columns = [] if labels is None else list(labels)[:_MOST_ROWS]
  if labels is not None and len(labels) != num:
    raise ValueError(f'{len(labels)} rows of labels for {num} frames.')
  panels = [movies.shown(images) for images in shown.values()]
  ground = _ground(list(shown), labels, columns)
  bottom = _TITLE_PX + _PANEL_PX
  left, right = _ribbon_span(len(panels))
  for index in range(num):
    picture = ground.copy()
    for column, panel in enumerate(panels):
      place = slice(column * _PANEL_PX, (column + 1) * _PANEL_PX)
      (enlarged,) = movies.enlarged(panel[index : index + 1], _PANEL_PX)
      picture[_TITLE_PX:bottom, place] = enlarged
    if columns:
      x = left + round((right - left - 1) * index / max(num - 1, 1))
      picture[bottom:, x : x + 2] = _LINE
    yield picture


def video_of(
  store: store_lib.FrameStore, person_id: str, video_id: str | None
) -> tuple[np.ndarray, pd.DataFrame | None, float]:
  """Returns a video of a store: its frames, labels and frames a second.

  Args:
    store: The store.
    person_id: Who.
    video_id: Which video; None: the first.

  Returns:
    frames [n, S, S, 3] uint8, see `labels_of`, and frames a second.

  Raises:
    ValueError: If there is no such person or video.
  """
  videos = {video.video_id: video for video in store.videos(person_id)}
  video_id = video_id or next(iter(videos))
  if video_id not in videos:
    raise ValueError(
      f'{person_id} has no video {video_id!r}, but '
      f'{store_lib.list_some(list(videos))}.'
    )
  video = videos[video_id]
  rows = np.arange(video.start, video.stop)
  return store.images(rows), labels_of(store.index.iloc[rows]), video.fps


def labels_of(index: pd.DataFrame) -> pd.DataFrame | None:
  """Returns the labels among a store's columns, None if there are none."""
  others = [
    *store_lib.KEY_COLUMNS,
    *folder.QUALITY_COLUMNS,
    *LANDMARK_COLUMNS,
  ]
  labels = index.drop(columns=others, errors='ignore')
  labels = labels.dropna(axis=1, how='all').reset_index(drop=True)
  return None if labels.columns.empty else labels


def _ribbon_span(num_panels):
  """Returns the ribbon's first and last column of pixels."""
  width = num_panels * _PANEL_PX
  return round(0.12 * width), width - 8


def _ground(names: Sequence[str], labels, columns):
  """Returns the picture that stays: titles and the ribbon."""
  width = len(names) * _PANEL_PX
  height = _TITLE_PX + _PANEL_PX + len(columns) * _ROW_PX + 6 * bool(columns)
  height += height % 2
  figure = matplotlib.figure.Figure(
    figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAPER
  )
  for column, name in enumerate(names):
    figure.text(
      (column + 0.5) / len(names),
      1 - _TITLE_PX / 2 / height,
      _NAMES.get(name, name),
      ha='center',
      va='center',
      fontsize=9,
      color=_INK,
    )
  left, right = _ribbon_span(len(names))
  for row, column in enumerate(columns):
    top = _TITLE_PX + _PANEL_PX + row * _ROW_PX
    place = (
      left / width,
      1 - (top + _ROW_PX - 3) / height,
      (right - left) / width,
      (_ROW_PX - 4) / height,
    )
    _draw_row(figure, place, labels[column])
  # Not pyplot, whose figures live until they are closed.
  canvas = backend_agg.FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_row(figure, place, values):
  """Draws one column of labels over time."""
  axes = figure.add_axes(place)
  if values.dtype.kind in 'fiub':
    axes.imshow(
      values.to_numpy(np.float64)[None], aspect='auto', cmap='Greys', vmin=0
    )
  else:
    codes, _ = pd.factorize(values)
    axes.imshow(codes[None], aspect='auto', cmap='tab20', vmin=0, vmax=19)
  axes.set(xticks=[], yticks=[])
  axes.set_ylabel(
    str(values.name), rotation=0, ha='right', va='center', fontsize=8
  )
