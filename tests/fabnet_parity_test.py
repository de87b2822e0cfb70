"""FAb-Net against numbers made with the reference implementation.

Reads every fabnet_seed*.npz in the folder named by PSM_PARITY_DIR, by default
../shared/parity beside the repository. Weights and images are refilled from
the seed by the rules of the README there.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from psm_jax.engine import update
from psm_jax.interop import layouts
from psm_jax.methods import fabnet, loss_window
from psm_jax.models import fabnet as networks
from tests import goldens, torch_tensors

_FILES = sorted(goldens.FOLDER.glob('fabnet_seed*.npz'))
pytestmark = [
  pytest.mark.thorough,
  pytest.mark.skipif(
    not _FILES, reason=f'no fabnet_seed*.npz in {goldens.FOLDER}'
  ),
]

_GAINS = {
  'fabnet.encoder.20.weight': 1.0,
  'fabnet.decoder.30.weight': 0.02,
  'fabnet.mask.30.weight': 1.0,
}
_BUFFERS = ('running_mean', 'running_var')
_LAYOUT = layouts.fab_net(8)
# Biases right before a norm: their gradient is rounding noise.
_ZERO_GRADIENT = tuple(
  [f'encoder.{index}.bias' for index in range(2, 18, 3)]
  + [
    f'{part}.{index}.bias'
    for part in ('decoder', 'mask')
    for index in range(2, 27, 4)
  ]
)
_SIZE_PX = 256
_RATE = 1e-4


@functools.cache
def _golden(path):
  return np.load(path, allow_pickle=False)


def _from_torch(tensors):
  """Returns (parameters, running statistics)."""
  variables = layouts.from_torch(tensors, _LAYOUT)
  return variables['params'], variables['statistics']


def _to_torch(params, statistics):
  variables = {'params': params, 'statistics': statistics}
  return torch_tensors.of(variables, _LAYOUT)


@functools.cache
def _weights(path):
  """Returns (parameters, buffers) by torch name, filled from the seed."""
  seed = int(_golden(path)['seed'])
  shapes = jax.eval_shape(networks.Networks().init, jax.random.key(0))
  zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, 'f4'), shapes)
  tensors = {
    name: goldens.fill(seed, f'fabnet.{name}', tensor.shape, _GAINS)
    for name, tensor in _to_torch(*zeros).items()
  }
  buffers = {n: t for n, t in tensors.items() if n.endswith(_BUFFERS)}
  return {n: t for n, t in tensors.items() if n not in buffers}, buffers


@functools.cache
def _views(path, num_sources):
  """Returns [1 + S, B, 256, 256, 3] float32 in [0, 1]."""
  golden = _golden(path)
  seed, num = int(golden['seed']), int(golden['batch'])
  views = []
  for index in range(1 + num_sources):
    name = f'images.view{index}'
    view = goldens.images(seed, name, num, _SIZE_PX)
    crc = zlib.crc32(np.ascontiguousarray(view).tobytes())
    assert crc == int(golden[f'{name}.crc32'])
    views.append(view.transpose(0, 2, 3, 1))
  return np.stack(views).astype(np.float32) / np.float32(255)


def _loss(weights, buffers, image, low, high, *, lowering='matmul'):
  params, statistics = _from_torch({**weights, **buffers})
  nets = networks.Networks(lowering=lowering)
  outputs, statistics = nets.transfer(params, statistics, image, train=True)
  errors = fabnet.per_example(outputs['result'], image[0])
  moved = _to_torch(params, statistics)
  moved = {name: moved[name] for name in buffers}
  return loss_window.mean(errors, low, high), (outputs, errors, moved)


_value_and_grad = jax.value_and_grad(_loss, has_aux=True)
_OPTIMIZER = fabnet.make_optimizer(freeze_decoder=False)


@jax.jit
def _step(weights, opt_state, buffers, image, low, high):
  (total, aux), grads = _value_and_grad(weights, buffers, image, low, high)
  weights, opt_state = update.apply_gradients(
    _OPTIMIZER, weights, opt_state, grads, _RATE
  )
  return weights, opt_state, grads, (total, *aux)


def _tenths(window):
  return [int(round(10 * edge)) for edge in np.asarray(window).tolist()]


def _given(path, case):
  """Returns (weights, buffers, images, low, high) of a case."""
  golden = _golden(path)
  image = _views(path, int(golden[f'{case}.n_sources']))
  return (*_weights(path), image, *_tenths(golden[f'{case}.window']))


@functools.cache
def _alone(path, case):
  """Returns the first step's gradients and outputs, and every step's total."""
  weights, buffers, image, low, high = _given(path, case)
  opt_state = _OPTIMIZER.init(weights)
  totals, first = [], None
  for _ in _golden(path)[f'{case}.traj.total.f32']:
    weights, opt_state, grads, aux = _step(
      weights, opt_state, buffers, image, low, high
    )
    first = first or jax.device_get((grads, aux))
    totals.append(float(aux[0]))
    buffers = aux[-1]
  return *first, totals


@functools.cache
def _stacked(path, case, *, lowering='matmul'):
  """Returns the golden model's first step, computed beside another model."""
  weights, buffers, image, low, high = _given(path, case)
  other = jax.tree.map(lambda leaf: (0.9 * leaf).astype(leaf.dtype), weights)
  pair = jax.tree.map(lambda *leaves: np.stack(leaves), weights, other)
  images = np.stack([image, image[:, ::-1]])
  value_and_grad = jax.value_and_grad(
    functools.partial(_loss, lowering=lowering), has_aux=True
  )
  step = jax.jit(jax.vmap(value_and_grad, in_axes=(0, None, 0, None, None)))
  (total, aux), grads = step(pair, buffers, images, low, high)
  ours = jax.tree.map(lambda leaf: leaf[0], (grads, (total, *aux)))
  return jax.device_get(ours)


