"""The reference's tensors of Flax variables, back from `layouts.from_torch`."""

import numpy as np
from flax import traverse_util

from psm_jax.interop import layouts


def of(variables, layout):
  """Returns {torch name: array} by a layout, {torch name: path}."""
  leaves, tensors = traverse_util.flatten_dict(variables), {}
  for name, path in layout.items():
    axes = np.argsort(layouts._axes(path, leaves[path].ndim))
    tensors[name] = leaves[path].transpose(tuple(axes))
  return tensors
