"""GFT as a TFDS data set; see `psm_jax.data.datasets.gft`."""

from psm_jax.data.builders import trees
from psm_jax.data.datasets import gft


class Builder(trees.TreeBuilder):
  """GFT: a user's own copy, read as it was shipped."""

  DATASET = gft.DATASET
