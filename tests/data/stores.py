"""Small frame stores for tests."""

import json

import numpy as np
import pandas as pd

from psm_jax.data import store_files, upkeep


def write(path, frames, index, *, size_px, fps=10.0, **options):
  """Writes a store of the people of an index; fps by (person, video) or one."""
  with upkeep.writing(path, size_px=size_px, **options) as writer:
    for person in index['person_id'].unique():
      rows = np.flatnonzero(index['person_id'] == person)
      chosen = index.iloc[rows].reset_index(drop=True)
      rates = {
        video: fps[person, video] if isinstance(fps, dict) else fps
        for video in chosen['video_id'].unique()
      }
      writer.add(frames[rows], chosen, fps=rates)
  return path


def change_manifest(path, **changes):
  """Changes fields of store.json, with the checksum that belongs to them."""
  manifest = store_files.read_manifest(path)
  del manifest['schema_version']
  content = store_files.make_manifest(**(manifest | changes))
  (path / store_files.MANIFEST).write_bytes(content)


def flip(path, person, row=0):
  """Changes one bit of a person's frame, as a disk or a copy might."""
  manifest = json.loads((path / 'store.json').read_text())
  (entry,) = [e for e in manifest['people'] if e['person_id'] == person]
  content = bytearray((path / f'{person}.arrow').read_bytes())
  content[entry['frames_at'] + row * manifest['size_px'] ** 2 * 3] ^= 1
  (path / f'{person}.arrow').write_bytes(content)


def fill(path, people, end):
  """Adds people who are not done, three frames each, then calls `end`."""
  written = []
  with upkeep.writing(path, size_px=8) as writer:
    for person in people:
      if person not in writer.person_ids:
        index = pd.DataFrame(
          {'person_id': person, 'video_id': 'v', 'frame': range(3)}
        ).assign(time_s=0.0)
        frames = np.full((3, 192), ord(person), np.uint8)
        writer.add(writer.spool(frames), index, fps={'v': 1})
        written.append(person)
    writer.spool(frames)
    end()
  return written