def _compare(ours, golden, key, *, every=1):
  """Compares [..., P, P, C] with a golden [..., C, P, P] of each n-th pixel."""
  ours = np.asarray(ours)[:, ::every, ::every].transpose(0, 3, 1, 2)
  np.testing.assert_allclose(ours, golden[key], rtol=0, atol=2e-4, err_msg=key)


def _check_outputs(golden, case, outputs):
  embeddings = ['emb.target']
  line = np.linspace(-1, 1, _SIZE_PX)
  identity = np.stack(np.meshgrid(line, line), axis=-1)
  num_sources = int(golden[f'{case}.n_sources'])
  for index in range(num_sources):
    embeddings.append(f'emb.source{index}')
    _compare(
      outputs['offset'][index], golden, f'{case}.decoder{index}', every=8
    )
    grid = (outputs['flow'][index] + identity)[:, ::8, ::8]
    np.testing.assert_allclose(
      grid, golden[f'{case}.sampler{index}'], rtol=0, atol=2e-4
    )
    _compare(
      outputs['weight'][index], golden, f'{case}.mask_weight{index}', every=8
    )
    if num_sources > 1:
      _compare(
        outputs['mask_logit'][index],
        golden,
        f'{case}.mask_logit{index}',
        every=8,
      )
  _compare(outputs['result'], golden, f'{case}.result', every=4)
  for ours, name in zip(outputs['embedding'], embeddings, strict=True):
    np.testing.assert_allclose(
      ours, golden[f'{case}.{name}'], rtol=0, atol=2e-4, err_msg=name
    )


def _check_losses(golden, case, total, errors):
  expected = golden[f'{case}.total.f32']
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  expected = golden[f'{case}.per_sample.f32']
  np.testing.assert_allclose(errors, expected, rtol=1e-5)
  ours = [
    loss_window.mean(jnp.asarray(errors), *_tenths(window))
    for window in golden['windows']
  ]
  expected = golden[f'{case}.window_losses.f32']
  np.testing.assert_allclose(ours, expected, rtol=1e-5)


def _check_statistics(golden, case, moved, given):
  has_mask = int(golden[f'{case}.n_sources']) > 1
  names = [str(name) for name in golden[f'{case}.bn.names']]
  ours, theirs = [], []
  for name, expected in zip(names, golden[f'{case}.bn.l2.f32'], strict=True):
    name = name.removeprefix('fabnet.')
    if name.startswith('mask.') and not has_mask:
      np.testing.assert_array_equal(moved[name], given[name])
      continue
    ours.append(np.linalg.norm(moved[name]))
    theirs.append(expected)
  assert len(ours) >= 26
  np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def _check_gradients(golden, case, grads):
  seed = int(golden['seed'])
  has_mask = int(golden[f'{case}.n_sources']) > 1
  names = [str(name) for name in golden[f'{case}.grad.names']]
  assert {name.removeprefix('fabnet.') for name in names} == set(grads)
  norm_errors, probe_errors = [], []
  for index, name in enumerate(names):
    short = name.removeprefix('fabnet.')
    grad = np.asarray(grads[short], np.float64)
    norm = np.linalg.norm(grad)
    is_mask = short.startswith('mask.')
    if short in _ZERO_GRADIENT or (is_mask and not has_mask):
      assert norm < 1e-5, name
      continue
    expected = golden[f'{case}.grad.norm.f32'][index]
    probe = goldens.stream(seed, f'probe:{name}').standard_normal(grad.shape)
    inner = np.sum(grad * probe.astype(np.float32))
    norm_errors.append(abs(norm - expected) / expected)
    difference = abs(inner - golden[f'{case}.grad.probe.f32'][index])
    probe_errors.append(difference / expected)
  assert max(norm_errors) < 3e-2
  assert np.median(norm_errors) < 3e-3
  assert max(probe_errors) < 5e-2
  assert np.median(probe_errors) < 1e-2


