"""How PyTorch trains K models, whatever their method: switches and steps.

Four ways, all with the same loss and the same update:

  eager         as a script is written: float32, eager, one model after another.
  best          one model after another with all switches: torch.compile,
                bfloat16 autocast, channels_last, TF32 matrix products, a fused
                optimiser; what FaceCycle computes twice is computed once.
  best_float32  the same without bfloat16.
  stacked       K models at once by torch.func (stacked weights and vmap), with
                the switches but for torch.compile and channels_last.

A step takes uint8 frames that already lie on the device. Augmentation is left
out. The methods are `torch_facecycle` and `torch_canonical`: their models are
called with normalised images and noise, and return the loss before all else.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

Step = Callable[..., torch.Tensor]
MakeOptimizer = Callable[..., torch.optim.Optimizer]


@dataclasses.dataclass(frozen=True)
class Switches:
  """What makes PyTorch faster than the plain way; each can be left out.

  Attributes:
    share: FaceCycle alone: each image's VGG19 activations are computed once,
      SSIM separably.
    compile: torch.compile of the loss and its gradient.
    bfloat16: Networks in bfloat16 by autocast; losses and the optimiser in
      float32.
    channels_last: Images and kernels lie as NHWC.
    tf32: TF32 for matrix products on CUDA. PyTorch's convolutions use it there
      in any case.
    fused: One fused kernel for the optimiser.
  """

  share: bool = False
  compile: bool = False
  bfloat16: bool = False
  channels_last: bool = False
  tf32: bool = False
  fused: bool = False

  @property
  def names(self) -> list[str]:
    """Those that are on."""
    return [name for name, value in dataclasses.asdict(self).items() if value]


_ALL = Switches(*[True] * len(dataclasses.fields(Switches)))
VARIANTS = {
  'eager': Switches(),
  'best': _ALL,
  'best_float32': dataclasses.replace(_ALL, bfloat16=False),
  # The stacking itself decides the layout; compiling it was not tried.
  'stacked': dataclasses.replace(_ALL, compile=False, channels_last=False),
}


def settle(
  variant: str, switches: Switches | None, variants: dict[str, Switches]
) -> Switches:
  """Returns the switches of a variant and sets what PyTorch keeps globally.

  Args:
    variant: A key of `variants`.
    switches: Instead of the variant's own.
    variants: Those of the method.

  Raises:
    ValueError: If the variant is unknown.
  """
  if variant not in variants:
    raise ValueError(
      f'variant is {variant!r}; expected one of {tuple(variants)}.'
    )
  switches = variants[variant] if switches is None else switches
  torch.set_float32_matmul_precision('high' if switches.tf32 else 'highest')
  return switches


def place(module: nn.Module, device: str, switches: Switches) -> nn.Module:
  """Returns a module on a device, its kernels laid as the switches say."""
  if switches.channels_last:
    module = module.to(memory_format=torch.channels_last)
  return module.to(device)


def make_step(
  models: Sequence[nn.Module],
  *,
  normalise: Callable[[torch.Tensor], torch.Tensor],
  make_optimizer: MakeOptimizer,
  pairs: int,
  device: str,
  switches: Switches,
  is_stacked: bool,
  compile_mode: str = 'default',
) -> Step:
  """Returns a function that advances K models by one step.

  Args:
    models: K modules that lie on the device: (*images, noise) -> (loss, ...),
      and `draw_noise`.
    normalise: uint8 [..., S, S, 3] -> [n, 3, S, S] float32, what the models
      take.
    make_optimizer: (parameters, fused=) -> optimiser.
    pairs: Pairs of a step, B.
    device: 'cpu' or 'cuda'.
    switches: What is on.
    is_stacked: Whether all models are computed at once.
    compile_mode: torch.compile's `mode`.

  Returns:
    pixels [K, 2, B, S, S, 3] uint8 on the device, as many arrays of them as the
    models take images -> losses [K] float32.
  """
  draw = functools.partial(
    models[0].draw_noise, 2 * pairs, device=device, num_models=len(models)
  )

  def lay(tensor):
    return _lay(tensor, switches)

  def images_of(pixels):
    return lay(normalise(pixels))

  make = _stacked if is_stacked else _serial
  return make(
    models, draw, images_of, lay, make_optimizer, switches, compile_mode
  )


def make_embed(
  encoder: nn.Module,
  *,
  normalise: Callable[[torch.Tensor], torch.Tensor],
  device: str,
  switches: Switches,
  compile_mode: str = 'default',
) -> Step:
  """Returns pixels [B, S, S, 3] uint8 -> embeddings [B, D] of one encoder."""
  encoder = place(encoder.eval(), device, switches)
  encoder = _compiled(encoder, switches, compile_mode)

  @torch.inference_mode()
  def embed(pixels):
    image = _lay(normalise(pixels), switches)
    with torch.autocast(image.device.type, torch.bfloat16, switches.bfloat16):
      return encoder(image).float()

  return embed


def _lay(image, switches):
  if not switches.channels_last:
    return image.contiguous()
  return image.contiguous(memory_format=torch.channels_last)


def _compiled(function, switches, mode):
  if not switches.compile:
    return function
  return torch.compile(function, dynamic=False, mode=mode)


def _each(function, tree):
  """Returns nested dicts and tuples with a function applied to each tensor."""
  if isinstance(tree, dict):
    return {name: _each(function, branch) for name, branch in tree.items()}
  if isinstance(tree, tuple):
    return tuple(_each(function, branch) for branch in tree)
  return function(tree)


def _trained(model: nn.Module) -> Iterable[nn.Parameter]:
  """Returns the parameters of a model that are not frozen."""
  return [p for p in model.parameters() if p.requires_grad]


def _serial(
  models, draw, images_of, lay, make_optimizer, switches, compile_mode
):
  """One model after another, each with an optimiser of its own."""
  optimizers = [
    make_optimizer(_trained(model), fused=switches.fused) for model in models
  ]

  def loss_of(model, *inputs):
    return model(*inputs)[0]

  loss_of = _compiled(loss_of, switches, compile_mode)

  def step(*pixels):
    drawn = draw()
    losses = []
    for index, (model, optimizer) in enumerate(
      zip(models, optimizers, strict=True)
    ):
      images = [images_of(each[index]) for each in pixels]
      noise = _each(lambda tensor, own=index: lay(tensor[own]), drawn)
      optimizer.zero_grad(set_to_none=True)
      loss = loss_of(model, *images, noise)
      loss.backward()
      optimizer.step()
      losses.append(loss.detach())
    return torch.stack(losses)

  return step


def _stacked(
  models, draw, images_of, lay, make_optimizer, switches, compile_mode
):
  """All at once: stacked parameters, one vmapped gradient, one update."""
  del lay  # vmap's own.
  template = models[0]
  stacked, _ = torch.func.stack_module_state(models)
  # torch.func differentiates by itself; autograd would keep a second record.
  stacked = {name: tensor.detach() for name, tensor in stacked.items()}
  optimizer = make_optimizer(stacked.values(), fused=switches.fused)

  def loss_of(params, *inputs):
    return torch.func.functional_call(template, params, inputs)[0]

  gradient = torch.func.vmap(torch.func.grad_and_value(loss_of))
  gradient = _compiled(gradient, switches, compile_mode)

  def step(*pixels):
    images = [torch.stack([images_of(own) for own in each]) for each in pixels]
    grads, losses = gradient(stacked, *images, draw())
    for name, tensor in stacked.items():
      tensor.grad = grads[name].detach()
    optimizer.step()
    return losses.detach()

  return step
