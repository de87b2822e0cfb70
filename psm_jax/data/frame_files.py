"""Writes arrays of aligned frames as a folder of frames, see `folders`."""

import pathlib
from collections.abc import Mapping

import cv2
import numpy as np

from psm_jax import paths


def write(
  people: Mapping[str, Mapping[str, np.ndarray]], folder: pathlib.Path
) -> pathlib.Path:
  """Writes PERSON/VIDEO/<frame>.png, which loses nothing.

  Args:
    people: person_id -> video_id -> [n, S, S, 3] uint8, R, G, B.
    folder: Made if need be, for its owner alone; files of the same names are
      replaced.

  Returns:
    The folder.

  Raises:
    ValueError: If an id is unsafe, or frames are of another kind.
  """
  for person_id, videos in people.items():
    for video_id, frames in videos.items():
      if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
          f'The frames of {person_id}/{video_id} are {frames.dtype} of shape '
          f'{frames.shape}; expected uint8 [n, S, S, 3].'
        )
      target = paths.make_private_dir(paths.child(folder, person_id, video_id))
      for number, frame in enumerate(frames):
        encoded = cv2.imencode('.png', frame[..., ::-1])[1]
        (target / f'{number:06d}.png').write_bytes(encoded)
  return folder
