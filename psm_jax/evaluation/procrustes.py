"""Orthogonal maps between the embeddings of two models.

n frames, D features, P action-unit profiles.

Models trained apart do not share coordinates (coordinates.WARNING). A rotation
may bring one embedding onto another; whether it does has to be shown on frames
that it was not fitted on, beside no rotation and beside a random one:

  aligned = procrustes.align_to_general(psm_table, gm_table)
  aligned.quality   # how well it was, with no rotation and a random one beside
  aligned.table     # the held-out frames in the general model's coordinates

quality are rows of results, of the targets aligned (the best rotation),
aligned_identity (none) and aligned_random. Metrics: r2 is 1 less the squared
distance to the target's held-out rows over that of the target's training mean:
0 is what the mean alone reaches, below 0 is worse. cosine is the mean cosine
between both, the training means taken out.
"""

import dataclasses

import numpy as np
import scipy.linalg

from psm_jax.evaluation import coordinates, features, probes, results, splits

PROCRUSTES = 'aligned'
IDENTITY = 'aligned_identity'
RANDOM = 'aligned_random'
MIN_FRAMES = 5  # That a profile needs in each part of both persons.
_NUM_RANDOM = 3  # Random rotations whose mean quality is shown.


@dataclasses.dataclass(frozen=True)
class Alignment:
  """A shift, a rotation and one scale.

  Attributes:
    mean: [D] float64, taken out first.
    rotation: [D, D] float64, orthogonal; applied from the right.
    scale: Not negative.
    target_mean: [D] float64, put in last.
  """

  mean: np.ndarray
  rotation: np.ndarray
  scale: float
  target_mean: np.ndarray

  def apply(self, data: np.ndarray) -> np.ndarray:
    """Returns [n, D] float64 in the target's coordinates."""
    return self.scale * (data - self.mean) @ self.rotation + self.target_mean


@dataclasses.dataclass(frozen=True)
class Aligned:
  """An embedding in the coordinates of another.

  Attributes:
    alignments: The maps, by direction: 'forward' was fitted on the earlier
      part of the frames, 'backward' on the later one.
    quality: See the module's description.
    table: Frames that were held out when their map was fitted, in the target's
      coordinates; its model_id is the target's. None where profiles were
      matched.
  """

  alignments: dict[str, Alignment]
  quality: list[dict]
  table: features.FeatureTable | None = None


def fit(
  data: np.ndarray, target: np.ndarray, *, rotation: np.ndarray | None = None
) -> Alignment:
  """Returns the map that brings rows nearest to their targets.

  The orthogonal Procrustes problem (Schönemann, 1966) on centred rows; the
  scale is the best one for the rotation, but not negative.

  Args:
    data: [n, D] float.
    target: [n, D] float, row by row what data should become.
    rotation: [D, D], to take instead of the best one.

  Raises:
    ValueError: If the two differ in shape, or data do not vary.
  """
  if data.shape != target.shape or data.ndim != 2:
    raise ValueError(
      f'Rows of shape {data.shape} cannot be brought onto {target.shape}: '
      'embeddings must have as many units to be rotated onto each other.'
    )
  mean, target_mean = data.mean(axis=0), target.mean(axis=0)
  data, target = data - mean, target - target_mean
  size = (data**2).sum()
  if not size:
    raise ValueError(f'The {len(data)} rows to fit a map on are all equal.')
  if rotation is None:
    rotation, _ = scipy.linalg.orthogonal_procrustes(data, target)
  scale = (data @ rotation * target).sum() / size
  return Alignment(mean, rotation, max(0.0, float(scale)), target_mean)


def align_to_general(
  table: features.FeatureTable,
  general: features.FeatureTable,
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
) -> Aligned:
  """Brings a person's own embedding into the space of a general model.

  Frame by frame: both models saw the same frames. Fitted on one part (a video,
  or half of the only one) and judged on the other, and the reverse.

  Args:
    table: Features of one person.
    general: Another model's features of the same person.
    config: threshold, guard_s and seed count.

  Raises:
    splits.Impossible: If the person has too few frames for two parts.
    ValueError: If persons, frames or numbers of units differ.
  """
  table, general = (side.in_order() for side in (table, general))
  keys = ['person_id', 'video_id', 'frame']
  if not table.frames[keys].equals(general.frames[keys]):
    raise ValueError(
      f'{table.model_id} and {general.model_id} have different frames of '
      f'{table.person_id} and {general.person_id}; a map is fitted frame by '
      'frame.'
    )
  split, parts = coordinates.two_parts(
    table.frames, np.ones(len(table.frames), bool), guard_s=config.guard_s
  )
  data, target = (side.scaled() for side in (table, general))
  mapped = np.full(data.shape, np.nan)
  alignments, rows = {}, []
  for part in parts:
    alignment, quality = _judge(
      {**table.ids, 'split': split, 'direction': part.direction},
      *(side[part.train] for side in (data, target)),
      *(side[part.test] for side in (data, target)),
      config,
    )
    alignments[part.direction] = alignment
    mapped[part.test] = alignment.apply(data[part.test])
    rows += quality
  held_out = ~np.isnan(mapped).any(axis=1)
  return Aligned(
    alignments,
    rows,
    features.FeatureTable(
      source=f'{table.source}_in_{general.source}',
      model_id=general.model_id,
      person_id=table.person_id,
      features=mapped[held_out].astype(np.float32),
      frames=table.frames[held_out].reset_index(drop=True),
    ),
  )


