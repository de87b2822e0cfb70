import hashlib
import io
import pathlib
import sys
import zipfile
from unittest import mock

import numpy as np
import pytest
import safetensors.numpy
from absl.testing import absltest, parameterized

from psm_jax.models import vgg_files

_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 256, 512)
_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19)


def _tensors():
  generator = np.random.default_rng(0)
  tensors = {}
  for layer, index in enumerate(_INDICES):
    inputs, outputs = _CHANNELS[layer : layer + 2]
    tensors[f'features.{index}.weight'] = generator.standard_normal(
      (outputs, inputs, 3, 3), np.float32
    )
    tensors[f'features.{index}.bias'] = generator.standard_normal(
      outputs, np.float32
    )
  return tensors


class LoadVgg19Test(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.tensors = _tensors()

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, name, tensors):
    path = self.folder / name
    if path.suffix == '.npz':
      np.savez(path, **tensors)
    elif path.suffix == '.safetensors':
      safetensors.numpy.save_file(tensors, path)
    else:
      torch = pytest.importorskip('torch', reason='torch is not installed')
      torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, path)
    return path

  @parameterized.parameters('vgg.npz', 'vgg.safetensors', 'vgg.pth')
  def test_layers_come_in_order_with_kernels_in_hwio(self, name):
    layers = vgg_files.load_vgg19(self._write(name, self.tensors))
    self.assertEqual(list(layers), [f'conv{i}' for i in range(9)])
    for layer, index in enumerate(_INDICES):
      weight = self.tensors[f'features.{index}.weight']
      kernel = layers[f'conv{layer}']['kernel']
      self.assertEqual(kernel.dtype, np.float32)
      np.testing.assert_array_equal(kernel, np.einsum('oihw->hwio', weight))
      np.testing.assert_array_equal(
        layers[f'conv{layer}']['bias'], self.tensors[f'features.{index}.bias']
      )

  @parameterized.parameters('vgg.npz', 'vgg.safetensors')
  def test_later_layers_in_the_file_are_ignored(self, name):
    extra = {'classifier.6.bias': np.full(1000, np.nan, np.float32)}
    layers = vgg_files.load_vgg19(self._write(name, {**self.tensors, **extra}))
    self.assertLen(layers, 9)

  @parameterized.product(
    name=('vgg.npz', 'vgg.safetensors'),
    change=(
      ('features.7.bias', None, 'lacks 1 of 18 tensors.*features.7.bias'),
      ('features.5.bias', np.zeros(64, np.float32), r'float32 \(64,\), not'),
      ('features.2.bias', np.zeros(64, np.float16), r'16 \(64,\), not float32'),
      ('features.0.bias', np.full(64, np.inf, np.float32), 'not finite'),
    ),
  )
  def test_a_wrong_tensor_is_refused_by_name(self, name, change):
    key, value, message = change
    tensors = {k: v for k, v in self.tensors.items() if k != key}
    if value is not None:
      tensors[key] = value
    path = self._write(name, tensors)
    with self.assertRaisesRegex(ValueError, message) as caught:
      vgg_files.load_vgg19(path)
    self.assertIn(key, str(caught.exception))
    self.assertIn(str(path), str(caught.exception))

  @parameterized.parameters('vgg.npz', 'vgg.safetensors')
  def test_a_truncated_file_is_refused(self, name):
    path = self._write(name, self.tensors)
    content = path.read_bytes()
    for size in (0, 7, 1000, len(content) // 2, len(content) - 1):
      path.write_bytes(content[:size])
      with self.assertRaisesRegex(ValueError, 'not a whole'):
        vgg_files.load_vgg19(path)

  def test_a_header_that_claims_a_huge_array_is_refused_before_reading(self):
    path = self._write('vgg.npz', {})
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
      header, {'descr': '<f4', 'fortran_order': False, 'shape': (2**40,)}
    )
    with zipfile.ZipFile(path, 'w') as archive:
      for name in self.tensors:
        archive.writestr(f'{name}.npy', header.getvalue())
    with self.assertRaisesRegex(ValueError, '1099511627776'):
      vgg_files.load_vgg19(path)

  def test_an_array_of_python_objects_is_refused(self):
    tensors = dict(self.tensors)
    tensors['features.0.bias'] = np.array([{}] * 64, dtype=object)
    path = self._write('vgg.npz', tensors)
    with self.assertRaisesRegex(ValueError, 'not a whole .npz.*Object arrays'):
      vgg_files.load_vgg19(path)

  def test_a_missing_file_says_where_weights_come_from(self):
    with self.assertRaisesRegex(
      ValueError, r'(?s)nowhere\.pth.*vgg19-dcbb9e9d\.pth.*method\.vgg_path'
    ):
      vgg_files.load_vgg19(self.folder / 'nowhere.pth')

  def test_an_unknown_format_is_refused(self):
    path = self.folder / 'vgg.h5'
    path.write_bytes(b'')
    with self.assertRaisesRegex(ValueError, r"'\.h5'; known formats are \.pth"):
      vgg_files.load_vgg19(path)

  def test_a_pth_file_without_torch_says_to_install_or_convert(self):
    path = self.folder / 'vgg.pth'
    path.write_bytes(b'')
    with (
      mock.patch.dict(sys.modules, {'torch': None}),
      self.assertRaisesRegex(ImportError, 'Install torch.*or convert'),
    ):
      vgg_files.load_vgg19(path)

  def test_an_old_torch_is_refused(self):
    path = self.folder / 'vgg.pth'
    path.write_bytes(b'')
    torch = mock.Mock(__version__='2.5.1+cpu')
    with (
      mock.patch.dict(sys.modules, {'torch': torch}),
      self.assertRaisesRegex(ImportError, 'CVE-2025-32434'),
    ):
      vgg_files.load_vgg19(path)
    torch.load.assert_not_called()

  def test_a_pth_file_that_runs_code_is_refused(self):
    pytest.importorskip('torch', reason='torch is not installed')
    path = self.folder / 'vgg.pth'
    path.write_bytes(b"cbuiltins\nprint\n(S'ran'\ntR.")
    with self.assertRaisesRegex(ValueError, 'would run code'):
      vgg_files.load_vgg19(path)

  def test_the_sum_in_the_name_of_a_pth_file_is_checked(self):
    path = self.folder / 'vgg19-dcbb9e9d.pth'
    path.write_bytes(b'something else')
    digest = hashlib.sha256(b'something else').hexdigest()
    with self.assertRaisesRegex(ValueError, f'{digest}.*begins with dcbb9e9d'):
      vgg_files.load_vgg19(path)

  def test_the_sum_of_the_file_is_logged(self):
    path = self._write('vgg.npz', self.tensors)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with self.assertLogs('absl', 'INFO') as logs:
      vgg_files.load_vgg19(path)
    self.assertIn(digest, logs.output[0])


if __name__ == '__main__':
  absltest.main()
