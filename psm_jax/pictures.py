"""Example frames of a run with what its models make of them."""

import pathlib

import numpy as np

from psm_jax import embedding, run
from psm_jax.report import pictures

_FRAMES = 6
_CANDIDATES = 100  # Frames of each person among which the nearest is sought.


def of_run(
  workdir: str | pathlib.Path, *, max_models: int
) -> dict[str, pictures.Pictures]:
  """Returns the pictures that some models make of frames.

  The frames are spread evenly over each model's cohort. Beside them stands,
  for a model of several people, the nearest frame of the others.

  Args:
    workdir: A trained run.
    max_models: The first so many models.

  Raises:
    ValueError: If the run has no checkpoint or no frames.
  """
  trained = embedding.Trained(workdir)
  shown = {}
  for index, model in enumerate(trained.run.models[:max_models]):
    cohort_rows = trained.plans[index].rows
    places = np.linspace(0, len(cohort_rows) - 1, _FRAMES + 2)[1:-1]
    rows = cohort_rows[places.astype(int)]
    made = trained.pictures(index, rows)
    flow = made.pop('flow', None)
    made = {name: _bytes(image) for name, image in made.items()}
    if len(model.cohort) > 1:
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
