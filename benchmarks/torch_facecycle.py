"""FaceCycle trained by PyTorch: what psm_jax's speed is measured against.

Four ways of training K models, all with the same loss (tested against the
reference's numbers) and the same update:

  eager         as published: float32, eager, one model after another; VGG19
                runs over four stacked copies of the input and four images.
  best          one model after another with all switches: activations computed
                once, torch.compile, bfloat16 autocast, channels_last, TF32
                matrix products, fused Adam.
  best_float32  the same without bfloat16.
  stacked       K models at once by torch.func (stacked weights and vmap), with
                the switches but for torch.compile and channels_last.

A step takes uint8 frames that already lie on the device. Augmentation is left
out. VGG19's weights are random: they cost what pretrained ones do.

  python -m benchmarks.torch_facecycle --variant=best --steps=3 --out=best.json
  python -m benchmarks.torch_facecycle --variant=eager --ladder

The second adds the switches one after another, a row each (on the CPU the peak
memory of a row is that of all rows so far). PyTorch is not in psm_jax's
requirements; see BUILD.md.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import torch
from absl import app, flags

from benchmarks import measurement, torch_loss, workload
from benchmarks import torch_networks as networks

_COMPILE_MODES = (
  'default',
  'reduce-overhead',
  'max-autotune',
  'max-autotune-no-cudagraphs',
)
_LEARNING_RATE = 8e-5  # PSM release, first epochs.


@dataclasses.dataclass(frozen=True)
class Switches:
  """What makes PyTorch faster than the published way; each can be left out.

  Attributes:
    share: Each image's VGG19 activations are computed once, SSIM separably.
    compile: torch.compile of the loss and its gradient.
    bfloat16: Networks in bfloat16 by autocast; losses and Adam in float32.
    channels_last: Images and kernels lie as NHWC.
    tf32: TF32 for matrix products on CUDA. PyTorch's convolutions use it there
      in any case.
    fused: One fused kernel for Adam.
  """

  share: bool = False
  compile: bool = False
  bfloat16: bool = False
  channels_last: bool = False
  tf32: bool = False
  fused: bool = False


_ALL = Switches(*[True] * len(dataclasses.fields(Switches)))
VARIANTS = {
  'eager': Switches(),
  'best': _ALL,
  'best_float32': dataclasses.replace(_ALL, bfloat16=False),
  # The stacking itself decides the layout; compiling it was not tried.
  'stacked': dataclasses.replace(_ALL, compile=False, channels_last=False),
}


def make_step(
  variant: str,
  *,
  width: float,
  size_px: int,
  pairs: int,
  vgg: str,
  device: str,
  num_models: int,
  switches: Switches | None = None,
  compile_mode: str = 'default',
  seed: int = 0,
) -> Callable[[torch.Tensor], torch.Tensor]:
  """Returns a function that advances K models by one step.

  Args:
    variant: A key of `VARIANTS`.
    width: Multiplier of the channel counts.
    size_px: Side of the images, S, a multiple of 16.
    pairs: Pairs of a step, B.
    vgg: 'random': a frozen random VGG19; 'none': no perceptual term and a
      trained stem.
    device: 'cpu' or 'cuda'.
    num_models: K.
    switches: Instead of the variant's own.
    compile_mode: torch.compile's `mode`.
    seed: Of the weights.

  Returns:
    frames [K, 2, B, S, S, 3] uint8 on the device -> losses [K] float32.

  Raises:
    ValueError: If the variant or the kind of VGG19 is unknown.
  """
  switches = _check(variant, switches)
  if vgg not in workload.VGG:
    raise ValueError(f'vgg is {vgg!r}; expected one of {workload.VGG}.')
  torch.manual_seed(seed)
  trunk = None
  if vgg == 'random':
    trunk = _place(networks.random_trunk(width=width), device, switches)
  models = []
  for _ in range(num_models):
    model = torch_loss.FaceCycle(
      width=width,
      size_px=size_px,
      trunk=trunk,
      share=switches.share,
      autocast=switches.bfloat16,
      stacked=variant == 'stacked',
    )
    models.append(_place(model, device, switches))
  draw = functools.partial(
    models[0].draw_noise, 2 * pairs, device=device, num_models=num_models
  )
  make = _stacked_step if variant == 'stacked' else _serial_step
  return make(models, draw, switches, compile_mode)


def make_embed(
  variant: str,
  *,
  width: float,
  size_px: int,
  device: str,
  switches: Switches | None = None,
  compile_mode: str = 'default',
  seed: int = 0,
) -> Callable[[torch.Tensor], torch.Tensor]:
  """Returns frames [B, S, S, 3] uint8 -> embeddings [B, 256] of one encoder."""
  switches = _check(variant, switches)
  torch.manual_seed(seed)
  encoder = networks.Encoder(size_px=size_px, width=width).eval()
  encoder = _place(encoder, device, switches)
  if switches.compile:
    encoder = torch.compile(encoder, dynamic=False, mode=compile_mode)

  @torch.inference_mode()
  def embed(frames):
    image = _lay(torch_loss.normalise(frames), switches)
    with torch.autocast(image.device.type, torch.bfloat16, switches.bfloat16):
      return encoder(image).float()

  return embed


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


def random_frames(
  pairs: int,
  *,
  size_px: int,
  seed: int = 0,
  num_models: int = 1,
  device: str = 'cpu',
) -> torch.Tensor:
  """Returns [K, 2, B, S, S, 3] uint8, the frames `workload` draws."""
  drawn = workload.random_frames(
    num_models, 2, pairs, size_px, size_px, 3, seed=seed
  )
  return torch.from_numpy(drawn).to(device)


def _check(variant, switches):
  """Returns the switches of a variant and sets what PyTorch keeps globally."""
  if variant not in VARIANTS:
    raise ValueError(
      f'variant is {variant!r}; expected one of {tuple(VARIANTS)}.'
    )
  switches = VARIANTS[variant] if switches is None else switches
  torch.set_float32_matmul_precision('high' if switches.tf32 else 'highest')
  return switches


def _place(module, device, switches):
  if switches.channels_last:
    module = module.to(memory_format=torch.channels_last)
  return module.to(device)


def _lay(image, switches):
  if not switches.channels_last:
    return image.contiguous()
  return image.contiguous(memory_format=torch.channels_last)


def _compiled(function, switches, mode):
  if not switches.compile:
    return function
  return torch.compile(function, dynamic=False, mode=mode)


def _serial_step(models, draw, switches, compile_mode):
  """One model after another, each with an optimiser of its own."""
  optimizers = [
    make_optimizer(
      [p for p in model.parameters() if p.requires_grad], fused=switches.fused
    )
    for model in models
  ]

  def loss_of(model, image, noise):
    return model(image, noise)[0]

  loss_of = _compiled(loss_of, switches, compile_mode)

  def step(frames):
    drawn = draw()
    losses = []
    for index, (model, optimizer) in enumerate(
      zip(models, optimizers, strict=True)
    ):
      image = _lay(torch_loss.normalise(frames[index]), switches)
      noise = {
        name: tuple(_lay(tensor[index], switches) for tensor in tensors)
        for name, tensors in drawn.items()
      }
      optimizer.zero_grad(set_to_none=True)
      loss = loss_of(model, image, noise)
      loss.backward()
      optimizer.step()
      losses.append(loss.detach())
    return torch.stack(losses)

  return step


def _stacked_step(models, draw, switches, compile_mode):
  """All models at once: stacked parameters, one vmapped gradient, one Adam."""
  template = models[0]
  stacked, _ = torch.func.stack_module_state(models)
  # torch.func differentiates by itself; autograd would keep a second record.
  stacked = {name: tensor.detach() for name, tensor in stacked.items()}
  optimizer = make_optimizer(stacked.values(), fused=switches.fused)

  def loss_of(params, image, noise):
    return torch.func.functional_call(template, params, (image, noise))[0]

  gradient = torch.func.vmap(torch.func.grad_and_value(loss_of))
  gradient = _compiled(gradient, switches, compile_mode)

  def step(frames):
    images = torch.stack(
      [_lay(torch_loss.normalise(pairs), switches) for pairs in frames]
    )
    grads, losses = gradient(stacked, images, draw())
    for name, tensor in stacked.items():
      tensor.grad = grads[name].detach()
    optimizer.step()
    return losses.detach()

  return step


def prepare(
  variant: str,
  work: workload.Workload,
  *,
  switches: Switches | None = None,
  compile_mode: str = 'default',
) -> tuple[Callable[[], object], dict]:
  """Returns one run of a workload, and a description of it.

  The run returns when the device is done.
  """
  if work.device == 'cuda':
    torch.cuda.reset_peak_memory_stats()
  setting = {
    'width': work.width,
    'size_px': work.size_px,
    'device': work.device,
    'switches': switches,
    'compile_mode': compile_mode,
  }
  if work.task == 'embed':
    function = make_embed(variant, **setting)
    frames = torch.from_numpy(work.frames()).to(work.device)
  else:
    function = make_step(
      variant,
      pairs=work.pairs,
      vgg=work.vgg,
      num_models=work.num_models,
      **setting,
    )
    frames = random_frames(
      work.pairs,
      size_px=work.size_px,
      num_models=work.num_models,
      device=work.device,
    )

  def run():
    result = function(frames)
    if work.device == 'cuda':
      torch.cuda.synchronize()
    return result

  chosen = VARIANTS[variant] if switches is None else switches
  is_cuda = work.device == 'cuda'
  return run, {
    'contestant': variant,
    'switches': [k for k, v in dataclasses.asdict(chosen).items() if v],
    'torch': torch.__version__,
    'threads': torch.get_num_threads(),
    'device': torch.cuda.get_device_name() if is_cuda else 'cpu',
  }


def peak_bytes(device: str) -> int:
  """Returns the most memory held so far: the device's, or the process's."""
  if device == 'cuda':
    return torch.cuda.max_memory_allocated()
  return measurement.peak_process_bytes()


def _define_flags():
  workload.define_flags()
  flags.DEFINE_enum('variant', 'eager', list(VARIANTS), 'Which way.')
  names = [field.name for field in dataclasses.fields(Switches)]
  flags.DEFINE_list(
    'switches', None, f"Instead of the variant's own: some of {names}."
  )
  flags.register_validator(
    'switches',
    lambda chosen: set(chosen or ()) <= set(names),
    f'Expected some of {names}.',
  )
  flags.DEFINE_boolean(
    'ladder', False, 'Also add the other switches one by one, a row each.'
  )
  flags.DEFINE_enum(
    'compile_mode', 'default', _COMPILE_MODES, "torch.compile's mode."
  )


def _rungs():
  """Returns the switches of each row of the table."""
  chosen = VARIANTS[flags.FLAGS.variant]
  if flags.FLAGS.switches is not None:
    chosen = Switches(**dict.fromkeys(flags.FLAGS.switches, True))
  rungs = [chosen]
  if flags.FLAGS.ladder:
    names = [field.name for field in dataclasses.fields(Switches)]
    for name in names:
      if not getattr(chosen, name):
        rungs.append(dataclasses.replace(rungs[-1], **{name: True}))
  return rungs


def main():
  """Measures one variant, or a ladder of switches, and prints a table."""
  work = workload.from_flags()
  rows = []
  for switches in _rungs():
    run, described = prepare(
      flags.FLAGS.variant,
      work,
      switches=switches,
      compile_mode=flags.FLAGS.compile_mode,
    )
    timed = measurement.measure(
      run, repeats=flags.FLAGS.repeats, steps=flags.FLAGS.steps
    )
    described['peak_bytes'] = peak_bytes(work.device)
    rows.append(measurement.summary(described, timed, work))
  measurement.report(rows, work, out=flags.FLAGS.out)


if __name__ == '__main__':
  _define_flags()
  app.run(lambda _: main())
