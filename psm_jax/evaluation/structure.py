"""What an embedding holds: how many dimensions it uses, and how widely.

n frames, D features.
"""

import numpy as np


def effective_rank(data: np.ndarray) -> float:
  """Returns (sum of eigenvalues)^2 / sum of squares of the covariance.

  The participation ratio: k for equal variance in k directions, 1 for a line,
  0 for a constant.

  Args:
    data: [n, D] float, as stored (not scaled).
  """
  centred = _centred(data)
  if centred.shape[1] > centred.shape[0]:
    centred = centred.T
  gram = centred.T @ centred  # Its eigenvalues are n times the covariance's.
  squares = (gram**2).sum()
  return float(np.trace(gram) ** 2 / squares) if squares else 0.0


def unit_std(data: np.ndarray) -> float:
  """Returns the mean over features of the standard deviation over frames.

  Args:
    data: [n, D] float, as stored (not scaled).
  """
  return float(_centred(data).std(axis=0).mean())


def _centred(data: np.ndarray) -> np.ndarray:
  """Returns columns of mean 0; exactly 0 where a column is constant."""
  data = data.astype(np.float64) - data[:1]
  return data - data.mean(axis=0)
