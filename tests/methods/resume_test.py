"""A model that comes back from its checkpoint goes on bit for bit."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, sampling
from psm_jax.engine import update
from psm_jax.runs import checkpoint
from tests import tiny

_BATCH = 4
_FABNET = {
  'method__name': 'fabnet',
  'data__size_px': 64,
  'curriculum__pairing': 'views',
  'curriculum__num_sources': 2,
}
_CLP = {
  'method__name': 'clp',
  'data__size_px': 64,
  'curriculum__pairing': 'clips',
  'curriculum__clip_frames': 2,
  'curriculum__clip_gap': 2,
  'method__clp__dictionary_size': 8,
  'method__clp__num_nearest': 4,
}
_CANONICAL = {
  'method__name': 'canonical',
  'data__size_px': 16,
  'curriculum__pairing': 'drawn',
}


def _jit(function):
  # Compiling takes longer than running.
  return jax.jit(
    function, compiler_options={'xla_backend_optimization_level': 0}
  )


class ResumeTest(parameterized.TestCase):
  @parameterized.parameters(
    # Several BatchNorms, a loss window with validation, momentum.
    (_FABNET,),
    (_FABNET | {'method__fabnet__freeze_decoder': True},),
    # A momentum encoder, a dictionary, BatchNorms.
    (_CLP,),
    (_CLP | {'method__clp__optimizer': 'adamw'},),
  )
  def test_all_that_changes_comes_back_from_a_checkpoint(self, fields):
    method = methods.make(tiny.config(train__batch_size=_BATCH, **fields))
    state = jax.eval_shape(
      functools.partial(update.init_model, method=method),
      jax.ShapeDtypeStruct((2,), np.uint32),
    )
    generator = np.random.default_rng(0)
    saved = jax.tree.map(
      lambda leaf: generator.integers(0, 100, leaf.shape).astype(leaf.dtype),
      state,
    )
    restored = self._back(saved, method)
    jax.tree.map(np.testing.assert_array_equal, restored, saved)

  @pytest.mark.thorough
  def test_a_model_goes_on_from_its_checkpoint(self):
    # Canonical faces beside the frames, weight decay.
    self._check(_CANONICAL)

  @parameterized.parameters(
    (_FABNET,),
    (_FABNET | {'method__fabnet__freeze_decoder': True},),
    (_CLP,),
    (_CLP | {'method__clp__optimizer': 'adamw'},),
  )
  @pytest.mark.slow
  def test_larger_models_go_on_from_their_checkpoints(self, fields):
    self._check(fields)

  def _check(self, fields):
    config = tiny.config(train__batch_size=_BATCH, **fields)
    method = methods.make(config)
    cohort = sampling.Cohort(
      name='a+b',
      rows=np.arange(60),
      video_lengths=np.full(2, 30),
      fps=np.full(2, 25.0),
      video_people=np.arange(2),
    )
    plan, _ = sampling.make_plan(cohort, config, seed=0)
    clock = jax.tree.map(jnp.asarray, plan.clock)
    step = _jit(
      lambda state, batch: update.train_step(
        method, config, state, clock, (), batch
      )[0]
    )
    observe = _jit(
      lambda state, loss, epoch: update.observe(
        method, config, state, loss, epoch
      )
    )
    generator = np.random.default_rng(0)
    shapes = method.batch_shapes(_BATCH)
    batches = [
      jax.tree.map(
        lambda leaf: generator.integers(0, 256, leaf.shape, leaf.dtype), shapes
      ).replace(person=np.array([0, 1, 0, 1], np.int32))
      for _ in range(4)
    ]

    def advance(state, batches):
      for batch in batches:
        state = step(state, batch)
        if method.validate is not None:
          state = observe(state, jnp.float32(1), jnp.int32(0))
      return jax.device_get(state)

    begun = advance(
      update.initialiser(method, jax.devices()[0])(clock.key), batches[:2]
    )
    unbroken = advance(begun, batches[2:])
    moved = jax.tree.map(np.array_equal, begun.params, unbroken.params)
    self.assertFalse(all(jax.tree.leaves(moved)))
    resumed = advance(self._back(begun, method), batches[2:])
    jax.tree.map(np.testing.assert_array_equal, resumed, unbroken)

  def _back(self, state, method):
    """Returns a state as it comes back from a checkpoint."""
    folder = pathlib.Path(self.create_tempdir().full_path)
    checkpoints = checkpoint.Checkpoints(folder)
    checkpoints.save(2, jax.tree.map(lambda leaf: leaf[None], state), ['m'])
    checkpoints.close()
    checkpoints = checkpoint.Checkpoints(folder)
    _, restored = checkpoints.restore(checkpoint.template(method, 1), ['m'])
    checkpoints.close()
    return jax.tree.map(lambda leaf: leaf[0], restored)


if __name__ == '__main__':
  absltest.main()
