"""What one model computes of frames, compiled once for all of a configuration.

computed = programs.of(config)
programs.in_batches(computed.embed, params, method_state, frames, rows)
"""

import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Float32, Int, UInt8

from psm_jax import methods, presets, tasks
from psm_jax.data import canonical_faces, store
from psm_jax.engine import dispatch
from psm_jax.methods import interface

_BATCH_FRAMES = 64
_PART_FRAMES = 16


def of(config: ml_collections.ConfigDict) -> 'Programs':
  """Returns the programs of a configuration, the same for an equal one."""
  return _of(json.dumps(config.to_dict(), sort_keys=True))


@functools.lru_cache(maxsize=4)
def _of(content):
  return Programs(presets.config_of(json.loads(content)))


class Programs:
  """What a configuration computes, compiled once for all of its models.

  Functions of (params, method_state, frames) and, where the method uses them,
  of the canonical faces behind the frames.

  Attributes:
    method: The method.
    embed: Gives embeddings.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    """Compiles nothing yet."""
    self.method = methods.make(config)
    self.embed = embedder(self.method)

  @functools.cached_property
  def drawn(self) -> dict[str, jax.ShapeDtypeStruct]:
    """Names of the pictures that the method draws, with two frames' shapes."""
    frames = jax.ShapeDtypeStruct((2, self.method.size_px**2 * 3), np.uint8)
    state = jax.eval_shape(self.method.init, jax.random.key(0))
    canonical = (frames,) if self.method.uses_canonical else ()
    return jax.eval_shape(self._all_pictures, *state, frames, *canonical)

  def _all_pictures(self, params, method_state, frames, canonical=()):
    return self.method.pictures(
      jax.random.key(0),
      params,
      method_state,
      self.method.shared,
      frames,
      canonical,
    )

  @functools.cache  # noqa: B019 (lives as long as the programs do)
  def picture(self, name: str) -> Callable[..., jax.Array]:
    """Returns what gives one kind of picture, float32."""
    return jax.jit(lambda *given: self._all_pictures(*given)[name])

  @functools.cached_property
  def error(self) -> Callable[..., Float32[jax.Array, ' B']]:
    """Gives [B] float32, the reconstruction's mean error in grey levels."""

    def error(params, method_state, frames, *canonical):
      made = self._all_pictures(params, method_state, frames, *canonical)
      drawn = made['reconstruction']
      image = frames.reshape(drawn.shape).astype(np.float32)
      return abs(255 * drawn - image).mean(axis=(1, 2, 3))

    return jax.jit(error)

  @functools.cached_property
  def drive(self) -> Callable[..., jax.Array]:
    """Gives a face, which comes with the method's state, as frames move it."""

    def drive(params, state_and_face, frames, *canonical):
      method_state, face = state_and_face
      code = self.method.embed(params, method_state, frames, *canonical)
      faces = jnp.broadcast_to(face, (len(frames), *face.shape))
      return self.method.draw(params, self.method.shared, code, faces)

    return jax.jit(drive)


def embedder(method: interface.Method) -> Callable[..., jax.Array]:
  """Returns `Method.embed`, compiled.

  On a CPU parts of the batch are computed side by side (BENCHMARKS.md).
  """
  compiled = jax.jit(method.embed)
  if jax.local_devices()[0].platform != 'cpu':
    return compiled
  lanes = dispatch.Lanes(tasks.num_cores())

  def embed(params, method_state, *pixels):
    def part(start):
      taken = (array[start : start + _PART_FRAMES] for array in pixels)
      return compiled(params, method_state, *taken)

    starts = range(0, len(pixels[0]), _PART_FRAMES)
    return jnp.concatenate(lanes.map(part, starts))

  return embed


def in_batches(
  embed: Callable[..., jax.Array],
  params: interface.Tree,
  method_state: interface.Tree,
  frames: UInt8[store.AnyFrames, 'num_frames _'],
  rows: Int[np.ndarray, ' n'],
  *,
  canonical: canonical_faces.CanonicalFaces | None = None,
) -> Float32[np.ndarray, 'n ...']:
  """Returns [n, ...] float32 of n frames, a batch at a time: their embeddings.

  Args:
    embed: As from `embedder`, or another function of frames.
    params: Of one model.
    method_state: Of one model.
    frames: [num_frames, S * S * 3] uint8, a store's or an array.
    rows: [n] int, which frames.
    canonical: The faces of their videos, given to the function after the
      frames, if it takes them.
  """
  params, method_state = jax.device_put((params, method_state))
  parts = []
  for start in range(0, len(rows), _BATCH_FRAMES):
    batch = rows[start : start + _BATCH_FRAMES]
    # The last batch is filled up, so that one program serves all.
    full = np.pad(batch, (0, _BATCH_FRAMES - len(batch)), mode='edge')
    taken = [frames[full]]
    if canonical is not None:
      taken.append(canonical.of_rows(full))
    embedded = np.asarray(embed(params, method_state, *taken))
    parts.append(embedded[: len(batch)])
  return np.concatenate(parts).astype(np.float32)
