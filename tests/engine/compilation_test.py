"""Compiled programs are kept where only their owner can put them."""

import os
import pathlib
import stat
from unittest import mock

import jax
from absl.testing import absltest, parameterized

from psm_jax.engine import compilation


class CacheTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.home = pathlib.Path(self.create_tempdir().full_path)
    self.folder = self.home / 'psm_jax' / 'compiled'
    self.enterContext(
      mock.patch.dict(os.environ, {'XDG_CACHE_HOME': str(self.home)})
    )
    for name in (
      'jax_compilation_cache_dir',
      'jax_persistent_cache_min_compile_time_secs',
    ):
      self.addCleanup(jax.config.update, name, getattr(jax.config, name))
    jax.config.update('jax_compilation_cache_dir', None)

  def _enable(self, backend='gpu'):
    devices = [mock.Mock(platform=backend)]
    with mock.patch.object(jax, 'local_devices', return_value=devices):
      return compilation.enable_cache()

  def test_an_accelerator_has_a_private_folder_of_the_user(self):
    self.assertEqual(self._enable(), self.folder)
    self.assertEqual(jax.config.jax_compilation_cache_dir, str(self.folder))
    self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)

  def test_a_cpu_keeps_nothing(self):
    self.assertIsNone(self._enable('cpu'))
    self.assertIsNone(jax.config.jax_compilation_cache_dir)
    self.assertFalse(self.folder.exists())

  @parameterized.parameters('cpu', 'gpu')
  def test_a_folder_that_the_user_named_is_left_to_jax(self, backend):
    jax.config.update('jax_compilation_cache_dir', '/some/where')
    self.assertEqual(self._enable(backend), pathlib.Path('/some/where'))
    self.assertEqual(jax.config.jax_compilation_cache_dir, '/some/where')

  @parameterized.parameters(0o777, 0o720)
  def test_a_folder_that_others_can_write_is_not_used(self, mode):
    self.folder.mkdir(parents=True)
    self.folder.chmod(mode)
    with self.assertLogs('absl', 'WARNING') as logs:
      self.assertIsNone(self._enable())
    self.assertIn('can be written by other users', ' '.join(logs.output))
    self.assertIsNone(jax.config.jax_compilation_cache_dir)

  def test_a_folder_of_somebody_else_is_not_used(self):
    with (
      mock.patch.object(os, 'getuid', return_value=os.getuid() + 1),
      self.assertLogs('absl', 'WARNING') as logs,
    ):
      self.assertIsNone(self._enable())
    self.assertIn('belongs to another user', ' '.join(logs.output))

  def test_a_folder_that_cannot_be_made_stops_nothing(self):
    (self.home / 'psm_jax').write_text('')
    with self.assertLogs('absl', 'WARNING'):
      self.assertIsNone(self._enable())

  def test_a_relative_cache_folder_is_not_used(self):
    with mock.patch.dict(
      os.environ, {'XDG_CACHE_HOME': 'here', 'HOME': str(self.home)}
    ):
      self.assertEqual(
        self._enable(), self.home / '.cache' / 'psm_jax' / 'compiled'
      )


if __name__ == '__main__':
  absltest.main()
