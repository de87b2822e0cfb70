"""Example frames of a run with what its models make of them."""

import pathlib

import numpy as np

from psm_jax import embedding
from psm_jax.report import pictures

_FRAMES = 6


def of_run(
  workdir: str | pathlib.Path, *, max_models: int
) -> dict[str, pictures.Pictures]:
  """Returns the pictures that some models make of frames.

  The frames are spread evenly over each model's cohort. A method without
  pictures shows none.

  Args:
    workdir: A trained run.
    max_models: The first so many models.

  Raises:
    ValueError: If the run has no checkpoint or no frames.
  """
  trained = embedding.Trained(workdir)
  size = trained.store.size_px
  shown = {}
  for index, model in enumerate(trained.run.models[:max_models]):
    cohort_rows = trained.plans[index].rows
    places = np.linspace(0, len(cohort_rows) - 1, _FRAMES + 2)[1:-1]
    rows = cohort_rows[places.astype(int)]
    made = trained.pictures(index, rows)
    if not made:
      continue
    flow = made.pop('flow', None)
    described = trained.store.index.iloc[rows]
    shown[model.model_id] = pictures.Pictures(
      input=np.array(trained.store.frames[rows]).reshape(-1, size, size, 3),
      made={name: _bytes(image) for name, image in made.items()},
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


def _bytes(image):
  return np.rint(255 * image).astype(np.uint8)
