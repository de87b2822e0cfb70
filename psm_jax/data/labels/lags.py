"""Whether two sources of one action unit agree better some frames apart."""

import pandas as pd

from psm_jax.data.labels import tools

_LAGS = range(-3, 4)
_FEWEST = 100  # Frames.
_CLEARLY = 0.01
_KINDS = (tools.INTENSITY, tools.PRESENCE, tools.PROBABILITY)


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
    if unit not in own or kind not in _KINDS:
      continue
    # NaN where there are too few frames, or one source does not change.
    correlations = pd.Series(
      {
        shift: own[unit].corr(joined[column].shift(-shift), min_periods=_FEWEST)
        for shift in _LAGS
      }
    ).fillna(-1.0)
    peak = max(_LAGS, key=lambda shift: (correlations[shift], -abs(shift)))
    if best is None or correlations[peak] > best[2]:
      best = (unit, peak, correlations[peak], correlations[0])
  if best is None or best[1] == 0 or best[2] - best[3] < _CLEARLY:
    return None
  return best
