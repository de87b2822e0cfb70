"""Everything to be measured on a GPU that is lent for minutes.

  python -m benchmarks.gpu --out=gpu.json                 # at most 8 minutes
  JAX_PLATFORMS=cpu python -m benchmarks.gpu --toy --out=toy.json

Each part is a process with a time limit and is written down when it ends:
populations of narrow and full-size models in each strategy, beside one model
alone and a large matrix product; PyTorch eager, compiled and stacked on the
same work; single layers in each lowering; a trace of where the time of a step
goes. Parts that no time is left for are named. --toy does it all in small on a
CPU, so that a lent machine is not the first to find a mistake of the script's.
"""

import collections
import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
from absl import flags

from benchmarks import engine, workload
from psm_jax import paths
from psm_jax.bench import layers, row as row_lib, sweep
from psm_jax.cli import program

REQUIRED = ()
_LIMIT_S = 480.0
_TOY = workload.Workload(
  width=1 / 16, size_px=32, pairs=2, vgg='none', num_models=2
)
_NARROW = workload.Workload(width=1 / 8, size_px=32, pairs=8, vgg='none')
_FULL = workload.Workload()


@dataclasses.dataclass(frozen=True)
class Part:
  """Something to measure in a process of its own.

  Attributes:
    kind: 'step', 'torch', 'layers' or 'trace'.
    work: Of what size; not for layers.
    way: (strategy, lowering) of a step, (variant,) of PyTorch.
    limit_s: Seconds after which it is given up.
  """

  kind: str
  work: workload.Workload = _FULL
  way: tuple[str, ...] = ()
  limit_s: float = 120.0

  @property
  def name(self) -> str:
    """What it is called in the result."""
    size = f'width {self.work.width:g}, {self.work.num_models} models'
    return ', '.join((self.kind, size, *self.way))


def parts(*, is_toy: bool) -> list[Part]:
  """Returns what is measured; what says most comes first."""

  def of(work, num_models):
    return dataclasses.replace(work, num_models=num_models, device=device)

  def steps(work, num_models, *ways):
    return [Part('step', of(work, num_models), way, 150.0) for way in ways]

  def torch(work, num_models, *variants):
    work = of(work, num_models)
    return [Part('torch', work, (variant,), 90.0) for variant in variants]

  device = 'cpu' if is_toy else 'cuda'
  loop, grouped, matmul, unrolled = (
    ('loop', 'auto'),
    ('vmap', 'grouped'),
    ('vmap', 'matmul'),
    ('vmap', 'unrolled'),
  )
  if is_toy:
    return [
      *steps(_TOY, 2, matmul),
      *torch(_TOY, 2, 'eager', 'best', 'stacked'),
      Part('layers', of(_TOY, 2)),
      Part('trace', of(_TOY, 1)),
    ]
  return [
    *steps(_NARROW, 1, loop),
    *steps(_NARROW, 8, loop, grouped, matmul),
    *steps(_FULL, 1, loop),
    Part('layers', of(_FULL, 8)),
    *torch(_NARROW, 8, 'eager', 'best', 'stacked'),
    *torch(_FULL, 1, 'eager', 'best'),
    Part('trace', of(_FULL, 1)),
    *steps(_NARROW, 32, grouped, matmul),
    *steps(_FULL, 4, loop, unrolled, matmul),
    *steps(_NARROW, 128, grouped, matmul),
  ]


def measure(part: Part, limit_s: float, *, is_toy: bool) -> dict:
  """Returns what a part's process measured, {'failed': why} if it failed.

  Args:
    part: What to measure.
    limit_s: Seconds it may take.
    is_toy: As for `parts`.
  """
  if part.kind == 'step':
    strategy, lowering = part.way
    config = engine.make_config(part.work, strategy=strategy, lowering=lowering)
    config.data.source = 'synthetic_faces'
    options = row_lib.Options(
      limit_s=limit_s,
      repeats=3,
      steps=1 if is_toy else 10,
      num_frames=64,
    )
    return sweep.measure_row('step', config, part.work.num_models, options)
  if part.kind == 'torch' and importlib.util.find_spec('torch') is None:
    return {'failed': 'PyTorch is not installed'}
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / 'out.json'
    described = [
      f'--{name}={value}'
      for name, value in dataclasses.asdict(part.work).items()
    ]
    command = ['benchmarks.gpu', f'--part={part.kind}', *described]
    if part.kind == 'torch':
      command = ['benchmarks.torch_peer', f'--variant={part.way[0]}']
      command += [*described, '--steps=1' if is_toy else '--steps=10']
    try:
      ended = subprocess.run(
        [sys.executable, '-m', *command, f'--out={out}'],
        stdout=sys.stderr,
        timeout=limit_s,
        check=False,
      )
    except subprocess.TimeoutExpired:
      return {'failed': f'over {limit_s:.0f} s'}
    if ended.returncode:
      return {'failed': f'exit code {ended.returncode}; see its messages above'}
    return json.loads(out.read_text())


