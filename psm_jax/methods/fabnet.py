"""FAb-Net's training method: a target rebuilt from other frames of its video.

Wiles et al., BMVC 2018: what a sampler must know to move a source frame's
pixels to the target's places is head pose and expression, so the embeddings
it is given learn those. The loss is the mean absolute difference over a window
of each batch's examples, sorted from easy to hard; the window moves to harder
ones whenever the validation loss has stopped falling (`loss_window`).

B examples of a step, S sources of a target, P pixels a side. A batch's frames
are [1 + S, B, P * P * 3], the target first.
"""

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from psm_jax.methods import interface, loss_window
from psm_jax.models import fabnet as networks
from psm_jax.ops import data_axis, precision

# How a frame becomes an input; see `make`.
CROPS = ('jittered', 'centre', 'whole')
# FAb-Net release, of frames of 256 pixels: black borders move the centre of
# the crops up, to (row 103, column 128). No crop reaches into the borders.
_FRAME_PX = 256
_CENTRE = (103, 128)
_CENTRE_CROP_PX = 170
_JITTER_WINDOW_PX = 190
_JITTER_CROPS_PX = (170, 190)  # Drawn once an epoch, the end excluded.
_MOMENTUM = 0.9


@flax.struct.dataclass
class State:
  """What changes while a model trains but is no parameter.

  Attributes:
    statistics: Running statistics of the three networks.
    curriculum: The loss window.
  """

  statistics: interface.Tree
  curriculum: loss_window.Window


