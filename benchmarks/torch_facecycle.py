"""FaceCycle trained by PyTorch: what psm_jax's speed is measured against.

`torch_steps` tells the ways. As published, 'eager' runs VGG19 over four stacked
copies of the input and four images. The loss is tested against the reference's
numbers. VGG19's weights are random: they cost what pretrained ones do.
"""

from collections.abc import Iterable

import torch

from benchmarks import torch_loss, torch_steps, workload
from benchmarks import torch_networks as networks

_LEARNING_RATE = 8e-5  # PSM release, first epochs.
VARIANTS = torch_steps.VARIANTS


def make_step(
  variant: str,
  work: workload.Workload,
  *,
  switches: torch_steps.Switches | None = None,
  compile_mode: str = 'default',
  seed: int = 0,
) -> torch_steps.Step:
  """Returns frames [K, 2, B, S, S, 3] uint8 on the device -> losses [K].

  Args:
    variant: A key of `VARIANTS`.
    work: Of what size. vgg is 'random': a frozen random VGG19; or 'none': no
      perceptual term and a trained stem.
    switches: Instead of the variant's own.
    compile_mode: torch.compile's `mode`.
    seed: Of the weights.

  Raises:
    ValueError: If the variant or the kind of VGG19 is unknown.
  """
  switches = torch_steps.settle(variant, switches, VARIANTS)
  if work.vgg not in workload.VGG:
    raise ValueError(f'vgg is {work.vgg!r}; expected one of {workload.VGG}.')
  torch.manual_seed(seed)
  trunk = None
  if work.vgg == 'random':
    trunk = networks.random_trunk(width=work.width)
    trunk = torch_steps.place(trunk, work.device, switches)
  is_stacked = variant == 'stacked'
  models = []
  for _ in range(work.num_models):
    model = torch_loss.FaceCycle(
      width=work.width,
      size_px=work.size_px,
      trunk=trunk,
      share=switches.share,
      autocast=switches.bfloat16,
      stacked=is_stacked,
    )
    models.append(torch_steps.place(model, work.device, switches))
  return torch_steps.make_step(
    models,
    normalise=torch_loss.normalise,
    make_optimizer=make_optimizer,
    pairs=work.pairs,
    device=work.device,
    switches=switches,
    is_stacked=is_stacked,
    compile_mode=compile_mode,
  )


def make_embed(
  variant: str,
  work: workload.Workload,
  *,
  switches: torch_steps.Switches | None = None,
  compile_mode: str = 'default',
  seed: int = 0,
) -> torch_steps.Step:
  """Returns frames [B, S, S, 3] uint8 -> embeddings [B, 256] of one encoder."""
  switches = torch_steps.settle(variant, switches, VARIANTS)
  torch.manual_seed(seed)
  return torch_steps.make_embed(
    networks.Encoder(size_px=work.size_px, width=work.width),
    normalise=torch_loss.normalise,
    device=work.device,
    switches=switches,
    compile_mode=compile_mode,
  )


def make_optimizer(
  parameters: Iterable[torch.Tensor], *, fused: bool
) -> torch.optim.Adam:
  """Returns the published Adam; PyTorch's own choice of loop unless fused."""
  return torch.optim.Adam(
    parameters,
    lr=_LEARNING_RATE,
    betas=(0.5, 0.999),
    eps=1e-8,
    fused=True if fused else None,
  )
