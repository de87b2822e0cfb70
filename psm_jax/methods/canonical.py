"""A canonical face that the code alone moves.

A frame is the canonical face of its video (`data.canonical_faces`), moved by a
flow and changed by a residual. Both follow from a code of the frame and from
the canonical face; nothing else of the frame reaches the decoder, so what a
frame shows beyond its video must pass the code. The encoder is given the frame
in other colours and a little out of place, and must give the frame as it is:
light and alignment are not worth a unit of the code. With `sees_difference` it
is given the frame's difference to the canonical face as well, changed alike.

Our own; docs/science.md says what each part is worth. M members of an example
and B examples make M B images; S pixels a side, D units of the code.
"""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from psm_jax.methods import interface
from psm_jax.models import canonical as networks
from psm_jax.ops import data_axis, precision, regions, warp as warp_ops

_SQUARE_WEIGHT = 0.1
_WEIGHT_DECAY = 1e-3
_EXPECTED = {
  'at least': {
    'code_size': 1,
    'reach': 0,
    'log_gain': 0,
    'bias': 0,
    'shift': 0,
    'turn_deg': 0,
    'log_scale': 0,
  }
}
_NUM_DRAWS = 10  # An image's gains, biases, shift, turn and scale.


def make(
  config: ml_collections.ConfigDict,
  *,
  axis: data_axis.DataAxis = data_axis.ONE_DEVICE,
) -> interface.Method:
  """Returns the method of a configuration.

  Args:
    config: The whole experiment; `method.canonical` is read.
    axis: The devices that share a batch.
  """
  options, size_px = config.method.canonical, config.data.size_px
  nets = Networks(config)
  weights = np.ones((size_px, size_px), np.float32)
  if options.weigh_regions:
    weights = regions.weights(size_px, eye_distance=config.data.eye_distance)
  weights = weights[None, :, :, None]

  def image_of(frames):
    image = frames.reshape((-1, size_px, size_px, 3)).astype(jnp.float32)
    return image / 127.5 - 1

  def loss(key, params, method_state, shared, batch, schedule):
    del shared, schedule
    target, face = image_of(batch.frames), image_of(batch.canonical)
    members, num = batch.frames.shape[:2]
    # Drawn for the whole batch, so that the devices' number changes nothing.
    draws = jax.random.normal(key, (num * axis.size, members, _NUM_DRAWS))
    draws = axis.own(draws).swapaxes(0, 1).reshape((-1, _NUM_DRAWS))
    seen, seen_face = disturbed(draws, target, face, options=options)
    code = nets.encode(params, seen, seen_face)
    drawn, _ = nets.draw(params, code, face)
    error = drawn - target
    pixel = jnp.mean(weights * jnp.abs(error))
    square = jnp.mean(weights * error**2)
    total = pixel + _SQUARE_WEIGHT * square
    return total, (method_state, {'pixel': pixel, 'square': square})

  def embed(params, method_state, frames, canonical):
    del method_state
    return nets.encode(params, image_of(frames), image_of(canonical))

  def pictures(key, params, method_state, shared, frames, canonical):
    del key, method_state, shared
    face = image_of(canonical)
    code = nets.encode(params, image_of(frames), face)
    drawn, flow = nets.draw(params, code, face)
    # Far frames of one person are of another video, if there is one.
    driven, _ = nets.draw(params, code, jnp.roll(face, len(face) // 2, axis=0))
    return {
      'neutral': _displayable(face),
      'reconstruction': _displayable(drawn),
      'driven': _displayable(driven),
      # From the neutral face to the frame; ours leads back. First order.
      'flow': -warp_ops.warp(flow, -flow),
    }

  def draw(params, shared, embedding, face):
    del shared
    return _displayable(nets.draw(params, embedding, 2 * face - 1)[0])

  return interface.Method(
    name='canonical',
    size_px=size_px,
    num_members=2,
    shared=(),
    optimizer=optax.chain(
      optax.scale_by_adam(), optax.add_decayed_weights(_WEIGHT_DECAY)
    ),
    init=lambda key: (nets.init(key), ()),
    loss=loss,
    embed=embed,
    pictures=pictures,
    unit_length=False,  # The code is linear: a small movement is short.
    uses_canonical=True,
    draw=draw,
    check=check,
    fills_from_width=1.0,  # Estimates in BENCHMARKS.md.
    over=lambda axis: make(config, axis=axis),
  )


def check(config: ml_collections.ConfigDict):
  """Raises ValueError, naming the field, if the method cannot run it."""
  if config.train.remat:
    interface.refuse('train.remat', True, 'False with method.name=canonical')
  interface.check_microbatches(config)
  interface.check_pairing(
    config, 'fixed', 'repaired', 'gap', 'drawn', 'drawn_gap'
  )
  size_px, options = config.data.size_px, config.method.canonical
  factor = 2 ** networks.num_stages(max(16, size_px))
  if size_px < 16 or size_px % factor:
    interface.refuse(
      'data.size_px', size_px, f'16 or more, here a multiple of {factor}'
    )
  interface.check_fields(options, _EXPECTED, prefix='method.canonical.')


class Networks:
  """Encoder and decoder of a configuration; float32 in and out.

  Parameters are {'encoder', 'decoder'}; both compute in the configuration's
  precision.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    options = config.method.canonical
    common = {
      'width': config.method.width,
      'lowering': config.population.lowering,
    }
    self._size_px, self._code_size = config.data.size_px, options.code_size
    self._sees_difference = options.sees_difference
    self._dtype = precision.compute_dtype(config)
    self._encoder = networks.Encoder(options.code_size, **common)
    self._decoder = networks.Decoder(options.reach, **common)

  def init(self, key: jax.Array) -> interface.Tree:
    """Draws the parameters of one model."""
    keys = jax.random.split(key)
    image = jnp.zeros((1, self._size_px, self._size_px, 3))
    seen = self._seen(image, image)
    code = jnp.zeros((1, self._code_size))
    return {
      'encoder': self._encoder.init(keys[0], seen)['params'],
      'decoder': self._decoder.init(keys[1], code, image)['params'],
    }

  def encode(
    self,
    params: interface.Tree,
    image: jax.Array,
    face: jax.Array,
  ) -> jax.Array:
    """Returns [B, D] float32 codes.

    Args:
      params: As from `init`.
      image: [B, S, S, 3] float32 in [-1, 1].
      face: The same of their videos; used if the encoder sees differences.
    """
    code = self._encoder.apply(
      {'params': params['encoder']}, self._seen(image, face).astype(self._dtype)
    )
    return code.astype(jnp.float32)

  def _seen(self, image, face):
    """Returns what the encoder is given, [B, S, S, 3 or 6]."""
    if not self._sees_difference:
      return image
    return jnp.concatenate([image, image - face], axis=-1)

  def draw(
    self, params: interface.Tree, code: jax.Array, face: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns what codes make of canonical faces.

    Args:
      params: As from `init`.
      code: [B, D] float32.
      face: [B, S, S, 3] float32 in [-1, 1].

    Returns:
      image: [B, S, S, 3] float32 in about [-1, 1].
      flow: [B, S / 2, S / 2, 2] float32, see `models.canonical.Decoder`.
    """
    flow, residual = self._decoder.apply(
      {'params': params['decoder']},
      code.astype(self._dtype),
      face.astype(self._dtype),
    )
    flow, residual = flow.astype(jnp.float32), residual.astype(jnp.float32)
    moved = warp_ops.warp(face, flow, clamp=True)
    return moved + warp_ops.resize(residual, self._size_px), flow


def disturbed(
  draws: jax.Array, *images: jax.Array, options: ml_collections.ConfigDict
) -> list[jax.Array]:
  """Returns images in other colours and a little out of place, all alike.

  Args:
    draws: [B, 10] float, standard normal.
    *images: [B, S, S, 3] float32 in [-1, 1] each.
    options: `config.method.canonical`: standard deviations of the logarithm of
      a channel's gain, of its bias, of the shift in halves of the side, of the
      turn in degrees and of the logarithm of the scale.
  """
  if options.shift or options.turn_deg or options.log_scale:
    flow = _similarity(draws[:, 6:], images[0].shape[1], options)
    images = tuple(warp_ops.warp(image, flow, clamp=True) for image in images)
  gain = jnp.exp(options.log_gain * draws[:, None, None, :3])
  bias = options.bias * draws[:, None, None, 3:6]
  return [gain * image + bias for image in images]


def _similarity(draws, size_px, options):
  """Returns the flow of shifts, turns and scales, [B, S, S, 2], (x, y)."""
  turn = np.deg2rad(options.turn_deg) * draws[:, 2]
  scale = jnp.exp(options.log_scale * draws[:, 3])
  cosine, sine = scale * jnp.cos(turn) - 1, scale * jnp.sin(turn)
  cosine, sine = (value[:, None, None] for value in (cosine, sine))
  place = jnp.asarray(np.linspace(-1, 1, size_px, dtype=np.float32))
  x, y = place[None, None, :], place[None, :, None]
  flow = jnp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
  return flow + options.shift * draws[:, None, None, :2]


def _displayable(image):
  """Returns images in [-1, 1] in [0, 1], clipped."""
  return jnp.clip((image + 1) / 2, 0, 1)
