"""The plan: which frames a model sees at step k, as a pure function.

A model's cohort is a list of frames, person by person and video by video, in
temporal order; a position counts along it. The plan is a few integer tables
made on the host, one row an epoch; the order of examples inside an epoch is a
stateless permutation, so a restart at any step sees what an unbroken run sees.
The same code runs in NumPy and in JAX and gives the same integers.

What an example is, its pairing:

  fixed      the reference's pairs of a PSM, the same ones in each epoch
  repaired   pairs drawn anew in each epoch, each frame once
  gap        pairs a gap apart (PSM_wCTL), each once an epoch
  drawn      two frames of a person drawn independently (GM)
  drawn_gap  a frame and the one a gap later, or the video's last (GM_wCTL)
  views      a target and its sources: different frames of a video (FAb-Net)
  clips      frames of a video at equal steps of 1 to clip_gap (CLP)

The last four draw each person `draws_per_person` times an epoch; views and
clips go through the people in turn, so that a batch shows as many as it can.
"""

import dataclasses
import random
import types
import zlib
from collections.abc import Sequence

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from psm_jax.sampling import curriculum, feistel

PAIRINGS = (
  'fixed',
  'repaired',
  'gap',
  'drawn',
  'drawn_gap',
  'views',
  'clips',
)
# A table of each is kept, for every model.
MAX_EPOCHS = 100_000
_BY_GAP = ('gap', 'drawn_gap')
_IN_TURN = ('views', 'clips')
_REFERENCE_PAIRING_SEED = 912
# Filled into the epoch tables where other models have more epochs or videos.
_PADDING = {'epoch_start': np.iinfo(np.int32).max, 'num_examples': 1, 'gap': 0}


@flax.struct.dataclass
class Clock:
  """What the compiled step knows of a model's plan: when, not which frames.

  E epochs (rows past the model's own never begin), V videos.

  Attributes:
    key: [2] uint32, the model's threefry key.
    total_steps: () int32.
    num_epochs: () int32.
    epoch_start: [E] int32, first step of each epoch.
    gap: [E, V] int32, frames between the members of a pair, per video; 0 for
      random pairs.
  """

  key: feistel.Table
  total_steps: jax.Array | np.integer
  num_epochs: jax.Array | np.integer
  epoch_start: feistel.Table
  gap: feistel.Table


@flax.struct.dataclass
class Plan:
  """The tables of one model; stacked, each gains a leading axis.

  E epochs, V videos, P people, n frames.

  Attributes:
    clock: The epochs.
    order_seed: () uint32, seed of the permutations.
    num_examples: [E] int32, examples of each epoch.
    num_people: () int32, P.
    person_start: [P + 1] int32, first video of each person, then V.
    video_start: [V + 1] int32, first position of each video, then n.
    partner: [n] int32, positions in the order in which they are paired.
    rows: [n] int32, row of the frame buffer of each position.
  """

  clock: Clock
  order_seed: jax.Array | np.integer
  num_examples: feistel.Table
  num_people: jax.Array | np.integer
  person_start: feistel.Table
  video_start: feistel.Table
  partner: feistel.Table
  rows: feistel.Table


@dataclasses.dataclass(frozen=True)
class Cohort:
  """The frames one model learns from.

  Attributes:
    name: Names the cohort in keys and messages: its person ids joined by '+'.
    rows: [n] int, rows of the frame store, video by video in temporal order.
    video_lengths: [V] int, frames of each video.
    fps: [V] float, frames a second of each video.
    video_people: [V] int, which person of the cohort a video shows, from 0 and
      never falling; None where all show one.
  """

  name: str
  rows: np.ndarray
  video_lengths: np.ndarray
  fps: np.ndarray
  video_people: np.ndarray | None = None

  @property
  def person_start(self) -> np.ndarray:
    """[P + 1] int, first video of each person, then V."""
    people = self.video_people
    if people is None:
      people = np.zeros(len(self.video_lengths), np.int64)
    return np.searchsorted(people, np.arange(people[-1] + 2))


