"""psm_jax: person-specific models of facial movement, many at once.

  model = psm_jax.load('runs/lab', person_id='P01')
  table = model.transform('today.mp4')

What is listed here is for users; importing psm_jax loads none of it.
"""

import importlib

__version__ = '0.2.0'
_HOMES = {
  'Model': 'psm_jax.model',
  'PersonSpecificModels': 'psm_jax.estimator',
  'embeddings': 'psm_jax.model',
  'load': 'psm_jax.model',
}
__all__ = ['__version__', *_HOMES]


def __getattr__(name):
  """Returns a public name, importing its module when it is first used."""
  if name not in _HOMES:
    raise AttributeError(f'psm_jax has no {name!r}.')
  return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
  """Returns the public names."""
  return __all__