_COMPUTED = [
  pytest.param(_alone, 'caseA', id='alone-one-source', marks=pytest.mark.slow),
  pytest.param(_alone, 'caseB', id='alone-three-sources'),
  pytest.param(
    _stacked, 'caseA', id='stacked-one-source', marks=pytest.mark.slow
  ),
  pytest.param(
    _stacked, 'caseB', id='stacked-three-sources', marks=pytest.mark.slow
  ),
  *(
    pytest.param(
      functools.partial(_stacked, lowering=lowering),
      'caseB',
      id=f'stacked-{lowering}-three-sources',
      marks=pytest.mark.slow,
    )
    for lowering in ('unrolled', 'grouped')
  ),
]
# The default is also that of the other tests.
_CORNERS = [
  pytest.param(True, False, id='other'),
  pytest.param(False, True, id='default', marks=pytest.mark.slow),
  pytest.param(False, False, id='not-in-sampling', marks=pytest.mark.slow),
  pytest.param(True, True, id='in-upsampling', marks=pytest.mark.slow),
]


@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(('compute', 'case'), _COMPUTED)
class TestParity:
  def test_outputs_match(self, path, compute, case):
    _, (_, outputs, _, _) = compute(path, case)[:2]
    _check_outputs(_golden(path), case, outputs)

  def test_losses_of_examples_and_windows_match(self, path, compute, case):
    _, (total, _, errors, _) = compute(path, case)[:2]
    _check_losses(_golden(path), case, total, errors)

  def test_running_statistics_match(self, path, compute, case):
    _, (_, _, _, moved) = compute(path, case)[:2]
    _check_statistics(_golden(path), case, moved, _weights(path)[1])

  def test_gradients_match(self, path, compute, case):
    _check_gradients(_golden(path), case, compute(path, case)[0])


@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize('case', ['caseA', 'caseB'])
def test_sgd_trajectory_matches(path, case):
  expected = _golden(path)[f'{case}.traj.total.f32']
  np.testing.assert_allclose(_alone(path, case)[2], expected, rtol=1e-4)


@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
def test_embeddings_by_running_statistics_match(path):
  weights, buffers = _weights(path)

  @jax.jit
  def encode(tensors, image):
    return networks.Networks().encode(*_from_torch(tensors), image)

  ours = encode({**weights, **buffers}, _views(path, 0)[0])
  expected = _golden(path)['eval.emb.target']
  np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(('upsample', 'sample'), _CORNERS)
def test_conventions_of_corners_match(path, upsample, sample):
  variants = _golden(path)['variants.up_ac.grid_ac.loss_half.loss_all']
  (row,) = variants[(variants[:, :2] == (upsample, sample)).all(1)]

  @jax.jit
  def errors(tensors, image):
    nets = networks.Networks(
      upsample_align_corners=upsample, sample_align_corners=sample
    )
    outputs, _ = nets.transfer(*_from_torch(tensors), image, train=True)
    return fabnet.per_example(outputs['result'], image[0])

  weights, buffers = _weights(path)
  ours = errors({**weights, **buffers}, _views(path, 1))
  losses = [loss_window.mean(ours, *edges) for edges in ((0, 5), (0, 10))]
  np.testing.assert_allclose(losses, row[2:], rtol=1e-5)


@pytest.mark.parametrize('path', _FILES, ids=lambda path: path.stem)
def test_reference_tensors_round_trip(path):
  weights, buffers = _weights(path)
  tensors = {**weights, **buffers}
  back = _to_torch(*_from_torch(tensors))
  assert back.keys() == tensors.keys()
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(back[name], tensor)
