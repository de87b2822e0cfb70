r"""Damages a file of every reader in every way; what it says is looked at.

  python -m tests.faults.fuzz --out=FOLDER --num=200000 --readers=npz,pack

However a file is damaged, what reads it raises a ValueError that names it, or
reads it; within 10 s and without taking more than 512 MiB. FOLDER/fuzz.csv has
a row a reader, FOLDER/failures what was read otherwise.
"""

import argparse
import csv
import io
import json
import pathlib
import random
import resource
import struct
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.faults import readers

_MOST_S, _MOST_BYTES = 10.0, 512 << 20
_TEXTS = (
  *('', ' ', 'nan', 'inf', '-inf', '-1', '0', '1', '2.5', '1e400', '9' * 30),
  *('=1+1', '1,5', '"', '""', '\n', '\r', '\0', '\t', ';', ',', '\ufeff'),
  *('../x', '/etc/passwd', 'CON', 'P' * 70, 'é', '٣', '\ud800', '１', '0x10'),
  *('1_000', 'True', 'null', '[1, 2]', '[' * 2000, '{}', "'", '12:99', 'AU06'),
  *('00:00:01.5', '9' * 400 + ':1', 'a' * 140_000),
)
_odd_texts = st.sampled_from(_TEXTS) | st.text(max_size=8)
_odd_values = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, -1, 0])
  | st.floats()
  | _odd_texts,
  lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(_odd_texts, inner, max_size=3)
  ),
  max_leaves=5,
)


@st.composite
def _bytes(draw, good):
  """Draws a file that is cut, flipped, spliced or repeated."""
  places = st.integers(0, len(good))
  made = bytearray(good)
  for _ in range(draw(st.integers(1, 3))):
    start, stop = sorted((draw(places), draw(places)))
    match draw(st.sampled_from(('flip', 'cut', 'splice', 'repeat', 'number'))):
      case 'flip' if start < len(made):
        made[start] ^= 1 << draw(st.integers(0, 7))
      case 'cut':
        del made[start:]
      case 'splice':
        made[start:stop] = draw(st.binary(max_size=20))
      case 'repeat':
        made[start:start] = made[start:stop] * draw(st.integers(1, 20))
      case 'number':
        number = draw(st.sampled_from((-1, 0, 1, 2**31 - 1, 2**63 - 1)))
        made[start : start + 8] = struct.pack('<q', number)
  return bytes(made)


def _changed(draw, value):
  """Returns a JSON value with one part of it changed."""
  keys = []
  if isinstance(value, dict):
    keys = sorted(value)
  elif isinstance(value, list):
    keys = list(range(len(value)))
  if not keys or not draw(st.integers(0, 7)):
    return draw(_odd_values)
  key = draw(st.sampled_from(keys))
  value = value.copy()
  match draw(st.integers(0, 9)):
    case 0:
      del value[key]
    case 1 if isinstance(value, list):
      value.insert(key, value[key])
    case 1:
      value[draw(_odd_texts)] = value[key]
    case _:
      value[key] = _changed(draw, value[key])
  return value


@st.composite
def _json(draw, good, resealed):
  """Draws a JSON file of another shape, or one that is none."""
  content = _changed(draw, json.loads(good))
  if isinstance(content, dict):
    content = resealed(content)
  text = json.dumps(content, ensure_ascii=draw(st.booleans()))
  match draw(st.integers(0, 19)):
    case 0:
      text = text.replace('{', '[' * draw(st.integers(1, 3000)), 1)
    case 1:
      text = text.replace('1', '1' * draw(st.integers(1, 9000)))
    case 2:
      return text.encode('utf-16', 'surrogatepass')
    case 3:
      return draw(_bytes(text.encode('utf-8', 'surrogatepass')))
  return text.encode('utf-8', 'surrogatepass')


