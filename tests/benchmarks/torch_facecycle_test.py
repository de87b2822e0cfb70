"""The PyTorch peer against the reference's numbers, and against psm_jax.

The goldens and the rules by which weights, images and noise are refilled are
those of facecycle_parity_test.py.
"""

import functools
import math
import zlib

import jax
import numpy as np
import pytest

from psm_jax.interop import layouts
from psm_jax.methods import facecycle
from psm_jax.models import vgg
from tests import goldens

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed', exc_type=ImportError
)

from benchmarks import (  # noqa: E402
  torch_facecycle,
  torch_loss,
  torch_networks as networks,  # noqa: E402
  torch_peer,
  torch_steps,
  workload,
)

_FILES = sorted(goldens.FOLDER.glob('facecycle_seed*.npz'))
_needs_goldens = pytest.mark.skipif(
  not _FILES, reason=f'no facecycle_seed*.npz in {goldens.FOLDER}'
)


def _golden_name(name):
  """Returns the reference's name of a parameter of the peer."""
  part, rest = name.split('.', 1)
  return f'{layouts.NETWORKS[part]}.{rest}'


def _refill(module, seed, rename):
  state = {
    name: torch.from_numpy(
      goldens.fill(
        seed, rename(name), tuple(tensor.shape), goldens.FACECYCLE_GAINS
      )
    )
    for name, tensor in module.state_dict().items()
  }
  module.load_state_dict(state)


def _noise(seed, step, num_images):
  return {
    name: tuple(
      torch.from_numpy(
        goldens.stream(seed, f'noise.step{step}.{name}.c{level}')
        .standard_normal((num_images, level, side, side))
        .astype(np.float32)
      )
      for level, side in ((256, 16), (128, 32))
    )
    for name in ('neutral', 'recon')
  }


@functools.cache
def _trained(path, share):
  """Returns the golden file, the first step's results and all totals."""
  golden = np.load(path, allow_pickle=False)
  seed, pairs = int(golden['seed']), int(golden['batch_pairs'])
  frames = np.stack(
    [goldens.images(seed, f'images.frame{i}', pairs, 64) for i in (0, 1)]
  )
  for index, frame in enumerate(frames):
    crc = zlib.crc32(np.ascontiguousarray(frame).tobytes())
    assert crc == int(golden[f'images.frame{index}.crc32'])
  frames = np.ascontiguousarray(frames.transpose(0, 1, 3, 4, 2))
  image = torch_loss.normalise(torch.from_numpy(frames))
  trunk = networks.random_trunk()
  _refill(trunk, seed, 'vgg19.{}'.format)
  model = torch_loss.FaceCycle(trunk=trunk, share=share)
  _refill(model, seed, _golden_name)
  optimizer = torch_facecycle.make_optimizer(model.parameters(), fused=share)
  totals, first = [], None
  # The published form repeats what the shared form computes: one step of it.
  for step in range(len(golden['traj.total.f64']) if share else 1):
    total, terms, out = model(image, _noise(seed, step, 2 * pairs))
    optimizer.zero_grad()
    total.backward()
    if first is None:
      grads = {
        _golden_name(name): tensor.grad.clone().numpy()
        for name, tensor in model.named_parameters()
      }
      features = _features(trunk, image, out)
      first = (_numpy(terms), _numpy(out), grads, features)
    optimizer.step()
    totals.append(total.item())
  return golden, seed, first, totals


def _numpy(tensors):
  return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


@torch.no_grad()
def _features(trunk, image, out):
  """Returns the trunk's activations of the input and of the four images."""
  groups = ('neutral', 'swapped', 'direct', 'recon')
  images = [image, *(out[group] for group in groups)]
  return [_numpy(trunk(x, networks.TRUNK_CONVS)) for x in images]


@_needs_goldens
@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize('share', [False, True], ids=['published', 'shared'])
class TestGoldens:
  def test_outputs_match(self, path, share):
    golden, _, (_, out, _, _), _ = _trained(path, share)
    for ours, theirs in goldens.FACECYCLE_OUTPUTS.items():
      np.testing.assert_allclose(
        out[ours].reshape(golden[f'out.{theirs}'].shape),
        golden[f'out.{theirs}'],
        rtol=0,
        atol=2e-4,
        err_msg=ours,
      )

  def test_features_match(self, path, share):
    golden, _, (_, _, _, features), _ = _trained(path, share)
    inputs, others = features[0], features[1:]
    for tap, key, every in (
      ('relu2_1', 'r21', 16),
      ('relu3_1', 'r31', 32),
      ('relu4_1', 'r41', 64),
    ):
      firsts = np.stack([taps[tap][0] for taps in others])
      norm = math.hypot(*(np.linalg.norm(taps[tap]) for taps in others))
      for kind, ours, length in (
        ('input', inputs[tap], 2 * np.linalg.norm(inputs[tap])),
        ('recon', firsts, norm),
      ):
        name = f'vgg.{kind}.{key}'
        np.testing.assert_allclose(
          ours[:, ::every, ::2, ::2], golden[name], rtol=0, atol=5e-4
        )
        np.testing.assert_allclose(length, golden[f'{name}.l2'], rtol=1e-5)

  def test_every_loss_term_matches(self, path, share):
    golden, _, (terms, _, _, _), _ = _trained(path, share)
    expected = dict(zip(golden['loss.names'], golden['loss.f32'], strict=True))
    for ours, theirs in goldens.FACECYCLE_TERMS.items():
      np.testing.assert_allclose(
        terms[ours], expected.pop(theirs), rtol=1e-5, err_msg=ours
      )
    assert not expected

  def test_gradients_match(self, path, share):
    golden, seed, (_, _, grads, _), _ = _trained(path, share)
    names = [str(name) for name in golden['grad.names']]
    assert sorted(names) == sorted(grads)
    norm_errors, probe_errors = [], []
    for index, name in enumerate(names):
      grad = grads[name].astype(np.float64)
      norm = np.linalg.norm(grad)
      if name.endswith('theta.bias'):
        # The loss does not depend on these: their gradient is rounding noise.
        assert norm < 1e-5, name
        continue
      expected = golden['grad.norm.f32'][index]
      probe = goldens.stream(seed, f'probe:{name}').standard_normal(grad.shape)
      inner = np.sum(grad * probe.astype(np.float32))
      norm_errors.append(abs(norm - expected) / expected)
      difference = abs(inner - golden['grad.probe.f32'][index])
      probe_errors.append(difference / expected)
    assert max(norm_errors) < 1e-2
    assert np.median(norm_errors) < 1e-3
    assert max(probe_errors) < 3e-2
    assert np.median(probe_errors) < 3e-3

  def test_adam_trajectory_matches(self, path, share):
    golden, _, _, totals = _trained(path, share)
    expected = golden['traj.total.f64']
    tolerances = ([1e-5, 1e-4] + [2e-3] * len(expected))[: len(totals)]
    for ours, theirs, tolerance in zip(
      totals, expected[: len(totals)], tolerances, strict=True
    ):
      np.testing.assert_allclose(ours, theirs, rtol=tolerance)


