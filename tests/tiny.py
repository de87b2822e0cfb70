"""A small run for tests: a config, cohorts of noise frames, a population."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from psm_jax import methods, sampling
from psm_jax.data import store as store_lib
from psm_jax.engine import population
from psm_jax.methods import interface
from psm_jax.ops import conv, data_axis
from psm_jax.presets import base
from psm_jax.sampling import feistel

SIZE_PX = 32
BATCH = 2


def config(**fields):
  """Returns a narrow config of a few steps; fields are dotted with '__'."""
  made = base.get_config()
  made.data.size_px = SIZE_PX
  made.method.width = 1 / 16
  made.method.vgg = 'none'
  made.train.batch_size = BATCH
  made.population.lowering = 'matmul'  # Compiles once, however many models.
  made.train.epochs, made.train.steps = 0, 5
  made.curriculum.pairing = 'gap'
  made.optim.learning_rate = 1e-3
  return changed(made, fields)


def changed(config, fields):
  """Sets fields of a config, their names dotted with '__'; returns it."""
  config.update_from_flattened_dict(
    {name.replace('__', '.'): value for name, value in fields.items()}
  )
  return config


def frames(num_frames, *, seed=0):
  """Returns [n, S S 3] uint8 noise."""
  generator = np.random.default_rng(seed)
  shape = (num_frames, SIZE_PX * SIZE_PX * 3)
  return generator.integers(0, 256, shape, dtype=np.uint8)


def filled(shapes, *, seed=0):
  """Returns numbers of about unit gain in the shape of parameters."""
  generator = np.random.default_rng(seed)

  def fill(leaf):
    drawn = generator.standard_normal(leaf.shape).astype(np.float32)
    return drawn * (2 / max(8, np.prod(leaf.shape[:-1]))) ** 0.5

  return jax.tree.map(fill, shapes)


def cohorts(*lengths):
  """Returns cohorts of one person with two videos, rows one behind another."""
  made, start = [], 0
  for index, length in enumerate(lengths):
    made.append(
      sampling.Cohort(
        name=f'p{index}',
        rows=np.arange(start, start + length),
        video_lengths=np.array([length - length // 3, length // 3]),
        fps=np.full(2, 20.0),
      )
    )
    start += length
  return made


def toy_method(
  made_config, *, axis=data_axis.ONE_DEVICE, is_coupled=True, platform=None
):
  """Returns a method of three products, which compiles in a second or two.

  Its loss may couple the examples of a batch: their mean code is taken out.
  """
  del platform
  shapes = {'down': (2, 2, 3, 4), 'same': (1, 1, 4, 4), 'up': (2, 2, 4, 3)}

  def init(key):
    keys = enumerate(shapes.items())
    return {
      name: _noise(jax.random.key_data(key), shape, salt) - 0.5
      for salt, (name, shape) in keys
    }, ()

  def encode(params, image):
    half = SIZE_PX // 2
    parts = image.reshape((-1, half, 2, half, 2, 3))
    code = jnp.einsum('niajbc,abcd->nijd', parts, params['down'])
    return jnp.tanh(jnp.tanh(code) @ params['same'][0, 0])

  def decode(params, code):
    parts = jnp.einsum('nijd,abdc->niajbc', code, params['up'])
    return parts.reshape((-1, SIZE_PX, SIZE_PX, 3))

  make = functools.partial(toy_method, made_config)
  return _method(init, encode, decode, axis, is_coupled, make)


def conv_method(
  made_config, *, axis=data_axis.ONE_DEVICE, is_coupled=True, platform=None
):
  """Returns a method of three convolutions, for what depends on lowerings."""
  del platform
  lowering = made_config.population.lowering
  shapes = {'down': (3, 3, 3, 4), 'same': (1, 1, 4, 4), 'up': (4, 4, 4, 3)}

  def init(key):
    return {
      name: 0.2 * jax.random.normal(jax.random.fold_in(key, index), shape)
      for index, (name, shape) in enumerate(shapes.items())
    }, ()

  def encode(params, image):
    code = conv.conv(
      image, params['down'], stride=2, padding=1, lowering=lowering
    )
    code = jax.nn.relu(code)
    return jnp.tanh(
      conv.conv(code, params['same'], padding=0, lowering=lowering)
    )

  def decode(params, code):
    return conv.conv_transpose(code, params['up'], lowering=lowering)

  make = functools.partial(conv_method, made_config)
  return _method(init, encode, decode, axis, is_coupled, make)


def _method(init, encode, decode, axis, is_coupled, make):
  """Returns the method that has one image tell the other."""

  def image_of(frames, *lead):
    image = frames.reshape((*lead, -1, SIZE_PX, SIZE_PX, 3))
    return image / jnp.float32(255)

  def loss(key, params, method_state, shared, batch, schedule):
    del shared, schedule
    image = image_of(batch.frames, 2)
    code = encode(params, image[0])
    if is_coupled:
      code = code - axis.mean(jnp.mean(code, axis=0, keepdims=True))
    joined = (axis.size * len(code), *code.shape[1:])
    noise = _noise(jax.random.key_data(key), joined, 0)
    out = decode(params, code + 0.1 * axis.own(noise))
    error = jnp.mean(jnp.square(out - image[1]))
    return error, (method_state, {'error': error})

  def embed(params, method_state, frames):
    del method_state
    return encode(params, image_of(frames)).reshape((len(frames), -1))

  return interface.Method(
    name='toy',
    size_px=SIZE_PX,
    num_members=2,
    shared=(),
    optimizer=optax.scale_by_adam(),
    init=init,
    loss=loss,
    embed=embed,
    pictures=lambda *_: {},
    over=lambda axis: make(axis=axis, is_coupled=is_coupled),
  )


def _noise(key, shape, salt):
  """Returns numbers in [0, 1) that compile faster than JAX's own."""
  seed = feistel.mix(key[0] ^ feistel.mix(key[1] + jnp.uint32(salt)))
  bits = feistel.mix(seed ^ jnp.arange(np.prod(shape), dtype=jnp.uint32))
  return bits.astype(jnp.float32).reshape(shape) / jnp.float32(2.0**32)


