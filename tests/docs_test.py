"""What the documentation tells to type and to call is there, as it says.

Every command of a program is parsed by the program's own flags; those of the
README's own faces and of shards on one machine are run on a toy. What else is
typed is not started here, and `_OTHERS` says why.
"""

import ast
import contextlib
import dataclasses
import importlib.util
import inspect
import pathlib
import re
import shlex
import sys
import warnings
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from absl import flags
from absl.testing import absltest, parameterized

import psm_jax
from psm_jax import methods
from psm_jax.cli import program
from psm_jax.data import frame_files
from psm_jax.evaluation import probes
from tests import tiny

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PAGES = (
  *(_ROOT / f'{name}.md' for name in ('README', 'BUILD', 'CONTRIBUTING')),
  _ROOT / 'BENCHMARKS.md',
  *sorted((_ROOT / 'docs').glob('*.md')),
)
# First words of what is typed beside our programs, and why it is not started.
_OTHERS = {
  '#': 'says something',
  'psm': 'tests/cli/psm_test.py asks it for help',
  '.': 'enters an environment',
  '.venv/bin/pip': 'installs',
  'dask': 'a program of another package',
  'docker': 'needs Docker',
  'gcloud': 'needs an account',
  'kubectl': 'needs a cluster',
  'mkdocs': 'launch/test.sh builds the site',
  'nvidia-smi': 'needs a GPU',
  'pip': 'installs',
  'python3.11': 'makes an environment',
  'sbatch': 'needs Slurm; tests/launch runs the script where there is one',
  'tensorboard': 'a program of another package, which serves until stopped',
  'tfds': 'tests/data/builder_test.py builds by the same options',
  'unzip': 'a file that is not here',
  'wait': 'waits',
}


def _fenced(page, language):
  return re.findall(
    rf'^ *```{language}\n(.*?)^ *```', page.read_text(), re.M | re.S
  )


def _commands():
  """Yields (page, command) of all that is to be typed."""
  for page in _PAGES:
    for block in _fenced(page, 'bash'):
      command = ''
      for line in block.replace('\\\n', ' ').strip().split('\n'):
        command += f'{line} '
        if command.count("'") % 2:  # A quoted text goes on.
          continue
        for one in re.split(r' && | & *$', command):
          if typed := re.sub(r'(?<= )#.*', '', one).strip():
            yield page.name, typed
        command = ''


def _words(command):
  """Returns a command's words without variables set before it and '...'."""
  words = shlex.split(command)
  while re.match(r'[A-Z_]+=', words[0]):
    words = words[1:]
  return [word for word in words if word != '...']


def _program_of(words):
  """Returns (module, arguments) of a program of ours, None of another's."""
  if words[0] == 'psm' and not words[1].startswith('-'):
    return f'psm_jax.cli.{words[1]}', words[2:]
  if words[:2] == ['python', '-m']:
    package, _, name = words[2].partition('.')
    if package == 'launch':
      return f'psm_jax.cli.{name}', words[3:]
    if package == 'benchmarks':
      return words[2], words[3:]
  if words[0] == 'sbatch' and 'launch/slurm.sh' in words:
    at = words.index('launch/slurm.sh') + 1
    return f'psm_jax.cli.{words[at]}', words[at + 1 :]
  return None


@contextlib.contextmanager
def _loaded(name):
  """Gives a program's module, its flags alone defined meanwhile."""
  kept = dict(vars(flags.FLAGS))
  vars(flags.FLAGS).clear()
  vars(flags.FLAGS).update(vars(flags.FlagValues()))
  try:
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    # Flags that several programs define by a module of their own.
    importlib.reload(importlib.import_module('psm_jax.cli.probe_flags'))
    spec.loader.exec_module(module)
    vars(module).get('_define_flags', int)()  # Some wait until started.
    yield module
  finally:
    vars(flags.FLAGS).clear()
    vars(flags.FLAGS).update(kept)