def make_plan(
  cohort: Cohort,
  config: ml_collections.ConfigDict,
  *,
  seed: int,
) -> tuple[Plan, int | None]:
  """Returns the plan of one model, NumPy arrays, and the gap's cap if it bit.

  Args:
    cohort: What the model learns from.
    config: The experiment; `train` and `curriculum` are read.
    seed: The model's own seed.

  Raises:
    ValueError: If the cohort has too few frames for a batch.
  """
  batch, pairing = config.train.batch_size, config.curriculum.pairing
  lengths = np.asarray(cohort.video_lengths, np.int64)
  num_frames = int(lengths.sum())
  starts, counts, gaps, cap = _epochs(cohort, config, lengths)
  if min(counts, default=0) < batch:
    raise ValueError(
      f'Cohort {cohort.name} has {num_frames} usable frames in {len(lengths)} '
      f'videos, too few for a batch of train.batch_size={batch} examples '
      f'({pairing}). Lower it, or leave these people out with data.persons or '
      'data.min_frames.'
    )
  key = jax.random.fold_in(
    jax.random.key(seed, impl='threefry2x32'), zlib.crc32(cohort.name.encode())
  )
  partner = list(range(num_frames))
  random.Random(_REFERENCE_PAIRING_SEED).shuffle(partner)
  clock = Clock(
    key=np.asarray(jax.random.key_data(key)),
    total_steps=np.int32(starts[-1]),
    num_epochs=np.int32(len(counts)),
    epoch_start=np.asarray(starts[:-1], np.int32),
    gap=np.asarray(gaps, np.int32).reshape(len(counts), len(lengths)),
  )
  plan = Plan(
    clock=clock,
    order_seed=np.uint32(zlib.crc32(f'{seed}/{cohort.name}'.encode())),
    num_examples=np.asarray(counts, np.int32),
    num_people=np.int32(len(cohort.person_start) - 1),
    person_start=cohort.person_start.astype(np.int32),
    video_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
    partner=np.asarray(partner, np.int32),
    rows=np.asarray(cohort.rows, np.int32),
  )
  return plan, cap


