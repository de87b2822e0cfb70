"""What models make of example frames, as pictures and as short films.

WORKDIR/pictures/<model_id>.npz        see `write`
WORKDIR/pictures/films/<model_id>.mp4  input, neutral face, reconstruction and
                                       movement side by side, 112 px each
WORKDIR/pictures/films/transfer.mp4    a square of faces: above, people as they
                                       move; to the left, whose face is moved
WORKDIR/pictures/films/transfer.json   {"people": [...]}, in their order

They show faces. P frames, S pixels a side.
"""

import os
import pathlib

import numpy as np
from absl import logging

from psm_jax import model as model_lib, paths
from psm_jax.data import embedded, movies, store as store_lib
from psm_jax.embedding import trained as trained_lib
from psm_jax.runs import run

_FRAMES = 6
_PEOPLE = 2  # Of a model of several people, with so many frames each:
_FRAMES_A_PERSON = 4
_CANDIDATES = 100  # Frames of each person among which the nearest is sought.
# The order of rows; what is numbered is ordered by its number.
_ORDER = ('target', 'source', 'warped', 'mask', 'neutral', 'reconstruction')
PANELS = ('input', 'neutral', 'reconstruction', 'flow')
_FILM_FRAMES = 48  # Two seconds, more or less.
_PANEL_PX = 112
_TILE_PX = 96
_MOVED_PEOPLE = 5
_FPS = 20.0


def write_pictures(
  workdir: str | os.PathLike, *, max_models: int
) -> list[pathlib.Path]:
  """Writes what a run's models make of example frames, for launch.report.

  Args:
    workdir: A trained run.
    max_models: The first so many models.

  Returns:
    The files written, below `workdir`/pictures; [] of a method that draws none.
  """
  trained = trained_lib.Trained(workdir)
  return [
    path
    for index in range(min(max_models, len(trained.run.models)))
    for path in write(trained, index, trained.run.workdir / embedded.PICTURES)
  ]


def write(
  trained: trained_lib.Trained, index: int, folder: pathlib.Path
) -> list[pathlib.Path]:
  """Writes the pictures that a model makes of frames, as an .npz file.

  The frames are spread evenly over the person's, or over those of the first
  people of a model of several, beside which stands the nearest frame of others.
  Arrays: input [P, S, S, 3] uint8; made_<number>_<name> in the order in which
  they are shown; flow, if any; frames [P, 3] str: person, video, number.

  Args:
    trained: The run.
    index: The model's.
    folder: Where the file goes.

  Returns:
    Its path; [] of a method that draws none.
  """
  model = trained.run.models[index]
  people = model.cohort[:_PEOPLE]
  num_frames = _FRAMES if len(people) == 1 else _FRAMES_A_PERSON
  by_person = [store_lib.spread(trained.rows_of(p), num_frames) for p in people]
  # One person at a time: frames of one example are of the same person.
  parts = [trained.pictures(index, rows) for rows in by_person]
  made = {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }
  arrays = {'flow': made.pop('flow')} if 'flow' in made else {}
  shown = {
    name: np.rint(255 * made[name]).astype(np.uint8)
    for name in sorted(made, key=_place)
  }
  rows = np.concatenate(by_person)
  if len(people) > 1:
    shown['nearest in others'] = trained.store.images(
      _nearest_in_others(trained, index, model, rows)
    )
  paths.make_private_dir(folder)
  if not shown:
    return []
  for number, name in enumerate(shown):
    arrays[f'made_{number:02d}_{name}'] = shown[name]
  described = trained.store.index.iloc[rows][['person_id', 'video_id', 'frame']]
  path = paths.child(folder, f'{model.model_id}.npz')
  with open(path, 'wb') as file:
    np.savez(
      file,
      input=trained.store.images(rows),
      frames=described.astype(str).to_numpy(dtype=str),
      **arrays,
    )
  return [path]


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
  store = trained_lib.open_frames(workdir)
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
    for start in range(video.start, video.stop, _FILM_FRAMES):
      rows = np.arange(start, min(start + _FILM_FRAMES, video.stop))
      if len(rows) < _FILM_FRAMES and chosen is not None:
        continue
      # Every second frame and third number tell as much.
      seen = store.frames[rows[::2]][:, ::3].astype(np.float32)
      moves = float(seen.std(axis=0).mean())
      if moves > best:
        best, chosen = moves, rows
  return store.images(chosen)


def _place(name: str) -> tuple[int, int]:
  """Returns where a row stands: 'warped 1' behind 'source 1'."""
  kind, _, number = name.partition(' ')
  place = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
  if number.isdigit():
    return 1, 10 * int(number) + place
  return place, 0


def _nearest_in_others(
  trained: trained_lib.Trained, index: int, model: run.Model, rows: np.ndarray
) -> np.ndarray:
  """Returns for each row the row of another person with the nearest embedding.

  Args:
    trained: The run.
    index: The model's.
    model: Of several people.
    rows: [n] rows of the store.
  """
  candidates = np.concatenate(
    [
      theirs[
        np.linspace(0, len(theirs) - 1, min(_CANDIDATES, len(theirs))).astype(
          int
        )
      ]
      for theirs in map(trained.rows_of, model.cohort)
    ]
  )
  person = trained.store.index.person_id.to_numpy()
  query, offered = (
    values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-12)
    for values in (trained.embed(index, r) for r in (rows, candidates))
  )
  cosine = query @ offered.T
  cosine[person[rows][:, None] == person[candidates][None]] = -np.inf
  return candidates[cosine.argmax(axis=1)]


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