_NARROW = {'width': 1 / 16, 'size_px': 32}


def test_the_optimizer_has_the_published_settings():
  weight = torch.nn.Parameter(torch.zeros(1))
  settings = torch_facecycle.make_optimizer([weight], fused=False).defaults
  assert settings['betas'] == (0.5, 0.999)
  assert settings['eps'] == 1e-8
  assert settings['weight_decay'] == 0
  assert settings['lr'] == 8e-5


@pytest.mark.parametrize('share', [False, True], ids=['published', 'shared'])
@pytest.mark.parametrize('kind', ['none', 'random'])
def test_a_narrow_peer_computes_the_loss_of_psm_jax(share, kind):
  torch.manual_seed(0)
  trunk = networks.random_trunk(width=1 / 16) if kind == 'random' else None
  model = torch_loss.FaceCycle(trunk=trunk, share=share, **_NARROW)
  frames = torch.from_numpy(workload.random_frames(2, 2, 32, 32, 3, seed=1))
  noise = model.draw_noise(4, device='cpu')
  total, terms, _ = model(torch_loss.normalise(frames), noise)
  expected = _engine_terms(model, frames, noise)
  np.testing.assert_allclose(total.item(), expected.pop('total'), rtol=1e-5)
  for name, value in expected.items():
    np.testing.assert_allclose(
      terms[name].item(), value, rtol=1e-4, atol=1e-7, err_msg=name
    )


def _engine_terms(model, frames, noise):
  """Returns psm_jax's loss terms with a narrow peer's weights and noise."""
  params = {}
  for part in ('encoder', 'flow_net', 'generator'):
    tensors = _numpy(getattr(model, part).state_dict())
    params[part] = layouts.from_torch(tensors, layouts.facecycle(part))
  trunk = _engine_trunk(model.trunk or model.stem)
  if model.trunk is None:
    params['stem'], trunk = trunk, ()
  nets = facecycle.Networks(**_NARROW)
  drawn = {
    name: dict(
      zip(
        ('relu3_1', 'relu2_1'),
        (x.numpy().transpose(0, 2, 3, 1) for x in tensors),
        strict=True,
      )
    )
    for name, tensors in noise.items()
  }
  # Optimising the program would take longer than running it.
  step = jax.jit(
    nets.loss, compiler_options={'xla_backend_optimization_level': 0}
  )
  pixels = frames.numpy().reshape(-1, 32, 32, 3).astype(np.float32)
  total, (terms, _) = step(
    params, trunk, facecycle.normalise(pixels), drawn, 1.0
  )
  return {name: float(value) for name, value in terms.items()} | {
    'total': float(total)
  }


def _engine_trunk(trunk):
  layers = [
    {
      'kernel': layer.weight.detach().numpy().transpose(2, 3, 1, 0),
      'bias': layer.bias.detach().numpy(),
    }
    for layer in trunk.features.values()
  ]
  assert len(layers) in (vgg.STEM_CONVS, len(vgg.CHANNELS))
  return {f'conv{index}': layer for index, layer in enumerate(layers)}


def test_stacked_models_step_like_models_alone():
  work = workload.Workload(pairs=2, vgg='none', num_models=3, **_NARROW)
  made = {
    variant: torch_facecycle.PEER.make(
      variant, work, switches=torch_steps.Switches(share=True), seed=3
    )
    for variant in ('eager', 'stacked')
  }
  (frames,) = torch_peer.pixels_of(work)
  losses = {}
  for variant, step in made.items():
    torch.manual_seed(0)  # Both draw the same noise then.
    losses[variant] = np.array([step(frames).numpy() for _ in range(3)])
  np.testing.assert_allclose(losses['stacked'], losses['eager'], rtol=1e-4)
  assert np.all(losses['eager'][-1] < losses['eager'][0])
  assert len(np.unique(losses['eager'][0])) == 3
