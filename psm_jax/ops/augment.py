"""Random changes to training images, made on the device inside the step.

The published training draws them for every image by itself: a crop of random
size and shape, a change of colour and a horizontal flip (torchvision's
RandomResizedCrop, ColorJitter and RandomHorizontalFlip on 8-bit images). Here
they are float arithmetic of static shape; an 8-bit image rounds after every
operation, so single pixels differ by up to about two grey levels.

  frames = augment.augment_pairs(key, frames, config=augment.Augmentation())

Shapes: B pairs, H W pixels; channels are R, G, B.
"""

import dataclasses
import functools
import math

import chex
import dm_pix as pix
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Float32, Int32, Key

from psm_jax.ops.arrays import Array

_NUM_TRIES = 10  # Of RandomResizedCrop, before it gives up.
_NUM_CROP_DRAWS = 2 * _NUM_TRIES + 2
_NUM_DRAWS = _NUM_CROP_DRAWS + 9 + 1  # An image's crop, colours, flip.
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as 8-bit images convert to grey.


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What is changed and by how much; the defaults are the published ones.

  An operation whose range is empty is left out of the compiled program.

  Attributes:
    crop_scale: (low, high) area of the crop as a fraction of the image's.
      Crops that do not fit are drawn again, so the area never exceeds 1.
    crop_aspect: (low, high) width of the crop over its height.
    jitter_probability: how often the colours of an image change.
    brightness: the image is scaled by 1 - x to 1 + x.
    contrast: the same for its distance to its mean grey.
    saturation: the same for the distance of each pixel to its own grey.
    hue: the hue turns by -x to x of a full turn, x at most 0.5.
    flip: 'independent' (each image flips by itself, as published), 'shared'
      (both images of a pair or neither) or 'none'.
    flip_probability: how often an image, or a pair, flips.
    mirror_probability: how often the second image of a pair gives way to the
      mirrored first, as augmented: 0.5 for the published general models.
  """

  crop_scale: tuple[float, float] = (0.95, 1.05)
  crop_aspect: tuple[float, float] = (0.95, 1.05)
  jitter_probability: float = 0.8
  brightness: float = 0.05
  contrast: float = 0.05
  saturation: float = 0.05
  hue: float = 0.01
  flip: str = 'independent'
  flip_probability: float = 0.5
  mirror_probability: float = 0.0

  def __post_init__(self):
    """Checks the values."""
    for name in ('crop_scale', 'crop_aspect'):
      value = getattr(self, name)
      if len(value) != 2 or not 0 < value[0] <= value[1] < math.inf:
        raise ValueError(f'{name} is {value}; it must be 0 < low <= high.')
    largest = {
      'jitter_probability': 1,
      'flip_probability': 1,
      'mirror_probability': 1,
      'brightness': 1,
      'contrast': 1,
      'saturation': 1,
      'hue': 0.5,
    }
    for name, high in largest.items():
      value = getattr(self, name)
      if not 0 <= value <= high:
        raise ValueError(f'{name} is {value}; it must be in [0, {high}].')
    if self.flip not in ('independent', 'shared', 'none'):
      raise ValueError(
        f"flip is {self.flip!r}; it must be 'independent', 'shared' or 'none'."
      )


def of_config(config: ml_collections.ConfigDict) -> Augmentation | None:
  """Returns what `config.augment` asks for, None if it is switched off.

  Raises:
    ValueError: If a value cannot be, switched off or not; names it.
  """
  values = config.to_dict()
  is_enabled = values.pop('enabled')
  augmentation = Augmentation(**values)
  return augmentation if is_enabled else None


def augment(
  key: Key[jax.Array, ''],
  image: Float32[Array, 'H W 3'],
  *,
  config: Augmentation,
) -> Float32[jax.Array, 'H W 3']:
  """Crops, colours and flips one image at random.

  Args:
    key: () key.
    image: [H, W, 3] float32 in [0, 1].
    config: what to change; static under jit. One image has no partner, so
      flip 'shared' is the same as 'independent'.

  Returns:
    [H, W, 3] float32 in [0, 1].
  """
  chex.assert_shape(image, (None, None, 3))
  draws = jax.random.uniform(key, (_NUM_DRAWS,))
  return _augment(draws, draws[-1], image, config)


def augment_pairs(
  key: Key[jax.Array, ''],
  frames: Float32[Array, '2 B H W 3'],
  *,
  config: Augmentation,
  pairs: Int32[Array, ' B'] | None = None,
) -> Float32[jax.Array, '2 B H W 3']:
  """Augments the images of a batch of pairs, each with a key of its own.

  Image (m, b) is augmented with fold_in(key, 2 b + m): what becomes of it does
  not depend on the images around it or on how many there are. A shared flip is
  that of member 0.

  Args:
    key: () key of this step.
    frames: [2, B, H, W, 3] float32 in [0, 1]; axis 0 is the member of the pair.
    config: what to change; static under jit.
    pairs: [B] int32, numbers of the pairs in the step, where its pairs are
      spread over devices; 0 to B - 1 by default.

  Returns:
    [2, B, H, W, 3] float32 in [0, 1].
  """
  chex.assert_shape(frames, (2, None, None, None, 3))

  def draw(image_index):
    return jax.random.uniform(
      jax.random.fold_in(key, image_index), (_NUM_DRAWS,)
    )

  if pairs is None:
    pairs = jnp.arange(frames.shape[1])
  image_indices = jnp.stack([2 * pairs, 2 * pairs + 1])
  draws = jax.vmap(jax.vmap(draw))(image_indices)
  flip_draws = draws[..., -1]
  if config.flip == 'shared':
    flip_draws = jnp.broadcast_to(flip_draws[:1], flip_draws.shape)
  one = functools.partial(_augment, config=config)
  first, second = jax.vmap(jax.vmap(one))(draws, flip_draws, frames)
  if config.mirror_probability:

    def is_mirrored(image_index):
      # A key of its own, so that the other draws stay what they are without.
      mirror_key = jax.random.fold_in(jax.random.fold_in(key, image_index), 1)
      return jax.random.uniform(mirror_key) < config.mirror_probability

    mirrored = jax.vmap(is_mirrored)(image_indices[1])
    second = jnp.where(
      mirrored[:, None, None, None], pix.flip_left_right(first), second
    )
  return jnp.stack([first, second])


def _augment(draws, flip_draw, image, config):
  """Returns one image changed by the operations that config enables."""
  if (config.crop_scale, config.crop_aspect) != ((1, 1), (1, 1)):
    image = _crop(draws[:_NUM_CROP_DRAWS], image, config)
  jitters = config.brightness, config.contrast, config.saturation, config.hue
  if config.jitter_probability and any(jitters):
    image = _jitter(draws[_NUM_CROP_DRAWS:-1], image, config)
  if config.flip_probability and config.flip != 'none':
    is_flipped = flip_draw < config.flip_probability
    image = jnp.where(is_flipped, pix.flip_left_right(image), image)
  return image


def _crop(draws, image, config):
  """Returns a random crop of the image, resized to the image's size.

  A crop is never larger than the image, so resizing never shrinks and the
  antialiasing of the published bilinear resize has nothing to do.
  """
  height, width, _ = image.shape
  top, left, crop_height, crop_width = _choose_crop(
    draws, height, width, config
  )
  rows = _resize_matrix(top, crop_height, height)
  columns = _resize_matrix(left, crop_width, width)
  product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  image = product('jw,hwc->hjc', columns, image)
  return jnp.clip(product('ih,hjc->ijc', rows, image), 0, 1)


def _choose_crop(draws, height, width, config):
  """Returns (top, left, height, width) of a crop: () float32, whole pixels."""
  low, high = config.crop_scale
  areas = height * width * (low + (high - low) * draws[:_NUM_TRIES])
  low, high = (math.log(aspect) for aspect in config.crop_aspect)
  aspects = jnp.exp(low + (high - low) * draws[_NUM_TRIES:-2])
  widths = jnp.round(jnp.sqrt(areas * aspects))
  heights = jnp.round(jnp.sqrt(areas / aspects))
  fits = (widths >= 1) & (widths <= width) & (heights >= 1)
  fits &= heights <= height

  # The first that fits; where none does, argmax is 0 and nothing is chosen.
  is_chosen = fits & (jnp.arange(_NUM_TRIES) == jnp.argmax(fits))
  whole_height, whole_width = _largest_crop(height, width, config)
  is_random = jnp.any(fits)

  def choose(sizes, whole, limit, draw):
    size = jnp.sum(jnp.where(is_chosen, sizes, 0))
    start = jnp.floor(draw * (limit - size + 1))
    return (
      jnp.where(is_random, start, (limit - whole) // 2),
      jnp.where(is_random, size, whole),
    )

  top, crop_height = choose(heights, whole_height, height, draws[-2])
  left, crop_width = choose(widths, whole_width, width, draws[-1])
  return top, left, crop_height, crop_width


def _largest_crop(height, width, config):
  """Returns (height, width) used after ten misses: the image, if allowed."""
  low, high = config.crop_aspect
  if width / height < low:
    return round(width / low), width
  if width / height > high:
    return height, round(height * high)
  return height, width


def _resize_matrix(start, length, size):
  """Returns [size, size] weights: row i makes pixel i from the old pixels.

  Bilinear between pixel centres; beyond the outermost centres of
  [start, start + length) the outermost pixel repeats.
  """
  pixels = jnp.arange(size, dtype=jnp.float32)
  offset = (pixels + 0.5) * (length / size) - 0.5
  position = start + jnp.clip(offset, 0, length - 1)
  distance = jnp.abs(position[:, None] - pixels[None, :])
  return jnp.maximum(1 - distance, 0)


def _jitter(draws, image, config):
  """Returns the image with its colours changed, in random order.

  Brightness, contrast and saturation are one operation, a blend. The hue turn
  costs most and falls at any place among them, so the blends are written
  twice, before it and after it, and those not due have factor 1: no change.
  """
  strengths = np.float32(
    [config.brightness, config.contrast, config.saturation]
  )
  num_blends = np.count_nonzero(strengths)
  chance, swings, times = draws[0], 2 * draws[1:5] - 1, draws[5:]
  times, kinds, factors = jax.lax.sort(
    (
      jnp.where(strengths > 0, times[:3], jnp.inf),  # Disabled ones go last.
      jnp.arange(3),
      1 + strengths * swings[:3],
    ),
    num_keys=1,
  )

  def blend_all(image, factors):
    for slot in range(num_blends):
      image = _blend(image, kinds[slot], factors[slot])
    return image

  if config.hue:
    is_before = times < draws[-1]
    changed = blend_all(image, jnp.where(is_before, factors, 1))
    changed = jnp.clip(pix.adjust_hue(changed, config.hue * swings[3]), 0, 1)
    changed = blend_all(changed, jnp.where(is_before, 1, factors))
  else:
    changed = blend_all(image, factors)
  return jnp.where(chance < config.jitter_probability, changed, image)


def _blend(image, kind, factor):
  """Moves an image away from black, its mean grey or its greys.

  These are Pillow's and torchvision's definitions. dm-pix has others: its
  brightness adds, its contrast keeps the mean of each channel, its saturation
  scales S of HSV, and none of them clips.

  Args:
    image: [H, W, 3] float32 in [0, 1].
    kind: () int32: 0 brightness, 1 contrast, 2 saturation.
    factor: () float32; 1 returns the image bit for bit.
  """
  grey = sum(weight * image[..., c] for c, weight in enumerate(_GREY))
  target = jnp.where(kind == 1, jnp.mean(grey), grey)
  target = jnp.where(kind == 0, 0, target)[..., None]
  return jnp.clip(factor * image + (1 - factor) * target, 0, 1)