def make(
  config: ml_collections.ConfigDict,
  *,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> interface.Method:
  """Returns the method of a configuration.

  `config.method.fabnet` holds:
    crop: 'jittered' (published: a crop of random place in training and
      validation, the central one for embeddings; for frames with as much
      around the face as VoxCeleb's), 'centre' (the central crop always) or
      'whole' (frames that are close crops already).
    window: (low, high), tenths of the sorted batch at the start.
    window_end: Tenths at which `high` stays and the learning rate gives way.
    patience: Epochs without a lower validation loss before either moves.
    freeze_decoder: Keep the decoder's weights; its statistics go on moving.
    upsample_align_corners, sample_align_corners: See `models.fabnet.Networks`.

  Args:
    config: The whole experiment.
    axis: The devices that share one model's batch.
  """
  size_px, fields = config.data.size_px, config.method.fabnet
  num_members = 1 + config.curriculum.num_sources
  nets = networks.Networks(
    size_px=size_px,
    width=config.method.width,
    lowering=config.population.lowering,
    upsample_align_corners=fields.upsample_align_corners,
    sample_align_corners=fields.sample_align_corners,
    dtype=precision.compute_dtype(config),
    axis=axis,
  )

  def init(key):
    params, statistics = nets.init(key)
    return params, State(statistics, loss_window.start(tuple(fields.window)))

  def prepare(key, frames, epoch):
    """Returns [M, B, P, P, 3] inputs of the frames of examples."""
    image = frames.reshape((*frames.shape[:2], size_px, size_px, 3))
    if fields.crop == 'jittered':
      return jittered(key, image, epoch=epoch, axis=axis)
    return plain(frames).reshape(image.shape)

  def plain(frames):
    """Returns [B, P, P, 3] inputs without jitter."""
    image = frames.reshape((-1, size_px, size_px, 3))
    if fields.crop == 'whole':
      return image.astype(jnp.float32) / 255
    return central(image)

  def loss(key, params, method_state, shared, batch, schedule):
    del shared
    image = prepare(key, batch.frames, schedule.epoch)
    outputs, statistics = nets.transfer(
      params, method_state.statistics, image, train=True
    )
    window = method_state.curriculum
    errors = axis.gather(per_example(outputs['result'], image[0]))
    total = loss_window.mean(errors, window.low, window.high)
    terms = {
      'whole_batch': jnp.mean(errors),
      'window_low': window.low / jnp.float32(10),
      'window_high': window.high / jnp.float32(10),
      'rate_scale': window.rate_scale,
    }
    return total, (method_state.replace(statistics=statistics), terms)

  def validate(params, method_state, shared, batch):
    del shared
    # The same places at every validation, or its changes would be noise.
    key = jax.random.key(0, impl='threefry2x32')
    image = prepare(key, batch.frames, jnp.int32(0))
    outputs, _ = nets.transfer(
      params, method_state.statistics, image, train=False
    )
    return axis.mean(jnp.mean(per_example(outputs['result'], image[0])))

  def on_validation(method_state, loss, epoch):
    return method_state.replace(
      curriculum=loss_window.follow(
        method_state.curriculum,
        loss,
        epoch,
        end=fields.window_end,
        patience=fields.patience,
      )
    )

  def embed(params, method_state, frames):
    return nets.encode(params, method_state.statistics, plain(frames))

  def pictures(key, params, method_state, shared, frames, canonical):
    del key, shared, canonical
    target = plain(frames)
    image = jnp.stack([jnp.roll(target, i, axis=0) for i in range(num_members)])
    return _pictures(nets, params, method_state.statistics, image)

  return interface.Method(
    name='fabnet',
    size_px=size_px,
    num_members=num_members,
    shared=(),
    optimizer=make_optimizer(freeze_decoder=fields.freeze_decoder),
    init=init,
    loss=loss,
    embed=embed,
    pictures=pictures,
    rate_scale=lambda method_state: method_state.curriculum.rate_scale,
    validate=validate,
    on_validation=on_validation,
    check=check,
    over=lambda axis: make(config, axis=axis),
  )


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if FAb-Net cannot run it."""
  interface.check_whole_batch(config)
  interface.check_pairing(config, 'views')
  share = config.train.validation_share
  if not 0 < share < 1:
    interface.refuse(
      'train.validation_share',
      share,
      'above 0 and below 1: the loss window moves by the validation',
    )
  networks.num_stages_of(config.data.size_px)
  fields = config.method.fabnet
  expected = {'one of': {'crop': CROPS}, 'at least': {'patience': 0}}
  interface.check_fields(fields, expected, prefix='method.fabnet.')
  low, high = fields.window
  if not 0 <= low < high <= fields.window_end <= 10:
    raise ValueError(
      f'method.fabnet.window is {tuple(fields.window)} and window_end is '
      f'{fields.window_end}; expected 0 <= low < high <= window_end <= 10, '
      'tenths of a batch.'
    )


def make_optimizer(*, freeze_decoder: bool) -> optax.GradientTransformation:
  """Returns SGD with momentum, PyTorch's: m = 0.9 m + g, step -rate m.

  Args:
    freeze_decoder: Whether the decoder's steps are zero; its momentum is kept
      all the same, as with the release's learning rate of 0.
  """
  momentum = optax.trace(decay=_MOMENTUM)
  if not freeze_decoder:
    return momentum
  is_frozen = {part: part == 'decoder' for part in networks.PARTS}
  return optax.chain(momentum, optax.masked(optax.set_to_zero(), is_frozen))


def per_example(result: jax.Array, target: jax.Array) -> jax.Array:
  """Returns [B], the mean absolute differences of images [B, P, P, 3]."""
  return jnp.mean(jnp.abs(result - target), axis=(1, 2, 3))


def jittered(
  key: jax.Array,
  image: jax.Array,
  *,
  epoch: jax.Array,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> jax.Array:
  """Returns random crops of the middle of frames, resized to the frames' size.

  The side of the crops follows from the epoch, as published; the place is
  drawn for each frame. Frames smaller than 256 pixels are cropped in
  proportion.

  Args:
    key: Of the step.
    image: [M, B, P, P, 3] uint8.
    epoch: () int32.
    axis: The devices that share the examples.

  Returns:
    [M, B, P, P, 3] float32 in [0, 1].
  """
  members, num = image.shape[:2]
  epoch_key = jax.random.key(0, impl='threefry2x32')
  side = jax.random.randint(
    jax.random.fold_in(epoch_key, epoch), (), *_JITTER_CROPS_PX
  )
  # Drawn for the whole batch, so that the devices' number changes nothing.
  draws = axis.own(jax.random.uniform(key, (num * axis.size, members, 2)))
  offset = jnp.floor(draws * (_JITTER_WINDOW_PX - side + 1))
  corner = np.asarray(_CENTRE, np.float32) - _JITTER_WINDOW_PX // 2
  start = offset.swapaxes(0, 1) + corner[None, None]
  cropped = _crop(
    image.reshape((-1, *image.shape[2:])), start.reshape((-1, 2)), side
  )
  return cropped.reshape(image.shape)


def central(image: jax.Array) -> jax.Array:
  """Returns [B, P, P, 3] float32 in [0, 1], central crops of uint8 frames."""
  corner = np.asarray(_CENTRE, np.float32) - _CENTRE_CROP_PX // 2
  start = np.broadcast_to(corner, (len(image), 2))
  return _crop(image, jnp.asarray(start), _CENTRE_CROP_PX)


def _crop(image, start, side):
  """Returns square crops resized bilinearly to the size of the image.

  Matrix products, as a gather of single pixels is slow on accelerators. A crop
  is smaller than the image, so there is nothing to smooth.

  Args:
    image: [B, P, P, 3] uint8.
    start: [B, 2], (row, column) of each crop in pixels of 256.
    side: () or int, of all crops, in pixels of 256.
  """
  size = image.shape[1]
  scale = size / _FRAME_PX
  pixels = jnp.arange(size, dtype=jnp.float32)
  length = side * scale
  within = jnp.clip((pixels + 0.5) * (length / size) - 0.5, 0, length - 1)
  position = (scale * start)[..., None] + within[None, None]
  distance = jnp.abs(position[..., None] - pixels[None, None, None])
  rows, columns = jnp.unstack(jnp.maximum(0, 1 - distance), axis=1)
  return jnp.einsum(
    'bih,bhwc,bjw->bijc',
    rows,
    image.astype(jnp.float32) / 255,
    columns,
    precision=jax.lax.Precision.HIGHEST,
  )


def _pictures(nets, params, statistics, image):
  """Returns pictures of targets and the frames before them as sources.

  'target' and 'source' are the inputs, 'warped' is the source moved by 'flow',
  which says from where in it the pixels come. Of several sources each has its
  number, 'warped 1', and its 'mask', the share of its pixels; the flow is that
  of the first.
  """
  outputs, _ = nets.transfer(params, statistics, image, train=False)
  made = {'target': image[0]}
  for index, source in enumerate(image[1:]):
    number = f' {index + 1}' if len(image) > 2 else ''
    made[f'source{number}'] = source
    made[f'warped{number}'] = jnp.clip(outputs['warped'][index], 0, 1)
    if len(image) > 2:
      share = jnp.repeat(outputs['weight'][index], 3, axis=-1)
      made[f'mask{number}'] = share
  made['reconstruction'] = jnp.clip(outputs['result'], 0, 1)
  return made | {'flow': outputs['flow'][0]}
