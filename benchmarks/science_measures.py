"""Figures of one person's model: probes, driven faces, harder frames.

n frames, S pixels a side, U action units. A figure is (source, metric, number
of labelled frames or 0 for all of a video, value).
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import ml_collections
import numpy as np
import pandas as pd

from psm_jax.data import canonical_faces, driven_squares, store as store_lib
from psm_jax.evaluation import (
  features,
  few_labels,
  person as person_lib,
  probes,
  results,
  splits,
)
from psm_jax.methods import canonical

_ACTIVE = 2.0  # Intensity from which a unit is active.
_RAREST = 0.02  # Units rarer than that in a video are left out.
GUARD_S = 2.0
_MOST_FRAMES = 2200  # Of other people that a probe learns from.
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
# What is done to the tested video, in the fields of `config.method.canonical`;
# jitter as launch.ingest leaves it on 32 px, and five times its shift.
_HARDER = {
  'new light': {'log_gain': 0.2, 'bias': 0.1},
  'varying light': {'log_gain': 0.2, 'bias': 0.1},
  'jitter': {'shift': 0.2 / 16, 'turn_deg': 0.7, 'log_scale': 0.018},
  'jitter of 1 px': {'shift': 1 / 16},
}


@dataclasses.dataclass(frozen=True)
class Person:
  """One person's frames and labels.

  Attributes:
    pixels: [n, S * S * 3] uint8.
    size_px: S.
    video: [n] int, from 0.
    faces: [V, S, S, 3] float32 in [-1, 1], canonical.
    index: n rows, what the store says of the frames.
    labels: [n, U] bool, units that are active.
    yaw: [n] float, degrees; None where it is not known.
    guard: Frames of two seconds.
  """

  pixels: np.ndarray
  size_px: int
  video: np.ndarray
  faces: np.ndarray
  index: pd.DataFrame
  labels: np.ndarray
  yaw: np.ndarray | None
  guard: int

  def images(self, pixels: np.ndarray) -> np.ndarray:
    """Returns [n, S, S, 3] float32 in [-1, 1]."""
    shape = (-1, self.size_px, self.size_px, 3)
    return pixels.reshape(shape).astype(np.float32) / 127.5 - 1


def person_of(
  store: store_lib.FrameStore,
  canonical: canonical_faces.CanonicalFaces,
  person_id: str,
) -> Person:
  """Returns a person of a store; units must occur in all videos."""
  videos = store.videos(person_id)
  rows = np.concatenate([np.arange(v.start, v.stop) for v in videos])
  index = store.index.iloc[rows]
  numbers = canonical.video[rows]
  shape = (-1, store.size_px, store.size_px, 3)
  faces = canonical.faces[np.unique(numbers)].reshape(shape)
  labels = units(index)
  shares = [labels[numbers == v].mean(axis=0) for v in np.unique(numbers)]
  return Person(
    pixels=np.asarray(store.frames[rows]),
    size_px=store.size_px,
    video=numbers - numbers[0],
    faces=faces.astype(np.float32) / 127.5 - 1,
    index=index.reset_index(drop=True),
    labels=labels[:, np.min(shares, axis=0) > _RAREST],
    yaw=index['pose_yaw'].to_numpy() if 'pose_yaw' in index else None,
    guard=round(GUARD_S * videos[0].fps),
  )


def units(index) -> np.ndarray:
  """Returns [n, U] bool, the action units of a store's index."""
  return index.filter(regex=r'^AU\d\d$').to_numpy() >= _ACTIVE


def grey(images: np.ndarray) -> np.ndarray:
  """Returns [n, S * S] grey values of images [n, S, S, 3]."""
  return (images @ _LUMA).reshape(len(images), -1)


