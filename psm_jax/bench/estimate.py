"""What a population would be on TPUs that are not there, by their compiler.

Nothing runs. Memory, collectives and what is donated are properties of the
compiled program; cycles are the compiler's estimates, without those of gathers,
scatters and sorts, which are listed instead. An estimate is no step time.
"""

import dataclasses
import time
from collections.abc import Sequence

import jax
import ml_collections

from psm_jax import config_check, methods
from psm_jax.bench import flops, hlo, row as row_lib, topology
from psm_jax.engine import memory, population
from psm_jax.ops import precision

_GIB = 2**30
_NUM_FRAMES = 600
_NUM_SOURCES = 12  # Lines of the package that a table names.


def lower(
  config: ml_collections.ConfigDict,
  devices: Sequence[jax.Device],
  *,
  num_models: int,
) -> tuple[jax.stages.Lowered, dict]:
  """Returns the step of a population, lowered, and what is known of it by now.

  Args:
    config: The experiment; its data are not read.
    devices: As from `topology.devices`.
    num_models: Models on all of the devices.

  Returns:
    The step of one slot, and a row: how models lie, and the memory that
    `launch.train` expects to need.

  Raises:
    ValueError: If a field cannot be run.
  """
  config = config.copy_and_resolve_references()
  config.data.source, config.data.path = 'synthetic_faces', ''
  config_check.check(config)
  config = precision.settled(config, devices[0].platform)
  method = methods.abstract(config)
  plan = row_lib.random_plan(0, _NUM_FRAMES, config)
  built = population.build(
    method, [plan] * num_models, config, devices=devices, is_placed=False
  )
  needed = memory.estimate(method, built, 0, config)
  macs = flops.step_macs(method, config).total()
  start = time.perf_counter()
  lowered = built.lower(method, config)
  return lowered, {
    'num_models': num_models,
    'num_devices': len(built.devices),
    'slots': built.num_slots,
    'slot_models': built.slot_models,
    'strategy': built.strategy,
    'lowering': config.population.lowering,
    'precision': config.population.precision,
    'lower_s': time.perf_counter() - start,
    'tflop_per_model_step': 2 * macs / 1e12,
    'expected': dataclasses.asdict(needed) | {'total': needed.total},
  }


def compile_row(
  config: ml_collections.ConfigDict, name: str, *, num_models: int
) -> dict:
  """Returns the row of a population compiled for a topology.

  Args:
    config: The experiment; its data are not read.
    name: Of the topology, such as 'v5e:4x4'.
    num_models: Models on all of its devices.

  Raises:
    ValueError: If the topology is unknown or a field cannot be run.
  """
  kind = topology.generation(name)
  devices = topology.devices(name)
  lowered, row = lower(config, devices, num_models=num_models)
  start, start_cpu = time.perf_counter(), time.process_time()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    return row | {'topology': name, 'failed': str(error).splitlines()[0]}
  row |= {
    'topology': name,
    'device': devices[0].device_kind,
    'jax': jax.__version__,
    'compile_s': time.perf_counter() - start,
    'compile_cpu_s': time.process_time() - start_cpu,
  }
  return row | describe(compiled, row, kind)


def describe(
  compiled: jax.stages.Compiled, row: dict, kind: topology.Generation
) -> dict:
  """Returns what a compiled step of a slot says about a whole step.

  Args:
    compiled: As from `lower`.
    row: As from `lower`.
    kind: What it is compiled for.
  """
  sizes = compiled.memory_analysis()
  program = hlo.read(compiled.as_text())
  slots, at_once = row['slots'], row['slot_models']
  held = sizes.argument_size_in_bytes
  passing = (
    sizes.temp_size_in_bytes
    + sizes.generated_code_size_in_bytes
    + sizes.output_size_in_bytes
    - sizes.alias_size_in_bytes
  )
  total = slots * held + passing
  # Without a loop all models are one slot, which grows.
  each, spare = total / at_once, kind.hbm_bytes
  if row['strategy'] == 'loop':
    each, spare = held, kind.hbm_bytes - passing
  step_s = slots * program.cycles / kind.clock_hz
  per_device = slots * at_once
  return {
    'hbm_bytes': total,
    'argument_bytes': held,
    'temporary_bytes': sizes.temp_size_in_bytes,
    'code_bytes': sizes.generated_code_size_in_bytes,
    'donated_share': sizes.alias_size_in_bytes
    / max(1, sizes.output_size_in_bytes),
    'models_that_fit': int(row['num_devices'] * (spare // each)),
    'collectives': program.collectives(),
    'estimated_cycles': slots * program.cycles,
    'estimated_step_s': step_s,
    'estimated_model_steps_per_s': row['num_devices'] * per_device / step_s,
    'estimated_utilisation': per_device
    * row['tflop_per_model_step']
    * 1e12
    / (step_s * kind.flop_per_s),
    'estimated_cycles_by_source': {
      str(source): slots * cycles
      for source, cycles in program.cycles_by_source().items()
    },
    'not_estimated': [
      {'operation': operation, 'source': str(source), 'times': slots * times}
      for (operation, source), times in program.unestimated().items()
    ],
  }


def table(row: dict) -> str:
  """Returns a row, as from `compile_row`, in words."""
  heading = (
    f'ESTIMATE for {row["topology"]}, nothing was run: {row["num_models"]} '
    f'models on {row["num_devices"]} devices, {row["slots"]} slots of '
    f'{row["slot_models"]} a device, {row["precision"]}'
  )
  if 'failed' in row:
    return f'{heading}\nIt does not compile: {row["failed"]}'
  expected, hbm = row['expected']['total'], row['hbm_bytes']
  cycles = row['estimated_cycles']
  collectives = ', '.join(
    f'{count} {kind}' for kind, count in row['collectives'].items()
  )
  lines = [
    heading,
    f'memory a device     {hbm / _GIB:.2f} GiB: arguments '
    f'{row["argument_bytes"] / _GIB:.3f} a slot, temporaries '
    f'{row["temporary_bytes"] / _GIB:.3f}, code '
    f'{row["code_bytes"] / _GIB:.3f}; launch.train expects '
    f'{expected / _GIB:.2f} GiB ({expected / hbm:.2f} of it)',
    f'models that fit     {row["models_that_fit"]}',
    f'donated             {row["donated_share"]:.0%} of what the step returns',
    f'collectives         {collectives or "none"}',
    f'compiling           {row["compile_s"]:.0f} s, '
    f'{row["compile_cpu_s"]:.0f} s of processor time',
    f'estimated           {cycles / 1e6:.2f} M cycles, '
    f'{1e3 * row["estimated_step_s"]:.2f} ms a step, '
    f'{row["estimated_model_steps_per_s"]:.4g} model-steps/s, '
    f'{row["estimated_utilisation"]:.1%} of the matrix units',
  ]
  by_source = list(row['estimated_cycles_by_source'].items())
  lines += [
    *(
      f'  {count / 1e6:9.3f} M {count / max(1, cycles):6.1%}  {source}'
      for source, count in by_source[:_NUM_SOURCES]
    ),
    'not estimated       ' + ('' if row['not_estimated'] else 'none'),
    *(
      f'  {each["times"]:9d} x {each["operation"]:18s} {each["source"]}'
      for each in row['not_estimated']
    ),
  ]
  return '\n'.join(lines)
