"""What models make of a few frames while they train, for TensorBoard.

  draw = previews.drawer(method, models, store, canonical)
  pictures = draw(states)

They show faces. n frames of each model, S pixels a side.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from psm_jax.data import canonical_faces, store as store_lib
from psm_jax.engine import update
from psm_jax.methods import interface
from psm_jax.runs import run

_FRAMES = 6


def drawer(
  method: interface.Method,
  models: Sequence[run.Model],
  store: store_lib.FrameStore,
  canonical: canonical_faces.CanonicalFaces | None,
) -> Callable[[update.TrainState], dict[str, np.ndarray]]:
  """Returns what draws pictures of models.

  Args:
    method: What they learn.
    models: The first models of those whose states are given.
    store: The frames; those of the first person of each model are drawn.
    canonical: Their canonical faces, if the method uses them.

  Returns:
    states [N, ...] -> by tag, faces/<model_id>/<rows>, [H, W, 3] uint8: in the
    first row frames, in others what the model makes of each.
  """
  make = jax.jit(method.pictures)
  rows = []
  for model in models:
    videos = store.videos(model.cohort[0])  # One behind the other.
    theirs = np.arange(videos[0].start, videos[-1].stop)
    rows.append(store_lib.spread(theirs, _FRAMES))

  def draw(states):
    made = {}
    for index, model in enumerate(models):
      params, method_state = jax.tree.map(
        lambda leaf, index=index: leaf[index],
        (states.params, states.method_state),
      )
      faces = () if canonical is None else canonical.of_rows(rows[index])
      frames = store.images(rows[index])
      drawn = make(
        jax.random.key(0),
        params,
        method_state,
        method.shared,
        frames.reshape((len(frames), -1)),
        faces,
      )
      shown = {'input': frames} | {
        name: np.rint(255 * np.asarray(images)).astype(np.uint8)
        for name, images in drawn.items()
        if images.shape == frames.shape  # Flows are no pictures.
      }
      lines = [np.concatenate(images, axis=1) for images in shown.values()]
      tag = f'faces/{model.model_id}/{",".join(shown)}'
      made[tag] = np.concatenate(lines)
    return made

  return draw