def scores(
  person: Person,
  embedders: dict[str, Callable[[np.ndarray], np.ndarray]],
  *,
  counts: Sequence[int],
  num_draws: int,
) -> list[tuple]:
  """Returns AUCs across videos by number of labelled frames, as evaluate's.

  Args:
    person: n frames.
    embedders: Of each source, [n, S * S * 3] uint8 -> [n, D].
    counts: Numbers of labelled frames; all is added, as 0.
    num_draws: Of labelled frames.
  """
  values = {name: embed(person.pixels) for name, embed in embedders.items()}
  values[features.PIXEL_PCA] = grey(person.images(person.pixels))
  landmarks = person.index.filter(regex=r'^[xy]\d+$').to_numpy()
  if landmarks.size:
    values['landmarks'] = landmarks
  frames = person.index.copy()
  frames.attrs = {'unit_length': False}
  made, _ = person_lib.evaluate(
    [
      features.FeatureTable(
        name, name, frames['person_id'].iloc[0], x.astype(np.float32), frames
      )
      for name, x in values.items()
    ],
    config=probes.ProbeConfig(
      splits=(splits.CROSS_VIDEO,),
      few_labels=(*counts, 0),
      few_label_draws=num_draws,
      num_frame_resamples=1,
      num_block_resamples=1,
    ),
  )
  table = results.table(made)
  table = table[(table.metric == 'auc') & table.target.str.match(splits.UNIT)]
  means = table.groupby(['source', 'split'], sort=False).value.mean()
  numbers = {
    f'{few_labels.SPLIT}{count or "all"}': count for count in (*counts, 0)
  }
  return [
    (source, 'auc', numbers[split], value)
    for (source, split), value in means.items()
    if split in numbers
  ]


