"""Which table in a folder is of which video: by what both are called.

Tables may lie and be called as the videos are, with or without the ending, in
folders like theirs; or be called by the video's id.
"""

import pathlib
import unicodedata
from collections.abc import Mapping, Sequence

EXTENSIONS = ('.csv', '.tsv', '.txt')


def names_of(path: str | pathlib.PurePath) -> list[str]:
  """Returns what the table of a video may be called, the surest first.

  Args:
    path: of the video, below the folder of the videos.
  """
  path = pathlib.PurePath(path)
  parts = [part for part in path.parts if part not in ('..', path.anchor)]
  whole = pathlib.PurePosixPath(*parts)
  return [
    str(whole),
    str(whole.with_suffix('')),
    whole.name,
    whole.stem,
  ]


def assign(
  folder: pathlib.Path, names: Mapping[str, Sequence[str]]
) -> tuple[dict[str, pathlib.Path], list[tuple[str, str]]]:
  """Returns the table of each video, and what is wrong.

  A name that two videos share is nobody's.

  Args:
    folder: where the tables lie, in subfolders or not.
    names: what the table of each video may be called, without its own ending;
      by the name of the video in messages.

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
  assigned, problems = {}, []
  levels = max(map(len, names.values()), default=0)
  for level in range(levels):
    wanted = {}
    for video, choices in names.items():
      if level < len(choices):
        wanted.setdefault(_same(choices[level]), []).append(video)
    for name, videos in wanted.items():
      is_free = not set(tables.get(name, ())) & set(assigned.values())
      if len(videos) == len(tables.get(name, ())) == 1 and is_free:
        assigned.setdefault(videos[0], tables[name][0])
  for video, choices in names.items():
    if video not in assigned:
      problems.append(
        (
          video,
          f'no table of it in {folder}{_shared(video, choices, names, tables)}',
        )
      )
  for paths in tables.values():
    problems += [
      (str(path), 'belongs to no video; not used')
      for path in paths
      if path not in assigned.values()
    ]
  return assigned, problems


def _shared(video, choices, names, tables):
  """Why a table that lies there is not taken, '' if none does."""
  for name in choices:
    paths = tables.get(_same(name), ())
    rivals = [
      other
      for other, others in names.items()
      if other != video and _same(name) in map(_same, others)
    ]
    if paths and rivals:
      return (
        f': {paths[0].name} could also be of {rivals[0]}; call it '
        f'{choices[0]}{paths[0].suffix}'
      )
    if len(paths) > 1:
      return f': {paths[0].name} or {paths[1].name}? Take one of them away'
  return ''


def _same(name):
  """A name as all file systems spell it."""
  return unicodedata.normalize('NFC', name)
