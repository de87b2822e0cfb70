"""PyTorch's contestants: a method's models trained in one of several ways.

  python -m benchmarks.torch_peer --variant=best --steps=3 --out=best.json
  python -m benchmarks.torch_peer --variant=eager --ladder
  python -m benchmarks.torch_peer --method=canonical --variant=best_float32 \
      --width=0.5 --size_px=32

`torch_steps` tells the ways. --ladder adds the switches one after another, a
row each (on the CPU the peak memory of a row is that of all rows so far).
PyTorch is not in psm_jax's requirements; see BUILD.md.
"""

import dataclasses
from collections.abc import Callable

import torch
from absl import app, flags

from benchmarks import (
  measurement,
  torch_canonical,
  torch_facecycle,
  torch_steps,
  workload,
)

METHODS = {
  'facecycle': torch_facecycle.PEER,
  'canonical': torch_canonical.PEER,
}
_COMPILE_MODES = (
  'default',
  'reduce-overhead',
  'max-autotune',
  'max-autotune-no-cudagraphs',
)


def prepare(
  variant: str,
  work: workload.Workload,
  *,
  switches: torch_steps.Switches | None = None,
  compile_mode: str = 'default',
) -> tuple[Callable[[], object], dict]:
  """Returns one run of a workload, and a description of it.

  The run returns when the device is done.

  Args:
    variant: One of the method's.
    work: What is run.
    switches: Instead of the variant's own.
    compile_mode: torch.compile's `mode`.
  """
  is_cuda = work.device == 'cuda'
  if is_cuda:
    torch.cuda.reset_peak_memory_stats()
  peer = METHODS[work.method]
  function = peer.make(
    variant, work, switches=switches, compile_mode=compile_mode
  )
  pixels = [array.to(work.device) for array in pixels_of(work)]

  def run():
    result = function(*pixels)
    if is_cuda:
      torch.cuda.synchronize()
    return result

  chosen = peer.variants[variant] if switches is None else switches
  return run, {
    'contestant': variant,
    'switches': chosen.names,
    'torch': torch.__version__,
    'threads': torch.get_num_threads(),
    'device': torch.cuda.get_device_name() if is_cuda else 'cpu',
  }


def pixels_of(work: workload.Workload) -> list[torch.Tensor]:
  """Returns what a run takes, uint8: frames, and each one's canonical face.

  [n, S, S, 3] for an embedding, which takes no faces, else [K, 2, B, S, S, 3].
  """
  frames = torch.from_numpy(work.frames())
  if work.task == 'embed':
    return [frames]
  frames = frames.unflatten(0, (work.num_models, 2, work.pairs))
  if work.method != 'canonical':
    return [frames]
  faces = torch.from_numpy(work.faces())[:, None, None]
  return [frames, faces.expand_as(frames).contiguous()]


def peak_bytes(device: str) -> int:
  """Returns the most memory held so far: the device's, or the process's."""
  if device == 'cuda':
    return torch.cuda.max_memory_allocated()
  return measurement.peak_process_bytes()


def _define_flags():
  workload.define_flags()
  flags.DEFINE_enum(
    'variant', 'eager', list(torch_steps.VARIANTS), 'Which way.'
  )
  names = [field.name for field in dataclasses.fields(torch_steps.Switches)]
  flags.DEFINE_list(
    'switches', None, f"Instead of the variant's own: some of {names}."
  )
  flags.register_validator(
    'switches',
    lambda chosen: set(chosen or ()) <= set(names),
    f'Expected some of {names}.',
  )
  flags.DEFINE_boolean(
    'ladder', False, 'Also add the other switches one by one, a row each.'
  )
  flags.DEFINE_enum(
    'compile_mode', 'default', _COMPILE_MODES, "torch.compile's mode."
  )


def _rungs(variants):
  """Returns the switches of each row of the table."""
  chosen = variants[flags.FLAGS.variant]
  if flags.FLAGS.switches is not None:
    switched = dict.fromkeys(flags.FLAGS.switches, True)
    chosen = torch_steps.Switches(**switched)
  rungs = [chosen]
  if flags.FLAGS.ladder:
    for name in variants['best'].names:
      if not getattr(chosen, name):
        rungs.append(dataclasses.replace(rungs[-1], **{name: True}))
  return rungs


def main():
  """Measures one variant, or a ladder of switches, and prints a table."""
  work = workload.from_flags()
  rows = []
  for switches in _rungs(METHODS[work.method].variants):
    run, described = prepare(
      flags.FLAGS.variant,
      work,
      switches=switches,
      compile_mode=flags.FLAGS.compile_mode,
    )
    timed = measurement.measure(
      run, repeats=flags.FLAGS.repeats, steps=flags.FLAGS.steps
    )
    described['peak_bytes'] = peak_bytes(work.device)
    rows.append(measurement.summary(described, timed, work))
  measurement.report(rows, work, out=flags.FLAGS.out)


if __name__ == '__main__':
  _define_flags()
  app.run(lambda _: main())
