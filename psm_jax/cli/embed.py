r"""Embeds a run's frames with its models, or others with an exported model.

  python -m launch.embed --workdir=runs/first
  python -m launch.embed --model=zoo/facecycle-P01-s0 --frames=STORE --out=new

Writes embeddings/<model_id>/<person_id>/<video_id>.parquet below WORKDIR or OUT
with the columns model_id, person_id, video_id, frame, time_s, e000..e255 and
the labels of the frames, if any. STORE is a frame store or pack, whose frames
have the model's size and alignment. Embeddings of two models do not share
coordinates.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

from absl import flags, logging

from psm_jax import embedding
from psm_jax.data import store
from psm_jax.runs import zoo

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run of launch.train.')
_MODEL = flags.DEFINE_string('model', None, 'A model of launch.export.')
_FRAMES = flags.DEFINE_string('frames', None, 'What it embeds, with --model.')
_OUT = flags.DEFINE_string('out', None, 'Where to, with --model.')


@flags.multi_flags_validator(
  ['workdir', 'model', 'frames', 'out'],
  message='Give --workdir alone, or --model, --frames and --out.',
)
def _is_one_of_both(values):
  others = [values[name] is not None for name in ('model', 'frames', 'out')]
  return not any(others) if values['workdir'] else all(others)


REQUIRED = ()


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _MODEL.value:
    embedding.write_with(
      zoo.load(_MODEL.value), store.open_store(_FRAMES.value), _OUT.value
    )
    return
  embedding.write_embeddings(_WORKDIR.value)
  logging.info('Next: python -m launch.evaluate --workdir=%s', _WORKDIR.value)
