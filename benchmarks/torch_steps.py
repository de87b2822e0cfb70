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
out. The methods are `torch_facecycle.PEER` and `torch_canonical.PEER`: their
models are called with normalised images and noise, and return the loss first.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

from benchmarks import workload

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


def place(module: nn.Module, device: str, switches: Switches) -> nn.Module:
  """Returns a module on a device, its kernels laid as the switches say."""
  if switches.channels_last:
    module = module.to(memory_format=torch.channels_last)
  return module.to(device)


@dataclasses.dataclass(frozen=True)
class Peer:
  """One method's models and what trains them.

  Attributes:
    make_models: (workload, switches, is_stacked=) -> K modules on the CPU: each
      is called (*images, noise) -> (loss, ...), and has `draw_noise`.
    make_encoder: Workload -> a module, images -> embeddings [B, D].
    normalise: uint8 [..., S, S, 3] -> [n, 3, S, S] float32, what modules take.
    make_optimizer: (parameters, fused=) -> optimiser.
    variants: Switches of each way.
  """

  make_models: Callable[..., Sequence[nn.Module]]
  make_encoder: Callable[[workload.Workload], nn.Module]
  normalise: Callable[[torch.Tensor], torch.Tensor]
  make_optimizer: MakeOptimizer
  variants: Mapping[str, Switches]

  def make(
    self,
    variant: str,
    work: workload.Workload,
    *,
    switches: Switches | None = None,
    compile_mode: str = 'default',
    seed: int = 0,
  ) -> Step:
    """Returns a function that does a workload's task once.

    Args:
      variant: A key of `variants`.
      work: Which task, of what size.
      switches: Instead of the variant's own.
      compile_mode: torch.compile's `mode`.
      seed: Of the weights.

    Returns:
      To advance K models by one step: pixels [K, 2, B, S, S, 3] uint8 on the
      device, as many arrays of them as the models take images -> losses [K]
      float32. To embed: pixels [B, S, S, 3] uint8 -> embeddings [B, D] of one
      encoder.

    Raises:
      ValueError: If the variant is unknown.
    """
    switches = self._settle(variant, switches, seed)
    if work.task == 'embed':
      return self._embed(work, switches, compile_mode)
    return self._step(work, switches, compile_mode, variant == 'stacked')

  def _step(self, work, switches, compile_mode, is_stacked):
    models = [
      place(model, work.device, switches)
      for model in self.make_models(work, switches, is_stacked=is_stacked)
    ]
    draw = functools.partial(
      models[0].draw_noise,
      2 * work.pairs,
      device=work.device,
      num_models=len(models),
    )

    def lay(tensor):
      return _lay(tensor, switches)

    def images_of(pixels):
      return lay(self.normalise(pixels))

    make = _stacked if is_stacked else _serial
    return make(
      models, draw, images_of, lay, self.make_optimizer, switches, compile_mode
    )

  def _embed(self, work, switches, compile_mode):
    encoder = place(self.make_encoder(work).eval(), work.device, switches)
    encoder = _compiled(encoder, switches, compile_mode)

    @torch.inference_mode()
    def embed(pixels):
      image = _lay(self.normalise(pixels), switches)
      with torch.autocast(image.device.type, torch.bfloat16, switches.bfloat16):
        return encoder(image).float()

    return embed

  def _settle(self, variant, switches, seed):
    """Returns the switches and sets what PyTorch keeps globally."""
    if variant not in self.variants:
      raise ValueError(
        f'variant is {variant!r}; expected one of {tuple(self.variants)}.'
      )
    switches = self.variants[variant] if switches is None else switches
    torch.set_float32_matmul_precision('high' if switches.tf32 else 'highest')
    torch.manual_seed(seed)
    return switches


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
