"""A masked autoencoder with temporal contrast, to compare canonical faces with.

What is done for behaviour of animals today: a vision transformer that fills in
hidden patches (He et al., CVPR 2022) while embeddings of neighbouring frames
are drawn together and away from those of other frames (BEAST, arXiv
2507.09513). Here it is small, of one person and of faces of some 32 pixels, and
sees how a frame differs from its video's canonical face: given frames as they
are it draws the mean picture, which a place alone tells, and learns nothing of
movement. M members of an example and B examples make M B images of P patches.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax

from psm_jax.methods import contrast, interface

_PATCH_PX = 4
_NUM_VALUES = _PATCH_PX**2 * 3  # Of a patch.
_WIDTH, _DEPTH, _NUM_HEADS = 96, 4, 4
_DRAWING_DEPTH = 1
_SEEN = 0.25  # Share of patches that are not hidden (He et al., section 4.1).
_TEMPERATURE = 0.1
_CONTRAST_WEIGHT = 0.1
_WEIGHT_DECAY = 1e-3
_SCALE = 5.0  # Differences become of about unit size.


class _Block(nn.Module):
  """A layer of a transformer, normalised before each of its parts."""

  @nn.compact
  def __call__(self, tokens):
    normed = nn.LayerNorm()(tokens)
    tokens += nn.MultiHeadDotProductAttention(_NUM_HEADS)(normed, normed)
    hidden = nn.gelu(nn.Dense(4 * _WIDTH)(nn.LayerNorm()(tokens)))
    return tokens + nn.Dense(_WIDTH)(hidden)


class _Encoder(nn.Module):
  """Patches [B, P, 48] and places [B, K] of those seen to [B, K, width]."""

  @nn.compact
  def __call__(self, patches, seen):
    tokens = nn.Dense(_WIDTH)(patches)
    places = self.param(
      'places', nn.initializers.normal(0.02), (patches.shape[1], _WIDTH)
    )
    tokens = jnp.take_along_axis(tokens + places[None], seen[..., None], axis=1)
    for _ in range(_DEPTH):
      tokens = _Block()(tokens)
    return nn.LayerNorm()(tokens)


class _Drawer(nn.Module):
  """Tokens [B, K, width] of the patches seen to all patches [B, P, 48]."""

  num_patches: int

  @nn.compact
  def __call__(self, tokens, seen):
    hidden = self.param('hidden', nn.initializers.normal(0.02), (_WIDTH,))
    places = self.param(
      'places', nn.initializers.normal(0.02), (self.num_patches, _WIDTH)
    )
    shape = (len(tokens), self.num_patches, _WIDTH)
    row = jnp.arange(len(tokens))[:, None]
    everywhere = (
      jnp.broadcast_to(hidden[None, None], shape).at[row, seen].set(tokens)
    )
    everywhere += places[None]
    for _ in range(_DRAWING_DEPTH):
      everywhere = _Block()(everywhere)
    return nn.Dense(_NUM_VALUES)(nn.LayerNorm()(everywhere))


def make(config: ml_collections.ConfigDict) -> interface.Method:
  """Returns the method; pairs must be of neighbouring frames."""
  size_px = config.data.size_px
  cells = size_px // _PATCH_PX
  num = cells**2
  encoder, drawer = _Encoder(), _Drawer(num)

  def patches_of(frames, canonical):
    image, face = (
      pixels.reshape((-1, cells, _PATCH_PX, cells, _PATCH_PX, 3)) / 127.5
      for pixels in (frames, canonical)
    )
    image = _SCALE * (image - face)
    return image.transpose((0, 1, 3, 2, 4, 5)).reshape((-1, num, _NUM_VALUES))

  def init(key):
    keys = jax.random.split(key)
    seen = jnp.zeros((1, num), jnp.int32)
    return {
      'encoder': encoder.init(keys[0], jnp.zeros((1, num, _NUM_VALUES)), seen),
      'drawer': drawer.init(keys[1], jnp.zeros((1, num, _WIDTH)), seen),
    }, ()

  def loss(key, params, method_state, shared, batch, schedule):
    del shared, schedule
    patches = patches_of(batch.frames, batch.canonical)
    order = jnp.argsort(jax.random.uniform(key, patches.shape[:2]), axis=1)
    seen = order[:, : int(_SEEN * num)]
    is_hidden = (
      jnp.ones(patches.shape[:2])
      .at[jnp.arange(len(seen))[:, None], seen]
      .set(0)
    )
    tokens = encoder.apply(params['encoder'], patches, seen)
    drawn = drawer.apply(params['drawer'], tokens, seen)
    square = jnp.mean((drawn - patches) ** 2, axis=-1)
    filled = jnp.sum(square * is_hidden) / jnp.sum(is_hidden)
    first, second = jnp.split(contrast.unit(tokens.mean(axis=1)), 2)
    likeness = first @ second.T / _TEMPERATURE
    labels = jnp.arange(len(first))
    nearest = (
      optax.softmax_cross_entropy_with_integer_labels(likeness, labels)
      + optax.softmax_cross_entropy_with_integer_labels(likeness.T, labels)
    ).mean() / 2
    terms = {'filled': filled, 'contrast': nearest}
    return filled + _CONTRAST_WEIGHT * nearest, (method_state, terms)

  def embed(params, method_state, frames, canonical):
    del method_state
    patches = patches_of(frames, canonical)
    seen = jnp.broadcast_to(jnp.arange(num), patches.shape[:2])
    return encoder.apply(params['encoder'], patches, seen).mean(axis=1)

  return interface.Method(
    name='masked_autoencoder',
    size_px=size_px,
    num_members=2,
    shared=(),
    optimizer=optax.chain(
      optax.scale_by_adam(b2=0.95), optax.add_decayed_weights(_WEIGHT_DECAY)
    ),
    init=init,
    loss=loss,
    embed=embed,
    pictures=lambda *_: {},
    unit_length=False,
    uses_canonical=True,
  )
