"""What a row says follows from what was timed."""

import dataclasses
import json
import statistics
from unittest import mock

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, presets
from psm_jax.bench import flops, row
from tests import tiny
from tests.training_runs import write_store


def _measure(task='step', **fields):
  config = tiny.config(
    data__feed=fields.pop('feed', 'resident'),
    population__strategy=fields.pop('strategy', 'vmap'),
    population__num_devices=fields.pop('num_devices', 1),
  )
  defaults = {
    'repeats': 2,
    'steps': 1,
    'num_frames': 30,
  }
  # As it comes from another process.
  content = json.loads(json.dumps(config.to_dict()))
  return row.measure(task, content, 3, defaults | fields)


class RandomPlanTest(parameterized.TestCase):
  @parameterized.parameters(*presets.NAMES)
  def test_every_preset_can_be_timed_without_data(self, name):
    config = presets.get(name)
    plan = row.random_plan(2, 600, config)
    self.assertGreater(plan.clock.total_steps, 0)
    self.assertBetween(plan.rows.min(), 1200, 1799)
    self.assertBetween(plan.rows.max(), 1200, 1799)
    people = len(plan.person_start) - 1
    draws = config.curriculum.draws_per_person
    self.assertBetween(people * draws, config.train.batch_size, np.inf)


@pytest.mark.thorough
class RowTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enterContext(mock.patch.object(methods, 'make', tiny.conv_method))

  @parameterized.parameters(('loop', 1, 3), ('vmap', 2, 1))
  def test_the_numbers_of_a_row_agree(self, strategy, num_devices, slots):
    if jax.device_count() < num_devices:
      self.skipTest('needs more devices')
    made = _measure(strategy=strategy, num_devices=num_devices)
    self.assertEqual(json.loads(json.dumps(made)), made)
    self.assertEqual((made['num_devices'], made['slots']), (num_devices, slots))
    self.assertLen(made['step_s_turns'], 2)
    self.assertEqual(made['step_s'], statistics.median(made['step_s_turns']))
    self.assertAlmostEqual(made['model_steps_per_s'] * made['step_s'], 3)
    self.assertAlmostEqual(made['model_step_s'] * 3, made['step_s'])
    images = 2 * tiny.BATCH
    self.assertAlmostEqual(
      made['frames_per_s'], images * made['model_steps_per_s']
    )
    config = tiny.config()
    macs = flops.step_macs(tiny.conv_method(config), config).total()
    self.assertAlmostEqual(made['tflop_per_model_step'], 2e-12 * macs)
    self.assertAlmostEqual(
      made['tflop_per_s'], 2e-12 * macs * made['model_steps_per_s']
    )
    self.assertGreater(made['compile_s'], made['step_s'])
    self.assertGreater(made['matmul_tflop_per_s'], 0)
    # A median of ratios, not the ratio of medians.
    self.assertGreater(made['utilisation'], 0)
    ratios = [
      3 * alone / step
      for alone, step in zip(
        made['alone_model_step_s_turns'], made['step_s_turns'], strict=True
      )
    ]
    self.assertAlmostEqual(made['speedup'], statistics.median(ratios))
    self.assertEqual(made['peak_of'], 'process')
    self.assertGreater(made['peak_bytes'], 1e8)
    self.assertEqual(made['input_wait_share'], 0)

  def test_waiting_for_streamed_frames_is_counted(self):
    made = _measure(feed='stream', strategy='loop')
    self.assertEqual(made['feed'], 'StreamFeed')
    self.assertBetween(made['input_wait_share'], 0, 1)
    self.assertGreater(made['input_wait_share'], 0)

  def test_people_of_a_store_stand_for_several_models_each(self):
    path = write_store(self.create_tempdir().full_path)
    with mock.patch.object(
      row.population, 'build', wraps=row.population.build
    ) as build:
      _measure(store=str(path), strategy='loop', repeats=1)
    plans = build.call_args_list[0].args[1]
    self.assertLen(plans, 3)
    self.assertLen({int(plan.order_seed) for plan in plans}, 3)

  @parameterized.parameters('random', 'store')
  def test_a_method_of_canonical_faces_is_given_them(self, frames):
    seen = []

    def facing(config):
      method = tiny.conv_method(config)

      def loss(key, params, state, shared, batch, schedule):
        seen.append(batch.canonical)
        faces = batch.replace(frames=batch.canonical)
        return method.loss(key, params, state, shared, faces, schedule)

      return dataclasses.replace(method, loss=loss, uses_canonical=True)

    fields = {}
    if frames == 'store':
      fields['store'] = str(write_store(self.create_tempdir().full_path))
    with mock.patch.object(methods, 'make', facing):
      made = _measure(strategy='loop', repeats=1, **fields)
    self.assertGreater(made['model_steps_per_s'], 0)
    self.assertNotEmpty(seen)

  def test_embedding_is_measured_in_frames(self):
    made = _measure('embed')
    self.assertAlmostEqual(made['frames_per_s'] * made['batch_s'], 64)
    macs = flops.embedding_macs(tiny.conv_method(tiny.config())).total()
    self.assertAlmostEqual(
      made['tflop_per_s'], 2e-12 * macs * made['frames_per_s']
    )


if __name__ == '__main__':
  absltest.main()
