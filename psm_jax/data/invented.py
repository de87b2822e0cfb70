"""Invented people as a source: rendered videos with known action units."""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from psm_jax.data import sources

# Changes whenever the renderer draws or moves people differently.
RENDERER_VERSION = 1
# Those of `synthetic`, which takes OpenCV to import.
LABEL_COLUMNS = (
  *('AU01', 'AU02', 'AU04', 'AU05', 'AU06', 'AU09', 'AU12', 'AU15', 'AU17'),
  *('AU20', 'AU25', 'AU26', 'pose_yaw', 'pose_pitch', 'pose_roll'),
  *('blink', 'gaze_yaw', 'gaze_pitch'),
)


def describe(
  *,
  num_people: int,
  num_videos: int,
  num_frames: int,
  seed: int,
  fps: float,
  size_px: int,
  persons: Sequence[str] = (),
) -> sources.Source:
  """Returns the source of so many invented people, `P001` and on.

  Args:
    num_people: how many people there are.
    num_videos: videos of each person.
    num_frames: frames of each video.
    seed: of people and movements.
    fps: frames a second.
    size_px: side of a picture.
    persons: ids to keep; () for all. The others look the same without them.

  Raises:
    ValueError: If a requested person is absent.
  """
  kept = sources.choose_persons(
    persons,
    [f'P{index + 1:03d}' for index in range(num_people)],
    where=f'the {num_people} synthetic people',
  )
  options = [RENDERER_VERSION, kept, num_videos, num_frames, seed, fps, size_px]
  return sources.Source(
    root=pathlib.Path('synthetic'),
    videos=tuple(
      sources.Video(
        person_id=person,
        video_id=video,
        fps=float(fps),
        frames=tuple(range(num_frames)),
      )
      for person in kept
      for video in sorted(f'video{i + 1:02d}' for i in range(num_videos))
    ),
    label_columns=LABEL_COLUMNS,
    problems=(),
    fingerprint=sources.digest(['synthetic', options]),
    shots=functools.partial(_shots, seed=seed, size_px=size_px),
  )


def _shots(video, report, *, seed, size_px):
  """See `sources.Source`; nothing is ever left out."""
  del report
  # Only those who render need OpenCV.
  import cv2

  from psm_jax.data import synthetic

  person = synthetic.sample_person(seed, int(video.person_id[1:]) - 1)
  number = int(video.video_id.removeprefix('video')) - 1
  performance = synthetic.sample_performance(
    person, seed, number, len(video.frames), video.fps
  )

  def render(frame):
    picture = synthetic.render(person, performance, frame, size_px=size_px)
    # Losslessly, and lightly compressed: speed matters more than size here.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode('.png', picture[..., ::-1], options)[1].tobytes()

  values = np.column_stack(
    [
      performance.intensity,
      performance.pose,
      performance.blink,
      performance.gaze,
    ]
  )
  frames = np.array(video.frames)
  return sources.Shots(
    names=[f'frame{frame:06d}.png' for frame in video.frames],
    frames=frames,
    time_s=frames / video.fps,
    read=render,
    labels=pd.DataFrame(values, columns=LABEL_COLUMNS),
  )