def _epochs(cohort, config, lengths):
  """Returns epoch starts (with the end), examples, gaps, and the cap met.

  The examples of an epoch are fewer than a batch only if no gap leaves one.
  """
  batch, steps = config.train.batch_size, config.train.steps
  pairing = config.curriculum.pairing
  cap = curriculum.gap_cap(lengths, batch) if pairing == 'gap' else None
  starts, counts, gaps, cap_met = [0], [], [], None
  while True:
    epoch = len(counts) + 1
    if steps:
      progress, done = starts[-1] / steps, starts[-1] >= steps
    else:
      last = max(1, config.train.epochs - 1)
      progress, done = (epoch - 1) / last, epoch > config.train.epochs
    if done:
      break
    gap = np.zeros(len(lengths), np.int64)
    if pairing in _BY_GAP:
      gap = curriculum.gap_frames(
        config.curriculum.gap, epoch=epoch, progress=progress, fps=cohort.fps
      )
    count = _num_examples(cohort, config, lengths, gap)
    if pairing == 'gap' and count < batch:
      gap, cap_met = np.minimum(gap, cap), cap
      count = _num_examples(cohort, config, lengths, gap)
    gaps.append(gap)
    counts.append(count)
    if count < batch:
      break
    starts.append(starts[-1] + count // batch)
    if epoch > MAX_EPOCHS:
      raise ValueError(
        f'train.steps={steps} are more than {MAX_EPOCHS} epochs of cohort '
        f'{cohort.name}, {count // batch} steps each. Lower it.'
      )
  if steps:
    starts[-1] = steps
  return starts, counts, gaps, cap_met


def _num_examples(cohort, config, lengths, gap):
  """Returns the examples of an epoch."""
  pairing = config.curriculum.pairing
  if pairing == 'gap':
    return int(np.maximum(0, lengths - gap).sum()) if gap.min() > 0 else 0
  num_people = len(cohort.person_start) - 1
  draws = config.curriculum.draws_per_person
  if pairing in _IN_TURN:
    return draws * int(_turn(np.int32(num_people), config.train.batch_size, np))
  if pairing == 'drawn' or pairing == 'drawn_gap':
    return draws * num_people
  return int(lengths.sum()) // 2


def _turn(num_people, batch_size, xp):
  """Returns how many people a turn shows: whole batches, or everybody."""
  whole = num_people // batch_size * batch_size
  return xp.where(whole > 0, whole, num_people)


def num_members(config: ml_collections.ConfigDict) -> int:
  """Returns the frames of one example, from `config.curriculum`."""
  if config.pairing == 'views':
    return 1 + config.num_sources
  return config.clip_frames if config.pairing == 'clips' else 2


def stack(plans: Sequence[Plan]) -> Plan:
  """Returns plans stacked along a new first axis, tables padded to one size.

  Padding rows of the epoch tables never begin; padded videos are empty.
  """

  def stack_field(path, *arrays):
    name = path[-1].name
    if np.ndim(arrays[0]) == 0:
      return np.stack(arrays)
    shape = np.max([np.shape(array) for array in arrays], axis=0)
    padded = []
    for array in arrays:
      widths = [
        (0, int(full) - size)
        for full, size in zip(shape, np.shape(array), strict=True)
      ]
      # A table's last entry is the one that changes nothing when repeated.
      fill = _PADDING[name] if name in _PADDING else np.ravel(array)[-1]
      padded.append(np.pad(array, widths, constant_values=fill))
    return np.stack(padded)

  return jax.tree.map_with_path(stack_field, *plans)


def epoch_index(
  clock: Clock, step: jax.Array, *, xp: types.ModuleType = jnp
) -> jax.Array:
  """Returns the row of the epoch tables that a step of one model falls in."""
  return xp.sum((clock.epoch_start <= step).astype(xp.int32)) - 1


def positions(
  plan: Plan,
  step: jax.Array,
  *,
  config: ml_collections.ConfigDict,
  xp: types.ModuleType = jnp,
) -> tuple[jax.Array, jax.Array]:
  """Returns the positions of the examples of a step of one model.

  Args:
    plan: One model's tables.
    step: () int32; past the model's end, the last step's examples.
    config: The experiment; `train.batch_size`, B, and `curriculum` are read.
    xp: `jax.numpy` or `numpy`.

  Returns:
    positions: [M, B] int32: the first members, the second members, ...
    person: [B] int32, which person of the cohort an example shows.
  """
  pairing, batch_size = config.curriculum.pairing, config.train.batch_size
  clock = plan.clock
  step = xp.clip(xp.asarray(step), 0, xp.maximum(0, clock.total_steps - 1))
  epoch = epoch_index(clock, step, xp=xp)
  num_examples = plan.num_examples[epoch]
  first = (step - clock.epoch_start[epoch]) * batch_size
  slots = first + xp.arange(batch_size, dtype=xp.int32)
  epoch_hash = feistel.mix(epoch.astype(xp.uint32).reshape(1), xp=xp)
  seed = feistel.mix(plan.order_seed.reshape(1) ^ epoch_hash, xp=xp)
  if pairing in _IN_TURN:
    frames = _in_turn(plan, config, slots, seed, xp)
  else:
    numbers = feistel.permute(slots, num_examples, seed, xp=xp)
    if pairing == 'gap':
      frames = _gap_pairs(plan, epoch, numbers, xp)
    elif pairing in ('drawn', 'drawn_gap'):
      frames = _drawn_pairs(plan, epoch, numbers, seed, pairing, xp)
    else:
      frames = xp.stack([2 * numbers, 2 * numbers + 1])
      if pairing == 'repaired':
        num_frames = plan.video_start[-1]
        flat = feistel.permute(frames.reshape(-1), num_frames, ~seed, xp=xp)
        frames = flat.reshape(frames.shape)
      else:
        frames = plan.partner[frames]
  # The second members of fixed and repaired pairs may show somebody else.
  return frames, _segment(frames[0], plan.video_start[plan.person_start], xp)


def _segment(position, starts, xp):
  """Returns in which of the segments [starts[i], starts[i + 1]) positions lie.

  Padding repeats the end, so that its segments are empty.
  """
  reached = position[:, None] >= starts[None, 1:]
  return xp.sum(reached.astype(xp.int32), axis=1)


def _gap_pairs(plan, epoch, pairs, xp):
  """Returns both members of the gap pairs with the given numbers."""
  gap = plan.clock.gap[epoch]
  lengths = plan.video_start[1:] - plan.video_start[:-1]
  ends = xp.cumsum(xp.maximum(0, lengths - gap)).astype(xp.int32)
  video = xp.sum((pairs[:, None] >= ends[None, :]).astype(xp.int32), axis=1)
  before = xp.where(video > 0, ends[xp.maximum(video - 1, 0)], 0)
  start = plan.video_start[video] + pairs - before
  return xp.stack([start, start + gap[video]]).astype(xp.int32)


def _drawn_pairs(plan, epoch, numbers, seed, pairing, xp):
  """Returns pairs of frames drawn within the person that a number stands for.

  As published but for its mistakes: every frame can be drawn, and a gap counts
  in temporal order within a video.
  """
  person = numbers % plan.num_people
  starts = plan.video_start[plan.person_start]
  start, stop = starts[person], starts[person + 1]
  draws = feistel.mix(seed ^ numbers.astype(xp.uint32), xp=xp)
  first = start + feistel.draw(stop - start, draws ^ 1, xp=xp)
  if pairing == 'drawn':
    second = start + feistel.draw(stop - start, draws ^ 2, xp=xp)
  else:
    video = _segment(first, plan.video_start, xp)
    later = first + plan.clock.gap[epoch][video]
    second = xp.minimum(later, plan.video_start[video + 1] - 1)
  return xp.stack([first, second]).astype(xp.int32)


def _in_turn(plan, config, slots, seed, xp):
  """Returns views or clips of people in turn, [M, B]."""
  members = num_members(config.curriculum)
  turn = _turn(plan.num_people, config.train.batch_size, xp)
  turn_seed = feistel.mix(seed ^ (slots // turn).astype(xp.uint32), xp=xp)
  person = feistel.permute(slots % turn, plan.num_people, turn_seed, xp=xp)
  draws = feistel.mix(turn_seed ^ slots.astype(xp.uint32), xp=xp)
  first_video = plan.person_start[person]
  video = first_video + feistel.draw(
    plan.person_start[person + 1] - first_video, draws ^ 1, xp=xp
  )
  start = plan.video_start[video]
  length = plan.video_start[video + 1] - start
  member = xp.arange(members, dtype=xp.int32)
  if config.curriculum.pairing == 'clips':
    reach = max(1, members - 1)
    gap = 1 + feistel.draw(
      xp.full_like(length, config.curriculum.clip_gap), draws ^ 2, xp=xp
    )
    gap = xp.minimum(gap, (length - 1) // reach)
    offset = feistel.draw(length - gap * (members - 1), draws ^ 3, xp=xp)
    frames = start[None] + offset[None] + member[:, None] * gap[None]
    return frames.astype(xp.int32)
  distinct = [
    feistel.permute(xp.minimum(index, length - 1), length, draws, xp=xp)
    for index in range(members)
  ]
  # A video shorter than that gives some of its frames more than once.
  again = [
    feistel.draw(length, draws + xp.uint32(7 + index), xp=xp)
    for index in range(members)
  ]
  offset = xp.where(
    (length >= members)[None], xp.stack(distinct), xp.stack(again)
  )
  return (start[None] + offset).astype(xp.int32)
