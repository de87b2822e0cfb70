"""BP4D-Spontaneous as a TFDS data set; see `psm_jax.data.datasets.bp4d`."""

from psm_jax.data.builders import trees
from psm_jax.data.datasets import bp4d


class Builder(trees.TreeBuilder):
  """BP4D-Spontaneous: a user's own copy, read as it was shipped."""

  DATASET = bp4d.DATASET
