"""Counts what a TPU would take for the gradient of VGG's poolings.

  python -m benchmarks.pool_schedule --topology=v5e:2x2

A select-and-scatter has no estimated cycles (`launch.compile` lists it), so its
schedule is read: bundles of instructions in its loop, times the loop's turns. A
bundle takes a cycle unless it waits for memory. Needs libtpu and no TPU.
"""

import os
import pathlib
import re
import tempfile

from absl import app, flags

_TOPOLOGY = flags.DEFINE_string('topology', 'v5e:2x2', 'See launch.compile.')
# Of 32 images of 64 px: VGG19's first three poolings, [B, H, W, C].
SHAPES = ((32, 64, 64, 64), (32, 32, 32, 128), (32, 16, 16, 256))
_IN_LOOP = re.compile(r'^ *0x[0-9a-f]+[ A-Z]*: > ', re.MULTILINE)
_EXIT = re.compile(r', (\d+) /\* loop exit test')


def cycles(schedule: str) -> int:
  """Returns bundles times turns of the one loop of a schedule.

  Args:
    schedule: As libtpu writes it: a bundle a line, marked > within a loop, and
      the number of turns where it is asked whether to leave it.

  Raises:
    ValueError: If it has another number of loops.
  """
  turns = _EXIT.findall(schedule)
  if len(turns) != 1:
    raise ValueError(f'The schedule has {len(turns)} loops; expected one.')
  return len(_IN_LOOP.findall(schedule)) * int(turns[0])


def main(argv):
  """Prints a line a pooling."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with tempfile.TemporaryDirectory() as folder:
    os.environ['LIBTPU_INIT_ARGS'] = (
      f'--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true'
    )
    # libtpu reads the variable when it is loaded.
    import jax
    import jax.numpy as jnp

    from psm_jax.bench import topology
    from psm_jax.ops import pool

    device = topology.devices(_TOPOLOGY.value)[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    for batch, height, width, channels in SHAPES:
      image, grad = (
        jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=sharding)
        for shape in (
          (batch, height, width, channels),
          (batch, height // 2, width // 2, channels),
        )
      )
      jax.jit(lambda image, grad: jax.vjp(pool.max_pool, image)[1](grad)).lower(
        image, grad
      ).compile()
      (file,) = (
        path
        for path in pathlib.Path(folder).glob('*select_and_scatter*')
        if re.search(r'-\d+-final_bundles\.txt$', path.name)
      )
      print(image.shape, f'{cycles(file.read_text()) / 1e6:.3f} M cycles')
      for path in pathlib.Path(folder).iterdir():
        path.unlink()


if __name__ == '__main__':
  app.run(main)
