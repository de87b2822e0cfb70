"""What is measured: a training step or an embedding, and of what size.

The benchmark programs take their common flags from here.
"""

import dataclasses

import numpy as np
from absl import flags

METHODS = ('facecycle', 'canonical')
VGG = ('random', 'none')
TASKS = ('step', 'embed')
DEVICES = ('cpu', 'cuda')


@dataclasses.dataclass(frozen=True)
class Workload:
  """One thing to be measured.

  Attributes:
    method: 'facecycle' or 'canonical'.
    task: 'step': one update of every model; 'embed': the encoder alone.
    width: Multiplier of the channel counts.
    size_px: Side of the images in pixels, S.
    pairs: Pairs of a training step, B.
    vgg: 'random' or 'none', see `torch_facecycle.make_models`; FaceCycle alone.
    num_models: Models advanced by one step, K.
    batch_frames: Frames of an embedding.
    device: 'cpu' or 'cuda'.
  """

  method: str = 'facecycle'
  task: str = 'step'
  width: float = 1.0
  size_px: int = 64
  pairs: int = 16
  vgg: str = 'random'
  num_models: int = 1
  batch_frames: int = 64
  device: str = 'cpu'

  @property
  def num_frames(self) -> int:
    """Frames of one run: those of all models' pairs, or the batch."""
    if self.task == 'embed':
      return self.batch_frames
    return 2 * self.pairs * self.num_models

  def frames(self) -> np.ndarray:
    """Returns [n, S, S, 3] uint8, one for each frame of a run."""
    size = self.size_px
    return random_frames(self.num_frames, size, size, 3)

  def faces(self) -> np.ndarray:
    """Returns [K, S, S, 3] uint8, the canonical face of each model's video."""
    size = self.size_px
    return random_frames(self.num_models, size, size, 3, seed=1)


def random_frames(*shape: int, seed: int = 0) -> np.ndarray:
  """Returns uint8 noise of a shape."""
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def define_flags():
  """Defines the flags that all benchmark programs take.

  Not done on import, as these modules serve as a library too.
  """
  default = Workload()
  flags.DEFINE_enum('method', default.method, METHODS, 'What is learned.')
  flags.DEFINE_enum('task', default.task, TASKS, 'Training step or encoder.')
  flags.DEFINE_float('width', default.width, 'Multiplies hidden channels.')
  flags.DEFINE_integer('size_px', default.size_px, 'Side; a multiple of 16.')
  flags.DEFINE_integer('pairs', default.pairs, 'Pairs of a step.')
  flags.DEFINE_enum(
    'vgg',
    default.vgg,
    VGG,
    'Frozen random VGG19, or none: a trained stem. Of FaceCycle alone.',
  )
  flags.DEFINE_integer('num_models', default.num_models, 'Models of a step.')
  flags.DEFINE_integer(
    'batch_frames', default.batch_frames, 'Frames of an embedding.'
  )
  flags.DEFINE_enum('device', default.device, DEVICES, 'Where to run.')
  flags.DEFINE_integer('steps', 1, 'Steps of one timed run.')
  flags.DEFINE_integer('repeats', 3, 'Timed runs.')
  flags.DEFINE_string('out', None, 'JSON file to write.')


def from_flags() -> Workload:
  """Returns the workload of the command line.

  Raises:
    ValueError: If a number is out of range.
  """
  values = flags.FLAGS
  for name in ('pairs', 'num_models', 'batch_frames', 'steps', 'repeats'):
    if values[name].value < 1:
      raise ValueError(f'--{name} is {values[name].value}; expected 1 or more.')
  work = Workload(
    **{
      field.name: values[field.name].value
      for field in dataclasses.fields(Workload)
    }
  )
  if work.size_px < 16 or work.size_px % 16:
    raise ValueError(f'--size_px is {work.size_px}; expected a multiple of 16.')
  if work.width <= 0:
    raise ValueError(f'--width is {work.width}; expected more than 0.')
  if work.method != 'facecycle':
    work = dataclasses.replace(work, vgg='none')
  return work
