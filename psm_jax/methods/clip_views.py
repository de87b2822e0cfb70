"""Two random views of a clip, made on the device inside the step.

Crop and flip are drawn once a clip, for all its frames and both views: were
they drawn a frame, they would tell frames apart better than movement does.
Colours, grey and blur are drawn a view, for all its frames. Contrastive
learning draws these changes (Chen et al., ICML 2020; Chen et al., MoCo v2,
2020); which of them a clip shares is our choice. B clips, T frames, S pixels a
side.
"""

import dataclasses

import dm_pix as pix
import jax
import jax.numpy as jnp

from psm_jax.ops import augment, data_axis

# Standard deviation of the blur in pixels of an image of 224 (MoCo v2).
_BLUR_SIGMA = (0.1, 2.0)
_BLUR_SIZE_PX = 224


def draw(
  key: jax.Array,
  clips: jax.Array,
  *,
  config: augment.Augmentation,
  grey_probability: float,
  blur_probability: float,
  axis: data_axis.DataAxis,
) -> tuple[jax.Array, jax.Array]:
  """Returns two views of each clip.

  Clip b of the batch joined over the devices is changed with fold_in(key, b):
  what becomes of it does not depend on the clips or devices around it.

  Args:
    key: () key of this step, the same on all devices.
    clips: [B, T, S, S, 3] float32 in [0, 1], of this device.
    config: Crop and flip of a clip, colours of a view; any flip but 'none'
      turns whole clips. This and what follows is static under jit.
    grey_probability: How often a view loses its colours.
    blur_probability: How often a view is blurred.
    axis: The devices that share the batch.

  Returns:
    Two [B, T, S, S, 3] float32 in [0, 1].
  """
  geometry = dataclasses.replace(config, jitter_probability=0)
  colours = dataclasses.replace(
    config, crop_scale=(1, 1), crop_aspect=(1, 1), flip='none'
  )

  def of_frames(key, clip, images):
    """Changes all frames alike."""
    return jax.vmap(lambda frame: augment.augment(key, frame, config=images))(
      clip
    )

  def view(key, clip):
    colour_key, other_key = jax.random.split(key)
    clip = of_frames(colour_key, clip, colours)
    chances = jax.random.uniform(other_key, (3,))
    if grey_probability:
      grey = pix.rgb_to_grayscale(clip, keep_dims=True)
      clip = jnp.where(chances[0] < grey_probability, grey, clip)
    if blur_probability:
      low, high = (clip.shape[1] * s / _BLUR_SIZE_PX for s in _BLUR_SIGMA)
      blurred = blur(clip, low + (high - low) * chances[2])
      clip = jnp.where(chances[1] < blur_probability, blurred, clip)
    return clip

  def views_of(index, clip):
    keys = jax.random.split(jax.random.fold_in(key, index), 3)
    clip = of_frames(keys[0], clip, geometry)
    return jax.vmap(view, (0, None))(keys[1:], clip)

  indices = axis.own(jnp.arange(axis.size * len(clips)))
  views = jax.vmap(views_of)(indices, clips)
  return views[:, 0], views[:, 1]


def blur(frames: jax.Array, sigma: jax.Array | float) -> jax.Array:
  """Returns frames blurred by a Gaussian, which is cut off at their edges.

  Two products with a matrix of weights, as a convolution whose kernel differs
  between clips would run one clip at a time.

  Args:
    frames: [T, S, S, 3] float32.
    sigma: () float, standard deviation in pixels, above 0.

  Returns:
    [T, S, S, 3] float32.
  """
  pixels = jnp.arange(frames.shape[1], dtype=jnp.float32)
  distance = (pixels[:, None] - pixels[None, :]) / sigma
  weights = jax.nn.softmax(-0.5 * distance**2, axis=1)
  return jnp.einsum(
    'ih,thwc,jw->tijc',
    weights,
    frames,
    weights,
    precision=jax.lax.Precision.HIGHEST,
  )
