"""Everything that needs a model and frames, written as tables.

psm_jax/data/embedded.py says what is written, and where.
"""

from psm_jax.embedding.grey import grey_pixels
from psm_jax.embedding.pictures import write_films, write_pictures
from psm_jax.embedding.tables import (
  epochs_at,
  write_csv,
  write_embeddings,
  write_with,
)
from psm_jax.embedding.trained import Trained, open_frames

__all__ = [
  'Trained',
  'epochs_at',
  'grey_pixels',
  'open_frames',
  'write_csv',
  'write_embeddings',
  'write_films',
  'write_pictures',
  'write_with',
]
