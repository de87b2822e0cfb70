"""FaceCycle's networks in PyTorch: what psm_jax is measured against.

Chang et al., ICCV 2021. Attribute names are those of the published tensors, so
that a state dict can be exchanged. B images, S pixels a side (a multiple of
16; 64 in the papers), NCHW. `width` multiplies every hidden channel count.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EMBEDDING_SIZE = 256
_SLOPE = 0.1
# Convolutions of VGG19 up to relu4_1, as torchvision numbers its layers.
_TRUNK_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19)
_TRUNK_CHANNELS = (64, 64, 128, 128, 256, 256, 256, 256, 512)
_POOL_BEFORE = (2, 4, 8)
_TAPS = {2: 'relu2_1', 4: 'relu3_1', 8: 'relu4_1'}
STEM_CONVS, TRUNK_CONVS = 5, 9


def scaled(channels: int, width: float) -> int:
  """Returns a channel count times the width multiplier, at least 4."""
  return max(4, round(channels * width))


def resize(image: torch.Tensor, size_px: int) -> torch.Tensor:
  """Returns [B, C, size, size]: bilinear, corners aligned."""
  if image.shape[-1] == size_px:
    return image
  return F.interpolate(
    image, size=(size_px, size_px), mode='bilinear', align_corners=True
  )


def warp(
  image: torch.Tensor,
  flow: torch.Tensor,
  *,
  clamp: bool = False,
  stacked: bool = False,
) -> torch.Tensor:
  """Samples images at the positions that a displacement field points to.

  Args:
    image: [B, C, H, H] float.
    flow: [B, 2, h, h] float, (x, y) in units of half a side.
    clamp: Positions outside the image are moved to its border, rather than
      counting zero.
    stacked: Whether it runs under vmap. PyTorch 2.13's batching rule of
      grid_sample's gradient fails unless all arguments keep the axis of models
      at the same place, so it is brought to the front then.

  Returns:
    [B, C, H, H] float.
  """
  size = image.shape[-1]
  # Half precision cannot tell the positions of neighbouring pixels apart.
  flow = resize(flow.float(), size)
  axis = torch.linspace(-1.0, 1.0, size, device=image.device, dtype=flow.dtype)
  rows, columns = torch.meshgrid(axis, axis, indexing='ij')
  position = flow.permute(0, 2, 3, 1) + torch.stack((columns, rows), dim=-1)
  image = image.to(position.dtype)
  if stacked:
    image, position = _to_front(image), _to_front(position)
  sampled = F.grid_sample(
    image,
    position,
    mode='bilinear',
    padding_mode='border' if clamp else 'zeros',
    align_corners=True,
  )
  return _to_front(sampled) if stacked else sampled


def _to_front(x):
  """Returns the same tensor; views move vmap's axis to the front."""
  return x.flatten(1).unflatten(1, x.shape[1:])


def _leaky():
  return nn.LeakyReLU(_SLOPE, inplace=True)


def conv(
  inputs: int,
  outputs: int,
  kernel_px: int = 3,
  stride: int = 1,
  *,
  std: float | None = None,
  bias: bool = True,
) -> nn.Conv2d:
  """Returns a convolution, normal of the given spread, or of 2 / fan-out."""
  layer = nn.Conv2d(
    inputs, outputs, kernel_px, stride, padding=kernel_px // 2, bias=bias
  )
  spread = math.sqrt(2 / (kernel_px**2 * outputs)) if std is None else std
  nn.init.normal_(layer.weight, std=spread)
  if bias:
    nn.init.zeros_(layer.bias)
  return layer


def _plain_conv(inputs, outputs):
  """A 3x3 convolution with PyTorch's own initialisation."""
  return nn.Conv2d(inputs, outputs, 3, padding=1)


def linear(inputs: int, outputs: int, *, std: float = 0.01) -> nn.Linear:
  """Returns a linear layer with a normal kernel and zero bias."""
  layer = nn.Linear(inputs, outputs)
  nn.init.normal_(layer.weight, std=std)
  nn.init.zeros_(layer.bias)
  return layer


