"""Whether two sources of one action unit agree better some frames apart."""

import operator

import numpy as np
import pandas as pd

from psm_jax.data.labels import tools

_LAGS = range(-3, 4)
_FEWEST = 100  # Frames.
_CLEARLY = 0.01
_KINDS = (tools.INTENSITY, tools.PRESENCE, tools.PROBABILITY)


def remark(frames: np.ndarray, own: pd.DataFrame, joined: pd.DataFrame) -> str:
  """Returns what to say if two sources of one action unit seem shifted.

  A sign that rows were joined to the wrong frames, and no proof: a tool may
  smooth over time, and people code late.

  Args:
    frames: [T] int64, increasing.
    own: T rows, of whose columns AU12, ... are compared.
    joined: T rows, columns AU12_r, ...

  Returns:
    By how many frames the unit that agrees best would agree better; '' if it
    agrees best as joined, or there is too little to tell.
  """
  whole = np.arange(frames[0], frames[-1] + 1)
  own = own.filter(regex=r'^AU\d{2,}$').set_axis(frames).reindex(whole)
  joined = joined.set_axis(frames).reindex(whole)
  found = []
  for column in joined:
    unit, _, kind = str(column).partition('_')
    if unit in own and kind in _KINDS:
      # NaN where there are too few frames, or one source does not change.
      told = pd.Series(
        {
          shift: own[unit].corr(
            joined[column].shift(-shift), min_periods=_FEWEST
          )
          for shift in _LAGS
        }
      ).fillna(-1.0)
      late = max(_LAGS, key=lambda shift: (told[shift], -abs(shift)))
      found.append((told[late], told[0], unit, late))
  best, as_joined, unit, late = max(
    found, key=operator.itemgetter(0), default=(0.0, 0.0, '', 0)
  )
  if not late or best - as_joined < _CLEARLY:
    return ''
  return (
    f"{unit} of both sources agrees best if the tool's are taken {late:+d} "
    f'frames later (correlation {best:.3f}, as joined {as_joined:.3f}): are '
    'the frame numbers of one of them shifted?'
  )
