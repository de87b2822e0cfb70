"""Which frames of a person are worth a look: far apart, or hard to tell.

n frames, D features.
"""

import numpy as np

_COMPONENTS = 32
_CANDIDATES = 8  # Times the frames wanted, among which the far ones are taken.


def spread(
  values: np.ndarray, num: int, *, taken: np.ndarray | None = None
) -> np.ndarray:
  """Returns frames that lie far apart: each the farthest from those before.

  Greedy k-centres (Gonzalez, 1985) on the leading principal components, each
  scaled to its deviation, so that rare movements are among the first.

  Args:
    values: [n, D] float embeddings of one person.
    num: How many frames.
    taken: [m] int frames that are labelled already and keep others away.

  Returns:
    [min(num, n - m)] int, in the order in which they were chosen.
  """
  kept = [] if taken is None else [*taken]
  place, num_taken = _components(values), len(kept)
  nearest = np.full(len(values), np.inf)
  for row in kept:
    _take(nearest, place, row)
  while len(kept) < min(num_taken + num, len(values)):
    # The first of all is the one nearest to the middle.
    row = (
      nearest.argmax()
      if np.isfinite(nearest).any()
      else np.linalg.norm(place, axis=1).argmin()
    )
    kept.append(row)
    _take(nearest, place, row)
  return np.array(kept[num_taken:], int)


def uncertain(
  values: np.ndarray,
  probabilities: np.ndarray,
  num: int,
  *,
  taken: np.ndarray,
) -> np.ndarray:
  """Returns frames whose labels are least certain, far apart among these.

  Args:
    values: [n, D] float embeddings of one person.
    probabilities: [n, L] float of each label.
    num: How many frames.
    taken: [m] int frames that are labelled already.

  Returns:
    [min(num, n - m)] int.
  """
  doubt = 0.5 - np.abs(probabilities - 0.5).min(axis=1)
  doubt[taken] = -1
  num_candidates = min(len(values) - len(taken), _CANDIDATES * num)
  candidates = np.argsort(-doubt, kind='stable')[:num_candidates]
  return candidates[spread(values[candidates], num)]


def _components(values):
  """Returns [n, d] leading components, of unit deviation."""
  centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
  left, scale, _ = np.linalg.svd(centred, full_matrices=False)
  kept = scale > 1e-6 * max(scale[0], 1e-12)
  kept[_COMPONENTS:] = False
  if not kept.any():
    return np.zeros((len(values), 1))
  return left[:, kept] * np.sqrt(len(values))


def _take(nearest, place, row):
  """Takes a frame: `nearest` is then less far for others, and -1 for itself."""
  distance = np.linalg.norm(place - place[row], axis=1)
  np.minimum(nearest, distance, out=nearest)
  nearest[row] = -1
