"""The reference's numbers, and the rules by which its inputs are refilled.

Files lie in the folder named by PSM_PARITY_DIR, by default ../shared/parity
beside the repository; the README there states the rules.
"""

import math
import os
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(
  os.environ.get(
    'PSM_PARITY_DIR',
    pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'parity',
  )
)
FACECYCLE_GAINS = {
  '.conv2.weight': 0.25,
  'codegeneration.expresscode.2.weight': 1.0,
  'exptoflow.toflow4.3.weight': 0.02,
  'Swap_Generator.torgb.weight': 1.0,
}
# Our name: the golden's.
FACECYCLE_OUTPUTS = {
  'embedding': 'expcode',
  'forward': 'flow_full',
  'backward': 'backflow_full',
  'neutral': 'neu_face',
  'warped': 'direct_forward',
  'direct': 'direct_backward',
  'swapped': 'swap_backward',
  'recon': 'recon_face',
  'auto': 'rec_img',
}
FACECYCLE_TERMS = {
  'l1_recon': 'l1_recon',
  'l1_auto': 'l1_rec_img',
  'l1_swapped': 'l1_swap_backward',
  'l1_direct': 'l1_direct_backward',
  'pixel': 'pixel_loss',
  'perceptual_relu2_1': 'perc_r21',
  'perceptual_relu3_1': 'perc_r31',
  'perceptual_relu4_1': 'perc_r41',
  'perceptual': 'perc_loss',
  'ssim_recon': 'ssim_recon',
  'ssim_auto': 'ssim_rec_img',
  'ssim_direct': 'ssim_direct_backward',
  'ssim': 'ssim_loss',
  'symmetry_neutral': 'sym_neutral',
  'symmetry_warped': 'sym_direct_forward',
  'symmetry': 'sym_loss',
  'total': 'total',
}


def stream(seed, name):
  """Returns the generator of one named array."""
  return np.random.default_rng([seed, zlib.crc32(name.encode())])


def fill(seed, name, shape, gains):
  """Returns a parameter or buffer, refilled."""
  drawn = stream(seed, name).standard_normal(shape).astype(np.float32)
  if name.endswith('num_batches_tracked'):
    return np.zeros(shape, np.int64)
  if name.endswith('running_var'):
    return np.float32(1) + np.abs(drawn) * np.float32(0.1)
  if name.endswith(('running_mean', '.bias')):
    return drawn * np.float32(0.05)
  if len(shape) == 1:
    return np.float32(1) + drawn * np.float32(0.1)
  gain = next((g for key, g in gains.items() if name.endswith(key)), 2.0)
  return drawn * np.float32(math.sqrt(gain / np.prod(shape[1:])))


def images(seed, name, num, size, cells=8):
  """Returns [num, 3, size, size] uint8, smooth but for a little noise."""
  draw = stream(seed, name)
  step = size // cells
  low = draw.integers(0, 256, size=(num, 3, cells + 1, cells + 1))
  i, f = np.arange(size) // step, np.arange(size) % step
  up = low[:, :, i, :] * (step - f)[:, None] + low[:, :, i + 1, :] * f[:, None]
  up = up[:, :, :, i] * (step - f) + up[:, :, :, i + 1] * f
  noisy = up // step**2 + draw.integers(-8, 9, size=(num, 3, size, size))
  return np.clip(noisy, 0, 255).astype(np.uint8)
