"""psm, the console command: `psm VERB ...` is `python -m launch.VERB ...`.

`psm --help` lists the verbs. Only the verb that is asked for is imported: two
of them may have flags of one name, and many need no JAX.
"""

import ast
import pathlib
import re
import sys

from absl import logging

import psm_jax
from psm_jax.cli import program

VERBS = {
  'All of it': ('run',),
  'One by one': ('ingest', 'train', 'embed', 'evaluate', 'report'),
  'Look closer': ('film', 'label', 'discover', 'compare', 'learning_curve'),
  'Models in and out': ('export', 'import_reference'),
  'Frames and labels': ('store', 'pack', 'attach_labels'),
  'People': ('forget',),
  'Machines': ('doctor', 'status', 'bench', 'compile'),
}
_PROGRAM = re.compile(r'(?:python -m )?\blaunch\.(\w+)')


def main():
  """Starts the verb that the command line names."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    sys.stdout.write(usage())
    return
  verb, *rest = arguments
  if verb == '--version':
    sys.stdout.write(f'psm_jax {psm_jax.__version__}\n')
    return
  if verb not in _verbs():
    sys.stderr.write(
      f'psm has no verb {verb!r}; it has {", ".join(_verbs())}.\nTry psm '
      '--help.\n'
    )
    sys.exit(program.WRONG_USAGE)
  sys.argv = [f'psm {verb}', *rest]
  logging.get_absl_handler().addFilter(_name_programs)
  program.run(verb, as_called=as_psm)


def usage() -> str:
  """Returns what `psm --help` shows: a line for each verb."""
  lines = ['Person-specific models of facial movement.', '', 'psm VERB --help']
  for title, verbs in VERBS.items():
    lines += ['', f'{title}:']
    lines += [f'  {verb:<17}{_summary(verb)}' for verb in verbs]
  lines += ['', 'In Python: model = psm_jax.load(FOLDER)', '']
  return '\n'.join(lines)


def as_psm(text: str) -> str:
  """Returns text with programs called as this command calls them."""
  return _PROGRAM.sub(r'psm \1', text)


def _verbs():
  return [verb for verbs in VERBS.values() for verb in verbs]


def _summary(verb):
  """Returns the first sentence of a verb's help without importing it."""
  source = pathlib.Path(__file__).with_name(f'{verb}.py')
  tree = ast.parse(source.read_text(encoding='utf-8'))
  return ast.get_docstring(tree).split('\n', 1)[0]


def _name_programs(record):
  """Rewrites a log record; the library names programs as launch.VERB."""
  record.msg, record.args = as_psm(record.getMessage()), ()
  return True


if __name__ == '__main__':
  main()