def drawn(
  person: Person,
  code: np.ndarray,
  draw: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> list[tuple]:
  """Returns how well codes draw their own frames and drive the next video's.

  Args:
    person: n frames.
    code: [n, D] float32.
    draw: (codes, canonical faces [n, S, S, 3]) -> images, both in [-1, 1].
  """
  images, video = person.images(person.pixels), person.video
  own, other = (
    draw(code, person.faces[chosen])
    for chosen in (video, (video + 1) % len(person.faces))
  )
  rest = ((own - images) ** 2).sum()
  whole = ((person.faces[video] - images) ** 2).sum()
  figures = [('canonical', 'r2', 0, 1 - rest / whole)]
  for number in np.unique(video):
    target = (number + 1) % len(person.faces)
    shown = np.flatnonzero(video == number)
    sums = driven_squares.squares(
      other[shown],
      images[shown],
      canonical=person.faces[number],
      target=person.faces[target],
    )
    for region in driven_squares.REGIONS:
      rest, still = (sums[f'{n}_{region}'].sum() for n in ('rest', 'still'))
      figures.append(('canonical', f'driven r2 {region}', 0, 1 - rest / still))
    figures += _read_units(person, images, other, shown, video == target)
  return figures


def _read_units(person, images, other, shown, is_target):
  """Returns how a probe of real pixels reads units from driven faces."""
  train = np.flatnonzero(is_target)
  pixels = grey(images)
  values, sizes = few_labels.components(
    np.concatenate([pixels[train], grey(other[shown])]), fit=pixels
  )
  figures = []
  for name, shift in (('driven', 0), ('driven, shuffled', len(shown) // 2)):
    labels = np.roll(person.labels[shown], shift, axis=0)
    value = few_labels.probe_auc(
      values,
      np.concatenate([person.labels[train], labels]),
      np.arange(len(train)),
      np.arange(len(train), len(values)),
      folds=few_labels.stretches(len(train), guard=person.guard),
      sizes=sizes,
    )
    figures.append((name, 'auc', 0, np.nanmean(value)))
  return figures


def harder(
  person: Person, embedders: dict[str, Callable[[np.ndarray], np.ndarray]]
) -> list[tuple]:
  """Returns AUCs across videos where the tested one is changed, or turned."""
  plain = {name: embed(person.pixels) for name, embed in embedders.items()}
  pixels = grey(person.images(person.pixels))
  plain[features.PIXEL_PCA], _ = few_labels.components(pixels)
  figures = []
  for kind in _HARDER:
    changed = _changed(person, kind)
    values = {name: embed(changed) for name, embed in embedders.items()}
    values[features.PIXEL_PCA], _ = few_labels.components(
      grey(person.images(changed)), fit=pixels
    )
    for name, tested in values.items():
      figures.append(
        (name, kind, 0, _tested(person, name, plain[name], tested))
      )
  if person.yaw is not None:
    turn = np.abs(person.yaw - np.median(person.yaw))
    is_frontal, is_turned = turn < np.median(turn), turn > np.median(turn)
    figures += [
      (
        name,
        'turned',
        0,
        _tested(
          person, name, values, values, fit=is_frontal, tested_on=is_turned
        ),
      )
      for name, values in plain.items()
    ]
  return figures


def _changed(person, kind):
  """Returns the frames as bytes, changed."""
  images = person.images(person.pixels)
  generator = np.random.default_rng(sorted(_HARDER).index(kind))
  draws = generator.standard_normal((len(images), 11)).astype(np.float32)
  side = 0.0
  if kind == 'new light':
    draws[:] = draws[:1]
  if kind == 'varying light':
    # Slow: a sum of half a minute's worth, of unit deviation.
    kernel = np.hanning(600 // 2)
    for column in draws.T:
      column[:] = np.convolve(column, kernel, 'same')
    draws /= draws.std(axis=0)
  options = ml_collections.ConfigDict(
    dict.fromkeys(('log_gain', 'bias', 'shift', 'turn_deg', 'log_scale'), 0.0)
    | _HARDER[kind]
  )
  if 'light' in kind:
    # From one side, which no model has seen in training.
    side = 0.2 * draws[:, 10, None, None, None]
    across = np.linspace(-1, 1, person.size_px, dtype=np.float32)
    images = (images + 1) * (1 + side * across[None, None, :, None]) - 1
  changed = np.asarray(
    jax.jit(lambda d, x: canonical.disturbed(d, x, options=options)[0])(
      draws, images
    )
  )
  return (
    np.rint((changed.clip(-1, 1) + 1) * 127.5)
    .astype(np.uint8)
    .reshape(len(images), -1)
  )


def _tested(person, name, plain, tested, *, fit=None, tested_on=None):
  """Returns the mean AUC of probes of plain frames on the other video's."""
  num = len(plain)
  sizes = few_labels.COMPONENTS if name == features.PIXEL_PCA else ()
  labels = np.concatenate([person.labels, person.labels])
  values = []
  for number in np.unique(person.video):
    is_train, is_test = person.video == number, person.video != number
    if fit is not None:
      is_train, is_test = is_train & fit, is_test & tested_on
    values.append(
      few_labels.probe_auc(
        np.concatenate([plain, tested]),
        labels,
        np.flatnonzero(is_train),
        num + np.flatnonzero(is_test),
        folds=few_labels.stretches(is_train.sum(), guard=person.guard),
        sizes=sizes,
      )
    )
  return np.nanmean(values)


def scaled(values: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Returns each person's [n, D] features centred and scaled by their own.

  All of a person's frames count for it, labelled or not.
  """
  return [
    (own - own.mean(axis=0)) / own.std(axis=0).clip(1e-6) for own in values
  ]


def across_people(
  values: Sequence[np.ndarray],
  labels: Sequence[np.ndarray],
  number: int,
  others: Sequence[int],
  *,
  guard: int,
  sizes: tuple[int, ...] = (),
) -> float:
  """Returns the mean AUC of a probe of other people on one.

  Args:
    values: A person's [n, D] features each, as from `scaled`.
    labels: A person's [n, U] units each.
    number: Who is tested.
    others: From whom the probe learns, of some 2,200 frames at most.
    guard: Frames left out around a stretch that the penalty is chosen on.
    sizes: See `few_labels.probe_auc`.
  """
  stride = -(-sum(len(values[n]) for n in others) // _MOST_FRAMES)
  train = np.concatenate([values[n][::stride] for n in others])
  known = np.concatenate([labels[n][::stride] for n in others])
  kept = labels[number].mean(axis=0) > _RAREST
  kept &= known.mean(axis=0) > _RAREST / 2
  both = np.concatenate([known, labels[number]])[:, kept]
  value = few_labels.probe_auc(
    np.concatenate([train, values[number]]),
    both,
    np.arange(len(train)),
    np.arange(len(train), len(both)),
    folds=few_labels.stretches(len(train), guard=guard // stride),
    sizes=sizes,
  )
  return float(np.nanmean(value))
