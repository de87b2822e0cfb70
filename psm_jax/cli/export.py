r"""Exports a run's trained models: a folder each, for others to open.

  python -m launch.export --workdir=runs/lab --out=zoo
  python -m launch.export --workdir=runs/lab --out=zoo --models=facecycle-P01-s0

A folder holds model.safetensors, model.json and a README.md; it is read by
psm_jax.runs.zoo.load, by launch.embed --model=FOLDER, and by launch.train as
--config.init.path, which then begins with it. A model of a person is
biometric data.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.runs import zoo

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.train.')
_OUT = flags.DEFINE_string('out', None, 'The zoo: a folder of models.')
_MODELS = flags.DEFINE_list('models', [], 'Model ids; all by default.')
REQUIRED = ('workdir', 'out')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  written = zoo.export_run(_WORKDIR.value, _OUT.value, model_ids=_MODELS.value)
  for folder in written:
    logging.info('Wrote %s', folder)
  if not written:
    logging.error('Every model failed; nothing was exported.')
    return program.FAILED
  return None
