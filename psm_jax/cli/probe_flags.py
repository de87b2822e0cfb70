"""Flags that several programs of this folder have, worded in one place."""

from collections.abc import Sequence

from absl import flags

from psm_jax.data.labels import weak
from psm_jax.evaluation import probes, splits

# --help shows them with the flags of the program that defines them here.
flags.disclaim_key_flags()

_SPLITS = {
  splits.RANDOM: '80/20 of the frames, as published',
  splits.BLOCKED: 'whole stretches of video',
  splits.CROSS_VIDEO: 'trained on one video, tested on another',
  splits.HELD_OUT: (
    'tested on what train.validation_share kept from the model, and added by '
    'itself where there is any'
  ),
}


def define_splits(
  default: Sequence[str], allowed: Sequence[str]
) -> flags.FlagHolder:
  """Defines --splits, a list, and says what each allowed one is."""
  told = '; '.join(f'{name}: {_SPLITS[name]}' for name in allowed)
  holder = flags.DEFINE_list('splits', list(default), f'{told}.')
  flags.register_validator(
    holder,
    lambda given: set(given) <= set(allowed),
    f'Expected some of {", ".join(allowed)}.',
  )
  return holder


def define_labels() -> flags.FlagHolder:
  """Defines --labels."""
  return flags.DEFINE_enum(
    'labels',
    weak.CODED,
    weak.LABELS,
    'coded: action units that people or other tools coded. blendshapes: weak '
    'labels in their place, what the networks of launch.ingest '
    '--detector=landmarker saw; called weak_... in every table.',
  )


def define_threshold() -> flags.FlagHolder:
  """Defines --threshold."""
  return flags.DEFINE_float(
    'threshold',
    probes.DEFAULT.threshold,
    'Intensity from which an action unit counts as active (DISFA: 2 of 5).',
  )
