"""FaceCycle's loss on pairs of frames in PyTorch, and one model with it.

B pairs are 2 B images, the first members before the second; NCHW. The
published way computes the same activations again wherever they are used;
`share` computes each once (the loss is the same one, up to rounding).
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import torch_networks as networks

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = 1e-4, 9e-4
_PERCEPTUAL_TAPS = ('relu2_1', 'relu3_1', 'relu4_1')


def normalise(frames: torch.Tensor) -> torch.Tensor:
  """Returns uint8 frames [..., S, S, 3] as [n, 3, S, S] float32, normalised."""
  image = frames.reshape(-1, *frames.shape[-3:]).permute(0, 3, 1, 2).float()
  mean = torch.tensor([255 * m for m in _MEAN], device=frames.device)
  std = torch.tensor([255 * s for s in _STD], device=frames.device)
  return (image - mean[:, None, None]) / std[:, None, None]


def _taps(device):
  reach = torch.arange(_WINDOW_PX, dtype=torch.float64) - _WINDOW_PX // 2
  taps = torch.exp(-(reach**2) / (2 * _SIGMA_PX**2))
  return (taps / taps.sum()).to(torch.float32).to(device)


def _blur_by_convolution(image):
  """Returns the window's means by an 11x11 convolution of each channel."""
  taps = _taps(image.device).to(image.dtype)
  channels = image.shape[1]
  window = (taps[:, None] * taps[None, :]).expand(channels, 1, -1, -1)
  return F.conv2d(image, window, padding=_WINDOW_PX // 2, groups=channels)


def _blur_by_products(image):
  """Returns the window's means by a product with a band matrix an axis."""
  size = image.shape[-1]
  offset = torch.arange(size, device=image.device)
  offset = offset[:, None] - offset[None, :] + _WINDOW_PX // 2
  inside = (offset >= 0) & (offset < _WINDOW_PX)
  taps = _taps(image.device).to(image.dtype)
  matrix = torch.where(inside, taps[offset.clamp(0, _WINDOW_PX - 1)], 0)
  return matrix @ image @ matrix.T


class _Similarity:
  """SSIM to one target with the published window and constants."""

  def __init__(self, target, *, share):
    self._blur = _blur_by_products if share else _blur_by_convolution
    self._target, self._share = target, share
    self._statistics = self._of(target) if share else None

  def _of(self, image):
    mean = self._blur(image)
    return mean, self._blur(image * image) - mean**2

  def loss(self, image):
    """Returns 1 - SSIM, the mean over images, channels and pixels."""
    target_mean, target_variance = self._statistics or self._of(self._target)
    mean, variance = self._of(image)
    covariance = self._blur(image * self._target) - mean * target_mean
    similarity = (2 * mean * target_mean + _C1) * (2 * covariance + _C2)
    similarity = similarity / (
      (mean**2 + target_mean**2 + _C1) * (variance + target_variance + _C2)
    )
    return 1 - similarity.mean()


def _gram(features):
  """Returns [B, C, C] Gram matrices divided by the number of pixels."""
  flat = features.flatten(2)
  return (flat @ flat.transpose(1, 2)).float() / flat.shape[2]


def _asymmetry(image):
  half = image.shape[-1] // 2
  return F.l1_loss(image[..., :half], image.flip(-1)[..., :half])


def _swap(x):
  """Exchanges the two members of all pairs."""
  return x.roll(x.shape[0] // 2, 0)


class FaceCycle(nn.Module):
  """One model's networks; calling it computes the loss of one step.

  Attributes:
    trunk: Frozen VGG19 of all models, no part of the state dict; None for no
      perceptual term and a trained stem.
    share: Whether each activation is computed once, and SSIM separably.
    autocast: Whether the networks run in bfloat16; the losses never do.
    stacked: Whether it will run under torch.func.vmap.
  """

  def __init__(
    self,
    *,
    width: float = 1.0,
    size_px: int = 64,
    trunk: networks.Trunk | None = None,
    share: bool = False,
    autocast: bool = False,
    stacked: bool = False,
  ):
    super().__init__()
    self.encoder = networks.Encoder(size_px=size_px, width=width)
    self.flow_net = networks.FlowNet(
      size_px=size_px, width=width, stacked=stacked
    )
    self.generator = networks.Generator(width=width, stacked=stacked)
    if trunk is None:
      self.stem = networks.Trunk(width=width, num_convs=networks.STEM_CONVS)
    self.width, self.size_px = width, size_px
    self.share, self.autocast, self.stacked = share, autocast, stacked
    # In a tuple, so that PyTorch does not take it for a part of the model.
    self._trunk = (trunk,)

  @property
  def trunk(self) -> networks.Trunk | None:
    """The frozen VGG19, if any."""
    return self._trunk[0]

  def draw_noise(
    self, num_images: int, *, device: str, num_models: int | None = None
  ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Returns the noise of the passes 'neutral' and 'recon'.

    With num_models every tensor has a leading axis of models.
    """
    lead = () if num_models is None else (num_models,)
    side = self.size_px // 4
    shapes = [
      (*lead, num_images, networks.scaled(64 * 2 ** (2 - i), self.width), s, s)
      for i, s in enumerate((side, 2 * side))
    ]
    return {
      name: tuple(torch.randn(shape, device=device) for shape in shapes)
      for name in ('neutral', 'recon')
    }

  def forward(
    self,
    image: torch.Tensor,
    noise: dict[str, tuple[torch.Tensor, torch.Tensor]],
    neutral_weight: float = 1.0,
  ) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Returns the loss, its terms, and the images and flows of one step.

    Args:
      image: [2 B, 3, S, S] float32, normalised.
      noise: As from `draw_noise`.
      neutral_weight: Weight of the neutral face's asymmetry.
    """
    with torch.autocast(image.device.type, torch.bfloat16, self.autocast):
      out, taps = self._pass(image, noise)
      grams = self._grams(image, out, taps) if self.trunk else {}
    terms = self._terms(image, out)
    for tap, (target, matrices) in grams.items():
      copies = matrices.shape[0] // target.shape[0]
      terms[f'perceptual_{tap}'] = F.mse_loss(
        matrices, target.detach().repeat(copies, 1, 1)
      )
    sums = _weigh(terms, neutral_weight)
    return sums['total'], sums | terms, out

  def _features(self, image, num_convs=networks.STEM_CONVS):
    return (self.trunk or self.stem)(image, num_convs)

  def _pass(self, image, noise):
    """Returns the images of one step and the activations to be reused."""
    deep = networks.TRUNK_CONVS if self.share and self.trunk else None
    deep = deep or networks.STEM_CONVS
    code = self.encoder(image)
    forward, backward = self.flow_net(code)
    image_taps = self._features(image, deep)
    neutral = self.generator(image_taps, flow=forward, noise=noise['neutral'])
    neutral = neutral.float()
    warp = functools.partial(networks.warp, stacked=self.stacked)
    warped = warp(image, forward)
    direct = warp(_swap(warped), backward)
    swapped = warp(_swap(neutral), backward)
    if self.share:
      neutral_taps = self._features(neutral, deep)
      swapped_taps = {k: _swap(neutral_taps[k]) for k in _PERCEPTUAL_TAPS[:2]}
      auto_taps = image_taps
    else:
      neutral_taps = None
      swapped_taps = self._features(_swap(neutral))
      auto_taps = self._features(image)
    recon = self.generator(swapped_taps, flow=backward, noise=noise['recon'])
    auto = self.generator(auto_taps)
    out = {
      'embedding': code,
      'forward': forward,
      'backward': backward,
      'neutral': neutral,
      'warped': warped,
      'direct': direct,
      'swapped': swapped,
      'recon': recon.float(),
      'auto': auto.float(),
    }
    return out, (image_taps, neutral_taps)

  def _grams(self, image, out, taps):
    """Returns {tap: (Gram matrices of the input, of the four images)}."""
    deep = networks.TRUNK_CONVS
    others = [out['swapped'], out['direct'], out['recon']]
    if self.share:
      target_taps, neutral_taps = taps
      other_taps = self._features(torch.cat(others), deep)
      return {
        tap: (
          _gram(target_taps[tap]),
          torch.cat([_gram(neutral_taps[tap]), _gram(other_taps[tap])]),
        )
        for tap in _PERCEPTUAL_TAPS
      }
    target_taps = self._features(torch.cat([image] * 4), deep)
    image_taps = self._features(torch.cat([out['neutral'], *others]), deep)
    return {
      tap: (_gram(target_taps[tap]), _gram(image_taps[tap]))
      for tap in _PERCEPTUAL_TAPS
    }

  def _terms(self, image, out):
    similarity = _Similarity(image, share=self.share)
    return {
      'l1_recon': F.l1_loss(out['recon'], image),
      'l1_auto': F.l1_loss(out['auto'], image),
      'l1_swapped': F.l1_loss(out['swapped'], image),
      'l1_direct': F.l1_loss(out['direct'], image),
      'symmetry_neutral': _asymmetry(out['neutral']),
      'symmetry_warped': _asymmetry(out['warped']),
      'ssim_recon': similarity.loss(out['recon']),
      'ssim_auto': similarity.loss(out['auto']),
      'ssim_direct': similarity.loss(out['direct']),
    }


def _weigh(terms, neutral_weight):
  """Returns the four sums with their inner weights and the total."""
  pixel = (
    terms['l1_recon']
    + terms['l1_auto']
    + terms['l1_swapped']
    + 1.5 * terms['l1_direct']
  )
  ssim = terms['ssim_recon'] + terms['ssim_auto'] + 1.5 * terms['ssim_direct']
  symmetry = (
    neutral_weight * terms['symmetry_neutral'] + 0.5 * terms['symmetry_warped']
  )
  perceptual = sum(
    terms.get(f'perceptual_{tap}', torch.zeros_like(pixel))
    for tap in _PERCEPTUAL_TAPS
  )
  return {
    'pixel': pixel,
    'perceptual': perceptual,
    'ssim': ssim,
    'symmetry': symmetry,
    'total': 0.01 * perceptual + pixel + 1.5 * symmetry + 5 * ssim,
  }
