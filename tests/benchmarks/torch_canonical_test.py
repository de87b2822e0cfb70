"""The PyTorch peer of the method `canonical` against psm_jax's own."""

import functools

import jax
import numpy as np
import pytest

from benchmarks import engine, workload
from psm_jax import methods
from psm_jax.engine import update
from psm_jax.methods import interface

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed', exc_type=ImportError
)

from benchmarks import torch_canonical, torch_peer, torch_steps  # noqa: E402

_WORK = workload.Workload(
  method='canonical', width=0.25, size_px=32, pairs=2, num_models=3
)
_SCHEDULE = interface.Schedule(*(np.float32(1) for _ in range(4)))


def _model(work=_WORK):
  """Returns a peer whose decoder does much, unlike one that is new."""
  torch.manual_seed(0)
  model = torch_canonical.Canonical(size_px=work.size_px, width=work.width)
  with torch.no_grad():
    model.decoder.change.weight.normal_(std=0.05)
    for name, tensor in model.named_parameters():
      if tensor.ndim == 1:  # Biases, and scales of norms.
        tensor.add_(torch.randn(tensor.shape), alpha=0.1)
      assert torch.isfinite(tensor).all(), name
  return model


def _engine_tree(tensors, size_px):
  """Returns a peer's parameters, or their gradients, as psm_jax lays them."""
  tree = {'encoder': {}, 'decoder': {}}
  stages = int(np.log2(size_px / 4))
  side = size_px >> stages
  for name, tensor in tensors.items():
    part, *path, kind = name.split('.')
    value = tensor.detach().numpy()
    if path[0] == 'blocks':
      _, number, place = path
      layer = f'{("Conv", "GroupNorm")[int(place)]}_{number}'
    else:
      (layer,) = path
    # Between images and vectors, psm_jax has the channels last.
    if layer == 'hidden' and kind == 'weight':
      value = value.reshape(len(value), -1, side, side)
      value = value.transpose(0, 2, 3, 1).reshape(len(value), -1)
    if layer == 'spread':
      value = value.reshape(-1, side, side, *value.shape[1:])
      value = np.moveaxis(value, 0, 2).reshape(-1, *value.shape[3:])
    if kind == 'weight':
      kind = 'scale' if value.ndim == 1 else 'kernel'
      value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
    tree[part].setdefault(layer, {})[kind] = value
  return tree


def _flat(pixels):
  """Returns [..., S, S, 3] uint8 as a batch of psm_jax's has it."""
  return pixels.flatten(-3).numpy()


def _smooth_faces(work):
  """Returns [2, B, S, S, 3] uint8, another face for each frame.

  The slope of sampling jumps from pixel to pixel, by more in noise, where one
  gradient differed by 8e-4 at 64 px.
  """
  coarse = workload.random_frames(2 * work.pairs, 3, 4, 4, seed=2)
  faces = torch.nn.functional.interpolate(
    torch.from_numpy(coarse).float(),
    size=(work.size_px, work.size_px),
    mode='bicubic',
    align_corners=True,
  )
  faces = faces.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
  return faces.unflatten(0, (2, work.pairs))


@functools.cache
def _compared(size_px):
  """Returns (loss, terms, gradients) of the peer and of psm_jax."""
  work = workload.Workload(
    method='canonical', width=0.25, size_px=size_px, pairs=3
  )
  method = methods.make(engine.make_config(work))
  model = _model(work)
  frames, faces = torch_peer.pixels_of(work)[0][0], _smooth_faces(work)
  key = jax.random.key(3)
  draws = np.array(jax.random.normal(key, (work.pairs, 2, 10)))
  draws = draws.swapaxes(0, 1).reshape(-1, 10, 1, 1)
  noise = torch.from_numpy(draws[:, :3]), torch.from_numpy(draws[:, 3:6])
  total, terms = model(
    torch_canonical.normalise(frames), torch_canonical.normalise(faces), noise
  )
  total.backward()
  grads = {name: tensor.grad for name, tensor in model.named_parameters()}
  ours = total.item(), terms, _engine_tree(grads, size_px)

  person = np.zeros(work.pairs, np.int32)
  batch = interface.Batch(_flat(frames), person, _flat(faces))

  @functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 1}
  )
  def gradient(params):
    return jax.value_and_grad(
      lambda params: method.loss(key, params, (), (), batch, _SCHEDULE),
      has_aux=True,
    )(params)

  params = _engine_tree(dict(model.named_parameters()), size_px)
  (loss, (_, parts)), grads = gradient(params)
  return ours, (float(loss), parts, grads)


