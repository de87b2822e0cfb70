"""The method `canonical` in PyTorch: what psm_jax's speed is measured against.

`torch_steps` tells the ways. Networks, loss and update are those of
psm_jax/methods/canonical.py and of the preset canonical_narrow, as an engineer
would write them in PyTorch, and are tested against psm_jax's; the learning rate
stays at its highest. B images, S pixels a side, D units of the code; NCHW.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import torch_networks as networks, torch_steps, workload
from psm_jax import presets
from psm_jax.ops import regions

_CONFIG = presets.get('canonical_narrow')
_OPTIONS = _CONFIG.method.canonical
_GROUPS = 8
_EPSILON = 1e-6  # Flax's.
_LEAST_PX = 4  # Side of the innermost feature map, at least.
_OUTPUT_STD = 1e-3
_SQUARE_WEIGHT = 0.1
_WEIGHT_DECAY = 1e-3


class Encoder(nn.Module):
  """Maps frames to codes: strided convolutions, two linear layers."""

  def __init__(self, *, size_px: int, width: float):
    super().__init__()
    stages = _num_stages(size_px)
    c64, c128 = (_scaled(channels, width) for channels in (64, 128))
    channels = [3, c64, *[c128] * (stages - 1)]
    inputs = channels[-1] * (size_px >> stages) ** 2
    hidden = _scaled(512, width)
    self.blocks = nn.Sequential(
      *[_block(*pair, stride=2) for pair in itertools.pairwise(channels)]
    )
    self.hidden = networks.linear(inputs, hidden, std=inputs**-0.5)
    self.code = networks.linear(hidden, _OPTIONS.code_size, std=hidden**-0.5)

  def forward(self, image: torch.Tensor) -> torch.Tensor:
    """Maps images [B, 3, S, S] in about [-1, 1] to [B, D]."""
    x = self.hidden(self.blocks(image).flatten(1))
    return self.code(F.gelu(x, approximate='tanh'))


class Decoder(nn.Module):
  """Moves and repaints a canonical face as codes say."""

  def __init__(self, *, size_px: int, width: float):
    super().__init__()
    stages = _num_stages(size_px)
    widths = [_scaled(c, width) for c in (128, 128, 96, 64, 64, 64, 64)]
    widths = widths[:stages]
    self._side = size_px >> stages
    outputs = widths[0] * self._side**2
    self.spread = networks.linear(
      _OPTIONS.code_size, outputs, std=_OPTIONS.code_size**-0.5
    )
    self.blocks = nn.ModuleList(
      _block(before + 3, after) for before, after in itertools.pairwise(widths)
    )
    self.change = networks.conv(widths[-1], 5, std=_OUTPUT_STD)

  def forward(
    self, code: torch.Tensor, face: torch.Tensor
  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns what to do to canonical faces.

    Args:
      code: [B, D].
      face: [B, 3, S, S] in [-1, 1].

    Returns:
      flow: [B, 2, S / 2, S / 2], (x, y) in halves of the side.
      residual: [B, 3, S / 2, S / 2].
    """
    x = F.gelu(self.spread(code), approximate='tanh')
    x = x.unflatten(1, (-1, self._side, self._side))
    for block in self.blocks:
      side = 2 * x.shape[-1]
      small = networks.resize(face, side).to(x.dtype)
      x = block(torch.cat((networks.resize(x, side), small), dim=1))
    flow, residual = self.change(x).split((2, 3), dim=1)
    return _OPTIONS.reach * torch.tanh(flow), residual


class Canonical(nn.Module):
  """One model's networks; calling it computes the loss of one step.

  Attributes:
    autocast: Whether the networks run in bfloat16; the loss never does.
    stacked: Whether it will run under torch.func.vmap.
  """

  def __init__(
    self,
    *,
    size_px: int,
    width: float,
    autocast: bool = False,
    stacked: bool = False,
  ):
    super().__init__()
    self.encoder = Encoder(size_px=size_px, width=width)
    self.decoder = Decoder(size_px=size_px, width=width)
    self.autocast, self.stacked = autocast, stacked
    weights = regions.weights(size_px, eye_distance=_CONFIG.data.eye_distance)
    self.register_buffer('weights', torch.from_numpy(weights), persistent=False)

  def draw_noise(
    self, num_images: int, *, device: str, num_models: int | None = None
  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns standard normal numbers for the colours, [B, 3, 1, 1] each.

    With num_models both tensors have a leading axis of models.
    """
    lead = () if num_models is None else (num_models,)
    drawn = torch.randn((2, *lead, num_images, 3, 1, 1), device=device)
    return drawn[0], drawn[1]

  def forward(
    self,
    target: torch.Tensor,
    face: torch.Tensor,
    noise: tuple[torch.Tensor, torch.Tensor],
  ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns the loss and its terms.

    Args:
      target: [B, 3, S, S] float32 in [-1, 1], the frames.
      face: The same of their videos' canonical faces.
      noise: As from `draw_noise`.
    """
    gain, bias = noise
    seen = torch.exp(_OPTIONS.log_gain * gain) * target + _OPTIONS.bias * bias
    with torch.autocast(target.device.type, torch.bfloat16, self.autocast):
      flow, residual = self.decoder(self.encoder(seen), face)
    moved = networks.warp(face, flow, clamp=True, stacked=self.stacked)
    drawn = moved + networks.resize(residual.float(), face.shape[-1])
    error = drawn - target
    pixel = (self.weights * error.abs()).mean()
    square = (self.weights * error.square()).mean()
    total = pixel + _SQUARE_WEIGHT * square
    return total, {'pixel': pixel, 'square': square}


def normalise(frames: torch.Tensor) -> torch.Tensor:
  """Returns uint8 [..., S, S, 3] as [n, 3, S, S] float32 in [-1, 1]."""
  image = frames.reshape(-1, *frames.shape[-3:]).permute(0, 3, 1, 2)
  return image.float() / 127.5 - 1


def make_models(
  work: workload.Workload, switches: torch_steps.Switches, *, is_stacked: bool
) -> list[Canonical]:
  """Returns K models of a workload's size."""
  return [
    Canonical(
      size_px=work.size_px,
      width=work.width,
      autocast=switches.bfloat16,
      stacked=is_stacked,
    )
    for _ in range(work.num_models)
  ]


def make_optimizer(
  parameters: Iterable[torch.Tensor], *, fused: bool
) -> torch.optim.AdamW:
  """Returns Adam with decayed weights, PyTorch's choice unless fused."""
  return torch.optim.AdamW(
    parameters,
    lr=_CONFIG.optim.learning_rate,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=_WEIGHT_DECAY,
    fused=True if fused else None,
  )


def _num_stages(size_px):
  """Returns how often an image can be halved down to 4 to 7 pixels a side."""
  return int(math.log2(size_px / _LEAST_PX))


def _scaled(channels, width):
  """Returns a hidden channel count, a multiple of the groups."""
  return _GROUPS * max(1, round(channels * width / _GROUPS))


def _block(inputs, outputs, *, stride=1):
  return nn.Sequential(
    networks.conv(inputs, outputs, stride=stride, bias=False),
    nn.GroupNorm(_GROUPS, outputs, eps=_EPSILON),
    nn.GELU(approximate='tanh'),
  )


# They are called with frames and their canonical faces.
PEER = torch_steps.Peer(
  make_models=make_models,
  make_encoder=lambda work: Encoder(size_px=work.size_px, width=work.width),
  normalise=normalise,
  make_optimizer=make_optimizer,
  variants={
    name: dataclasses.replace(switches, share=False)
    for name, switches in torch_steps.VARIANTS.items()
  },
)
