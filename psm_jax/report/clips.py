"""Films in the page: what a model sees of a person, and whom it moves.

Short ones, inside the page as data. They show faces.

  shown = clips.of_run('runs/lab', max_people=27)
"""

import base64
import dataclasses
import pathlib

import numpy as np
from absl import logging

from psm_jax import model as model_lib
from psm_jax import paths
from psm_jax.data import movies
from psm_jax.data import store as store_lib
from psm_jax.runs import run

PANELS = {
  'input': 'input',
  'neutral': 'neutral face',
  'reconstruction': 'reconstruction',
  'flow': 'movement',
}
_FRAMES = 48  # Two seconds, more or less.
_PANEL_PX = 112
_TILE_PX = 96
_MOVED_PEOPLE = 5
_FPS = 20.0


@dataclasses.dataclass(frozen=True)
class Clips:
  """The films of a run.

  Attributes:
    people: model_id -> MP4 of the panels side by side, 112 px each.
    transfer: MP4 of a square of faces: above, people as they move; to the left,
      whose face is moved. None for fewer than two people.
    moved: Whose faces, in their order.
  """

  people: dict[str, bytes]
  transfer: bytes | None
  moved: tuple[str, ...]


def of_run(
  workdir: pathlib.Path, store: store_lib.FrameStore, *, max_people: int
) -> Clips:
  """Makes the films of a run's models of one person each.

  Args:
    workdir: A trained run.
    store: Its frames.
    max_people: The first so many models.

  Returns:
    The films; none where the method draws no neutral face.
  """
  people, models = {}, {}
  for described in run.open_run(workdir).models[:max_people]:
    if len(described.cohort) != 1 or described.status == 'failed':
      continue
    model = model_lib.load(workdir, person_id=described.model_id)
    frames = liveliest(store, model.person_id)
    try:
      shown = model.pictures(frames, *PANELS)
    except ValueError as error:
      logging.info('No films: %s', error)
      return Clips({}, None, ())
    people[model.model_id] = movies.encode(_side_by_side(shown), fps=_FPS)
    models.setdefault(model.person_id, (model, frames))
  moved = list(models)[:_MOVED_PEOPLE]
  transfer = None
  if len(moved) > 1:
    transfer = _transfer([models[person] for person in moved], store)
  return Clips(people, transfer, tuple(moved))


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
  side = store.size_px
  return np.asarray(store.frames[chosen]).reshape(-1, side, side, 3)


def source(film: bytes) -> str:
  """Returns a film as the address of data in the page."""
  return f'data:video/mp4;base64,{base64.b64encode(film).decode()}'


def write(clips: Clips | None, folder: pathlib.Path) -> None:
  """Writes films as files, for slides, and removes those of earlier reports.

  Args:
    clips: The films, None for none.
    folder: Where faces_<model_id>.mp4 goes.
  """
  for path in folder.glob('faces_*.mp4'):
    path.unlink()
  if clips is None:
    return
  for model_id, film in clips.people.items():
    paths.write_atomic(paths.child(folder, f'faces_{model_id}.mp4'), film)
  if clips.transfer:
    paths.write_atomic(folder / 'faces_transfer.mp4', clips.transfer)


def _side_by_side(shown):
  """Yields the panels' pictures of each frame in one."""
  panels = []
  for images in shown.values():
    if images.shape[-1] == 2:
      most = float(np.quantile(np.linalg.norm(images, axis=-1), 0.995))
      images = movies.flow_colours(images, most=most)
    panels.append(movies.enlarged(images, _PANEL_PX))
  yield from np.concatenate(panels, axis=2)


def _transfer(models, store):
  """Returns the film of each one's movement on each one's face."""
  num = min(len(frames) for _, frames in models)
  drivers = [movies.enlarged(f[:num], _TILE_PX) for _, f in models]
  blank = np.full((num, _TILE_PX, _TILE_PX, 3), 255, np.uint8)
  rows = [np.concatenate([blank, *drivers], axis=2)]
  for model, own in models:
    face = model.neutral(own)
    moved = [
      movies.enlarged(model.drive(frames[:num], face=face), _TILE_PX)
      for _, frames in models
    ]
    still = movies.enlarged(face[None], _TILE_PX).repeat(num, axis=0)
    rows.append(np.concatenate([still, *moved], axis=2))
  return movies.encode(np.concatenate(rows, axis=1), fps=_FPS)
