"""FaceCycle trained by PyTorch: what psm_jax's speed is measured against.

`torch_steps` tells the ways. As published, 'eager' runs VGG19 over four stacked
copies of the input and four images. The loss is tested against the reference's
numbers. VGG19's weights are random: they cost what pretrained ones do.
"""

from collections.abc import Iterable

import torch

from benchmarks import (
  torch_loss,
  torch_networks as networks,
  torch_steps,
  workload,
)

_LEARNING_RATE = 8e-5  # PSM release, first epochs.


def make_models(
  work: workload.Workload, switches: torch_steps.Switches, *, is_stacked: bool
) -> list[torch_loss.FaceCycle]:
  """Returns K models of a workload's size.

  Args:
    work: vgg is 'random': a frozen random VGG19 that all share; or 'none': no
      perceptual term and a trained stem.
    switches: What is on.
    is_stacked: Whether they will run under torch.func.vmap.

  Raises:
    ValueError: If the kind of VGG19 is unknown.
  """
  if work.vgg not in workload.VGG:
    raise ValueError(f'vgg is {work.vgg!r}; expected one of {workload.VGG}.')
  trunk = None
  if work.vgg == 'random':
    trunk = networks.random_trunk(width=work.width)
    trunk = torch_steps.place(trunk, work.device, switches)
  return [
    torch_loss.FaceCycle(
      width=work.width,
      size_px=work.size_px,
      trunk=trunk,
      share=switches.share,
      autocast=switches.bfloat16,
      stacked=is_stacked,
    )
    for _ in range(work.num_models)
  ]


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


# They are called with frames.
PEER = torch_steps.Peer(
  make_models=make_models,
  make_encoder=lambda work: networks.Encoder(
    size_px=work.size_px, width=work.width
  ),
  normalise=torch_loss.normalise,
  make_optimizer=make_optimizer,
  variants=torch_steps.VARIANTS,
)
