"""VoxCeleb1 as a TFDS data set; see `psm_jax.data.datasets.voxceleb`."""

from psm_jax.data.builders import trees
from psm_jax.data.datasets import voxceleb


class Builder(trees.TreeBuilder):
  """VoxCeleb1: a user's own copy, read as it was shipped."""

  DATASET = voxceleb.VOXCELEB1
