"""psm_jax's side of the comparison, on a method that compiles in a second."""

from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from benchmarks import engine, workload
from psm_jax import methods, presets
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

  def test_canonical_is_what_a_lab_trains(self):
    work = workload.Workload(
      method='canonical', width=0.5, size_px=32, pairs=16, vgg='none'
    )
    made, preset = engine.make_config(work), presets.get('canonical_narrow')
    for field in ('method.vgg', 'augment.enabled', 'population.num_devices'):
      # None of them means anything to this method on one device.
      group, name = field.split('.')
      preset[group][name] = made[group][name]
    self.assertEqual(made.to_dict(), preset.to_dict())

  def test_canonical_faces_are_one_a_model(self):
    work = workload.Workload(
      method='canonical', width=1 / 8, size_px=16, pairs=2, num_models=3
    )
    built, source = engine.make_population(work, engine.make_config(work))
    faces = built.to_host([b.canonical for b in source.batches_at(0)])
    expected = np.broadcast_to(
      work.faces().reshape(3, 1, 1, -1), (3, 2, 2, 16 * 16 * 3)
    )
    np.testing.assert_array_equal(faces, expected)
    self.assertLen(np.unique(expected[:, 0, 0], axis=0), 3)


if __name__ == '__main__':
  absltest.main()