@st.composite
def _table(draw, good):
  """Draws a table of text with odd names, cells, separators and encodings."""
  rows = list(csv.reader(io.StringIO(good.decode())))
  if draw(st.integers(0, 3)):
    rows = rows + rows[1:] * draw(st.integers(0, 3))
  for _ in range(draw(st.integers(0, 4))):
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[row]) - 1))
    match draw(st.integers(0, 5)):
      case 0:
        rows[row] = rows[row][:column] or ['']
      case 1:
        rows[row] = [*rows[row], draw(_odd_texts)]
      case _:
        rows[row] = [*rows[row]]
        rows[row][column] = draw(_odd_texts)
  separator = draw(st.sampled_from(',,,,;\t| '))
  end = draw(st.sampled_from(('\n', '\n', '\r\n', '\r')))
  if draw(st.booleans()):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    text = text.getvalue()
  else:
    text = end.join(separator.join(row) for row in rows) + end
  first = draw(st.sampled_from(('',) * 6 + ('sep=;\n', 'sep=\\\n', '\n\n')))
  encoding = draw(st.sampled_from(('utf-8',) * 4 + ('utf-8-sig', 'utf-16')))
  made = (first + text).encode(encoding, 'surrogatepass')
  return made if draw(st.integers(0, 5)) else draw(_bytes(made))


@st.composite
def _parquet(draw, good):
  """Draws a Parquet file of other columns, types, attrs and pages."""
  table = pd.read_parquet(io.BytesIO(good))
  for _ in range(draw(st.integers(0, 2))):
    name = draw(st.sampled_from(list(table)))
    number = len(table)
    columns = (
      ['x'] * number,
      [None] * number,
      np.full(number, np.nan),
      np.full(number, 2**62),
      np.full(number, True),
      [[1, 2]] * number,
      pd.to_datetime(['2026-01-01'] * number),
      np.full(number, 'x' * 9999),
      np.full(number, 0.5),
    )
    match draw(st.integers(0, 3)):
      case 0:
        del table[name]
      case 1:
        table = table.rename(columns={name: draw(st.text(max_size=3))})
      case _:
        table[name] = draw(st.sampled_from(columns))
    if not len(table.columns):
      break
  if draw(st.booleans()):
    attrs = _changed(draw, dict(table.attrs))
    table.attrs = attrs if isinstance(attrs, dict) else {}
  if not draw(st.integers(0, 3)):
    table = pd.concat([table] * draw(st.integers(0, 3)) or [table[:0]])
  file = io.BytesIO()
  try:
    table.to_parquet(file, index=draw(st.booleans()))
  except (ValueError, TypeError, OverflowError, RecursionError):
    hypothesis.reject()
  made = file.getvalue()
  return made if draw(st.integers(0, 2)) else draw(_bytes(made))


@st.composite
def _safetensors(draw, good):
  """Draws a file of tensors with another header."""
  (length,) = struct.unpack_from('<Q', good)
  header = _changed(draw, json.loads(good[8 : 8 + length]))
  text = json.dumps(header).encode('utf-8', 'surrogatepass')
  length = len(text)
  if not draw(st.integers(0, 5)):
    length = draw(st.sampled_from((0, 1, 2**31, 2**63, 2**64 - 1)))
  return struct.pack('<Q', length) + text + good[8 + length :]


@st.composite
def _tar(draw, good):
  """Draws an archive of other members."""
  file, made = io.BytesIO(good), io.BytesIO()
  with (
    tarfile.open(fileobj=file) as archive,
    tarfile.open(fileobj=made, mode='w') as out,
  ):
    for member in archive.getmembers():
      content = archive.extractfile(member).read()
      match draw(st.integers(0, 6)):
        case 0:
          continue
        case 1:
          member.name = draw(_odd_texts)
        case 2:
          member.type = draw(st.sampled_from((b'1', b'2', b'3', b'5', b'6')))
          member.linkname = draw(_odd_texts)
        case 3:
          content = draw(_bytes(content))
        case 4:
          out.addfile(member, io.BytesIO(content))
      member.size = len(content)
      try:
        out.addfile(member, io.BytesIO(content))
      except (ValueError, UnicodeError):
        hypothesis.reject()
  return made.getvalue()


