"""Image comparisons of FaceCycle's loss: SSIM, Gram matrices, symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from psm_jax.ops.arrays import Array

_WINDOW_PX = 11
_SIGMA_PX = 1.5
_C1, _C2 = 1e-4, 9e-4


def l1(
  image: Float[Array, 'B H W C'],
  target: Float[Array, 'B H W C'],
  *,
  weights: Float[Array, 'H W'] | None = None,
) -> Float[jax.Array, '']:
  """Returns the mean absolute difference.

  Args:
    image: [B, H, W, C] float.
    target: Of the same shape.
    weights: [H, W] of pixels, 1 on average; None for all alike.
  """
  difference = jnp.abs(image - target)
  if weights is not None:
    difference = difference * weights[None, :, :, None]
  return jnp.mean(difference)


def blur_matrix(size: int) -> Float32[np.ndarray, '{size} {size}']:
  """Returns the [size, size] float32 matrix of SSIM's Gaussian along an axis.

  Eleven taps, standard deviation 1.5 pixels, zeros beyond the border.
  """
  offset = np.arange(size)[:, None] - np.arange(size)[None, :]
  taps = np.exp(-(offset**2) / (2 * _SIGMA_PX**2))
  reach = np.arange(_WINDOW_PX) - _WINDOW_PX // 2
  total = np.exp(-(reach**2) / (2 * _SIGMA_PX**2)).sum()
  inside = np.abs(offset) <= _WINDOW_PX // 2
  return (np.where(inside, taps, 0.0) / total).astype(np.float32)


def ssim_losses(
  target: Float[Array, 'B H H C'],
  images: list[Float[Array, 'B H H C']],
  *,
  weights: Float[Array, 'H H'] | None = None,
) -> list[Float[jax.Array, '']]:
  """Returns 1 - SSIM of each batch of images to the target.

  Wang et al., 2004, with the reference's window and constants, which assume a
  range of 1 (FaceCycle keeps them for normalised images). The target's window
  statistics are computed once.

  Args:
    target: [B, H, H, C] float.
    images: Batches of the target's shape.
    weights: [H, H] of pixels, 1 on average; None for all alike.

  Returns:
    A scalar for each batch: the mean over images, channels and pixels.
  """
  matrix = jnp.asarray(blur_matrix(target.shape[1]), target.dtype)

  def blur(x):
    return jnp.einsum('ih,bhwc,jw->bijc', matrix, x, matrix)

  target_mean = blur(target)
  target_variance = blur(target * target) - target_mean**2
  losses = []
  for image in images:
    mean = blur(image)
    variance = blur(image * image) - mean**2
    covariance = blur(image * target) - mean * target_mean
    similarity = (2 * mean * target_mean + _C1) * (2 * covariance + _C2)
    similarity /= (mean**2 + target_mean**2 + _C1) * (
      variance + target_variance + _C2
    )
    if weights is not None:
      similarity = similarity * weights[None, :, :, None]
    losses.append(1 - jnp.mean(similarity))
  return losses


def gram(features: Float[Array, 'B H W C']) -> Float[jax.Array, 'B C C']:
  """Returns [B, C, C] Gram matrices of [B, H, W, C], divided by H W."""
  _, height, width, _ = features.shape
  products = jnp.einsum(
    'bhwc,bhwd->bcd', features, features, preferred_element_type=jnp.float32
  )
  return products / (height * width)


@jax.custom_vjp
def gram_loss(
  features: Float[Array, 'B H W C'], target: Float[Array, 'B C C']
) -> Float[jax.Array, '']:
  """Returns the mean squared difference of Gram matrices to given ones.

  Its gradient takes one product, as both are symmetric, where that of `gram`
  takes two.

  Args:
    features: [B, H, W, C] float.
    target: [B, C, C] float32, as from `gram`; it has no gradient.
  """
  return _gram_loss_forward(features, target)[0]


def _gram_loss_forward(features, target):
  difference = gram(features) - target
  return jnp.mean(difference**2), (features, difference)


def _gram_loss_backward(kept, grad):
  features, difference = kept
  _, height, width, _ = features.shape
  scale = 4 * grad / (difference.size * height * width)
  pulled_back = jnp.einsum(
    'bhwc,bcd->bhwd',
    features,
    scale * difference,
    preferred_element_type=jnp.float32,
  )
  return pulled_back.astype(features.dtype), jnp.zeros_like(difference)


gram_loss.defvjp(_gram_loss_forward, _gram_loss_backward)


def asymmetry(image: Float[Array, 'B H W C']) -> Float[jax.Array, '']:
  """Returns the mean difference of the left half to the mirrored right."""
  half = image.shape[2] // 2
  mirrored = image[:, :, ::-1]
  return l1(image[:, :, :half], mirrored[:, :, :half])
