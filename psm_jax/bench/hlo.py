"""Reads what XLA writes beside the instructions of a compiled program.

The text of a program that libtpu compiled has, beside each instruction it knows
the cost of, its estimate in cycles, and at its head the source lines that the
instructions come from. Estimates are the compiler's own, made to choose between
forms of one operation; they are no measurements.

  program = hlo.read(compiled.as_text())
  print(program.cycles, program.cycles_by_source())
"""

import collections
import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator

_PACKAGE = pathlib.Path(__file__).parents[1]
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{\s*$')
_INSTRUCTION = re.compile(
  r'^\s*(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][\w\-]*)\((.*)$'
)
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_CALLED = re.compile(r'(?:calls|to_apply|body)=%?([\w.\-]+)')
_BRANCHES = re.compile(
  r'(?:branch_computations=\{([^}]*)\}'
  r'|(?:true|false)_computation=(%?[\w.\-]+))'
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONDITION = re.compile(r'condition=%?([\w.\-]+)')
_NUMBER = re.compile(r'(\d+)\)')
_FRAME = re.compile(r'stack_frame_id=(\d+)')
COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'all-to-all',
  'collective-broadcast',
  'collective-permute',
  'reduce-scatter',
)
# What libtpu gives no estimate of and that may take long.
UNESTIMATED = ('gather', 'scatter', 'select-and-scatter', 'sort')


@dataclasses.dataclass(frozen=True, order=True)
class Source:
  """A line of this package, or of a file outside it.

  Attributes:
    file: Path within the package; that of a file elsewhere is not told.
    function: Qualified name.
    line: From 1; 0 if unknown.
  """

  file: str
  function: str
  line: int

  def __str__(self) -> str:
    return (
      f'{self.file}:{self.line} {self.function}' if self.line else self.file
    )


_ELSEWHERE = Source('elsewhere', '', 0)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One instruction of a program, as it runs: a fusion is one.

  Attributes:
    opcode: Such as 'fusion' or 'copy-start'.
    opcodes: Its own and those of the instructions fused into it.
    cycles: Estimated, of all times it runs; None if the compiler gave none.
    times: How often loops of known length run it.
    source: The line it comes from.
  """

  opcode: str
  opcodes: frozenset[str]
  cycles: int | None
  times: int
  source: Source


@dataclasses.dataclass(frozen=True)
class Program:
  """The instructions of a program in the order of its text."""

  instructions: tuple[Instruction, ...]

  @property
  def cycles(self) -> int:
    """Estimated cycles of the instructions that have an estimate."""
    return sum(each.cycles or 0 for each in self.instructions)

  def cycles_by_source(self) -> dict[Source, int]:
    """Returns {line: estimated cycles}, the dearest first."""
    totals = collections.Counter()
    for each in self.instructions:
      totals[each.source] += each.cycles or 0
    return {source: n for source, n in totals.most_common() if n}

  def unestimated(self) -> dict[tuple[str, Source], int]:
    """Returns {(opcode, line): how often it runs} of `UNESTIMATED`."""
    counts = collections.Counter()
    for each in self.instructions:
      if each.cycles is None:
        for opcode in sorted(each.opcodes.intersection(UNESTIMATED)):
          counts[opcode, each.source] += each.times
    return dict(counts.most_common())

  def collectives(self) -> dict[str, int]:
    """Returns {kind: instructions} of what devices say to each other."""
    return dict(
      collections.Counter(
        kind
        for each in self.instructions
        for kind in COLLECTIVES
        if each.opcode in (kind, f'{kind}-start')
      )
    )


def read(text: str) -> Program:
  """Returns the program of a text as from `jax.stages.Compiled.as_text`."""
  computations, entry = _computations(text)
  return Program(tuple(_run(computations, _sources(text), entry, times=1)))


def _computations(text):
  """Returns {name: [(opcode, rest)]} and the entry's."""
  computations, entry = {}, ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      lines = computations.setdefault(header.group(2), [])
      entry = header.group(2) if header.group(1) else entry
    elif computations and (match := _INSTRUCTION.match(line)):
      lines.append(match.groups())
  return computations, entry


def _run(computations, sources, name, times) -> Iterator[Instruction]:
  """Yields the instructions that a computation runs, called ones among them."""
  for opcode, rest in computations[name]:
    called = _CALLED.findall(rest)
    if opcode == 'while':
      inner = times * _trips(computations, rest)
      yield from _run(computations, sources, called[0], inner)
    elif opcode == 'conditional':
      for names in _BRANCHES.findall(rest):
        for branch in ','.join(filter(None, names)).split(','):
          branch = branch.strip().lstrip('%')
          yield from _run(computations, sources, branch, times)
    elif opcode in ('call', 'async-start'):
      yield from _run(computations, sources, called[0], times)
    elif not opcode.endswith('-done'):
      inside = list(_inside(computations, called)) if opcode == 'fusion' else []
      cycles = _CYCLES.search(rest)
      yield Instruction(
        opcode=opcode,
        opcodes=frozenset([opcode, *(op for op, _ in inside)]),
        cycles=int(cycles.group(1)) * times if cycles else None,
        times=times,
        source=_source([rest, *(text for _, text in inside[::-1])], sources),
      )


def _trips(computations, rest):
  """Returns how often a loop runs: as it says, or up to what it counts from 0.

  A loop whose end is not known is counted once.
  """
  if said := _TRIPS.search(rest):
    return int(said.group(1))
  condition = _CONDITION.search(rest).group(1)
  bounds = [
    _NUMBER.match(text)
    for opcode, text in computations.get(condition, ())
    if opcode == 'constant'
  ]
  return int(bounds[0].group(1)) if len(bounds) == 1 and bounds[0] else 1


def _inside(computations, names):
  """Yields (opcode, rest) of what a fusion computes."""
  for name in names:
    for opcode, rest in computations.get(name, ()):
      yield opcode, rest
      if opcode == 'fusion':
        yield from _inside(computations, _CALLED.findall(rest))


def _source(texts, sources):
  """Returns the line that the first of some texts with a frame names."""
  for text in texts:
    if frame := _FRAME.search(text):
      return sources(int(frame.group(1)))
  return _ELSEWHERE


def _sources(text):
  """Returns frame id -> the innermost line of this package on its stack."""

  def table(name):
    match = re.search(rf'^{name}\n(.*?)\n\n', text, re.DOTALL | re.MULTILINE)
    rows = match.group(1).splitlines() if match else []
    return dict(row.split(' ', 1) for row in rows)

  def numbers(name):
    return {
      key: dict(re.findall(r'(\w+)=(\d+)', row))
      for key, row in table(name).items()
    }

  files, names = table('FileNames'), table('FunctionNames')
  places, frames = numbers('FileLocations'), numbers('StackFrames')

  @functools.cache
  def source(frame):
    parent = frames.get(str(frame))
    if parent is None:
      return _ELSEWHERE
    place = places[parent['file_location_id']]
    path = pathlib.Path(files[place['file_name_id']].strip('"'))
    if path.is_relative_to(_PACKAGE):
      return Source(
        path.relative_to(_PACKAGE).as_posix(),
        names[place['function_name_id']].strip('"'),
        int(place['line']),
      )
    # Counted from 1, and 1 is no frame: the parent of frame 2 is written 2.
    return source(int(parent['parent_frame_id']) - 1)

  return source
