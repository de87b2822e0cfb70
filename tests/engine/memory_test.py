import dataclasses
from unittest import mock

import jax
import pytest
from absl.testing import absltest

from psm_jax import methods
from psm_jax.engine import memory
from tests import tiny


def _estimate(config, *, num_people=4, num_devices=1, frame_bytes=0):
  people = tiny.cohorts(*[30] * num_people)
  built = tiny.build(
    config, people, method='conv', devices=jax.devices()[:num_devices]
  )
  return built, memory.estimate(
    tiny.conv_method(config), built, frame_bytes, config
  )


class EstimateTest(absltest.TestCase):
  def test_states_are_counted_to_the_byte(self):
    built, needed = _estimate(tiny.config(population__strategy='vmap'))
    states = built.to_host(built.init())
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(states))
    self.assertEqual(needed.models * needed.state, held)

  def test_twice_the_batch_keeps_twice_the_activations(self):
    once, twice = (
      _estimate(tiny.config(train__batch_size=size))[1] for size in (4, 8)
    )
    params = 4 * (27 * 4 + 36 * 4 + 16 * 12)
    self.assertGreater(once.step, 2 * params)
    # Parameters and small tables do not grow.
    self.assertAlmostEqual(twice.step / once.step, 2, delta=0.15)

  def test_only_models_computed_together_count_their_activations(self):
    at_once = {
      strategy: _estimate(
        tiny.config(population__strategy=strategy, population__chunk=2)
      )[1].models_at_once
      for strategy in ('vmap', 'map', 'loop')
    }
    self.assertEqual(at_once, {'vmap': 4, 'map': 2, 'loop': 2})

  @pytest.mark.thorough
  def test_parts_and_recomputation_keep_fewer_activations(self):
    def step_bytes(**fields):
      config = tiny.config(train__batch_size=4, **fields)
      built = tiny.build(config, tiny.cohorts(30))
      method = methods.abstract(config)
      return memory.estimate(method, built, 0, config).step

    whole = step_bytes()
    parts = step_bytes(train__microbatches=4)
    recomputed = step_bytes(train__remat=True)
    self.assertLess(parts, whole / 2)
    self.assertLess(recomputed, whole / 2)

  def test_frames_are_those_of_the_fullest_device(self):
    config = tiny.config(population__strategy='loop')
    people = tiny.cohorts(30, 21, 47)
    built = tiny.build(config, people, devices=jax.devices()[:2])
    per_frame = tiny.SIZE_PX**2 * 3
    counted = memory.frame_bytes(built, bytes_per_frame=per_frame)
    self.assertEqual(counted, 51 * per_frame)


class TpuTest(absltest.TestCase):
  batch_size = 4

  def setUp(self):
    super().setUp()
    config = tiny.config(train__batch_size=self.batch_size)
    built, self.elsewhere = _estimate(config)
    on_tpu = dataclasses.replace(
      built, devices=(mock.Mock(spec=jax.Device, platform='tpu'),)
    )
    self.needed = memory.estimate(tiny.conv_method(config), on_tpu, 0, config)
    # Kernels of 3x3x3x4, 1x1x4x4 and 4x4x4x3, float32: few channels, so that
    # rows are filled up to 128 lanes and channels to 8 rows.
    self.params = 4 * 8 * 128 * (3 * 3 + 1 + 4 * 4)

  def test_few_channels_fill_a_tile_of_8_rows_by_128_lanes(self):
    moments_too = 3 * self.params
    self.assertGreaterEqual(self.needed.state, moments_too)
    self.assertLess(self.needed.state, moments_too + 1024)

  def test_what_convolutions_gave_is_stored_and_the_rest_computed_again(self):
    # Codes before relu and before tanh, and the image drawn: 4 or 3 channels in
    # 8 rows, 16 and 32 columns in 128 lanes.
    drawn = 4 * self.batch_size * 8 * 128 * (16 + 16 + tiny.SIZE_PX)
    given = 4 * self.batch_size * 8 * 128 * (2 * tiny.SIZE_PX)
    self.assertGreaterEqual(self.needed.step, drawn + self.params)
    self.assertLess(self.needed.step, drawn + given + 2.5 * self.params)
    # Without tiles it is fewer bytes, though relu's and tanh's count there.
    self.assertGreater(self.needed.step, 4 * self.elsewhere.step)


class CheckTest(absltest.TestCase):
  needed = memory.Estimate(
    state=100, step=300, frames=1000, models=10, models_at_once=10
  )

  def test_what_fits_passes(self):
    memory.check(self.needed, 5000, num_devices=1)

  def test_the_largest_wave_that_fits_is_named(self):
    with self.assertRaisesRegex(ValueError, r'population\.wave=9: '):
      memory.check(self.needed, 4999, num_devices=1)
    with self.assertRaisesRegex(ValueError, r'population\.wave=18: '):
      memory.check(self.needed, 4999, num_devices=2)

  def test_a_population_of_that_size_fits(self):
    for limit in (1400, 2350, 4999):
      fitting = self.needed.models_that_fit(limit)
      own = fitting * 400 + 1000
      self.assertLessEqual(own, limit)
      self.assertGreater(own + 400, limit)

  def test_no_more_steps_fit_at_a_time_than_memory_is_left(self):
    for limit, steps in ((1999, 0), (2299, 0), (2300, 1), (2900, 3)):
      self.assertEqual(self.needed.steps_that_fit(limit), steps)

  def test_a_model_that_does_not_fit_alone_is_said_so(self):
    with self.assertRaisesRegex(ValueError, 'Not even one fits'):
      memory.check(self.needed, 1399, num_devices=1)

  def test_this_machine_has_memory(self):
    self.assertGreater(memory.limit_of(jax.devices()[0]), 2**28)


if __name__ == '__main__':
  absltest.main()
