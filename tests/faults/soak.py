r"""Sends signals to every program at every phase; what they end in is compared.

  python -m tests.faults.soak --out=FOLDER --per_phase=10 --kill_share=0.7

An unbroken pass of all programs on two synthetic people says what each should
end in. Then, phase by phase, a program is started from what was before it, a
signal is sent while it is in that phase, and the same command is repeated until
it is done: the files it leaves must be equal, byte by byte where they hold no
times. FOLDER/table.csv has a row a phase. The same command again goes on with
what is missing there.

What would cost most is spared where no signal comes: programs that are to end
are forks of a process that has imported what they need, and take what was
compiled before from a folder.
"""

import argparse
import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pandas as pd

from tests import programs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_OTHERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_SIGNALS = (signal.SIGKILL, *_OTHERS)
_CONFIG = (
  '--config=configs/quickstart.py',
  '--config.data.size_px=32',
  '--config.data.synthetic.num_people=2',
  '--config.data.synthetic.num_frames=40',
  '--config.method.width=0.0625',
  '--config.method.vgg=none',
  '--config.train.steps=24',
  '--config.train.log_every=5',
  '--config.train.save_steps=4',
)
_COMPILED = 'JAX_COMPILATION_CACHE_DIR'
# A signal is answered within these seconds.
_ANSWER_S = 10.0
# Columns of metrics.csv that tell the time.
_TIMES = ['steps_per_s', 'frames_per_s', 'input_wait_share']


@dataclasses.dataclass(frozen=True)
class Phase:
  """A program, and when in its life the signal comes.

  Attributes:
    name: Of the phase.
    command: Of the program, FOLDER where the files are.
    needs: The program after which it starts.
    is_in: folder -> whether the phase has begun; None: any time of its life.
    refusal: What the program says if it is repeated after it was done; '': it
      may be repeated.
  """

  name: str
  command: tuple[str, ...]
  needs: str | None
  is_in: Callable[[pathlib.Path], bool] | None = None
  refusal: str = ''


def _has(pattern):
  return lambda folder: any(folder.glob(pattern))


_TRAIN = ('train', *_CONFIG, '--workdir=FOLDER/run')
_PHASES = (
  Phase('start-up', _TRAIN, None, lambda folder: True),
  Phase('store building', _TRAIN, None, _has('run/data/**/*')),
  Phase('compile', _TRAIN, 'data', _has('run/config.json')),
  Phase('steps', _TRAIN, 'data', _has('run/checkpoints/wave000/[0-9]*')),
  Phase('save', _TRAIN, 'data', _has('run/checkpoints/wave000/*-tmp*')),
  Phase('embed', ('embed', '--workdir=FOLDER/run'), 'train'),
  Phase(
    'evaluate',
    (
      'evaluate',
      '--workdir=FOLDER/run',
      '--num_workers=2',
      '--splits=blocked',
    ),
    'embed',
  ),
  Phase(
    'discover',
    ('discover', '--workdir=FOLDER/run', '--against=FOLDER/run'),
    'evaluate',
  ),
  Phase('report', ('report', '--workdir=FOLDER/run'), 'discover'),
  Phase(
    'export', ('export', '--workdir=FOLDER/run', '--out=FOLDER/zoo'), 'train'
  ),
  Phase(
    'store add',
    ('store', '--path=FOLDER/one', '--add=FOLDER/other'),
    'stores',
  ),
  Phase(
    'store remove',
    ('store', '--path=FOLDER/both', '--remove=P001'),
    'stores',
    refusal="no person 'P001'",
  ),
)


def start(phase: Phase, folder: pathlib.Path) -> subprocess.Popen:
  """Starts a phase's program; its output goes to a file beside the folder."""
  name, arguments = _called(phase.command, folder)
  environment = dict(os.environ)
  if phase.name == 'compile':
    del environment[_COMPILED]
  with open(folder.with_suffix('.log'), 'ab') as log:
    return subprocess.Popen(
      [sys.executable, '-m', f'launch.{name}', *arguments],
      cwd=_ROOT,
      env=environment,
      stdout=log,
      stderr=log,
    )


