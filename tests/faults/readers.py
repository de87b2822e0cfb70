"""Every reader of the product, with a good file of each, for damage to it."""

import contextlib
import dataclasses
import json
import pathlib
import pickle
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np
import pandas as pd
import safetensors.numpy
from absl import logging

from psm_jax import methods
from psm_jax.data import (
  embedded,
  folders,
  folds,
  labels,
  pack,
  store,
  store_files,
)
from psm_jax.data.datasets import trees
from psm_jax.data.ingest import (
  folder as ingest_folder,
  frame_tables,
  layout,
  listing,
  tracks,
)
from psm_jax.data.labels import readers as tool_tables
from psm_jax.discovery import named_movements
from psm_jax.evaluation import features
from psm_jax.labelling import exports, tables as filled_tables
from psm_jax.models import tensor_files
from psm_jax.report import pictures, reading, run as report_run
from psm_jax.runs import events, planning, run, seal, status, zoo
from tests import tiny
from tests.data import stores

_FRAMES = pd.DataFrame(
  {
    'person_id': 'P1',
    'video_id': 'v1',
    'frame': np.arange(6),
    'time_s': np.arange(6) / 25,
  }
)


@dataclasses.dataclass(frozen=True)
class Reader:
  """Something that reads a file.

  Attributes:
    path: The file, a good one.
    kind: 'json', 'table', 'safetensors' or 'bytes': how it can be damaged.
    read: Reads it; what it returns can be pickled.
    resealed: A changed JSON content -> with the checksum that belongs to it.
    is_sealed: Whether what is read of a damaged file must be what the good one
      gives.
  """

  path: pathlib.Path
  kind: str
  read: Callable[[], Any]
  resealed: Callable[[dict], dict] = dict
  is_sealed: bool = False

  def outcome(self) -> bytes:
    """Returns what is read, as bytes."""
    return pickle.dumps(self.read())


@contextlib.contextmanager
def prepared(root: pathlib.Path) -> Iterator[dict[str, Reader]]:
  """Writes good files and gives their readers by name.

  Meanwhile nothing is logged: warnings of damage are many.
  """
  made = _of_runs(root / 'run')
  made |= _of_stores(root)
  made |= _of_tables(root)
  made |= _of_ingest(root / 'ingested')
  made |= _of_tensors(root)
  logger = logging.get_absl_logger()
  # absl's own verbosity could not be put back to what it is by default.
  before = logger.level
  logger.setLevel('CRITICAL')
  try:
    yield made
  finally:
    logger.setLevel(before)


def _of_runs(workdir):
  workdir.mkdir()
  config = tiny.run_config(population__seeds=(0, 2))
  models, _ = planning.plan_models(config, tiny.empty_store(A=(30,), B=(20, 9)))
  run.start(workdir, config, models, workdir / 'data')
  (workdir / 'metrics.csv').write_text(
    'step,model_id,gap,loss,steps_per_s,frames_per_s\n'
    + ''.join(f'{step},{models[0].model_id},1,0.5,2,8\n' for step in (5, 10))
  )
  board = events.EventLog(workdir / 'tensorboard', step=0)
  for step in range(5):
    board.write(step, {'loss/a': step, 'loss/b': 1.0})
  board.close()
  (event_file,) = (workdir / 'tensorboard').iterdir()
  sealed = workdir / 'sealed'
  sealed.mkdir()
  (sealed / 'part').write_bytes(bytes(range(200)))
  seal.write(sealed)

  def opened():
    # A report reads the same files.
    return str(run.open_run(workdir)), str(report_run.read(workdir).models)

  return {
    'config.json': Reader(workdir / 'config.json', 'json', opened),
    'models.json': Reader(workdir / 'models.json', 'json', opened),
    'crops.json': Reader(
      _text(workdir / 'crops.json', '{"size_px": 64}'),
      'json',
      lambda: run.read_crops(workdir),
    ),
    'pretrained.json': Reader(
      _text(
        workdir / 'pretrained.json',
        '{"models": [{"model_id": "m", "people": ["P1"]}]}',
      ),
      'json',
      lambda: run.read_pretrained(workdir),
    ),
    'metrics.csv': Reader(
      workdir / 'metrics.csv',
      'table',
      lambda: (report_run.read(workdir).metrics, status.lines(workdir)),
    ),
    'events': Reader(
      event_file,
      'bytes',
      lambda: events.rewrite(event_file, lambda tag: False),
    ),
    'seal.json': Reader(
      sealed / 'seal.json', 'bytes', lambda: seal.check(sealed), is_sealed=True
    ),
    'sealed file': Reader(
      sealed / 'part', 'bytes', lambda: seal.check(sealed), is_sealed=True
    ),
  }


