"""CLP's networks: a frame encoder and a projector (Li and Shan, TIP 2023).

n images or B clips of T frames, S pixels a side, Dh units of the embedding, D
of its projection, on which the losses act (MoCo v2's two layers; our choice).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from psm_jax.models import layers, norm, resnet
from psm_jax.ops import data_axis


class Projector(nn.Module):
  """Maps embeddings to the space in which they are contrasted."""

  features: int = 128

  @nn.compact
  def __call__(self, embedding: jax.Array) -> jax.Array:
    """Maps [n, Dh] to [n, features]."""
    hidden = embedding.shape[-1]
    x = layers.Dense(hidden, math.sqrt(2 / hidden), name='hidden')(embedding)
    out = layers.Dense(self.features, math.sqrt(1 / hidden), name='out')
    return out(jax.nn.relu(x))


class Networks:
  """Encoder and projector; parameters are {'encoder', 'projector'}."""

  def __init__(
    self,
    *,
    width: float = 1.0,
    stem_px: int = 7,
    projection_size: int = 128,
    lowering: str = 'matmul',
    axis: data_axis.DataAxis,
  ):
    self.embedding_size = resnet.embedding_size(width)
    self.encoder = resnet.ResNet18(width, stem_px, lowering, axis)
    self.projector = Projector(projection_size)

  def init(self, key):
    """Draws (parameters, running statistics) of one model."""
    keys = jax.random.split(key)
    # Parameters do not depend on the size; this one leaves a pixel to pool.
    encoder = self.encoder.init(keys[0], jnp.zeros((1, 32, 32, 3)), train=False)
    embedding = jnp.zeros((1, self.embedding_size))
    projector = self.projector.init(keys[1], embedding)
    params = {'encoder': encoder['params'], 'projector': projector['params']}
    return params, encoder[norm.STATISTICS]

  def encode(self, params, statistics, image):
    """Returns [n, Dh] embeddings of normalised images by the running mean."""
    variables = {'params': params['encoder'], norm.STATISTICS: statistics}
    return self.encoder.apply(variables, image, train=False)

  def project(self, params, statistics, clips):
    """Returns projections by the batch's statistics, and those it moves.

    Args:
      params: As from `init`.
      statistics: As from `init`.
      clips: [B, T, S, S, 3] float, normalised.

    Returns:
      [B, T, D] float, and the new running statistics.
    """
    variables = {'params': params['encoder'], norm.STATISTICS: statistics}
    embedding, moved = self.encoder.apply(
      variables,
      clips.reshape((-1, *clips.shape[2:])),
      train=True,
      mutable=norm.STATISTICS,
    )
    projected = self.projector.apply({'params': params['projector']}, embedding)
    return projected.reshape((*clips.shape[:2], -1)), moved[norm.STATISTICS]
