"""Embeddings of frames by one model, compiled for the machine at hand."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, UInt8

from psm_jax import tasks
from psm_jax.data import canonical_faces, store
from psm_jax.engine import dispatch
from psm_jax.methods import interface

_BATCH_FRAMES = 64
_PART_FRAMES = 16


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
