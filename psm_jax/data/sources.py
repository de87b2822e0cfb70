"""What a frame store can be made from, described without opening a picture.

Every source has a `fingerprint` that changes with anything that would change
the frames; caches are named by it, so a stale one is never used.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence

from psm_jax.data import store

# Changes whenever the renderer draws or moves people differently.
RENDERER_VERSION = 1


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
  """Rendered videos of invented people.

  Attributes:
    person_indices: which people are rendered, see `synthetic.sample_person`;
      in the order of their ids.
    num_videos: videos of each person.
    num_frames: frames of each video.
    seed: of people and movements.
    fps: frames a second.
    size_px: side of a picture.
  """

  person_indices: tuple[int, ...]
  num_videos: int
  num_frames: int
  seed: int
  fps: float
  size_px: int

  @property
  def problems(self) -> tuple[dict[str, str], ...]:
    """What was left out: nothing."""
    return ()

  @property
  def fingerprint(self) -> str:
    """16 hex digits that change with any option or the renderer."""
    return digest(['synthetic', RENDERER_VERSION, dataclasses.asdict(self)])


def person_id(person_index: int) -> str:
  """Returns the id of a synthetic person; the first is `P001`."""
  return f'P{person_index + 1:03d}'


def digest(value) -> str:
  """Returns 16 hex digits of a value that JSON can express."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_synthetic(
  *,
  num_people: int,
  num_videos: int,
  num_frames: int,
  seed: int,
  fps: float,
  size_px: int,
  persons: Sequence[str] = (),
) -> SyntheticSource:
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
    ValueError: If a number is out of range or a requested person is absent.
  """
  counts = {
    'num_people': num_people,
    'num_videos': num_videos,
    'num_frames': num_frames,
  }
  for name, value in counts.items():
    if value < 1:
      raise ValueError(f'data.synthetic.{name} {value} must be at least 1.')
  if seed < 0:
    raise ValueError(f'data.synthetic.seed {seed} must not be negative.')
  if not (math.isfinite(fps) and fps > 0):
    raise ValueError(f'data.synthetic.fps {fps} must be positive.')
  ids = {person_id(index): index for index in range(num_people)}
  absent = sorted(set(persons) - set(ids))
  if absent:
    raise ValueError(
      f'data.persons names {store.list_some(absent)}; the '
      f'{num_people} synthetic people are {store.list_some(list(ids))}.'
    )
  return SyntheticSource(
    person_indices=tuple(
      ids[name] for name in sorted(ids) if not persons or name in persons
    ),
    num_videos=num_videos,
    num_frames=num_frames,
    seed=seed,
    fps=float(fps),
    size_px=size_px,
  )