def _of_stores(root):
  frames = np.random.default_rng(0).integers(0, 256, (6, 192), np.uint8)
  path = stores.write(root / 'store', frames, _FRAMES, size_px=8)
  packed = root / 'store.pack'
  pack.write(store.open_store(path), packed)

  def opened(place=path):
    made = store.open_store(place)
    return made.frames[:], made.index, made.person_ids

  def unpacked():
    place = pack.unpack(packed, directory=root / 'unpacked')
    made = opened(place)
    for file in (*place.iterdir(), place):
      file.rmdir() if file.is_dir() else file.unlink()
    return made

  def resealed(content):
    content.pop('crc32', None)
    text = json.dumps(content, sort_keys=True).encode()
    return content | {'crc32': zlib.crc32(text)}

  return {
    'store.json': Reader(path / store_files.MANIFEST, 'json', opened, resealed),
    'store.json as it is': Reader(
      path / store_files.MANIFEST, 'bytes', opened, is_sealed=True
    ),
    'P1.arrow': Reader(path / 'P1.arrow', 'bytes', opened, is_sealed=True),
    'pack': Reader(packed, 'bytes', unpacked, is_sealed=True),
    'pack members': Reader(packed, 'tar', unpacked),
  }


def _of_tables(root):
  table = _FRAMES.assign(
    **{f'e{i:03d}': np.float32(i) for i in range(4)}, AU12=1.0
  )
  tree = root / 'tables/embeddings/m/P1/v1.parquet'
  tree.parent.mkdir(parents=True)
  ours = table.assign(model_id='m')
  ours.attrs = {'schema_version': 1, 'step': 9, 'state': 'a', 'config': 'c'}
  ours.to_parquet(tree, index=False, write_page_checksum=True)
  theirs = _text(root / 'lab.csv', table.to_csv(index=False))
  landmarks = ','.join(labels.LANDMARK_COLUMNS)
  labelled = _text(
    root / 'labels.csv',
    f'frame,AU12_r,pose_yaw,{landmarks}\n'
    + ''.join(f'{n},0.5,-3{",7" * 136}\n' for n in range(3)),
  )
  points = ','.join(f'{a}_{i}' for a in 'xy' for i in range(68))
  openface = _text(
    root / 'openface.csv',
    f'frame,face_id,timestamp,confidence,success,{points},AU12_r,AU12_c\n'
    + ''.join(
      f'{n + 1},0,{n / 25},0.9,1{",30" * 136},1.5,1\n' for n in range(3)
    ),
  )
  listed = _text(
    root / 'list.csv',
    'tool,frame,units\n' + ''.join(f'x,{n},"[0, 1, 2]"\n' for n in range(3)),
  )
  simple = {
    'folds.csv': ('person_id,fold\nP1,1\nP2,test\n', folds.read),
    'movements.csv': (
      'person_id,video_id,frame,movement\nP1,v,1,smile\nP1,v,2,\n',
      named_movements.read,
    ),
    'filled.csv': (
      'person_id,video_id,frame,time_s,cell,smile\nP1,v,1,0.04,1,0\n',
      filled_tables.read,
    ),
    'elan.txt': ('smile\t\t1.0\t2.5\t1.5\tbroad\n', exports.read),
    'boris.csv': (
      'Observation id,Subject,Behavior,Start (s),Stop (s)\no,A,smile,1.0,2.5\n',
      exports.read,
    ),
    'pairs.txt': ('1,0\n2,1\n3,5\n', trees.read_pairs),
    'scores.csv': (
      'source,model_id,person_id,split,target,auc\ntrained,m,P1,s,AU12,0.5\n',
      lambda path: reading.read_table(path, ('source', 'auc')),
    ),
    'manifest.csv': (
      'path,person_id\na.mp4,P1\nb.mp4,\n',
      listing.list_inputs,
    ),
  }
  made = {
    name: Reader(
      _text(root / name, text),
      'table',
      lambda path=root / name, read=read: read(path),
    )
    for name, (text, read) in simple.items()
  }
  rules = _text(
    root / 'rules.json',
    '[{"movement": "a", "at_least": {"AU06": 2}, "persons": ["P7"]}]',
  )
  frames = root / 'frames'
  (frames / 'P1/v').mkdir(parents=True)
  (frames / 'P1/v/1.png').write_bytes(b'not looked at')
  _text(frames / 'dataset.json', '{"fps": 20}')
  return made | {
    'embeddings': Reader(
      tree, 'parquet', lambda: features.read_run(root / 'tables')
    ),
    'embeddings flipped': Reader(
      tree,
      'bytes',
      lambda: [embedded.read(path) for path in embedded.files(tree.parents[2])],
    ),
    'embeddings of others': Reader(
      theirs, 'table', lambda: features.read_files([theirs], source='lab')
    ),
    'labels.csv': Reader(
      labelled,
      'table',
      lambda: (
        labels.read_labels(labelled),
        labels.read_columns(labelled),
      ),
    ),
    'openface.csv': Reader(
      openface, 'table', lambda: tool_tables.read(openface, tool='openface')
    ),
    'list.csv': Reader(
      listed, 'table', lambda: tool_tables.read(listed, tool='openface3')
    ),
    'rules.json': Reader(
      rules, 'json', lambda: named_movements.read_rules(rules)
    ),
    'dataset.json': Reader(
      frames / 'dataset.json', 'json', lambda: folders.scan(frames).videos
    ),
  }


