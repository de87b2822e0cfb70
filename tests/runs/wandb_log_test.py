"""What Weights & Biases is told, and that it is told nothing unasked."""

import pathlib
import sys
import types
from unittest import mock

import pytest
from absl.testing import absltest

from psm_jax import methods, training
from psm_jax.runs import wandb_log
from tests import tiny, training_runs

try:
  import wandb
except ImportError:
  wandb = None


class _Package(types.ModuleType):
  """Stands for the package; keeps what it is given."""

  def __init__(self):
    super().__init__('wandb')
    self.begun, self.logged, self.finished = [], [], 0
    self.errors = types.SimpleNamespace(Error=RuntimeError)
    self.Settings = dict

  def init(self, **options):
    self.begun.append(options)
    return self

  def log(self, scalars, *, step):
    self.logged.append((step, scalars))

  def finish(self):
    self.finished += 1


class WandbTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.enterContext(mock.patch.object(methods, 'make', tiny.toy_method))
    store = training_runs.write_store(self.folder)
    self.config = training_runs.config(store, train__steps=4)

  def _train(self, **options):
    package = _Package()
    with mock.patch.dict(sys.modules, wandb=package):
      training.train(self.config, self.folder / 'run', **options)
    return package

  def test_nothing_is_told_unasked(self):
    self.assertEmpty(self._train(show_faces=True).begun)
    self.assertFalse((self.folder / 'run' / wandb_log.FOLDER).exists())

  def test_it_is_told_numbers_and_no_path_of_the_lab(self):
    package = self._train(wandb='offline', show_faces=True)
    (begun,) = package.begun
    self.assertEqual(begun['mode'], 'offline')
    self.assertNotIn(str(self.folder), str(begun['config']))
    for off in ('x_disable_meta', 'x_disable_machine_info', 'disable_git'):
      self.assertTrue(begun['settings'][off])
    self.assertEqual([step for step, _ in package.logged], [1, 2, 4])
    for _, scalars in package.logged:
      self.assertIn('loss/facecycle-p0-s0', scalars)
      self.assertEqual({type(value) for value in scalars.values()}, {float})
    self.assertEqual(package.finished, 1)

  @pytest.mark.thorough
  def test_a_run_that_goes_on_is_the_same_there(self):
    first = self._train(wandb='offline').begun
    self.config.train.steps = 6
    self.assertEqual(
      self._train(wandb='offline').begun[0]['id'], first[0]['id']
    )

  def test_it_has_to_be_installed_and_to_begin(self):
    with (
      mock.patch.dict(sys.modules, wandb=None),
      self.assertRaisesRegex(ValueError, r'psm_jax\[wandb\]'),
    ):
      training.train(self.config, self.folder / 'run', wandb='online')
    refusing = mock.patch.object(
      _Package, 'init', side_effect=RuntimeError('no')
    )
    with refusing, self.assertRaisesRegex(ValueError, '--wandb=online: no'):
      self._train(wandb='online')
    with self.assertRaisesRegex(ValueError, "--wandb is 'yes'"):
      self._train(wandb='yes')

  @absltest.skipIf(wandb is None, 'pip install "psm_jax[wandb]"')
  def test_what_it_writes_offline_says_nothing_of_the_machine(self):
    training.train(self.config, self.folder / 'run', wandb='offline')
    (written,) = (self.folder / 'run' / 'wandb').rglob('run-*.wandb')
    content = written.read_bytes()
    self.assertIn(b'loss/facecycle-p0-s0', content)
    for private in (pathlib.Path.home().name, str(self.folder), 'pytest'):
      self.assertNotIn(private.encode(), content)


if __name__ == '__main__':
  absltest.main()
