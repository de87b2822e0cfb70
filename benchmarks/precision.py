r"""The loss of one person's model in float32 and in bfloat16, side by side.

  python -m benchmarks.precision --out=precision
  python -m benchmarks.precision --out=precision --data=/data/frames \
      --person=P001 --steps=1000

Both models have the same seed, frames and augmentation; parameters and losses
are float32 in both, only the networks compute in bfloat16. Prints a table and
writes OUT/precision.png. Without --data a synthetic person is drawn.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

import pathlib

import matplotlib.pyplot as plt
import pandas as pd
from absl import app, flags

from psm_jax import training
from psm_jax.presets import narrow

_OUT = flags.DEFINE_string('out', None, 'Folder of both runs and the picture.')
_DATA = flags.DEFINE_string('data', None, 'Frame folder with landmarks.')
_PERSON = flags.DEFINE_string('person', None, 'Of --data.')
_STEPS = flags.DEFINE_integer('steps', 400, 'Gradient steps.')
_PRECISIONS = ('float32', 'bfloat16')
_WINDOW = 10  # Logged steps that a value of the table is the mean of.


def _config(precision):
  """Returns the experiment of one precision."""
  config = narrow.get_config()
  if _DATA.value:
    config.data.path = _DATA.value
    config.data.persons = (_PERSON.value,)
  else:
    config.data.source, config.data.align = 'synthetic_faces', 'none'
    config.data.synthetic.num_people = 1
    config.train.batch_size = 4
  config.train.steps = _STEPS.value
  config.train.log_every = max(1, _STEPS.value // 100)
  config.population.precision = precision
  return config


def main():
  """Trains both models and sets their losses side by side."""
  if _DATA.value and not _PERSON.value:
    raise ValueError('--data needs --person, whose model is trained.')
  out = pathlib.Path(_OUT.value).absolute()
  losses = {}
  for precision in _PRECISIONS:
    workdir = out / precision
    training.train(_config(precision), workdir, data_dir=out / 'data')
    metrics = pd.read_csv(workdir / 'metrics.csv').set_index('step')
    losses[precision] = metrics['loss'].rolling(_WINDOW).mean()
  table = pd.DataFrame(losses).dropna()
  table['difference'] = table['bfloat16'] - table['float32']
  print(table.iloc[:: max(1, len(table) // 10)].round(4).to_string())
  axes = table[list(_PRECISIONS)].plot(figsize=(6, 3.5))
  axes.set(xlabel='step', ylabel=f'loss, mean of {_WINDOW} logged steps')
  axes.grid(alpha=0.3)
  plt.tight_layout()
  plt.savefig(out / 'precision.png', dpi=120)


if __name__ == '__main__':
  flags.mark_flags_as_required(['out'])
  app.run(lambda _: main())
