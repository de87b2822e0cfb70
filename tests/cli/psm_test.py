"""The console command, and the wheel that installs it."""

import logging
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
import setuptools
from absl.testing import absltest, parameterized

from psm_jax import presets
from psm_jax.cli import program, psm
from tests import programs

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _start(*arguments, **options):
  return programs.run('psm_jax.cli.psm', *arguments, **options)


class PsmTest(absltest.TestCase):
  def test_help_has_every_program_of_launch_in_a_line(self):
    verbs = {
      path.stem
      for path in (_ROOT / 'launch').glob('*.py')
      if path.stem != '__init__'
    }
    listed = [verb for verbs in psm.VERBS.values() for verb in verbs]
    self.assertEqual(verbs, set(listed))
    for verb in listed:
      self.assertRegex(psm.usage(), rf'(?m)^  {verb} +[A-Z].{{20,}}\.$')

  def test_help_loads_no_program(self):
    code = (
      'import sys; from psm_jax.cli import psm; psm.usage();'
      'print([m for m in ("jax", "pandas", "tensorflow") if m in sys.modules])'
    )
    shown = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    self.assertEqual(shown.stdout, '[]\n')

  def test_a_verb_that_is_none_is_wrong_usage(self):
    ended = _start('trian')
    self.assertEqual(ended.returncode, 2)
    self.assertIn("no verb 'trian'", ended.stderr)

  def test_messages_name_programs_as_they_are_started(self):
    ended = _start('embed', '--workdir=/nowhere')
    self.assertEqual(ended.returncode, 1, ended.stderr)
    self.assertIn('psm train --config=... --workdir=/nowhere', ended.stderr)
    self.assertNotIn('launch.', ended.stderr)

  def test_a_preset_goes_by_its_name_and_a_file_by_its_path(self):
    folder = self.create_tempdir().full_path
    path = pathlib.Path(folder) / 'mine.py'
    path.write_text(pathlib.Path(presets.path_of('quickstart')).read_text())
    for config in ('quickstart', path):
      ended = _start(
        'train',
        f'--config={config}',
        '--workdir=run',
        '--config.data.size_px=18',
        cwd=folder,
      )
      self.assertIn('data.size_px is 18', ended.stderr)
    self.assertIn('nor a preset', _start('train', '--config=psm_clt').stderr)


class ChatterTest(parameterized.TestCase):
  @parameterized.parameters(
    (program.__file__, 'INFO', True),
    ('/lib/orbax/checkpoint.py', 'INFO', False),
    ('/lib/orbax/checkpoint.py', 'WARNING', True),
    ('/lib/tensorflow_datasets/core/feature.py', 'WARNING', False),
    ('/lib/tensorflow_datasets/core/feature.py', 'ERROR', True),
  )
  def test_what_libraries_say_is_shown_from_a_warning_on(
    self, path, level, is_shown
  ):
    record = logging.LogRecord(
      'absl', getattr(logging, level), path, 1, 'text', (), None
    )
    self.assertEqual(program._is_ours(record), is_shown)


class WheelTest(absltest.TestCase):
  @absltest.skipIf(
    int(setuptools.__version__.split('.')[0]) < 77,
    'setuptools 77 or newer builds the wheel (requirements-test.txt)',
  )
  @pytest.mark.thorough
  def test_the_wheel_works_outside_the_checkout(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    source = folder / 'source'
    shutil.copytree(
      _ROOT / 'psm_jax',
      source / 'psm_jax',
      ignore=shutil.ignore_patterns('__pycache__'),
    )
    for name in ('pyproject.toml', 'requirements.txt', 'README.md', 'LICENSE'):
      shutil.copy(_ROOT / name, source)
    build = (
      'import sys; from setuptools import build_meta;'
      'build_meta.build_wheel(sys.argv[1])'
    )
    subprocess.run(
      [sys.executable, '-c', build, folder],
      cwd=source,
      capture_output=True,
      check=True,
    )
    (wheel,) = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as content:
      tops = {name.split('/')[0] for name in content.namelist()}
      content.extractall(folder / 'site')
    self.assertEqual({t for t in tops if not t.endswith('-info')}, {'psm_jax'})
    ended = subprocess.run(
      [
        *(sys.executable, '-m', 'psm_jax.cli.psm', 'train'),
        *('--config=quickstart', '--workdir=run', '--config.data.size_px=18'),
      ],
      cwd=folder,
      env={**os.environ, 'PYTHONPATH': str(folder / 'site')},
      capture_output=True,
      text=True,
      timeout=300,
      check=False,
    )
    self.assertIn('data.size_px is 18', ended.stderr)


if __name__ == '__main__':
  absltest.main()
