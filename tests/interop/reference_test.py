"""Reference checkpoints become models, whatever the file."""

import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy
from absl.testing import absltest, parameterized

from psm_jax import methods
from psm_jax.interop import layouts, reference
from psm_jax.models import tensor_files
from psm_jax.runs import zoo
from tests import tiny, torch_tensors


def _config(name='facecycle', **fields):
  config = tiny.config(method__name=name, **fields)
  if name == 'fabnet':
    config.data.size_px = 64
    config.curriculum.pairing = 'views'
  return config


def _filled(shapes, **seed):
  return jax.tree.map(np.float32, tiny.filled(shapes, **seed))


def _tensors(config):
  """Returns (params, method_state, the reference's tensors by network)."""
  method = methods.abstract(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  params, state = _filled(shapes[0]), shapes[1]
  if config.method.name == 'fabnet':
    statistics = _filled(state.statistics, seed=1)
    variables = {'params': params, 'statistics': statistics}
    tensors = torch_tensors.of(variables, layouts.fab_net(6))
    tensors['encoder.3.num_batches_tracked'] = np.int64(0)
    return params, statistics, {'state_dict': tensors}
  content = {}
  for part, network in layouts.NETWORKS.items():
    own = torch_tensors.of(params[part], layouts.facecycle(part))
    content.setdefault(network, {}).update(own)
  return params, (), content


def _flat(content, between=''):
  return {
    f'{network}.{between}{name}': np.ascontiguousarray(tensor)
    for network, tensors in content.items()
    for name, tensor in tensors.items()
  }


class ReferenceTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _save(self, tensors):
    path = self.folder / 'reference.safetensors'
    safetensors.numpy.save_file(tensors, path)
    return path

  @parameterized.product(name=('facecycle', 'fabnet'), between=('', 'module.'))
  @pytest.mark.thorough
  def test_a_checkpoint_becomes_its_model_and_returns_from_the_zoo(
    self, name, between
  ):
    config = _config(name)
    params, statistics, content = _tensors(config)
    path = self._save(_flat(content, between))
    model = reference.read_model(path, config, model_id='released')
    loaded = zoo.load(zoo.save(model, self.folder / 'zoo'))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    if name == 'fabnet':
      jax.tree.map(
        np.testing.assert_array_equal,
        loaded.method_state.statistics,
        statistics,
      )
    self.assertIsNone(loaded.steps)
    self.assertEqual(loaded.origin, f'reference {name}')

  def test_a_frozen_trunk_takes_the_stems_place(self):
    params, _, content = _tensors(_config())
    path = self._save(_flat(content))
    config = _config(method__vgg='file')
    model = reference.read_model(path, config, model_id='released')
    self.assertNotIn('stem', model.params)
    del params['stem']
    jax.tree.map(np.testing.assert_array_equal, model.params, params)

  def test_a_missing_tensor_is_named(self):
    _, _, content = _tensors(_config())
    tensors = _flat(content)
    name = 'exptoflow.toflow4.3.weight'
    del tensors[name]
    with self.assertRaisesRegex(ValueError, f'tensor {name} is missing'):
      reference.read_model(self._save(tensors), _config(), model_id='x')

  def test_another_width_is_named(self):
    _, _, content = _tensors(_config())
    path = self._save(_flat(content))
    config = _config(method__width=1 / 8)
    with self.assertRaisesRegex(ValueError, r'params/\S+, but a model of its'):
      reference.read_model(path, config, model_id='x')

  @parameterized.parameters(
    ('encoder.2.weight', (8, 4, 3, 3), r'\(3, 3, 4, 8\) as .*encoder/conv1'),
    ('decoder.2.weight', (8, 16), r'\(16, 8\) as params/decoder/conv0/kernel'),
    ('mask.3.running_var', (5,), r'\(5,\) as .*mask/norm0/var, but a model'),
  )
  def test_a_tensor_of_another_shape_is_named(self, name, shape, message):
    _, _, content = _tensors(_config('fabnet'))
    self.assertIn(name, content['state_dict'])
    content['state_dict'][name] = np.zeros(shape, np.float32)
    path = self._save(_flat(content))
    with self.assertRaisesRegex(ValueError, message):
      reference.read_model(path, _config('fabnet'), model_id='x')

  @parameterized.parameters('encoder.4.weight', 'mask.30.bias')
  def test_a_layer_that_no_part_has_is_named(self, name):
    _, _, content = _tensors(_config('fabnet'))
    content['state_dict'][name] = np.zeros((4,), np.float32)
    path = self._save(_flat(content))
    with self.assertRaisesRegex(ValueError, f'{name} belongs to no layer .*64'):
      reference.read_model(path, _config('fabnet'), model_id='x')

  def test_a_random_trunk_is_refused(self):
    _, _, content = _tensors(_config())
    path = self._save(_flat(content))
    config = _config(method__vgg='random')
    with self.assertRaisesRegex(ValueError, 'method.vgg is random'):
      reference.read_model(path, config, model_id='x')

  def test_a_method_without_reference_is_named(self):
    with self.assertRaisesRegex(ValueError, "method.name is 'clp'"):
      reference.read_model('x.safetensors', _config('clp'), model_id='x')


class TensorFilesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def test_nested_state_dicts_are_joined_by_dots(self):
    torch = pytest.importorskip('torch', reason='torch is not installed')
    path = self.folder / 'ExpCode_3.tar'
    weight = np.arange(4, dtype=np.float32)
    torch.save(
      {'net': {'module.weight': torch.from_numpy(weight)}, 'epoch': 3}, path
    )
    tensors = tensor_files.read(path)
    self.assertEqual(list(tensors), ['net.weight'])
    np.testing.assert_array_equal(tensors['net.weight'], weight)

  def test_a_file_of_another_format_is_named(self):
    path = self.folder / 'model.onnx'
    path.write_bytes(b'x')
    with self.assertRaisesRegex(ValueError, "model.onnx ends in '.onnx'"):
      tensor_files.read(path)

  def test_a_damaged_file_is_named(self):
    path = self.folder / 'model.safetensors'
    path.write_bytes(b'x' * 20)
    with self.assertRaisesRegex(ValueError, 'model.safetensors is not a whole'):
      tensor_files.read(path)

  def test_a_missing_file_is_named(self):
    with self.assertRaisesRegex(ValueError, 'no file .*nowhere.pth'):
      tensor_files.read(self.folder / 'nowhere.pth')


if __name__ == '__main__':
  absltest.main()
