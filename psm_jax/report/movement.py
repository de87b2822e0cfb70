"""What is known of a run's movement without any score: its embeddings.

read = movement.read('runs/first', max_people=12)
"""

import dataclasses
import itertools
import pathlib

import pandas as pd

from psm_jax import json_files, tabular
from psm_jax.data import embedded, store as store_lib
from psm_jax.data.ingest import folder as ingest_folder
from psm_jax.data.labels import weak
from psm_jax.evaluation import probes, splits
from psm_jax.report import previews


@dataclasses.dataclass(frozen=True)
class Movement:
  """The embeddings of a run.

  Attributes:
    tables: (model_id, person_id) -> embeddings, of as many as are drawn.
    seconds: person_id -> seconds of video with a face.
    lines: Line faces, None without landmarks.
  """

  tables: dict[tuple[str, str], pd.DataFrame]
  seconds: dict[str, float]
  lines: previews.Lines | None

  @property
  def units(self) -> list[str]:
    """The action units that frames are labelled with, or the weak labels."""
    threshold = probes.DEFAULT.threshold
    return sorted(
      {
        unit
        for table in self.tables.values()
        for unit in splits.action_unit_labels(table[:1], threshold=threshold)
      }
    )

  @property
  def has_labels(self) -> bool:
    """Whether frames have labels beyond what launch.ingest measures."""
    measured = {
      *ingest_folder.QUALITY_COLUMNS,
      *weak.COLUMNS,
      *store_lib.KEY_COLUMNS,
      'model_id',
    }
    return any(
      not (column in measured or is_number_of(column, kinds='xye'))
      for table in self.tables.values()
      for column in table
    )


def is_number_of(column: str, *, kinds: str = 'e') -> bool:
  """Whether a column is one of many: e000 of an embedding, x12 of landmarks."""
  return column[0] in kinds and column[1:].isdigit()


def read(workdir: pathlib.Path, *, max_people: int) -> Movement:
  """Reads the embeddings of a run, if there are any.

  Args:
    workdir: The run directory.
    max_people: Of whom whole tables are read, to be drawn.

  Raises:
    ValueError: If tables are damaged or a mixture, see `embedded.files`.
  """
  tables, seconds = {}, {}
  root = workdir / embedded.EMBEDDINGS
  files = embedded.files(root) if root.is_dir() else []
  for (model_id, person), theirs in itertools.groupby(
    files, lambda file: file.parts[-3:-1]
  ):
    is_drawn = len(tables) < max_people
    if is_drawn:
      parts = [embedded.read(file) for file in theirs]
      tables[model_id, person] = pd.concat(parts, ignore_index=True)
    elif person in seconds:
      continue
    else:
      parts = [
        tabular.read(file, {'time_s': float}, only=True) for file in theirs
      ]
    seconds[person] = sum(map(_seconds, parts))
  lines = None
  if tables:
    by_person = {person: table for (_, person), table in tables.items()}
    shape = {'data': {'size_px': int}}
    config = json_files.read(workdir / 'config.json', shape)
    lines = previews.lines_of(by_person, size_px=config['data']['size_px'])
  return Movement(tables, seconds, lines)


def _seconds(table: pd.DataFrame) -> float:
  """Returns how long a video's frames last."""
  steps = table['time_s'].sort_values().diff()
  steps = steps[steps > 0]
  return float(len(table) * steps.median()) if len(steps) else 0.0