class ChannelAttention(nn.Module):
  """Second-order attention over channels."""

  def __init__(self, channels: int):
    super().__init__()
    self.g = conv(channels, channels, 1)
    self.theta = conv(channels, channels, 1)
    self.phi = conv(channels, channels, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to the same shape."""
    spread = torch.softmax(self.theta(x).flatten(2), dim=2)
    mixing = self.phi(x).flatten(2) @ spread.transpose(1, 2)
    gates = torch.softmax(self.g(x).flatten(2), dim=1)
    return F.leaky_relu(x + (mixing @ gates).reshape(x.shape), _SLOPE)


class ResidualBlock(nn.Module):
  """Two 3x3 convolutions around a skip, without normalisation."""

  def __init__(self, channels: int, *, make_conv=conv):
    super().__init__()
    self.conv1 = make_conv(channels, channels)
    self.conv2 = make_conv(channels, channels)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to the same shape."""
    y = F.leaky_relu(self.conv1(x), _SLOPE, inplace=True)
    return F.leaky_relu(self.conv2(y) + x, _SLOPE, inplace=True)


class Encoder(nn.Module):
  """Maps faces to embeddings (published name: codegeneration)."""

  def __init__(self, *, size_px: int = 64, width: float = 1.0):
    super().__init__()
    c64, c128, c256 = (scaled(c, width) for c in (64, 128, 256))
    hidden = scaled(512, width)
    self.conv1 = nn.Sequential(
      conv(3, c64, 7, 2), _leaky(), conv(c64, c64), _leaky()
    )
    self.layer1 = nn.Sequential(
      conv(c64, c64),
      _leaky(),
      ChannelAttention(c64),
      conv(c64, c64),
      _leaky(),
    )
    self.layer2_1 = nn.Sequential(
      conv(c64, c128, stride=2),
      _leaky(),
      ChannelAttention(c128),
      conv(c128, c128),
      _leaky(),
    )
    self.resblock1 = ResidualBlock(c128)
    self.resblock2 = ResidualBlock(c128)
    self.layer2_2 = _conv_pair(c128, c128, c128, stride=2)
    self.layer3_1 = _conv_pair(c128, c256, c256, stride=2)
    self.layer3_2 = _conv_pair(c256, c256, c128)
    self.expresscode = nn.Sequential(
      linear(c128 * (size_px // 16) ** 2, hidden),
      _leaky(),
      linear(hidden, EMBEDDING_SIZE),
    )

  def forward(self, image: torch.Tensor) -> torch.Tensor:
    """Maps normalised images [B, 3, S, S] to [B, 256] in (-1, 1)."""
    x = self.layer2_1(self.layer1(self.conv1(image)))
    x = self.resblock2(self.resblock1(x))
    x = self.layer3_2(self.layer3_1(self.layer2_2(x)))
    return torch.tanh(self.expresscode(x.flatten(1)))


def _conv_pair(inputs, middle, outputs, stride=1):
  return nn.Sequential(
    conv(inputs, middle, stride=stride),
    _leaky(),
    conv(middle, outputs),
    _leaky(),
  )


class FlowNet(nn.Module):
  """Maps embeddings to displacement fields (exptoflow)."""

  def __init__(
    self, *, size_px: int = 64, width: float = 1.0, stacked: bool = False
  ):
    super().__init__()
    self.stacked = stacked
    c64, c128, c256 = (scaled(c, width) for c in (64, 128, 256))
    factor = size_px // 16
    self.motiongen1 = nn.Sequential(
      conv(EMBEDDING_SIZE, c256 * factor**2, 1),
      nn.PixelShuffle(factor),
      _leaky(),
      ChannelAttention(c256),
      conv(c256, c256),
      _leaky(),
    )
    self.motiongen2 = nn.Sequential(
      _Doubling(),
      conv(c256, c128),
      _leaky(),
      ChannelAttention(c128),
      conv(c128, c128),
      _leaky(),
    )
    self.resblock1 = ResidualBlock(c128)
    self.resblock2 = ResidualBlock(c128)
    self.toflow4 = nn.Sequential(
      _Doubling(),
      conv(c128, c64, std=0.05),
      _leaky(),
      conv(c64, 2, 1, std=0.05, bias=False),
    )

  def forward(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps [B, 256] to the flows to and from the neutral face, [B, 2, h, h]."""
    x = self.motiongen2(self.motiongen1(code[:, :, None, None]))
    x = self.toflow4(self.resblock2(self.resblock1(x)))
    forward = torch.tanh(x)
    return forward, -warp(forward, forward, stacked=self.stacked)


class _Doubling(nn.Module):
  """Bilinear resizing to twice the side."""

  def forward(self, x):
    return resize(x, 2 * x.shape[-1])


class Generator(nn.Module):
  """Draws faces from stem activations (Swap_Generator without its stem)."""

  def __init__(self, *, width: float = 1.0, stacked: bool = False):
    super().__init__()
    self.stacked = stacked
    c128, c256 = scaled(128, width), scaled(256, width)
    self.redconv = nn.Sequential(_plain_conv(c256, c256), nn.ReLU(inplace=True))
    self.cnn = nn.Sequential(
      *[ResidualBlock(c256, make_conv=_plain_conv) for _ in range(8)]
    )
    self.up = _doubling_block(c256, c128)
    self.up2 = _doubling_block(2 * c128, c128)
    self.torgb = _plain_conv(c128, 3)
    self.noise_encoding1 = _texture_block(c128)
    self.noise_encoding0 = _texture_block(c256)

  def forward(
    self,
    taps: dict[str, torch.Tensor],
    *,
    flow: torch.Tensor | None = None,
    noise: tuple[torch.Tensor, torch.Tensor] | None = None,
  ) -> torch.Tensor:
    """Returns [B, 3, S, S] images of normalised range, unbounded.

    Args:
      taps: Activations 'relu2_1' [B, C2, S / 2, S / 2] and 'relu3_1'.
      flow: [B, 2, h, h]; None for plain auto-encoding.
      noise: Standard normal, of the shapes of relu3_1 and relu2_1; with a flow.
    """
    fine, coarse = taps['relu2_1'], taps['relu3_1']
    if flow is not None:
      texture0 = self.noise_encoding0(
        noise[0] + coarse.mean(dim=(2, 3), keepdim=True)
      )
      texture1 = self.noise_encoding1(
        noise[1] + fine.mean(dim=(2, 3), keepdim=True)
      )
      coarse = warp(coarse, flow, stacked=self.stacked) + texture0
      fine = warp(fine, flow, stacked=self.stacked) + texture1
    x = self.up(self.cnn(self.redconv(coarse)))
    return self.torgb(self.up2(torch.cat((fine.to(x.dtype), x), dim=1)))


def _doubling_block(inputs, outputs):
  return nn.Sequential(
    nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1),
    nn.ReLU(inplace=True),
    _plain_conv(outputs, outputs),
    nn.ReLU(inplace=True),
  )


def _texture_block(channels):
  return nn.Sequential(
    _plain_conv(channels, channels),
    nn.ReLU(inplace=True),
    _plain_conv(channels, channels),
    nn.ReLU(inplace=True),
  )


class Trunk(nn.Module):
  """The first convolutions of VGG19: generator stem, perceptual features."""

  def __init__(self, *, width: float = 1.0, num_convs: int = TRUNK_CONVS):
    super().__init__()
    channels = [3, *(scaled(c, width) for c in _TRUNK_CHANNELS)]
    self.features = nn.ModuleDict(
      {
        str(_TRUNK_LAYERS[index]): _plain_conv(
          channels[index], channels[index + 1]
        )
        for index in range(num_convs)
      }
    )

  def forward(
    self, image: torch.Tensor, num_convs: int = STEM_CONVS
  ) -> dict[str, torch.Tensor]:
    """Returns the activations that so many convolutions of an image reach."""
    taps, x = {}, image
    for index, layer in enumerate(list(self.features.values())[:num_convs]):
      if index in _POOL_BEFORE:
        x = F.max_pool2d(x, 2)
      x = F.relu(layer(x), inplace=True)
      if index in _TAPS:
        taps[_TAPS[index]] = x
    return taps


def random_trunk(*, width: float = 1.0) -> Trunk:
  """Returns a frozen trunk with He-normal kernels and zero biases."""
  trunk = Trunk(width=width)
  for layer in trunk.features.values():
    nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
    nn.init.zeros_(layer.bias)
  return trunk.requires_grad_(False)
