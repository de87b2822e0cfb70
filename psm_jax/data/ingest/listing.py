"""Which videos there are, and under which ids they are kept.

Names come from outside and may be anything; ids are made of them that are safe
as file names, and stay the same when more videos come.
"""

import dataclasses
import errno
import hashlib
import os
import pathlib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from psm_jax import paths, tabular

EXTENSIONS = tuple(
  '.264 .265 .3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc '
  '.ivf .m1v .m2p .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mod .mov .mp4 .mpe '
  '.mpeg .mpg .mts .mxf .nut .ogm .ogv .qt .rm .rmvb .tod .trp .ts .vob .vro '
  '.webm .wmv .wtv .y4m'.split()
)

PERSON_FROM = ('ask', 'file', 'folder')
LEFT_OUT = 'not taken for a video by its name'
_PIECE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Input:
  """One video that is asked for.

  Attributes:
    path: the file.
    name: how messages call it: relative to the folder or manifest.
    person_id: who is seen if it is one person; '' for the video's own id.
    problem: why it cannot be used, '' if nothing is known.
    is_left_out: whether it was only met on the way, and is no video.
    content: see `fingerprint`; '' until the file was read.
  """

  path: pathlib.Path
  name: str
  person_id: str = ''
  problem: str = ''
  is_left_out: bool = False
  content: str = ''

  @property
  def key(self) -> str:
    """16 hex digits of where the file is."""
    return hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:16]


def list_inputs(
  path: str | os.PathLike,
  *,
  person_from: str = 'ask',
  leave_out: pathlib.Path | None = None,
) -> list[Input]:
  """Returns the videos of a file, a folder with its subfolders, or a manifest.

  Args:
    path: a video, a folder, or a CSV table with a column `path` (relative to
      the table) and, if known, `person_id`.
    person_from: 'folder' if the videos of a folder show the same person; with
      'file' and 'ask' only a manifest names people here.
    leave_out: a folder that is not searched, the output's.

  Returns:
    The videos, and all else that lies in the folder, with the reason why it is
    left out.

  Raises:
    ValueError: If there is no video, or the manifest is no such table.
    OSError: If path cannot be read.
  """
  if person_from not in PERSON_FROM:
    raise ValueError(f'--person_from {person_from!r} is none of {PERSON_FROM}.')
  path = pathlib.Path(path)
  if path.is_dir():
    inputs = _search(path, person_from, leave_out)
    if all(entry.is_left_out for entry in inputs):
      raise ValueError(
        f'No video in {path} or below, among {len(inputs)} files. Files ending '
        f'in {", ".join(EXTENSIONS)} are taken; others can be named in a '
        'manifest.'
      )
    return _without_case_twins(inputs)
  if not path.exists():
    raise ValueError(f'--input {str(path)!r} does not exist.')
  if path.suffix.lower() == '.csv':
    return _without_case_twins(_read_manifest(path))
  return [Input(path, path.name)]


def _without_case_twins(inputs):
  """The inputs; of two person_ids that differ in case the later is refused."""
  spelled, checked = {}, []
  for entry in inputs:
    known = spelled.setdefault(entry.person_id.lower(), entry.person_id)
    if known != entry.person_id and not entry.problem:
      entry = dataclasses.replace(
        entry,
        problem=f'person_id {entry.person_id!r} differs only in case from '
        f'{known!r}',
      )
    checked.append(entry)
  return checked


