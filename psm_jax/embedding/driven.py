"""The movement of one video on the neutral face of another, as grey pixels.

n frames, S pixels a side.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from psm_jax.data import canonical_faces, driven_squares, store as store_lib
from psm_jax.embedding import grey, trained as trained_lib
from psm_jax.engine import update


@dataclasses.dataclass(frozen=True)
class Driven:
  """What a model makes of one video.

  Attributes:
    rows: [n] int, of the store.
    driven: [n, 1024] float32, the other video's neutral face, moved.
    sums: n rows of `driven_squares.squares`.
    neutral: [n, 1024] float32, the frames' neutral faces; None where no network
      makes them.
  """

  rows: np.ndarray
  driven: np.ndarray
  sums: pd.DataFrame
  neutral: np.ndarray | None


def of_person(
  trained: trained_lib.Trained, state: update.TrainState, person_id: str
) -> Iterator[Driven]:
  """Yields what a model makes of a person's first two labelled videos.

  Each is drawn on the other's face; of a person of one video there is nothing
  to yield.

  Args:
    trained: The run.
    state: Of the model.
    person_id: Whose videos.
  """
  store, computed = trained.store, trained.programs
  videos = _first_two(store, person_id)
  if len(videos) < 2:
    return
  frames = [store.images(video) for video in videos]
  medians = [canonical_faces.median(images) for images in frames]
  faces, neutral = medians, (None, None)
  if not trained.method.uses_canonical:
    picture = computed.picture('neutral')
    neutral = [
      trained.apply(state, video, function=picture) for video in videos
    ]
    faces = [
      canonical_faces.neutral(made[canonical_faces.spread(len(made))])
      for made in neutral
    ]
  for number, video in enumerate(videos):
    other = 1 - number
    face = np.float32(faces[other]) / 255
    drawn = trained.apply(
      dataclasses.replace(state, method_state=(state.method_state, face)),
      video,
      function=computed.drive,
    )
    sums = driven_squares.squares(
      255 * drawn,
      frames[number].astype(np.float32),
      canonical=medians[number].astype(np.float32),
      target=medians[other].astype(np.float32),
    )
    yield Driven(
      rows=video,
      driven=_grey(drawn),
      sums=pd.DataFrame(sums),
      neutral=None if neutral[number] is None else _grey(neutral[number]),
    )


def _first_two(store: store_lib.FrameStore, person_id: str) -> list[np.ndarray]:
  """Returns the rows of the two videos that probes go across, if labelled."""
  units = store.index.filter(regex=r'^AU\d').notna().any(axis=1).to_numpy()
  videos = sorted(store.videos(person_id), key=lambda video: video.video_id)
  labelled = [v for v in videos if units[v.start : v.stop].any()]
  chosen = (labelled if len(labelled) > 1 else videos)[:2]
  return [np.arange(video.start, video.stop) for video in chosen]


def _grey(images):
  """Returns [n, 1024] float32 grey pixels of images [n, S, S, 3] in [0, 1]."""
  return grey.grey_pixels(np.rint(255 * images.clip(0, 1)).astype(np.uint8))
