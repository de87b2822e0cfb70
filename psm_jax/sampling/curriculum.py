"""Schedules: the temporal gap by epoch, learning rate and weights by step.

Gaps are integers fixed on the host before training (`gap_frames`); learning
rate and neutral-face weight are computed inside the compiled step.
"""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

GAP_SCHEDULES = ('reference', 'linear', 'geometric')
RATE_SCHEDULES = ('reference', 'constant', 'cosine')


def reference_gap(epoch: int) -> int:
  """Returns the published gap in frames at an epoch counted from 1.

  PSM release, both `wCTL` variants: 2 e below epoch 50, 4 e below 100, 5 e
  from there on.
  """
  if epoch < 50:
    return 2 * epoch
  return 4 * epoch if epoch < 100 else 5 * epoch


def gap_frames(
  config: ml_collections.ConfigDict,
  *,
  epoch: int,
  progress: float,
  fps: np.ndarray,
) -> np.ndarray:
  """Returns the gap of each video of a cohort at an epoch, before the cap.

  Args:
    config: `config.curriculum.gap`: schedule, unit ('frames' or 'seconds'),
      start, end, full_at (the share of training at which `end` is reached).
    epoch: The model's own epoch, from 1; used by the reference schedule.
    progress: Share of training done at the epoch's start, in [0, 1].
    fps: [V] frames a second of the cohort's videos.

  Returns:
    [V] int64, at least 1.
  """
  if config.schedule == 'reference':
    return np.full(len(fps), reference_gap(epoch), np.int64)
  share = min(1.0, progress / config.full_at)
  if config.schedule == 'linear':
    gap = config.start + (config.end - config.start) * share
  else:
    gap = config.start * (config.end / config.start) ** share
  per_unit = fps if config.unit == 'seconds' else np.ones(len(fps))
  return np.maximum(1, np.rint(gap * per_unit)).astype(np.int64)


def gap_cap(video_lengths: np.ndarray, batch_size: int) -> int:
  """Returns the largest gap that leaves a whole batch of pairs, 0 if none.

  A pair (i, i + gap) never crosses a video's border, so a gap g leaves the sum
  over videos of max(0, length - g) pairs.
  """
  low, high = 0, int(max(video_lengths, default=0))
  while low < high:
    middle = (low + high + 1) // 2
    if np.maximum(0, video_lengths - middle).sum() >= batch_size:
      low = middle
    else:
      high = middle - 1
  return low


def learning_rate(
  config: ml_collections.ConfigDict,
  *,
  epoch: jax.Array,
  step: jax.Array,
  total_steps: jax.Array | np.integer,
) -> jax.Array:
  """Returns the learning rate of a step.

  'reference' is PSM's plan by the model's own epoch: `learning_rate` below
  epoch 10, 5e-5 below 50, 1e-5 below 200, `final_learning_rate` from there on;
  the middle two are constants whatever the others are. 'cosine' decays from
  `learning_rate` to `final_learning_rate` over the model's own total_steps.
  'cosine' and 'constant' rise linearly over the first `warmup_steps`.

  Args:
    config: `config.optim`.
    epoch: () int32, from 1.
    step: () int32, from 0.
    total_steps: () int32.

  Returns:
    () float32.
  """
  if config.schedule == 'reference':
    return jnp.select(
      [epoch < 10, epoch < 50, epoch < 200],
      [jnp.float32(rate) for rate in (config.learning_rate, 5e-5, 1e-5)],
      jnp.float32(config.final_learning_rate),
    )
  rate = jnp.float32(config.learning_rate)
  step = step.astype(jnp.float32)
  if config.schedule == 'cosine':
    span = jnp.maximum(1, total_steps - config.warmup_steps)
    share = jnp.clip((step - config.warmup_steps) / span, 0, 1)
    drop = (1 - jnp.cos(jnp.pi * share)) / 2
    rate = rate + (config.final_learning_rate - config.learning_rate) * drop
  if config.warmup_steps:
    rate = rate * jnp.minimum(1.0, (step + 1) / config.warmup_steps)
  return rate.astype(jnp.float32)


def neutral_weight(
  weights: tuple[float, ...],
  *,
  epoch: jax.Array,
  num_epochs: jax.Array | np.integer,
) -> jax.Array:
  """Returns the weight of the neutral face's symmetry at an epoch.

  PSM's `neu_face_loss_weight`: no value is 1, one value is constant, two are
  the ends of a line over the model's own epochs.

  Args:
    weights: Up to two values.
    epoch: () int32, from 1.
    num_epochs: () int32.

  Returns:
    () float32.
  """
  start, end = {0: (1.0, 1.0), 1: weights * 2}.get(len(weights), weights)
  share = (epoch - 1) / jnp.maximum(1, num_epochs - 1)
  return jnp.float32(start) + jnp.float32(end - start) * share.astype('f4')