def align_by_profiles(
  table: features.FeatureTable,
  other: features.FeatureTable,
  *,
  config: probes.ProbeConfig = probes.DEFAULT,
) -> Aligned:
  """Brings one person's embedding onto another person's by action units.

  The rows to match are mean embeddings, one for each combination of active
  action units that both persons show in both parts of their frames.

  Args:
    table: Features of one person.
    other: Of another person, by any model.
    config: threshold, guard_s and seed count.

  Returns:
    Maps and their quality; num_train and num_test count profiles.

  Raises:
    splits.Impossible: If the persons share fewer than 3 profiles in each part,
      or one has too few frames for two parts.
    ValueError: If the numbers of units differ.
  """
  (split, first), (other_split, second) = (
    _profile_means(side, config) for side in (table, other)
  )
  both = sorted(set.intersection(*map(set, (*first, *second))))
  if len(both) < 3:
    raise splits.Impossible(
      f'{table.person_id} and {other.person_id} share {len(both)} profiles of '
      f'{MIN_FRAMES} frames in each part, fewer than 3'
    )
  alignments, rows = {}, []
  for direction, train, test in (
    (splits.FORWARD, 0, 1),
    (splits.BACKWARD, 1, 0),
  ):
    data, target, new, truth = (
      np.stack([means[profile] for profile in both])
      for means in (first[train], second[train], first[test], second[test])
    )
    place = {
      **table.ids,
      'split': '+'.join(dict.fromkeys((split, other_split))),
      'direction': direction,
    }
    alignments[direction], quality = _judge(
      place, data, target, new, truth, config
    )
    rows += quality
  return Aligned(alignments, rows)


def _profile_means(table, config):
  """Returns a split, and for each part profile to mean embedding."""
  table = table.in_order()
  labels = splits.action_unit_labels(table.frames, threshold=config.threshold)
  labels = labels.dropna(axis=1, how='all')
  if not labels.shape[1]:
    raise splits.Impossible(f'{table.person_id} has no action-unit labels')
  split, parts = coordinates.two_parts(
    table.frames,
    labels.notna().all(axis=1).to_numpy(),
    guard_s=config.guard_s,
  )
  data = table.scaled()
  names = np.array(
    ['+'.join(labels.columns[row]) for row in labels.to_numpy() == 1], object
  )
  return split, [
    {
      name: data[part.train & (names == name)].mean(axis=0)
      for name in np.unique(names[part.train])
      if (names[part.train] == name).sum() >= MIN_FRAMES
    }
    for part in parts
  ]


def _judge(place, data, target, new, truth, config):
  """Returns the best map, and the quality of all three on held-out rows."""
  best = fit(data, target)
  num_features = data.shape[1]
  generator = np.random.default_rng(config.seed)
  random = [
    np.linalg.qr(generator.normal(size=(num_features, num_features)))[0]
    for _ in range(_NUM_RANDOM)
  ]
  maps = {
    PROCRUSTES: [best],
    IDENTITY: [fit(data, target, rotation=np.eye(num_features))],
    RANDOM: [fit(data, target, rotation=rotation) for rotation in random],
  }
  rows = []
  for name, alignments in maps.items():
    r2, cosine = np.mean(
      [_fit_of(alignment, new, truth) for alignment in alignments], axis=0
    )
    rows += results.rows(
      place,
      name,
      {'r2': r2, 'cosine': cosine},
      n_train=len(data),
      n_test=len(new),
    )
  return best, rows


def _fit_of(alignment, data, truth) -> tuple[float, float]:
  """Returns R2 and cosine of held-out rows under a map."""
  told = alignment.apply(data) - alignment.target_mean
  truth = truth - alignment.target_mean
  size = (truth**2).sum()
  r2 = 1 - ((told - truth) ** 2).sum() / size if size else np.nan
  # The direction does not depend on the scale, which may be 0.
  told = (data - alignment.mean) @ alignment.rotation
  length = np.linalg.norm(told, axis=1) * np.linalg.norm(truth, axis=1)
  inner = (told * truth).sum(axis=1)
  known = length > 0
  return r2, (inner[known] / length[known]).mean() if known.any() else np.nan