def _of_ingest(root):
  place = root / layout.VIDEOS / 'v1'
  place.mkdir(parents=True)
  numbers = dict.fromkeys(('missing', 'crops'), 6)
  track = numbers | {'track': 0, 'first_frame': 0, 'last_frame': 5}
  track |= {'first_s': 0.0, 'last_s': 0.2, 'changes_at': None}
  track |= dict.fromkeys(('face_px', 'blur', 'brightness'), 80.0)
  names = ('name', 'key', 'content', 'digest', 'suggestion', 'made')
  counts = ('decoded', 'cuts', 'with_face', 'faces', 'faces_dropped', 'crops')
  content = {
    **dict.fromkeys(names, 'a'),
    'schema_version': layout.SCHEMA_VERSION,
    'video_id': 'v1',
    'fps': 25.0,
    'first_s': 0.0,
    'last_s': 0.2,
    'width': 64,
    'height': 48,
    'pixel_scale': [1.0, 1.0],
    'warnings': [],
    'sheets': ['a.jpg'],
    'speed': {'frames_per_s': 9.0},
    'options': {'size_px': 64, 'format': 'jpg', 'table': None},
    'counts': dict.fromkeys(counts, 6),
    'tracks': [track],
  }
  _text(place / 'video.json', json.dumps(content))
  _text(
    root / layout.TRACKS,
    'video_id,track,first_frame,last_frame,person_id\nv1,0,0,5,P1\n',
  )
  rows = _FRAMES.assign(track=0, success=True)
  rows.to_parquet(place / 'frames.parquet', index=False)

  def scanned():
    made = ingest_folder.scan(root)
    # What is damaged is a problem of the folder's, not its end.
    return made.videos, made.problems, ingest_folder.options(root)

  return {
    'video.json': Reader(place / 'video.json', 'json', scanned),
    'tracks.csv': Reader(
      root / layout.TRACKS,
      'table',
      lambda: (scanned(), tracks.read(root).text()),
    ),
    'frames.parquet': Reader(
      place / 'frames.parquet',
      'parquet',
      lambda: frame_tables.read_table(root, 'v1'),
    ),
  }


def _of_tensors(root):
  generator = np.random.default_rng(0)
  tensors = {
    'a.weight': generator.normal(size=(3, 4)).astype(np.float32),
    'module.b': np.arange(5),
  }
  weights = root / 'weights.safetensors'
  safetensors.numpy.save_file(tensors, weights)
  archive = root / 'pictures' / 'm.npz'
  archive.parent.mkdir()
  np.savez(
    archive,
    input=np.zeros((2, 8, 8, 3), np.uint8),
    made_neutral=np.zeros((2, 8, 8, 3), np.uint8),
    frames=np.array([['P1', 'v', '3'], ['P1', 'v', '4']]),
  )
  config = tiny.config(method__name='toy', data__path='/lab')
  toys = {'toy': tiny.toy_method}
  with mock.patch.dict(methods.METHODS, toys):
    method = methods.abstract(config)
    params, _ = jax.eval_shape(method.init, jax.random.key(0))
    params = jax.tree.map(np.float32, tiny.filled(params))
    model = zoo.Model('m', ('P1',), config, params, (), 5)
    exported = zoo.save(model, root / 'zoo')

  def loaded():
    with mock.patch.dict(methods.METHODS, toys):
      return zoo.load(exported).params

  return {
    'safetensors': Reader(
      weights, 'safetensors', lambda: tensor_files.read(weights)
    ),
    'model.json': Reader(exported / 'model.json', 'json', loaded),
    'model.safetensors': Reader(
      exported / 'model.safetensors', 'bytes', loaded, is_sealed=True
    ),
    'npz': Reader(archive, 'bytes', lambda: pictures.read(root, max_models=2)),
  }


def _text(path, text):
  path.write_text(text)
  return path