def measure_all(out: pathlib.Path, *, limit_s: float, is_toy: bool) -> dict:
  """Measures part after part, writing down what there is after each.

  Args:
    out: JSON file.
    limit_s: Seconds for all parts together.
    is_toy: As for `parts`.

  Returns:
    {name of a part: what was measured, and 'took_s'}.
  """
  start, results = time.monotonic(), {}
  for part in parts(is_toy=is_toy):
    began = time.monotonic()
    left = limit_s - (began - start)
    if left < min(part.limit_s, 20.0):
      results[part.name] = {'failed': 'no time was left', 'took_s': 0.0}
    else:
      measured = measure(part, min(left, part.limit_s), is_toy=is_toy)
      results[part.name] = measured | {'took_s': time.monotonic() - began}
    paths.write_atomic(out, json.dumps(results, indent=1) + '\n')
    print(
      f'{time.monotonic() - start:5.0f} s  {_line(part, results)}', flush=True
    )
  return results


def _line(part, results):
  measured = results[part.name]
  if 'failed' in measured:
    return f'{part.name}: {measured["failed"]}'
  if part.kind == 'step':
    return f'{part.name}: ' + ', '.join(
      f'{measured[key]:.4g} {label}'
      for key, label in (
        ('model_steps_per_s', 'model-steps/s'),
        ('speedup', 'x alone'),
        ('utilisation', 'of the matrix rate'),
        ('compile_s', 's of compiling'),
      )
    )
  if part.kind == 'torch':
    (row,) = measured['rows']
    return (
      f'{part.name}: {1 / row["median_s_per_model_step"]:.4g} model-steps/s'
    )
  if part.kind == 'layers':
    return f'{part.name}:\n{layers.table(measured["rows"])}'
  return f'{part.name}:\n' + '\n'.join(
    f'  {1e6 * seconds:9.1f} us a step  {name}'
    for name, seconds in list(measured['seconds_a_step'].items())[:15]
  )


def _layers(work):
  """Returns single layers in every lowering; toys of them for a toy."""
  device = jax.local_devices()[0]
  is_toy = work.device == 'cpu'
  rows = layers.measure(
    device,
    sizes=((4, 8),) if is_toy else layers.SIZES,
    num_models=[work.num_models],
    dtype='float32' if is_toy else 'bfloat16',
  )
  return {'device': device.device_kind, 'rows': rows}


def _trace(work, *, steps=3):
  """Returns the seconds a step of each operation of the device, dearest first.

  On a CPU operations are those of its threads.
  """
  run, _ = engine.prepare(work)
  run()
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      for _ in range(steps):
        run()
    (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
    data = jax.profiler.ProfileData.from_file(str(path))
    seconds = collections.Counter()
    for plane in data.planes:
      if plane.name.startswith('/device:') or work.device == 'cpu':
        for line in plane.lines:
          for event in line.events:
            seconds[event.name] += event.duration_ns / 1e9 / steps
  return {'seconds_a_step': dict(seconds.most_common(60))}


def _define_flags():
  workload.define_flags()
  flags.DEFINE_boolean('toy', False, 'Measure toys, on a CPU.')
  flags.DEFINE_float('limit_s', _LIMIT_S, 'Seconds for all parts together.')
  flags.DEFINE_enum(
    'part', None, ('layers', 'trace'), 'Used by this program itself.'
  )


def main() -> int | None:
  """Measures everything, or the part that it is itself the process of."""
  values = flags.FLAGS
  if values.part:
    work = workload.from_flags()
    result = {'layers': _layers, 'trace': _trace}[values.part](work)
    pathlib.Path(values.out).write_text(json.dumps(result))
    return None
  out = pathlib.Path(values.out or 'gpu.json')
  results = measure_all(out, limit_s=values.limit_s, is_toy=values.toy)
  return (
    program.FAILED if all('failed' in r for r in results.values()) else None
  )


if __name__ == '__main__':
  _define_flags()
  program.run(sys.modules[__name__])
