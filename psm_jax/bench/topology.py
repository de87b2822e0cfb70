"""TPUs that are not there: devices to lower and compile for, nothing to run on.

Needs libtpu (`pip install -e '.[tpu]'`), but no TPU.
"""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence

import jax
from jax.experimental import topologies

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Generation:
  """What a generation's data sheet says of one of its devices.

  Attributes:
    accelerator_type: Smallest slice, as libtpu has it named.
    clock_hz: Of the cores that estimated cycles are cycles of.
    flop_per_s: Largest rate of bfloat16 products.
    hbm_bytes: Memory.
  """

  accelerator_type: str
  clock_hz: float
  flop_per_s: float
  hbm_bytes: int


GENERATIONS = {
  'v4': Generation('v4-8', 1.05e9, 275e12, 32 * _GIB),
  'v5e': Generation('v5litepod-4', 1.5e9, 197e12, 16 * _GIB),
  'v5p': Generation('v5p-8', 1.75e9, 459e12, 95 * _GIB),
  'v6e': Generation('v6e-4', 1.75e9, 918e12, 32 * _GIB),
}


def is_available() -> bool:
  """Returns whether libtpu is installed."""
  return importlib.util.find_spec('libtpu') is not None


def generation(topology: str) -> Generation:
  """Returns the generation of a topology such as 'v5e:4x4'.

  Raises:
    ValueError: If it is not of a known one.
  """
  name = topology.partition(':')[0]
  if name not in GENERATIONS or ':' not in topology:
    raise ValueError(
      f'Unknown topology {topology!r}; expected a generation, one of '
      f'{", ".join(GENERATIONS)}, and its devices, as in v5e:4x4 or v5p:2x2x1.'
    )
  return GENERATIONS[name]


def devices(topology: str) -> Sequence[jax.Device]:
  """Returns the devices of a topology. No TPU is looked for.

  Args:
    topology: Such as 'v5e:4x4'.

  Raises:
    ValueError: If the topology is unknown, or libtpu is not installed or
      refuses it.
  """
  kind = generation(topology)
  if not is_available():
    raise ValueError(
      'libtpu is not installed, which compiles for TPUs: '
      "pip install -e '.[tpu]'."
    )
  # Else libtpu asks Google's servers what it runs on, and admits one process.
  for name, value in (
    ('TPU_SKIP_MDS_QUERY', '1'),
    ('TPU_ACCELERATOR_TYPE', kind.accelerator_type),
    ('TPU_WORKER_HOSTNAMES', 'localhost'),
    ('TPU_WORKER_ID', '0'),
    ('ALLOW_MULTIPLE_LIBTPU_LOAD', '1'),
  ):
    os.environ.setdefault(name, value)
  try:
    described = topologies.get_topology_desc(
      platform='tpu', topology_name=topology
    )
  except jax.errors.JaxRuntimeError as error:
    raise ValueError(
      f'libtpu has no topology {topology}: {str(error).splitlines()[0]}'
    ) from error
  return described.devices