def _parse(module, arguments, *, is_whole=True):
  """Parses a command line as the program does; raises if it refuses it."""
  if is_whole:
    flags.mark_flags_as_required(vars(module).get('REQUIRED', ()))
  arguments = [program._with_preset(argument) for argument in arguments]
  argv = ['program', *arguments]
  with warnings.catch_warnings(), mock.patch.object(sys, 'argv', argv):
    # ml_collections loads its files as Python will not any more, and looks at
    # sys.argv for the fields.
    warnings.simplefilter('ignore', DeprecationWarning)
    rest = flags.FLAGS(argv)[1:]
  if rest and 'ARGUMENTS' not in vars(module):
    raise ValueError(f'Unknown arguments: {rest}')
  return rest


class CommandTest(parameterized.TestCase):
  def test_programs_take_what_is_to_be_typed(self):
    by_program = {}
    for page, command in _commands():
      words = _words(command)
      ours = _program_of(words)
      if ours:
        is_whole = '...' not in command
        by_program.setdefault(ours[0], {})[command] = (page, ours[1], is_whole)
    self.assertGreater(len(by_program), 20)
    for name, commands in by_program.items():
      for command, (page, arguments, is_whole) in commands.items():
        with self.subTest(page=page, command=command), _loaded(name) as module:
          _parse(module, arguments, is_whole=is_whole)

  def test_a_wrong_command_is_noticed(self):
    for arguments in (
      ['--workdir=x', '--pictures=many'],
      ['--workdir=x', '--controls=maybe'],
      ['--wrkdir=x'],
      ['--workdir=x', 'more'],
    ):
      with (
        _loaded('psm_jax.cli.embed') as module,
        self.assertRaises((flags.Error, ValueError)),
      ):
        _parse(module, arguments)

  def test_all_else_is_known_and_names_files_that_are_there(self):
    for page, command in _commands():
      words = _words(command)
      with self.subTest(page=page, command=command):
        if words[0].startswith('launch/'):
          self.assertTrue((_ROOT / words[0]).is_file())
        elif words[:2] == ['python', '-c']:
          ast.parse(words[2])
        elif words[:3] == ['python', '-m', 'pytest']:
          places = [w for w in words[3:] if w.startswith('tests/')]
          self.assertTrue(all((_ROOT / place).exists() for place in places))
        elif _program_of(words) is None:
          self.assertIn(words[0], _OTHERS)
        for file in re.findall(
          r'(?<![\w/.])(?:configs|launch)/\S+\.\w+', command
        ):
          self.assertTrue((_ROOT / file).is_file(), file)

  @pytest.mark.thorough
  def test_the_commands_of_ones_own_faces_lead_to_the_page(self):
    (block,) = (
      b for b in _fenced(_ROOT / 'README.md', 'bash') if 'psm_ctl' in b
    )
    folder = pathlib.Path(self.create_tempdir().full_path)
    _write_frames(folder / 'frames', 'P01')
    fields = (
      '--config.data.size_px=32 --config.train.epochs=0 --config.train.steps=2 '
      '--config.train.batch_size=2 --config.method.vgg=none'
    )
    block = block.replace('/data/frames', f'{folder}/frames {fields}')
    block = block.replace('runs/lab', f'{folder}/runs/lab')
    block = block.replace('psm embed', 'psm embed --csv')
    with _toy('facecycle'), _few_draws():
      _run(block)
      (store,) = (folder / 'runs/lab/data').glob('store-*')
      out = folder / 'new.csv'
      with _loaded('psm_jax.cli.embed') as module:
        run = f'--model={folder}/runs/lab', '--person=P01'
        _parse(module, [*run, f'--frames={store}', f'--out={out}'])
        module.main()
    tables = (folder / 'runs/lab').rglob('*.csv')
    (as_text,) = {p.parents[2].name for p in tables if p.name == 'a.csv'}
    self.assertEqual(as_text, 'embeddings')
    table = pd.read_csv(out)
    self.assertEqual(table['success'].sum(), len(table))
    self.assertEqual(set(table['model_id']), {'facecycle-P01-s0'})
    text = (folder / 'runs/lab/report.html').read_text()
    self.assertIn('1 person-specific model of facial movement', text)
    self.assertIn('class="verdict"', text)

  @pytest.mark.thorough
  def test_the_commands_of_shards_on_one_machine_lead_to_the_page(self):
    (block,) = (
      b
      for b in _fenced(_ROOT / 'docs/cluster.md', 'bash')
      if '--shard=1/2' in b
    )
    folder = pathlib.Path(self.create_tempdir().full_path)
    fields = (
      '--config.data.synthetic.num_people=2 '
      '--config.data.synthetic.num_frames=24 --config.data.size_px=32 '
      '--config.train.steps=2 --config.train.batch_size=2'
    )
    block = block.replace('runs/q', f'{folder}/q')
    block = block.replace('quickstart.py', f'quickstart.py {fields}')
    block = block.replace('evaluate', 'evaluate --splits=cross_video')
    with _toy('canonical'), _few_draws():
      _run(block)
    summary = pd.read_csv(folder / 'q/evaluation/summary.csv')
    self.assertEqual(summary['num_persons'].max(), 2)
    shards = {path.name for path in (folder / 'q/shards').glob('*.json')}
    self.assertEqual(shards, {'wave000.json', 'wave001.json'})
    text = (folder / 'q/report.html').read_text()
    self.assertIn('2 person-specific models of facial movement', text)