@pytest.mark.parametrize('size_px', [32, 64])
class TestEngine:
  def test_the_loss_is_psm_jax_s(self, size_px):
    (total, terms, _), (expected, parts, _) = _compared(size_px)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert terms.keys() == parts.keys()
    for name, value in parts.items():
      np.testing.assert_allclose(terms[name].item(), value, rtol=1e-5)

  def test_the_gradients_are_psm_jax_s(self, size_px):
    (_, _, grads), (_, _, expected) = _compared(size_px)
    assert jax.tree.structure(grads) == jax.tree.structure(expected)
    for (path, ours), theirs in zip(
      jax.tree.leaves_with_path(grads), jax.tree.leaves(expected), strict=True
    ):
      difference = np.linalg.norm(ours - theirs)
      assert difference < 1e-4 * np.linalg.norm(theirs), path


def test_the_embedding_is_psm_jax_s():
  method = methods.make(engine.make_config(_WORK))
  model = _model()
  frames = workload.random_frames(4, 32, 32, 3, seed=1)
  code = model.encoder(torch_canonical.normalise(torch.from_numpy(frames)))
  params = _engine_tree(dict(model.named_parameters()), 32)
  expected = jax.jit(method.embed)(params, (), *[frames.reshape(4, -1)] * 2)
  np.testing.assert_allclose(
    code.detach().numpy(), expected, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('fused', [False, True])
def test_the_update_is_psm_jax_s(fused):
  optimizer = methods.make(engine.make_config(_WORK)).optimizer
  params = {'w': np.float32([4, -2, 0.5])}
  weight = torch.nn.Parameter(torch.tensor(params['w']))
  peer = torch_canonical.make_optimizer([weight], fused=fused)
  state = optimizer.init(params)
  for grad in np.float32([[1e-3, -5, 0], [2e-3, 1, 0], [0, 0, 1]]):
    params, state = update.apply_gradients(
      optimizer, params, state, {'w': grad}, peer.defaults['lr']
    )
    weight.grad = torch.tensor(grad)
    peer.step()
  np.testing.assert_allclose(weight.detach().numpy(), params['w'], rtol=1e-6)


def test_stacked_models_step_like_models_alone():
  pixels = torch_peer.pixels_of(_WORK)
  losses = {}
  for variant in ('eager', 'stacked'):
    step = torch_canonical.PEER.make(
      variant, _WORK, switches=torch_steps.Switches(), seed=3
    )
    torch.manual_seed(0)  # Both draw the same noise then.
    losses[variant] = np.array([step(*pixels).numpy() for _ in range(3)])
  np.testing.assert_allclose(losses['stacked'], losses['eager'], rtol=1e-4)
  assert np.all(losses['eager'][-1] < losses['eager'][0])
  assert len(np.unique(losses['eager'][0])) == 3


def test_a_way_that_canonical_does_not_know_is_refused():
  with pytest.raises(ValueError, match="variant is 'fast'"):
    torch_canonical.PEER.make('fast', _WORK)


def test_frames_and_faces_are_those_of_psm_jax():
  config = engine.make_config(_WORK)
  built, source = engine.make_population(_WORK, config)
  batches = built.to_host(source.batches_at(0))
  frames, faces = (_flat(pixels) for pixels in torch_peer.pixels_of(_WORK))
  np.testing.assert_array_equal(batches.canonical, faces)
  # psm_jax pairs them in an order of its own.
  for ours, theirs in zip(frames, batches.frames, strict=True):
    ours, theirs = (
      np.unique(x.reshape(-1, x.shape[-1]), axis=0) for x in (ours, theirs)
    )
    np.testing.assert_array_equal(ours, theirs)