def finish(
  command: tuple[str, ...], folder: pathlib.Path, *, refusal: str = ''
) -> None:
  """Runs a program to its end, which must be a good one.

  Args:
    command: Of the program.
    folder: Where the files are.
    refusal: What it may say instead, if not empty.
  """
  name, arguments = _called(command, folder)
  ended = programs.start(name, *arguments)
  log = folder.with_suffix('.log')
  with open(log, 'a') as file:
    file.write(ended.stdout + ended.stderr)
  is_refused = bool(refusal) and refusal in ended.stderr
  if ended.returncode and not is_refused:
    raise AssertionError(f'{command} ended with {ended.returncode}: {log}')


def _called(command, folder):
  name, *arguments = (part.replace('FOLDER', str(folder)) for part in command)
  return name, arguments


def digest(folder: pathlib.Path) -> dict[str, str]:
  """Returns what a folder's files hold, but for times, by their names."""
  digests = {}
  for path in sorted(folder.rglob('*')):
    name = path.relative_to(folder).as_posix()
    if not path.is_file() or 'tensorboard/' in name or '.lock' in name:
      continue
    in_checkpoint = 'checkpoints' in path.relative_to(folder).parts
    if in_checkpoint and not _is_newest_description(path):
      continue
    # Two folders may hold the same.
    data = path.read_bytes().replace(str(folder).encode(), b'FOLDER')
    if '.tfrecord-' in path.name:
      # The fields of a record are written in any order.
      data = str(len(data)).encode()
    elif path.suffix == '.parquet':
      table = pd.read_parquet(path)
      data = f'{table.to_csv()}{sorted(table.attrs.items())}'.encode()
    elif path.name == 'metrics.csv':
      table = pd.read_csv(path).drop(columns=_TIMES)
      data = (
        table.sort_values(['step', 'model_id']).to_csv(index=False).encode()
      )
    digests[name] = hashlib.sha256(data).hexdigest()
  return digests


def _is_newest_description(path):
  """Whether a file has the checksums of a newest checkpoint's arrays.

  Other files of a checkpoint are called at random.
  """
  if path.parts[-2:] != ('models', 'metadata'):
    return False
  step = path.parents[1]
  steps = [int(p.name) for p in step.parent.iterdir() if p.name.isdigit()]
  return int(step.name) == max(steps)


def strike(
  phase: Phase,
  folder: pathlib.Path,
  number: signal.Signals,
  life_s: float,
  generator: random.Random,
) -> tuple[int, float]:
  """Starts a phase's program and sends it a signal.

  Args:
    phase: When.
    folder: Where it works.
    number: The signal.
    life_s: How long the program takes unbroken.
    generator: Chooses the moment.

  Returns:
    Its exit code, and seconds from the signal to the exit.
  """
  process = start(phase, folder)
  if phase.is_in is None:
    time.sleep(generator.uniform(0, life_s))
  else:
    while process.poll() is None and not phase.is_in(folder):
      time.sleep(0.002)
    time.sleep(generator.uniform(0, 0.1 * life_s))
  sent = time.monotonic()
  process.send_signal(number)
  code = process.wait()
  return code, time.monotonic() - sent


