"""CK+ as a TFDS data set; see `psm_jax.data.datasets.ckplus`."""

from psm_jax.data.builders import trees
from psm_jax.data.datasets import ckplus


class Builder(trees.TreeBuilder):
  """CK+: a user's own copy, read as it was shipped."""

  DATASET = ckplus.DATASET
