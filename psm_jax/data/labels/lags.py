"""Whether two sources of one action unit agree better some frames apart."""

import numpy as np
import pandas as pd

from psm_jax.data.labels import tools

_LAGS = range(-3, 4)
_FEWEST_FOR_LAG = 100
_CLEARLY = 0.01


def lag(
  own: pd.DataFrame, joined: pd.DataFrame
) -> tuple[str, int, float, float] | None:
  """Returns the shift at which two sources of one action unit agree better.

  A sign that rows were joined to the wrong frames, and no proof: a tool may
  smooth over time, and people code late.

  Args:
    own: T rows of consecutive frames, columns AU12, ...
    joined: T rows, columns AU12_r, ...

  Returns:
    (unit, frames by which the tool is late, correlation there, correlation as
    joined) of the unit that agrees best; None if it agrees best as joined, or
    there is too little to tell.
  """
  best = None
  for column in joined:
    unit, _, kind = str(column).partition('_')
    if kind not in (tools.INTENSITY, tools.PRESENCE, tools.PROBABILITY):
      continue
    if unit not in own:
      continue
    correlations = {
      shift: _correlation(own[unit], joined[column].shift(-shift))
      for shift in _LAGS
    }
    peak = max(correlations, key=lambda s: (correlations[s], -abs(s)))
    if best is None or correlations[peak] > best[2]:
      best = (unit, peak, correlations[peak], correlations[0])
  if best is None or best[1] == 0 or best[2] - best[3] < _CLEARLY:
    return None
  return best


def _correlation(one, other):
  known = one.notna().to_numpy() & other.notna().to_numpy()
  one, other = (
    one.to_numpy(np.float64)[known],
    other.to_numpy(np.float64)[known],
  )
  if len(one) < _FEWEST_FOR_LAG or not one.std() or not other.std():
    return -1.0
  return float(np.corrcoef(one, other)[0, 1])
