"""Settings that hold in every test; pytest reads them before any test file.

Tests run on four pretended CPU devices. To run them on an accelerator, name it:
JAX_PLATFORMS=cuda python -m pytest.
"""

import os
import tempfile

import pytest

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# Most of the time goes into compiling, which level 1 halves (2 and 3 are XLA's
# own). Refused are what changes numbers: level 0 a loss; the older emitters of
# fusions, a third faster, the gradient of CLP's stem (jaxlib 0.10).
os.environ['XLA_FLAGS'] = ' '.join(
  (
    '--xla_backend_optimization_level=1',
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=4',
  )
)

import jax  # noqa: E402  (JAX reads the variables above when it is imported.)
from absl import flags  # noqa: E402

from tests import annotations  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')
# Before any of them is imported.
annotations.check_calls('psm_jax.ops', 'psm_jax.models', 'psm_jax.engine')


@pytest.fixture(autouse=True, scope='session')
def absl_test_folder():
  """Lets absl's create_tempdir work under pytest, in a folder of this run."""
  with tempfile.TemporaryDirectory(prefix='psm_jax_test_') as folder:
    flags.FLAGS.mark_as_parsed()
    if 'test_tmpdir' in flags.FLAGS:
      flags.FLAGS.test_tmpdir = folder
    yield
