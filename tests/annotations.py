"""The check of calls against annotations, made as modules are imported."""

import beartype
import jaxtyping

# An int is a float, as type checkers have it.
_CONFIG = beartype.BeartypeConf(is_pep484_tower=True)
# JAX makes trees anew of whatever stands for their leaves.
_TREES = ('Course.__init__', 'TrainState.__init__')
# These say themselves what is wrong.
_STRICT = ('Augmentation.__init__',)


def check(function):
  """Returns a function that refuses what its annotations do not allow."""
  if function.__qualname__ in _TREES + _STRICT:
    return function
  return beartype.beartype(conf=_CONFIG)(function)


def check_calls(*modules):
  """Has all functions checked of modules that are imported from here on."""
  jaxtyping.install_import_hook(modules, f'{check.__module__}.check')