def _toy(name):
  """Puts a method that compiles in seconds in the place of one."""
  return mock.patch.dict(
    methods.METHODS, {name: lambda config, **_: tiny.toy_method(config)}
  )


def _few_draws():
  """Has probes drawn seldom: what they say of noise does not matter here."""
  few = dataclasses.replace(
    probes.DEFAULT,
    few_label_draws=1,
    num_frame_resamples=10,
    num_block_resamples=10,
  )
  return mock.patch.object(probes, 'DEFAULT', few)


def _run(block):
  """Runs a block's programs here, one after another."""
  for line in block.replace('\\\n', ' ').strip().split('\n'):
    command = line.removesuffix('&').strip()
    if command == 'wait':
      continue
    name, arguments = _program_of(_words(command))
    with _loaded(name) as module:
      _parse(module, arguments)
      if module.main() is not None:
        raise AssertionError(f'It failed: {command}')


class LinkTest(absltest.TestCase):
  def test_links_between_files_lead_somewhere(self):
    # mkdocs build, which launch/test.sh runs, checks the site's own.
    for page in _PAGES:
      targets = re.findall(r'\]\(([^)#\s]+)', page.read_text())
      for target in targets:
        if '://' not in target:
          with self.subTest(page=page.name, target=target):
            self.assertTrue((page.parent / target).exists())


class PythonTest(absltest.TestCase):
  def test_what_is_called_is_there_and_takes_what_it_is_given(self):
    calls = [
      (page.name, call)
      for page in _PAGES
      for code in _fenced(page, 'python')
      if 'psm_jax.' in code or 'model.' in code
      for call in ast.walk(ast.parse(code))
      if isinstance(call, ast.Call)
    ]
    kinds = {'psm_jax': psm_jax, 'model': psm_jax.Model}
    checked = 0
    for page, call in calls:
      place, _, name = ast.unparse(call.func).partition('.')
      if place not in kinds or not name:
        continue
      with self.subTest(page=page, call=ast.unparse(call)):
        called = inspect.signature(getattr(kinds[place], name))
        receiver = (None,) if place == 'model' else ()
        called.bind(
          *receiver, *call.args, **{k.arg: None for k in call.keywords}
        )
        checked += 1
    self.assertGreater(checked, 8)


def _write_frames(folder, *people):
  """Writes two videos of noise with an action unit of each."""
  videos = {
    video: tiny.frames(24, seed=seed).reshape(24, 32, 32, 3)
    for seed, video in enumerate('ab')
  }
  frame_files.write(dict.fromkeys(people, videos), folder)
  units = pd.DataFrame({'frame': range(24), 'AU12': np.arange(24) % 6 // 3 * 3})
  for person in people:
    for video in videos:
      units.to_csv(folder / person / video / 'labels.csv', index=False)


if __name__ == '__main__':
  absltest.main()
