"""Example frames of a run with what its models make of them."""

import pathlib

import numpy as np

from psm_jax import embedding
from psm_jax.report import pictures
from psm_jax.runs import run

_FRAMES = 6
_PEOPLE = 2  # Of a model of several people, with so many frames each:
_FRAMES_A_PERSON = 4
_CANDIDATES = 100  # Frames of each person among which the nearest is sought.
# The order of rows; what is numbered is ordered by its number.
_ORDER = ('target', 'source', 'warped', 'mask', 'neutral', 'reconstruction')


def of_run(
  workdir: str | pathlib.Path, *, max_models: int
) -> dict[str, pictures.Pictures]:
  """Returns the pictures that some models make of frames.

  The frames are spread evenly over the person's, or over those of the first
  people of a model of several, beside which stands the nearest frame of others.

  Args:
    workdir: A trained run.
    max_models: The first so many models.

  Raises:
    ValueError: If the run has no checkpoint or no frames.
  """
  trained = embedding.Trained(workdir)
  shown = {}
  for index, model in enumerate(trained.run.models[:max_models]):
    people, num_frames = model.cohort[:_PEOPLE], _FRAMES_A_PERSON
    if len(people) == 1:
      num_frames = _FRAMES
    by_person = [_spread(trained.rows_of(p), num_frames) for p in people]
    # One person at a time: frames of one example are of the same person.
    parts = [trained.pictures(index, rows) for rows in by_person]
    made = {
      name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    flow = made.pop('flow', None)
    made = {name: _bytes(made[name]) for name in sorted(made, key=_place)}
    rows = np.concatenate(by_person)
    if len(people) > 1:
      nearest = _nearest_in_others(trained, index, model, rows)
      made['nearest in others'] = _images(trained, nearest)
    if not made:
      continue
    described = trained.store.index.iloc[rows]
    shown[model.model_id] = pictures.Pictures(
      input=_images(trained, rows),
      made=made,
      flow=flow,
      frames=list(
        zip(
          described.person_id,
          described.video_id,
          described.frame.tolist(),
          strict=True,
        )
      ),
    )
  return shown


def _spread(rows: np.ndarray, num: int) -> np.ndarray:
  """Returns some rows at equal distances, none of them the first or last."""
  return rows[np.linspace(0, len(rows) - 1, num + 2)[1:-1].astype(int)]


def _place(name: str) -> tuple[int, int]:
  """Returns where a row stands: 'warped 1' behind 'source 1'."""
  kind, _, number = name.partition(' ')
  place = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
  if number.isdigit():
    return 1, 10 * int(number) + place
  return place, 0


def _nearest_in_others(
  trained: embedding.Trained, index: int, model: run.Model, rows: np.ndarray
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
      own[np.linspace(0, len(own) - 1, min(_CANDIDATES, len(own))).astype(int)]
      for own in map(trained.rows_of, model.cohort)
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


def _images(trained, rows):
  """Returns [n, S, S, 3] uint8, frames of the store."""
  size = trained.store.size_px
  return np.array(trained.store.frames[rows]).reshape(-1, size, size, 3)


def _bytes(image):
  return np.rint(255 * image).astype(np.uint8)
