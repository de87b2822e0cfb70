r"""Every training approach on the same people, at equal numbers of steps.

  python -m benchmarks.approaches --data=/data/frames --out=approaches
  python -m benchmarks.approaches --data=/data/frames --out=approaches \
      --width=1 --size_px=64 --num_people=12 --seeds=0,1,2 --steps=5000

Trains and embeds each approach in a run directory of its own below --out; the
same command goes on where it was stopped. `launch.compare` then makes the
table; its command is printed at the end.

Models of one person see --steps steps, as do the models of everybody; the short
ones a fifth of them after their donor's --steps. FAb-Net and CLP have 64 px at
the least.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal: resume.
"""

import pathlib
import shlex

import ml_collections
from absl import app, flags, logging

from psm_jax import embedding, training
from psm_jax.presets import (
  base,
  canonical_gm,
  canonical_narrow,
  clp,
  fabnet,
  fabnet_multi,
  gm,
  gm_ctl,
  transfer_from_gm,
  transfer_from_person,
)

_DATA = flags.DEFINE_string('data', None, 'Frame folder with landmarks.')
_OUT = flags.DEFINE_string('out', None, 'Folder of the runs.')
_ONLY = flags.DEFINE_list('only', [], 'Approaches to run; all by default.')
_NUM_PEOPLE = flags.DEFINE_integer('num_people', 6, 'The first so many people.')
_STEPS = flags.DEFINE_integer('steps', 1000, 'Gradient steps of a model.')
_SHORT_SHARE = 0.2
_WIDTH = flags.DEFINE_float('width', 0.125, 'Of all networks.')
_SIZE_PX = flags.DEFINE_integer('size_px', 32, 'Of FaceCycle.')
_BATCH = flags.DEFINE_integer(
  'batch_size', 8, 'Pairs, targets or clips a step.'
)
_SEEDS = flags.DEFINE_list('seeds', ['0'], 'Models of each kind.')
_STOPPED = 75
_CODING_MIN_PX = 64  # Of FAb-Net and CLP.
_CANONICAL_MIN_WIDTH = 0.5  # Of its presets for laptops.


def _facecycle(config, pairing):
  """Returns FaceCycle's settings of `configs/narrow.py` on a configuration."""
  config.data.size_px = _SIZE_PX.value
  config.method.vgg = 'none'
  config.method.code_std = 0.12
  config.method.ssim_images = 'positive'
  config.augment.flip = 'none'
  config.curriculum.pairing = pairing
  config.curriculum.gap.update(
    schedule='linear', unit='seconds', start=0.1, end=7.5
  )
  config.optim.update(
    schedule='cosine', learning_rate=5e-4, final_learning_rate=1e-5
  )
  return config


def _coding(config, rate):
  """Returns a configuration of FAb-Net or CLP for small batches."""
  config.data.size_px = max(_SIZE_PX.value, _CODING_MIN_PX)
  config.optim.update(
    schedule='cosine',
    learning_rate=rate,
    final_learning_rate=0.01 * rate,
    warmup_steps=_STEPS.value // 20,
  )
  return config


def _fabnet(config):
  config.method.fabnet.crop = 'whole'  # Frames are aligned already.
  config.curriculum.draws_per_person = 64
  return _coding(config, 1e-2)


def _clp(*, temporal=1.0, cross_identity=1.0):
  config = clp.get_config()
  config.method.clp.update(
    temporal_weight=temporal,
    cross_identity_weight=cross_identity,
    stem_px=3,
    dictionary_size=1024,
    key_momentum=0.99,
    optimizer='adamw',
  )
  config.augment.flip = 'none'
  return _coding(config, 1e-3)


def _canonical(config):
  """Returns the settings of canonical faces in their presets, at a size."""
  config.data.size_px = _SIZE_PX.value
  return config


def _short(config, donor_run):
  config = _facecycle(config, 'gap')
  config.init.path = donor_run
  return config


def approaches(out: pathlib.Path) -> dict[str, ml_collections.ConfigDict]:
  """Returns the configuration of each approach, donors before receivers."""
  configs = {
    'psm': _facecycle(base.get_config(), 'fixed'),
    'psm_ctl': _facecycle(base.get_config(), 'gap'),
    'gm': _facecycle(gm.get_config(), 'drawn'),
    'gm_ctl': _facecycle(gm_ctl.get_config(), 'drawn_gap'),
    'gm_to_person_short': _short(
      transfer_from_gm.get_config(), str(out / 'gm_ctl')
    ),
    'person_to_person_short': _short(
      transfer_from_person.get_config(), str(out / 'psm_ctl')
    ),
    'scratch_short': _facecycle(base.get_config(), 'gap'),
    'fabnet_1': _fabnet(fabnet.get_config()),
    'fabnet_3': _fabnet(fabnet_multi.get_config()),
    'clp': _clp(),
    'clp_temporal': _clp(cross_identity=0.0),
    'clp_cross_identity': _clp(temporal=0.0),
    'canonical': _canonical(canonical_narrow.get_config()),
    'canonical_gm': _canonical(canonical_gm.get_config()),
  }
  configs['fabnet_3'].init.path = str(out / 'fabnet_1')
  for name, config in configs.items():
    steps = _STEPS.value
    if name.endswith('_short'):
      steps = max(1, int(_SHORT_SHARE * steps))
    config.data.source = 'frame_folder'
    config.data.path = _DATA.value
    config.data.align = 'eyes'
    config.data.persons = _people()
    least = _CANONICAL_MIN_WIDTH if config.method.name == 'canonical' else 0
    config.method.width = max(_WIDTH.value, least)
    config.train.update(batch_size=_BATCH.value, epochs=0, steps=steps)
    config.population.seeds = tuple(int(seed) for seed in _SEEDS.value)
  return configs


def _people():
  """Returns the first people of the data."""
  folders = sorted(path for path in pathlib.Path(_DATA.value).iterdir())
  people = tuple(path.name for path in folders if path.is_dir())
  if len(people) < _NUM_PEOPLE.value:
    raise ValueError(
      f'--num_people is {_NUM_PEOPLE.value}, but {_DATA.value} holds '
      f'{len(people)}. Lower it.'
    )
  return people[: _NUM_PEOPLE.value]


def main():
  """Trains and embeds the approaches in turn."""
  out = pathlib.Path(_OUT.value).absolute()
  configs = approaches(out)
  unknown = set(_ONLY.value) - set(configs)
  if unknown:
    raise ValueError(
      f'--only names {sorted(unknown)}; expected some of {sorted(configs)}.'
    )
  chosen = _ONLY.value or list(configs)
  for name in chosen:
    logging.info('Approach %s.', name)
    config = configs[name]
    outcome = training.train(config, out / name, data_dir=out / 'data')
    if outcome.was_stopped:
      return _STOPPED
    embedding.write_embeddings(out / name)
  runs = [f'--run={name}={out / name}' for name in chosen]
  command = ['python', '-m', 'launch.compare', *runs, f'--out={out}/comparison']
  logging.info('Next: %s', shlex.join(command))
  return None


if __name__ == '__main__':
  flags.mark_flags_as_required(['data', 'out'])
  app.run(lambda _: main())
