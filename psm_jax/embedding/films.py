"""Short films of what models see of people, and whom they move.

WORKDIR/pictures/films/<model_id>.mp4  input, neutral face, reconstruction and
                                       movement side by side, 112 px each
WORKDIR/pictures/films/transfer.mp4    a square of faces: above, people as they
                                       move; to the left, whose face is moved
WORKDIR/pictures/films/transfer.json   {"people": [...]}, in their order

They show faces.
"""

import os
import pathlib

import numpy as np
from absl import logging

from psm_jax import model as model_lib
from psm_jax import paths
from psm_jax.data import embedded, movies
from psm_jax.data import store as store_lib
from psm_jax.embedding import trained
from psm_jax.runs import run

PANELS = ('input', 'neutral', 'reconstruction', 'flow')
_FRAMES = 48  # Two seconds, more or less.
_PANEL_PX = 112
_TILE_PX = 96
_MOVED_PEOPLE = 5
_FPS = 20.0


def write_films(
  workdir: str | os.PathLike, *, max_models: int
) -> list[pathlib.Path]:
  """Writes the films of a run's models of one person each.

  Args:
    workdir: A trained run.
    max_models: The first so many models.

  Returns:
    The files; none where the method draws no neutral face.
  """
  folder = paths.make_private_dir(pathlib.Path(workdir) / embedded.FILMS)
  store = trained.open_frames(workdir)
  written, models = [], {}
  for described in run.open_run(workdir).models[:max_models]:
    if len(described.cohort) != 1 or described.status == 'failed':
      continue
    model = model_lib.load(workdir, person_id=described.model_id)
    frames = liveliest(store, model.person_id)
    try:
      shown = model.pictures(frames, *PANELS)
    except ValueError as error:
      logging.info('No films: %s', error)
      return []
    path = paths.child(folder, f'{model.model_id}.mp4')
    written.append(movies.write(path, _side_by_side(shown), fps=_FPS))
    models.setdefault(model.person_id, (model, frames))
  moved = list(models)[:_MOVED_PEOPLE]
  if len(moved) > 1:
    path = folder / f'{embedded.TRANSFER}.mp4'
    written += [
      paths.write_atomic(path, _transfer([models[who] for who in moved])),
      paths.write_json(path.with_suffix('.json'), {'people': moved}),
    ]
  return written


def liveliest(store: store_lib.FrameStore, person_id: str) -> np.ndarray:
  """Returns the stretch of a person's frames in which most moves.

  Args:
    store: The frames.
    person_id: Who.

  Returns:
    [up to 48, S, S, 3] uint8.
  """
  best, chosen = -1.0, None
  for video in store.videos(person_id):
    for start in range(video.start, video.stop, _FRAMES):
      rows = np.arange(start, min(start + _FRAMES, video.stop))
      if len(rows) < _FRAMES and chosen is not None:
        continue
      # Every second frame and third number tell as much.
      seen = store.frames[rows[::2]][:, ::3].astype(np.float32)
      moves = float(seen.std(axis=0).mean())
      if moves > best:
        best, chosen = moves, rows
  return store.images(chosen)


def _side_by_side(shown):
  """Yields the panels' pictures of each frame in one."""
  panels = [
    movies.enlarged(movies.shown(images), _PANEL_PX)
    for images in shown.values()
  ]
  yield from np.concatenate(panels, axis=2)


def _transfer(models):
  """Returns the film of each one's movement on each one's face."""
  num = min(len(frames) for _, frames in models)
  drivers = [movies.enlarged(f[:num], _TILE_PX) for _, f in models]
  blank = np.full((num, _TILE_PX, _TILE_PX, 3), 255, np.uint8)
  rows = [[blank, *drivers]]
  for model, frames_of_face in models:
    face = model.neutral(frames_of_face)
    moved = [
      movies.enlarged(model.drive(frames[:num], face=face), _TILE_PX)
      for _, frames in models
    ]
    still = movies.enlarged(face[None], _TILE_PX).repeat(num, axis=0)
    rows.append([still, *moved])
  tiles = [np.concatenate(row, axis=2) for row in rows]
  return movies.encode(np.concatenate(tiles, axis=1), fps=_FPS)
