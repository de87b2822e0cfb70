"""psm_jax's side of the comparison, on a method that compiles in a second."""

from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from benchmarks import engine, workload
from psm_jax import methods
from tests import tiny

_WORK = workload.Workload(
  size_px=tiny.SIZE_PX, pairs=tiny.BATCH, vgg='none', num_models=2
)


class EngineTest(parameterized.TestCase):
  @parameterized.parameters('loop', 'vmap')
  def test_a_run_is_one_step_of_every_model(self, strategy):
    with mock.patch.object(methods, 'make', tiny.toy_method):
      run, described = engine.prepare(_WORK, strategy=strategy)
    for step in (1, 2):
      states, metrics = run()
      steps = np.concatenate([np.ravel(state.step) for state in states])
      np.testing.assert_array_equal(steps, [step, step])
      losses = np.concatenate([np.ravel(slot['loss']) for slot in metrics])
      self.assertTrue(np.all(np.isfinite(losses)))
    self.assertEqual(described['contestant'], 'psm_jax')

  def test_an_embedding_is_of_the_asked_for_frames(self):
    work = workload.Workload(
      task='embed', size_px=tiny.SIZE_PX, pairs=tiny.BATCH, batch_frames=3
    )
    with mock.patch.object(methods, 'make', tiny.toy_method):
      run, _ = engine.prepare(work)
    self.assertLen(run(), 3)

  def test_nothing_is_augmented(self):
    self.assertFalse(engine.make_config(_WORK).augment.enabled)


if __name__ == '__main__':
  absltest.main()
