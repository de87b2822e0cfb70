r"""Exports a run's trained models: a folder each, for others to open.

  python -m launch.export --workdir=runs/lab --out=zoo
  python -m launch.export --workdir=runs/lab --out=zoo --models=facecycle-P01-s0
  python -m launch.export --verify=zoo

A folder holds model.safetensors, model.json and a README.md; it is read by
psm_jax.load, by launch.embed --model=FOLDER, and by launch.train as
--config.init.path, which then begins with it. --verify reads all models of a
zoo and names those that are damaged. A model of a person is biometric data.

Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, 75 stopped by a signal.
"""

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.runs import zoo

_WORKDIR = flags.DEFINE(
  program.PLACE, 'workdir', None, 'A run of launch.train.'
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'The zoo: a folder of models.')
_MODELS = flags.DEFINE_list('models', [], 'Model ids; all by default.')
_VERIFY = flags.DEFINE(
  program.PLACE, 'verify', None, 'A zoo, which is read alone.'
)


program.allow(
  ['workdir', 'out'],
  ['verify'],
  message='Give --workdir and --out, or --verify alone.',
)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _VERIFY.value:
    wrong = zoo.problems(_VERIFY.value)
    for problem in filter(None, wrong.values()):
      logging.error('%s', problem)
    sound = sum(not problem for problem in wrong.values())
    logging.info('%d of %d models are sound.', sound, len(wrong))
    return None if sound == len(wrong) else program.FAILED
  written = zoo.export_run(_WORKDIR.value, _OUT.value, model_ids=_MODELS.value)
  program.wrote(written)
  if not written:
    logging.error('Every model failed; nothing was exported.')
    return program.FAILED
  return None
