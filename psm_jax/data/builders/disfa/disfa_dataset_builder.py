"""DISFA as a TFDS data set; see `psm_jax.data.datasets.disfa`."""

from psm_jax.data.builders import trees
from psm_jax.data.datasets import disfa


class Builder(trees.TreeBuilder):
  """DISFA: a user's own copy, read as it was shipped."""

  DATASET = disfa.DATASET
