r"""Makes a model of the zoo of a checkpoint of the reference programs.

  python -m launch.import_reference --config=configs/gm.py \
      --config.method.vgg=none --checkpoint=ExpCode_17.tar --model_id=released \
      --out=zoo
  python -m launch.import_reference --config=configs/fabnet.py \
      --checkpoint=aflw_4views.pth --model_id=fabnet-aflw --out=zoo

Reads .safetensors, or files of torch.save if PyTorch is installed; nothing in
them is run. The model is then what launch.export writes: launch.train begins
with it by --config.init.path=ZOO/MODEL_ID, launch.embed takes it by --model.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

from absl import flags, logging
from ml_collections import config_flags

from psm_jax.cli import program
from psm_jax.interop import reference
from psm_jax.runs import zoo

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'The experiment of the checkpoint: a file or a preset.'
)
_CHECKPOINT = flags.DEFINE(program.PLACE, 'checkpoint', None, 'The file.')
_MODEL_ID = flags.DEFINE_string('model_id', None, 'What the model is called.')
_COHORT = flags.DEFINE_list(
  'cohort', [], 'Person ids that it learned from, if known.'
)
_OUT = flags.DEFINE(program.PLACE, 'out', None, 'The zoo: a folder of models.')
REQUIRED = ('config', 'checkpoint', 'model_id', 'out')


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  model = reference.read_model(
    _CHECKPOINT.value,
    _CONFIG.value,
    model_id=_MODEL_ID.value,
    cohort=_COHORT.value,
  )
  logging.info('Wrote %s', zoo.save(model, _OUT.value))
