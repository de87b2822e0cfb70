"""JAX's persistent compilation cache: the second start compiles nothing.

The cache holds machine code that JAX runs unseen, so it lies in a folder that
is the user's alone. On CPUs nothing is kept unless the user names a folder in
JAX_COMPILATION_CACHE_DIR: the code there is made for one processor, which the
machines of a cluster that share a home folder need not have, and loading it has
been seen to end the process.
"""

import os
import pathlib
import stat

import jax
from absl import logging

from psm_jax import paths

# Shorter compilations are not worth a file.
_LEAST_S = 1.0


def enable_cache() -> pathlib.Path | None:
  """Lets JAX keep compiled programs for later starts, where that is safe.

  To be called before the first compilation. The folder is psm_jax/compiled in
  $XDG_CACHE_HOME, or in ~/.cache; one that JAX_COMPILATION_CACHE_DIR names is
  left as JAX uses it.

  Returns:
    The folder, None if nothing is kept.
  """
  given = jax.config.values['jax_compilation_cache_dir']
  if given:
    return pathlib.Path(given)
  if jax.local_devices()[0].platform == 'cpu':
    return None
  folder = user_cache() / 'psm_jax' / 'compiled'
  try:
    paths.make_private_dir(folder)
  except OSError as error:
    logging.warning('Compiled programs are not kept: %s', error)
    return None
  problem = _distrust(folder)
  if problem:
    logging.warning(
      'Compiled programs are not kept: %s %s, who could have programs run as '
      'you. Delete it, or `chmod 700` it if its content is yours.',
      folder,
      problem,
    )
    return None
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', _LEAST_S)
  return folder


def user_cache() -> pathlib.Path:
  """Returns the folder of the user's caches."""
  named = os.environ.get('XDG_CACHE_HOME', '')
  # The specification has relative paths ignored.
  if os.path.isabs(named):
    return pathlib.Path(named)
  return pathlib.Path.home() / '.cache'


def _distrust(folder):
  """Returns why a folder's content may be another's, '' if it is not."""
  if os.name != 'posix':
    return ''
  status = folder.stat()
  if status.st_uid != os.getuid():
    return 'belongs to another user'
  if stat.S_IMODE(status.st_mode) & 0o022:
    return 'can be written by other users'
  return ''
