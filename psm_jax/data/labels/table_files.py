"""Which table in a folder is of which video: by what both are called.

Tables may lie and be called as the videos are, with or without the ending, in
folders like theirs; or be called by the video's id.
"""

import collections
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence

EXTENSIONS = ('.csv', '.tsv', '.txt')
_WHOLE = 2  # The first names, which only one video can have.


def names_of(path: str | pathlib.PurePath) -> list[str]:
  """Returns what the table of a video may be called, the surest first.

  Args:
    path: of the video, below the folder of the videos.
  """
  path = pathlib.PurePath(path)
  parts = [part for part in path.parts if part not in ('..', path.anchor)]
  places = [
    pathlib.PurePosixPath(*parts[start:]) for start in range(len(parts))
  ]
  called = [str(p) for place in places for p in (place, place.with_suffix(''))]
  return [*called, '_'.join([*parts[:-1], path.stem])]


def assign(
  folder: pathlib.Path, names: Mapping[str, Sequence[str]]
) -> tuple[dict[str, pathlib.Path], list[tuple[str, str]]]:
  """Returns the table of each video, and what is wrong.

  A name that two videos share is nobody's, but for that of one's whole path.

  Args:
    folder: where the tables lie, in subfolders or not.
    names: what the table of each video may be called, without its own ending,
      first by its whole path, with and without the video's; by the name of the
      video in messages.

  Returns:
    From the video's name to its table; and (video or table, reason) of those
    without the other.

  Raises:
    ValueError: If there is no such folder.
  """
  if not folder.is_dir():
    raise ValueError(f'The folder of tables {folder} is not there.')
  tables = {}
  for path in sorted(folder.rglob('*')):
    if path.suffix.lower() in EXTENSIONS and path.is_file():
      place = path.relative_to(folder).with_suffix('').as_posix()
      tables.setdefault(_same(place), []).append(path)
  # By how many videos a name is wanted, among the first names and among all.
  wanted_first, wanted = (
    collections.Counter(
      name
      for choices in names.values()
      for name in {_same(choice) for choice in choices[:most]}
    )
    for most in (_WHOLE, None)
  )
  assigned = {}
  for level in range(max(map(len, names.values()), default=0)):
    for video, choices in names.items():
      name = _same(choices[level]) if level < len(choices) else None
      num_rivals = (wanted_first if level < _WHOLE else wanted)[name]
      paths = tables.get(name, ())
      is_free = not set(paths) & set(assigned.values())
      if num_rivals == len(paths) == 1 and is_free:
        assigned.setdefault(video, paths[0])
  problems = [
    (video, f'no table of it in {folder}{_shared(video, names, tables)}')
    for video in names
    if video not in assigned
  ]
  problems += [
    (str(path), 'belongs to no video; not used')
    for paths in tables.values()
    for path in paths
    if path not in assigned.values()
  ]
  return assigned, problems


def _shared(video, names, tables):
  """Why a table that lies there is not taken, '' if none does."""
  for name in names[video]:
    paths = tables.get(_same(name), ())
    rivals = [
      other
      for other, others in names.items()
      if other != video and _same(name) in map(_same, others)
    ]
    if paths and rivals:
      return (
        f': {paths[0].name} could also be of {rivals[0]}; call it '
        f'{names[video][0]}{paths[0].suffix}'
      )
    if len(paths) > 1:
      return f': {paths[0].name} or {paths[1].name}? Take one of them away'
  return ''


def _same(name):
  """A name as all file systems spell it."""
  return unicodedata.normalize('NFC', name)