def main() -> None:
  """Does what the module's description says."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  parser.add_argument('--per_phase', type=int, default=12)
  parser.add_argument('--kill_share', type=float, default=0.7)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--phases', default='', help='Names, by commas.')
  options = parser.parse_args()
  os.environ |= {
    'XLA_FLAGS': '--xla_backend_optimization_level=0',
    _COMPILED: str((options.out / 'compiled').absolute()),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
  }
  # One place for all: tables and stores name it.
  work = (options.out / 'work').absolute()
  begins, ends, lives = _unbroken(work, options.out / 'unbroken')
  rows = _read(options.out / 'table.csv')
  wanted = options.phases.split(',') if options.phases else []
  for phase in _PHASES:
    if wanted and phase.name not in wanted:
      continue
    row = rows.setdefault(phase.name, collections.Counter())
    while (number := sum(row[s.name] for s in _SIGNALS)) < options.per_phase:
      generator = random.Random(f'{options.seed} {phase.name} {number}')
      kills, others = (
        sum(row[s.name] for row in rows.values() for s in signals)
        for signals in (_SIGNALS[:1], _OTHERS)
      )
      is_kill = kills < options.kill_share * (kills + others + 1)
      sent = signal.SIGKILL if is_kill else generator.choice(_OTHERS)
      _restore(begins[phase.needs], work)
      code, waited = strike(phase, work, sent, lives[phase.name], generator)
      _check_answer(row, code, sent, waited)
      finish(phase.command, work, refusal=phase.refusal)
      if digest(work) == ends[phase.name]:
        row['equal ends'] += 1
      else:
        shutil.copytree(work, options.out / f'differs {phase.name} {number}')
      row[sent.name] += 1
      _write(options.out / 'table.csv', rows)
    print({'phase': phase.name, **row}, flush=True)
  sys.exit(any(options.out.glob('differs*')))


def _unbroken(work, kept):
  """Runs every program once; returns what was before, after, and how long."""
  begins = {phase.needs: kept / str(phase.needs) for phase in _PHASES}
  known = kept / 'known.json'
  if known.exists():
    return begins, *json.loads(known.read_text())
  shutil.rmtree(work, ignore_errors=True)
  shutil.rmtree(kept, ignore_errors=True)
  work.mkdir(parents=True)
  ends, lives = {}, {}

  def keep(name):
    shutil.copytree(work, begins[name])

  keep(None)
  for phase in _PHASES:
    if phase.needs == 'stores' and not begins['stores'].exists():
      _restore(begins['train'], work)
      (store,) = (work / 'run/data').glob('store-*/store.json')
      for name in ('one', 'other', 'both'):
        shutil.copytree(store.parent, work / name)
      finish(('store', '--path=FOLDER/one', '--remove=P002'), work)
      finish(('store', '--path=FOLDER/other', '--remove=P001'), work)
      keep('stores')
    name = phase.command[0]
    if phase.command == _TRAIN and 'start-up' in ends:
      ends[phase.name], lives[phase.name] = ends['start-up'], lives['start-up']
      continue
    _restore(begins[phase.needs], work)
    began = time.monotonic()
    if start(phase, work).wait():
      raise AssertionError(f'{phase} ended badly: {work}.log')
    lives[phase.name] = time.monotonic() - began
    ends[phase.name] = digest(work)
    if name in begins and not begins[name].exists():
      keep(name)
    if phase.command == _TRAIN:
      shutil.copytree(work / 'run/data', begins['data'] / 'run/data')
  known.write_text(json.dumps([ends, lives]))
  return begins, ends, lives


def _restore(source, work):
  shutil.rmtree(work, ignore_errors=True)
  shutil.copytree(source, work)


def _check_answer(row, code, number, waited):
  """Counts how a program answered a signal."""
  if code == 0:
    row['had ended'] += 1
  elif number is signal.SIGKILL:
    row['killed'] += code == -number
  elif code == 75:
    row['exit 75'] += 1
  elif code == -number:
    # Before the first line of the program Python itself answers.
    row['before its first line'] += 1
  else:
    row[f'exit {code}'] += 1
  if number is not signal.SIGKILL and waited > _ANSWER_S:
    row['late'] += 1
  row['longest_ms'] = max(row['longest_ms'], int(1000 * waited))


def _read(path):
  """What a table says, by phase."""
  if not path.exists():
    return {}
  table = pd.read_csv(path, index_col='phase')
  return {
    phase: collections.Counter(dict(row)) for phase, row in table.iterrows()
  }


def _write(path, rows):
  table = pd.DataFrame.from_dict(rows, orient='index').fillna(0).astype(int)
  table.to_csv(path, index_label='phase')


if __name__ == '__main__':
  main()
