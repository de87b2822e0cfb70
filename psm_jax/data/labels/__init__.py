"""Labels of frames: this project's tables, and those of other tools.

`columns` reads labels.csv; `readers` a tool's table, `joining` brings it to a
video's frames, and `attach` does so for a folder of frames or a run's
embeddings.
"""

from psm_jax.data.labels.columns import (
  LANDMARK_COLUMNS,
  NUM_LANDMARKS,
  LabelTable,
  column_name,
  read_columns,
  read_labels,
)

__all__ = [
  'LANDMARK_COLUMNS',
  'NUM_LANDMARKS',
  'LabelTable',
  'column_name',
  'read_columns',
  'read_labels',
]
