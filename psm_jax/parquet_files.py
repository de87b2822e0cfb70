"""Parquet files from outside: no more is read than a file can be said to hold.

`tabular` reads them along with tables of text, and checks their shape.
"""

import contextlib
import pathlib
import re
from collections.abc import Collection

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from psm_jax import json_files

# A file may hold so much, or so many times its own size.
_MAX_UNPACKED, _MAX_RATIO = 256 << 20, 32
_INDEX = re.compile(r'__index_level_\d+__')
_TEXTS = (pa.string(), pa.large_string())


def read(path: pathlib.Path, columns: Collection[str] | None) -> pd.DataFrame:
  """Returns some columns of a Parquet file, all for None, with its attrs.

  Raises:
    ValueError: If it is no whole table; names the file.
  """
  with _naming(path):
    with parquet.ParquetFile(path) as file:
      schema, num_cells = file.schema_arrow, file.metadata.num_rows
    if len(set(schema.names)) < len(schema.names):
      raise ValueError('two columns have one name')
    wanted = [
      name
      for name in schema.names
      # What pandas makes of an index without a name.
      if (columns is None or name in columns) and not _INDEX.fullmatch(name)
    ]
    num_cells *= len(wanted)
    most = max(_MAX_UNPACKED, _MAX_RATIO * path.stat().st_size)
    if 8 * num_cells > most:
      raise ValueError(f'it claims {num_cells} cells')
    texts = [n for n in wanted if schema.field(n).type in _TEXTS]
    # As a dictionary a text takes its memory once, however many rows have it.
    with parquet.ParquetFile(
      path, read_dictionary=texts, page_checksum_verification=True
    ) as file:
      table = file.read(wanted).unify_dictionaries().combine_chunks()
    table = _unfolded(table, texts, most)
    made = table.to_pandas(ignore_metadata=True)
    made.attrs = _attrs(schema)
    return made


def head(path: pathlib.Path) -> tuple[list[str], dict]:
  """Returns the names of a Parquet file's columns, and its attrs.

  Raises:
    ValueError: If it is no whole table; names the file.
  """
  with _naming(path):
    schema = parquet.read_schema(path)
    return schema.names, _attrs(schema)


@contextlib.contextmanager
def _naming(path):
  """Turns the errors of a damaged Parquet file into one that names it."""
  try:
    yield
  except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
    reason = str(error).split('\n', 1)[0].rstrip('.')
    raise ValueError(f'{path} is no whole table: {reason}.') from error


def _attrs(schema):
  """Returns what pandas keeps beside a table."""
  content = (schema.metadata or {}).get(b'PANDAS_ATTRS', b'{}')
  return json_files.parse(content, dict, 'attrs')


def _unfolded(table, texts, most):
  """Returns an Arrow table with texts in place of dictionaries of them."""
  for name in texts:
    index, column = table.schema.get_field_index(name), table[name]
    if pa.types.is_dictionary(column.type):
      longest = max(
        (
          len(text or '')
          for chunk in column.chunks
          for text in chunk.dictionary.to_pylist()
        ),
        default=0,
      )
      if longest * len(table) > most:
        raise ValueError(f'its column {name!r} claims too much text')
      table = table.set_column(index, name, column.cast(pa.large_string()))
  return table
