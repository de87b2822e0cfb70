"""Films in the page, inside it as data. They show faces.

  shown = clips.read('runs/lab')

psm_jax/embedding/films.py says what is in them.
"""

import base64
import dataclasses
import os
import pathlib

from psm_jax import json_files
from psm_jax.data import embedded

PANELS = ('input', 'neutral face', 'reconstruction', 'movement')


@dataclasses.dataclass(frozen=True)
class Clips:
  """The films of a run, as addresses of data.

  Attributes:
    people: model_id -> its film.
    transfer: Everybody's movement on everybody's face; '' without.
    moved: Whose faces, in their order.
  """

  people: dict[str, str]
  transfer: str
  moved: tuple[str, ...]


def read(workdir: str | os.PathLike, *, max_people: int) -> Clips:
  """Returns the films that launch.embed --pictures wrote, if any.

  Args:
    workdir: The run directory.
    max_people: The first so many.
  """
  folder = pathlib.Path(workdir) / embedded.FILMS
  people = {
    path.stem: _address(path)
    for path in sorted(folder.glob('*.mp4'))
    if path.stem != embedded.TRANSFER
  }
  people = dict(list(people.items())[:max_people])
  described = folder / f'{embedded.TRANSFER}.json'
  if not described.is_file():
    return Clips(people, '', ())
  moved = json_files.read(described, {'people': [str]})['people']
  transfer = _address(folder / f'{embedded.TRANSFER}.mp4')
  return Clips(people, transfer, tuple(moved))


def _address(path):
  content = base64.b64encode(path.read_bytes()).decode()
  return f'data:video/mp4;base64,{content}'