def empty_store(**lengths):
  """Returns a store of people with videos of some lengths, without frames."""
  videos, start = {}, 0
  for person, own in lengths.items():
    videos[person] = ()
    for number, length in enumerate(own):
      stop = start + length
      video = store_lib.Video(f'v{number}', start, stop, fps=20.0)
      videos[person] += (video,)
      start = stop
  return store_lib.FrameStore(
    path=pathlib.Path('some/store'),
    size_px=16,
    frames=np.zeros((start, 0), np.uint8),
    index=pd.DataFrame(index=range(start)),
    person_ids=tuple(sorted(videos)),
    problems=(),
    source={},
    videos_by_person=videos,
  )


def store_of(index):
  """Returns a store of noise frames that an index describes, in memory."""
  videos = {}
  for (person, video), rows in index.groupby(
    ['person_id', 'video_id']
  ).groups.items():
    made = store_lib.Video(video, rows[0], rows[-1] + 1, fps=25.0)
    videos[person] = (*videos.get(person, ()), made)
  return store_lib.FrameStore(
    path=pathlib.Path('some/store'),
    size_px=SIZE_PX,
    frames=frames(len(index)),
    index=index,
    person_ids=tuple(sorted(videos)),
    problems=(),
    source={},
    videos_by_person=videos,
  )


def run_config(**fields):
  """Returns a config of 5 steps with some fields ('.' as '__') set."""
  config = base.get_config()
  config.data.path = 'frames'
  config.train.batch_size = 4
  config.train.epochs, config.train.steps = 0, 5
  return changed(config, fields)


METHODS = {
  'toy': toy_method,
  'conv': conv_method,
  'separable': functools.partial(toy_method, is_coupled=False),
  'facecycle': methods.make,
}


def build(made_config, people, *, method='toy', steps=None, devices=None):
  """Returns a population of one model a cohort, seed 0, own total steps."""
  plans = [
    sampling.make_plan(person, made_config, seed=0)[0] for person in people
  ]
  if steps is not None:
    plans = [
      plan.replace(clock=plan.clock.replace(total_steps=np.int32(own)))
      for plan, own in zip(plans, steps, strict=True)
    ]
  made_method = METHODS[method](made_config)
  return population.build(made_method, plans, made_config, devices=devices)
