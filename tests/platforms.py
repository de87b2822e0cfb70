"""Programs as another platform has them, on the machine at hand."""

import contextlib
from unittest import mock

import jax
from jax import lax


@contextlib.contextmanager
def forms_of(platform):
  """Has what is traced meanwhile take the forms of a platform, and run here.

  Functions with rules of their own are traced once for all, hence the caches.
  """

  def chosen(*args, default=None, **forms):
    return forms.get(platform, default)(*args)

  jax.clear_caches()
  with mock.patch.object(lax, 'platform_dependent', chosen):
    yield
  jax.clear_caches()


def lowered(function, *args, platform):
  """Returns the StableHLO of a function for a platform, there or not."""
  traced = jax.jit(function).trace(*args)
  return traced.lower(lowering_platforms=(platform,)).as_text()
