"""The two contrasts of CLP and its dictionary, as functions of embeddings.

Temporal: inside a clip each frame is told from the others, the further in time
the more. Cross-identity: an embedding is rebuilt from keys of other people and
must still be told from other frames. Li and Shan (IEEE TIP 2023) fix these two
signals; the formulas here are our choice. B clips, T frames, D units; queries
and keys have unit length, keys and dictionary are constants of the loss.
"""

import flax
import jax
import jax.numpy as jnp
import numpy as np

from psm_jax.ops import data_axis

TEMPORAL = ('rank', 'disc', 'both')
CROSS_IDENTITY = ('contrast', 'attract')
NEGATIVES = ('clip', 'batch', 'bank', 'clip+batch')
_MASKED = -1e9  # A logit of weight 0; finite, as -inf has no gradient.


@flax.struct.dataclass
class Dictionary:
  """The last M keys, first in, first out.

  Attributes:
    keys: [M, D] float32, of unit length where valid.
    identity: [M] int32, whose keys they are.
    is_valid: [M] bool, False until an entry has been written.
    position: () int32, the entry that is written next.
  """

  keys: jax.Array
  identity: jax.Array
  is_valid: jax.Array
  position: jax.Array


def empty_dictionary(num_entries: int, num_units: int) -> Dictionary:
  """Returns a dictionary without a valid entry."""
  return Dictionary(
    keys=jnp.zeros((num_entries, num_units)),
    identity=jnp.zeros((num_entries,), jnp.int32),
    is_valid=jnp.zeros((num_entries,), bool),
    position=jnp.int32(0),
  )


def push(
  dictionary: Dictionary, keys: jax.Array, identity: jax.Array
) -> Dictionary:
  """Returns the dictionary with its oldest entries overwritten in order.

  Args:
    dictionary: M entries.
    keys: [n, D] float32, n at most M.
    identity: [n] int32.
  """
  num_entries, num_pushed = len(dictionary.keys), len(keys)
  entries = (dictionary.position + jnp.arange(num_pushed)) % num_entries
  return Dictionary(
    keys=dictionary.keys.at[entries].set(keys),
    identity=dictionary.identity.at[entries].set(identity),
    is_valid=dictionary.is_valid.at[entries].set(True),
    position=(dictionary.position + num_pushed) % num_entries,
  )


def unit(x: jax.Array) -> jax.Array:
  """Returns vectors [..., D] of unit length; zero stays zero."""
  square = jnp.sum(x * x, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def rank_loss(
  query: jax.Array, key_embedding: jax.Array, *, margin: float
) -> jax.Array:
  """Returns how far distances fail to grow with the time between frames.

  The frames at temporal distance r from an anchor are its ring r; D(r) is the
  mean squared distance of their keys to the anchor's query. The loss is the
  mean over rings of max(0, D(r - 1) - D(r) + margin).

  Args:
    query: [B, T, D] float32.
    key_embedding: [B, T, D] float32.
    margin: Growth asked for, per ring.

  Returns:
    () float32; 0 if T is 1.
  """
  num_frames = query.shape[1]
  if num_frames == 1:
    return jnp.zeros(())
  rings = _temporal_distance(num_frames)[..., None] == np.arange(num_frames)
  sizes = rings.sum(axis=1)  # [T, rings]
  is_ring = sizes[:, 1:] > 0
  averaging = (rings / np.maximum(1, sizes)[:, None]).astype(np.float32)
  share = (is_ring / is_ring.sum(axis=1, keepdims=True)).astype(np.float32)
  distance = 2 - 2 * jnp.einsum('btd,bud->btu', query, key_embedding)
  ring_distance = jnp.einsum('btu,tur->btr', distance, averaging)
  shortfall = ring_distance[..., :-1] - ring_distance[..., 1:] + margin
  shortfall = jnp.maximum(0, shortfall) * share[None]
  return jnp.mean(jnp.sum(shortfall, axis=-1))


def disc_loss(
  query: jax.Array,
  key_embedding: jax.Array,
  *,
  temperature: float,
  margin: float,
) -> jax.Array:
  """Returns how badly a frame is told from the others of its clip.

  InfoNCE whose negatives count by their temporal distance, r / (T - 1), and
  whose positive similarity is lowered by a margin.

  Args:
    query: [B, T, D] float32.
    key_embedding: [B, T, D] float32.
    temperature: Divides the similarities.
    margin: Subtracted from the similarity of a frame to its own key.

  Returns:
    () float32; 0 if T is 1.
  """
  num_frames = query.shape[1]
  weight = _temporal_distance(num_frames) / max(1, num_frames - 1)
  is_same_frame = np.eye(num_frames, dtype=bool)
  offset = np.log(np.where(is_same_frame, 1, weight))
  offset -= is_same_frame * margin / temperature
  similarity = jnp.einsum('btd,bud->btu', query, key_embedding)
  logits = similarity / temperature + offset.astype(np.float32)[None]
  same_frame_logit = jnp.einsum('btt->bt', logits)
  return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - same_frame_logit)


