"""The rows of the ablation of canonical faces: base, and what each changes."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections

from benchmarks import masked_autoencoder
from psm_jax.data import store as store_lib
from psm_jax.methods import canonical, contrast, interface
from psm_jax.ops import image_losses
from psm_jax.presets import canonical_narrow

# An extra term of a loss: (networks, params, frames, faces) -> () float32, of
# frames and canonical faces [2, B, S, S, 3] in [-1, 1].
_Term = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Row:
  """One row: fields of the configuration that differ, or a term more.

  Attributes:
    fields: Dotted names of fields and their values.
    term: Added to the loss; None adds nothing.
    has_faces: Whether there are canonical faces; without, the decoder is given
      grey and must draw all of the frame.
    make: Makes another method of the configuration; None keeps the
      configuration's.
  """

  fields: dict = dataclasses.field(default_factory=dict)
  term: _Term | None = None
  has_faces: bool = True
  make: Callable[[ml_collections.ConfigDict], interface.Method] | None = None

  def changed(
    self, method: interface.Method, config: ml_collections.ConfigDict
  ) -> interface.Method:
    """Returns the row's method, or the method with its term in the loss."""
    if self.make is not None:
      return self.make(config)
    if self.term is None:
      return method
    networks, size_px = canonical.Networks(config), config.data.size_px

    def loss(key, params, method_state, shared, batch, schedule):
      total, rest = method.loss(
        key, params, method_state, shared, batch, schedule
      )
      frames, faces = (
        pixels.reshape((2, -1, size_px, size_px, 3)) / jnp.float32(127.5) - 1
        for pixels in (batch.frames, batch.canonical)
      )
      return total + self.term(networks, params, frames, faces), rest

    return dataclasses.replace(method, loss=loss)


def config_of(
  row: Row, store: store_lib.FrameStore, steps: int
) -> ml_collections.ConfigDict:
  """Returns the configuration of a row on a store's frames."""
  config = canonical_narrow.get_config()
  config.data.source, config.data.path = 'store', str(store.path)
  config.data.size_px, config.train.steps = store.size_px, steps
  config.population.strategy, config.population.chunk = 'loop', 1
  config.update_from_flattened_dict(row.fields)
  return config


def _codes(networks, params, frames, faces):
  """Returns [2, B, D] codes of both members of pairs."""
  pixels = (x.reshape((-1, *x.shape[2:])) for x in (frames, faces))
  code = networks.encode(params, *pixels)
  return code.reshape((2, -1, code.shape[-1]))


def _slow(networks, params, frames, faces):
  """Asks codes of neighbouring frames to be alike, in units of their spread."""
  first, second = _codes(networks, params, frames, faces)
  spread = jnp.mean(jnp.var(first, axis=0)) + 1e-6
  return 0.03 * jnp.mean((first - second) ** 2) / spread


def _margin(networks, params, frames, faces):
  """Asks codes of neighbours to be nearer than those of other pairs."""
  first, second = contrast.unit(_codes(networks, params, frames, faces))
  near = jnp.sum((first - second) ** 2, axis=-1)
  far = jnp.sum((first - jnp.roll(second, 1, axis=0)) ** 2, axis=-1)
  return 0.3 * jnp.mean(jax.nn.relu(near - far + 0.3))


def _ahead(networks, params, frames, faces):
  """Asks half of a code to be what the code will be, and to draw it."""
  first, second = _codes(networks, params, frames, faces)
  half = first.shape[-1] // 2
  ahead = jnp.concatenate([first[:, half:], second[:, half:]], axis=-1)
  drawn, _ = networks.draw(params, ahead, faces[1])
  return 0.3 * jnp.mean(jnp.abs(drawn - frames[1]))


def _similarity(networks, params, frames, faces):
  """Asks reconstructions for structure: 1 - SSIM of the first members."""
  code = networks.encode(params, frames[0], faces[0])
  drawn, _ = networks.draw(params, code, faces[0])
  target, drawn = (frames[0] + 1) / 2, (drawn + 1) / 2
  return 0.3 * image_losses.ssim_losses(target, [drawn])[0]


_METHOD = 'method.canonical.'
_NEIGHBOURS = {
  'curriculum.pairing': 'gap',
  'curriculum.gap.schedule': 'linear',
  'curriculum.gap.unit': 'seconds',
  'curriculum.gap.start': 0.2,
  'curriculum.gap.end': 0.2,
}
ROWS = {
  'base': Row(),
  'all pixels alike': Row({_METHOD + 'weigh_regions': False}),
  'no flow': Row({_METHOD + 'reach': 0.0}),
  'no change of colour': Row(
    {_METHOD + 'log_gain': 0.0, _METHOD + 'bias': 0.0}
  ),
  'change of place': Row(
    {
      _METHOD + 'shift': 0.03,
      _METHOD + 'turn_deg': 3.0,
      _METHOD + 'log_scale': 0.03,
    }
  ),
  'sees the difference': Row({_METHOD + 'sees_difference': True}),
  'code of 16': Row({_METHOD + 'code_size': 16}),
  'code of 64': Row({_METHOD + 'code_size': 64}),
  'twice the width': Row({'method.width': 1.0}),
  'half the rate': Row({'optim.learning_rate': 1e-3}),
  'twice the rate': Row({'optim.learning_rate': 4e-3}),
  'half the batch': Row({'train.batch_size': 8}),
  'SSIM': Row(term=_similarity),
  'neighbours': Row(_NEIGHBOURS),
  'neighbours alike': Row(_NEIGHBOURS, _slow),
  'neighbours nearest': Row(_NEIGHBOURS, _margin),
  'a code ahead': Row(_NEIGHBOURS, _ahead),
  'plain autoencoder': Row({_METHOD + 'reach': 0.0}, has_faces=False),
  'masked autoencoder': Row(
    _NEIGHBOURS | {'optim.learning_rate': 1e-3},
    make=masked_autoencoder.make,
  ),
}