def _search(root, person_from, leave_out):
  """All files in a folder and below, also below folders that are linked."""
  inputs, skipped = [], leave_out.resolve() if leave_out else None

  def add(path, **options):
    inputs.append(Input(path, str(path.relative_to(root)), **options))

  def failed(error):
    add(pathlib.Path(error.filename), problem=error.strerror)

  for folder, names, files in os.walk(root, onerror=failed, followlinks=True):
    here, entered = pathlib.Path(folder), []
    for name in sorted(names):
      real = (here / name).resolve()
      if name.startswith('.'):
        add(here / name, problem='a hidden folder', is_left_out=True)
      elif here.resolve().is_relative_to(real):
        add(here / name, problem='a link to where it lies', is_left_out=True)
      elif real != skipped:
        entered.append(name)
    names[:] = entered
    above = '-'.join(here.relative_to(root).parts)
    person_id = safe_id(above) if above and person_from == 'folder' else ''
    for path in sorted(here / name for name in files):
      if path.suffix.lower() in EXTENSIONS and not path.name.startswith('.'):
        add(path, person_id=person_id)
      else:
        reason = LEFT_OUT if path.exists() else 'a link to nothing'
        add(path, problem=reason, is_left_out=True)
  return inputs


def _read_manifest(path):
  table = tabular.read(path, {})
  if not len(table) or 'path' not in table:
    raise ValueError(
      f'{path} has no rows, or no column `path`; a manifest has the columns '
      'path and, if known, person_id.'
    )
  found, persons = [], {}
  for line, row in enumerate(table.to_dict('records'), start=2):
    name, person_id = row['path'].strip(), row.get('person_id', '').strip()
    if not name:
      continue
    problem = ''
    if person_id:
      try:
        paths.check_id(person_id, what='person_id')
      except ValueError as error:
        problem, person_id = f'line {line} of the manifest: {error}', ''
    if persons.setdefault(name, person_id) != person_id:
      problem = f'line {line} of the manifest gives it a second person_id'
    elif any(i.name == name for i in found):
      problem = f'line {line} of the manifest names it again'
    found.append(Input(path.parent / name, name, person_id, problem))
  return found


def fingerprint(path: pathlib.Path) -> str:
  """Returns 16 hex digits of a file's size and three pieces of its content.

  Raises:
    OSError: If it cannot be read.
  """
  if os.path.exists(path) and not os.path.isfile(path):
    # Reading a pipe would wait for ever.
    raise OSError(errno.EINVAL, 'not a file', str(path))
  with open(path, 'rb') as file:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256(str(size).encode())
    for start in (0, size // 2, max(0, size - _PIECE)):
      file.seek(start)
      digest.update(file.read(_PIECE))
  return digest.hexdigest()[:16]


def safe_id(text: str) -> str:
  """Returns an id made of any text; what had to be changed shows in a hash."""
  plain = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()
  plain = re.sub(r'[^A-Za-z0-9_]+', '-', plain).strip('-_')[:50] or 'video'
  try:
    if plain == text and paths.check_id(plain, what='id'):
      return plain
  except ValueError:
    pass
  return f'{plain}-{_short_hash(text)}'


def _short_hash(text):
  return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]


def assign_ids(
  inputs: Sequence[Input], known: Collection[Mapping]
) -> dict[str, str]:
  """Returns the video_id of each input, by its key.

  A file keeps its id; so does one that was moved. Of two names that would give
  one id, the later gets a hash.

  Args:
    inputs: the videos asked for, with their content.
    known: video_id, key and content of the videos that were made before.
  """
  by_key = {entry['key']: entry['video_id'] for entry in known}
  keys = {entry.key for entry in inputs}
  moved = {
    entry['content']: entry['video_id']
    for entry in known
    if entry['key'] not in keys
  }
  taken = {entry['video_id'].lower() for entry in known}
  assigned = {}
  for entry in inputs:
    if entry.key in assigned:
      continue
    video_id = by_key.get(entry.key) or moved.pop(entry.content, None)
    if video_id is None:
      stem = pathlib.PurePath(entry.name).with_suffix('')
      parts = [part for part in stem.parts if part not in ('..', stem.anchor)]
      video_id = safe_id('-'.join(parts))
      if video_id.lower() in taken:
        video_id = f'{video_id[:54]}-{_short_hash(entry.name + entry.key)}'
      taken.add(video_id.lower())
    assigned[entry.key] = video_id
  return assigned