def reconstruct(
  query: jax.Array,
  is_allowed: jax.Array,
  dictionary: Dictionary,
  *,
  num_nearest: int,
  temperature: float,
) -> tuple[jax.Array, jax.Array]:
  """Rebuilds embeddings from allowed entries of a dictionary.

  Args:
    query: [B, T, D] float32; the gradient flows into it through the weights.
    is_allowed: [B, M] bool.
    dictionary: M entries, constants.
    num_nearest: K, nearest allowed entries that are used, or those there are
      if fewer; 0 uses all allowed ones.
    temperature: Divides the similarities from which the weights come.

  Returns:
    [B, T, D] float32 of unit length, and [B, T, M] float32, the weights of the
    entries, which sum to 1; all zero where nothing is allowed.
  """
  keys = jax.lax.stop_gradient(dictionary.keys)
  logits = jnp.einsum('btd,md->btm', query, keys) / temperature
  is_used = jnp.broadcast_to(is_allowed[:, None], logits.shape)
  logits = jnp.where(is_used, logits, _MASKED)
  if 0 < num_nearest < len(keys):
    # Ties with the last of the K nearest are used too.
    nearest = jax.lax.stop_gradient(jax.lax.top_k(logits, num_nearest)[0])
    is_used &= logits >= nearest[..., -1:]
  logits = jnp.where(is_used, logits, _MASKED)
  weights = jnp.where(is_used, jax.nn.softmax(logits, axis=-1), 0)
  return unit(jnp.einsum('btm,md->btd', weights, keys)), weights


def cross_identity_loss(
  query: jax.Array,
  key_embedding: jax.Array,
  identity: jax.Array,
  dictionary: Dictionary,
  *,
  kind: str,
  negatives: str,
  num_nearest: int,
  min_entries: jax.Array | int,
  temperature: float,
  weight_temperature: float,
  axis: data_axis.DataAxis,
) -> tuple[jax.Array, jax.Array]:
  """Returns how badly other people's keys stand in for an embedding.

  'contrast': InfoNCE of the query's reconstruction against its own key among
  negatives. 'attract': 1 - similarity of the query to the reconstruction of its
  key. Clips whose dictionary has too few entries of others count nothing.

  Args:
    query: [B, T, D] float32, of this device.
    key_embedding: [B', T, D] float32, joined over the devices.
    identity: [B] int32, of this device's clips.
    dictionary: M entries.
    kind: One of CROSS_IDENTITY.
    negatives: Keys of the same clip ('clip'), of the other clips ('batch'),
      both, or the dictionary's valid entries that the reconstruction is not
      made of ('bank').
    num_nearest: See `reconstruct`.
    min_entries: Entries of others from which on a clip counts, at least 1.
    temperature: Of the contrast.
    weight_temperature: Of the reconstruction.
    axis: The devices that share the batch.

  Returns:
    () float32, the mean over the clips that count, 0 if none does; over several
    devices, values whose mean is that of the joined batch. () float32, the
    share of this device's clips that count.
  """
  is_other = identity[:, None] != dictionary.identity[None]
  is_allowed = is_other & dictionary.is_valid[None]
  counts = jnp.sum(is_allowed, axis=1) >= jnp.maximum(1, min_entries)
  share = jnp.mean(counts.astype(jnp.float32))
  source = query if kind == 'contrast' else axis.own(key_embedding)
  rebuilt, weights = reconstruct(
    source,
    is_allowed,
    dictionary,
    num_nearest=num_nearest,
    temperature=weight_temperature,
  )
  if kind == 'attract':
    rebuilt = jax.lax.stop_gradient(rebuilt)
    losses = 1 - jnp.sum(query * rebuilt, axis=-1)
  else:
    losses = _contrast(
      rebuilt,
      key_embedding,
      dictionary,
      weights,
      negatives=negatives,
      temperature=temperature,
      axis=axis,
    )
  total = jnp.mean(jnp.where(counts[:, None], losses, 0))
  joined_share = axis.mean(share)
  return total / jnp.where(joined_share > 0, joined_share, 1), share


def _contrast(
  rebuilt, key_embedding, dictionary, weights, *, negatives, temperature, axis
):
  """Returns the InfoNCE [B, T] of reconstructions against their own keys."""
  num_clips, num_frames, _ = key_embedding.shape
  # [B, B'], then [B, T, B', T']: whether a key is of this clip, this frame.
  clip = jnp.arange(num_clips)
  is_clip = (axis.own(clip)[:, None] == clip[None])[:, None, :, None]
  is_frame = np.eye(num_frames, dtype=bool)[None, :, None, :]
  is_candidate = is_clip & is_frame
  if 'clip' in negatives:
    is_candidate |= is_clip & ~is_frame
  if 'batch' in negatives:
    is_candidate |= ~is_clip
  logits = jnp.einsum('btd,cud->btcu', rebuilt, key_embedding) / temperature
  positive = jnp.sum(jnp.where(is_clip & is_frame, logits, 0), axis=(2, 3))
  logits = jnp.where(is_candidate, logits, _MASKED)
  logits = logits.reshape((*logits.shape[:2], -1))
  if negatives == 'bank':
    entries = jax.lax.stop_gradient(dictionary.keys)
    bank = jnp.einsum('btd,md->btm', rebuilt, entries) / temperature
    is_free = dictionary.is_valid[None, None] & (weights == 0)
    bank = jnp.where(is_free, bank, _MASKED)
    logits = jnp.concatenate([logits, bank], axis=-1)
  return jax.nn.logsumexp(logits, axis=-1) - positive


def _temporal_distance(num_frames):
  """Returns |t - u|, [T, T]."""
  frame = np.arange(num_frames)
  return np.abs(frame[:, None] - frame[None, :])