def damaged(reader: readers.Reader) -> st.SearchStrategy[bytes]:
  """Returns what draws damaged contents of a reader's file."""
  good = reader.path.read_bytes()
  if reader.kind == 'json':
    return _json(good, reader.resealed)
  grammars = {
    'table': _table,
    'parquet': _parquet,
    'safetensors': _safetensors,
    'tar': _tar,
    'bytes': _bytes,
  }
  return grammars[reader.kind](good)


def check(reader: readers.Reader, content: bytes, expected: bytes) -> bool:
  """Reads a damaged file and looks at what is said of it.

  Args:
    reader: Reads it.
    content: Is put in place of the good file, which comes back.
    expected: The outcome of the good file.

  Returns:
    Whether it was read.

  Raises:
    AssertionError: If it is neither read right nor refused by name in time, or
      took too much memory.
  """
  good = reader.path.read_bytes()
  before, began = _peak_bytes(), time.monotonic()
  try:
    reader.path.write_bytes(content)
    outcome = reader.outcome()
  except ValueError as error:
    # Folders that a test makes have odd names of their own.
    named = any(part in str(error) for part in _names_of(reader.path))
    assert named, f'does not name {reader.path}: {error}'
    outcome = None
  finally:
    reader.path.write_bytes(good)
  assert time.monotonic() - began < _MOST_S, 'it took too long'
  taken = _peak_bytes() - before
  assert taken < _MOST_BYTES, f'it took {taken >> 20} MiB'
  if reader.is_sealed and outcome is not None:
    assert outcome == expected, 'other numbers were read'
  return outcome is not None


def _names_of(path):
  return str(path), str(path.parent)


def _peak_bytes():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
  """Does what the module's description says."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--num', type=int, default=200_000)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--readers', default='', help='Names, by commas.')
  options = parser.parse_args()
  failures = options.out / 'failures'
  failures.mkdir(parents=True, exist_ok=True)
  with (
    tempfile.TemporaryDirectory() as folder,
    readers.prepared(pathlib.Path(folder)) as made,
  ):
    wanted = options.readers.split(',') if options.readers else list(made)
    rows = []
    for name in wanted:
      rows.append(
        _run(name, made[name], options.num // len(wanted), options, failures)
      )
      print(rows[-1], flush=True)
      pd.DataFrame(rows).to_csv(options.out / 'fuzz.csv', index=False)
  raise SystemExit(min(1, sum(row['failed'] for row in rows)))


def give(
  reader: readers.Reader, num: int, *, seed: int, take: Callable[[bytes], Any]
) -> None:
  """Draws so many damaged contents of a reader's file, the same by a seed."""

  @hypothesis.seed(seed)
  @hypothesis.settings(
    max_examples=num,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(damaged(reader))
  def draw(content):
    take(content)

  draw()


def _run(name, reader, num, options, failures):
  """Gives a reader so many damaged files; returns a row of the table."""
  expected, counts = reader.outcome(), {'read': 0, 'refused': 0, 'failed': 0}
  longest, before, began_s = 0.0, _peak_bytes(), time.process_time()

  def take(content):
    nonlocal longest
    began = time.monotonic()
    try:
      is_read = check(reader, content, expected)
      counts['read' if is_read else 'refused'] += 1
    except Exception:
      counts['failed'] += 1
      if counts['failed'] <= 5:
        stem = f'{name.replace(" ", "_")}-{random.getrandbits(32):08x}'
        (failures / stem).write_bytes(content)
        (failures / f'{stem}.txt').write_text(traceback.format_exc())
    longest = max(longest, time.monotonic() - began)

  give(reader, num, seed=options.seed, take=take)
  return {
    'reader': name,
    **counts,
    'longest_s': longest,
    'taken_mib': (_peak_bytes() - before) >> 20,
    'core_s': time.process_time() - began_s,
  }


if __name__ == '__main__':
  main()
