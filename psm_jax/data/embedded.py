"""Where the tables of launch.embed are, and what they say of themselves.

Below WORKDIR, a Parquet file a model, person and video, called
<model_id>/<person_id>/<video_id>.parquet:

embeddings/               the frames by the trained models, and their labels
controls/random_encoder/  by the weights from which the models began
controls/pixel_pca/       as 32 x 32 grey pixels, model_id grey
flows/                    how far the face is moved from its neutral place
driven/                   the frames' movement on the neutral face of another
                          video of the person, as 32 x 32 grey pixels, and sums
                          of squares (psm_jax/data/driven_squares.py)
neutral_faces/            the neutral faces that networks made of the frames, as
                          32 x 32 grey pixels
steps/<step>/             labelled frames at every checkpoint that was kept
pictures/<model_id>.npz   what a model makes of example frames: these show faces
pictures/films/           the same as films, see psm_jax/embedding/pictures.py

The tables have the columns model_id, person_id, video_id, frame, time_s and
e000, e001, ... `pd.read_parquet(path).attrs` says of what they are: model_id,
step (of the run's checkpoint), state (a hash of the model's parameters), config
(a hash of the experiment), unit_length (whether the method says that only the
direction of an embedding counts) and schema_version.
"""

import pathlib
import re

import numpy as np
import pandas as pd

from psm_jax import json_files, tabular

SCHEMA_VERSION = 1
EMBEDDINGS = 'embeddings'
RANDOM_ENCODER = 'controls/random_encoder'
PIXELS = 'controls/pixel_pca'
FLOWS = 'flows'
DRIVEN = 'driven'
NEUTRAL_FACES = 'neutral_faces'
STEPS = 'steps'
PICTURES = 'pictures'
FILMS, TRANSFER = 'pictures/films', 'transfer'
GREY = 'grey'  # The model_id of pixels.
FLOW_CELLS = 8  # A flow is told on 8 x 8 cells, of dy and dx each.

_ID_COLUMNS = ('model_id', 'person_id', 'video_id')
_COLUMNS = dict.fromkeys(_ID_COLUMNS, str) | {'frame': int, 'time_s': float}
_ATTRS = {
  'schema_version': int,
  'step': (int, type(None)),  # Of models of other programs it is not known.
  'state': str,
  'config': str,
}
_AGAIN = 'Embed again: python -m launch.embed'


def files(root: pathlib.Path, *, person_id: str = '*') -> list[pathlib.Path]:
  """Returns the tables of a folder, sorted; they are of one run and step.

  Args:
    root: One of the folders above, below WORKDIR.
    person_id: Only this person's; by default everybody's.

  Raises:
    ValueError: If there are none, or one does not say of what it is, or is of
      another step, state or configuration than the others, or has other
      columns; names the file.
  """
  made = [
    path
    for path in sorted(root.glob(f'*/{person_id}/*.parquet'))
    if not any(part.startswith('.') for part in path.relative_to(root).parts)
  ]
  firsts = {}
  for path in made:
    columns, attrs = tabular.head(path)
    if attrs.get('schema_version') != SCHEMA_VERSION:
      raise ValueError(
        f'{path} does not say of which model and step it is, or as another '
        f'version does. {_AGAIN}'
      )
    json_files.check(attrs, _ATTRS, f'{path}, attrs')
    for field, group, value in (
      ('columns', root, columns),
      ('config', root, attrs['config']),
      ('step', root, attrs['step']),
      ('state', path.parent.parent, attrs['state']),  # Of one model.
    ):
      first, there = firsts.setdefault((field, group), (path, value))
      if value != there:
        if field == 'columns':
          value, there = (
            sorted({*value} - {*there}),
            sorted({*there} - {*value}),
          )
        raise ValueError(
          f'{path} has {field} {value}, but {first} has {there}: a mixture '
          f'cannot be scored. {_AGAIN}'
        )
  if not made:
    raise ValueError(
      f'Found no tables {root}/<model_id>/<person_id>/<video_id>.parquet. '
      'Write them with python -m launch.embed first.'
    )
  return made


def read(path: pathlib.Path) -> pd.DataFrame:
  """Returns a table, its features as float32.

  Args:
    path: From `files`.

  Raises:
    ValueError: If it is damaged, in the wrong place or of another shape; names
      the file.
  """
  table = tabular.read(path, _COLUMNS)
  places = (path.parent.parent.name, path.parent.name, path.stem)
  for column, expected in zip(_ID_COLUMNS, places, strict=True):
    seen = sorted(set(table[column]))
    if seen != [expected]:
      raise ValueError(
        f'{path} holds {column} {seen}; its place says {expected!r}.'
      )
  return with_features(table, path)


def with_features(table: pd.DataFrame, path: pathlib.Path) -> pd.DataFrame:
  """Returns a table with its features e000, e001, ... as float32.

  Raises:
    ValueError: If there are none, or they are no numbers; names the file.
  """
  units = units_of(table)
  table = tabular.fit(table, dict.fromkeys(['e000', *units], float), path)
  return table.astype(dict.fromkeys(units, np.float32))


def units_of(table: pd.DataFrame) -> list[str]:
  """Returns the columns that hold features."""
  return [name for name in table if re.fullmatch(r'e\d{3,}', name)]
