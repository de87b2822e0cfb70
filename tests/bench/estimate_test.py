"""What is said of TPUs without one: lowered here, compiled where libtpu is."""

import re
import types

import pytest
from absl.testing import absltest, parameterized

from psm_jax.bench import estimate, topology
from psm_jax.presets import narrow
from tests import tiny

_KIND = topology.GENERATIONS['v5e']
_needs_libtpu = pytest.mark.skipif(
  not topology.is_available(), reason='libtpu is not installed'
)
# A step without loops over models, of what the compiler says.
_ROW = {
  'num_devices': 1,
  'strategy': 'loop',
  'slots': 3,
  'slot_models': 1,
  'tflop_per_model_step': 0.1,
}


class TopologyTest(parameterized.TestCase):
  @parameterized.parameters('v5e', 'v9:2x2', 'h100:1')
  def test_an_unknown_topology_is_named_beside_the_known_ones(self, name):
    with self.assertRaisesRegex(ValueError, f'{name}.*v5e, v5p.*v5e:4x4'):
      topology.devices(name)

  @_needs_libtpu
  def test_a_slice_that_does_not_exist_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'no topology v5e:3x5'):
      topology.devices('v5e:3x5')


class DescribeTest(absltest.TestCase):
  def _described(self, **row):
    sizes = types.SimpleNamespace(
      argument_size_in_bytes=2 * 2**30,
      output_size_in_bytes=2 * 2**30,
      alias_size_in_bytes=1 * 2**30,
      temp_size_in_bytes=3 * 2**30,
      generated_code_size_in_bytes=0,
    )
    text = (
      'ENTRY %main (a: f32[]) -> f32[] {\n  ROOT %b = f32[] add(%a, %a), '
      'backend_config={"estimated_cycles":"1500000"}\n}\n'
    )
    compiled = types.SimpleNamespace(
      memory_analysis=lambda: sizes, as_text=lambda: text
    )
    return estimate.describe(compiled, _ROW | row, _KIND)

  def test_slots_hold_their_states_and_pass_through_one_program(self):
    row = self._described()
    self.assertEqual(row['hbm_bytes'], (3 * 2 + 3 + 1) * 2**30)
    # (16 - 4) / 2.
    self.assertEqual(row['models_that_fit'], 6)
    self.assertEqual(row['donated_share'], 0.5)

  def test_a_stacked_slot_grows_as_a_whole(self):
    row = self._described(strategy='vmap', slots=1, slot_models=2)
    self.assertEqual(row['hbm_bytes'], (2 + 3 + 1) * 2**30)
    # 16 / (6 / 2).
    self.assertEqual(row['models_that_fit'], 5)

  def test_cycles_become_seconds_by_the_clock(self):
    row = self._described()
    self.assertAlmostEqual(row['estimated_step_s'], 3e-3)
    self.assertAlmostEqual(row['estimated_model_steps_per_s'], 1000)
    self.assertAlmostEqual(row['estimated_utilisation'], 0.3 / 3e-3 / 197)


@_needs_libtpu
class LowerTest(parameterized.TestCase):
  def _lowered(self, **fields):
    config = tiny.config(population__lowering='auto', **fields)
    devices = topology.devices('v5e:4x4')
    lowered, row = estimate.lower(config, devices, num_models=16)
    return lowered.as_text(), row

  def test_16_devices_of_own_models_say_nothing_to_each_other(self):
    text, row = self._lowered()
    self.assertEqual((row['num_devices'], row['slot_models']), (16, 1))
    self.assertNotRegex(text, r'all_reduce|all_gather|collective_permute')
    # The types of the platform that the program is for, not of this machine's.
    self.assertIn('bf16', text)
    self.assertLen(re.findall(r'stablehlo\.scatter', text), 0)

  def test_devices_that_share_a_batch_add_their_gradients(self):
    text, row = self._lowered(
      population__data_parallel=True, train__batch_size=16
    )
    self.assertEqual(row['num_devices'], 16)
    self.assertIn('all_reduce', text)
    self.assertNotIn('all_gather', text)


@pytest.mark.slow
@_needs_libtpu
class CompileTest(absltest.TestCase):
  def test_a_narrow_model_keeps_within_its_bounds_on_a_v5e(self):
    row = estimate.compile_row(narrow.get_config(), 'v5e:2x2', num_models=1)
    self.assertEqual(row['collectives'], {})
    self.assertGreater(row['donated_share'], 0.99)
    self.assertLess(row['hbm_bytes'], 0.2 * 2**30)
    expected = row['expected']['total']
    self.assertLess(abs(expected / row['hbm_bytes'] - 1), 0.2, row)
    self.assertLess(abs(row['estimated_cycles'] / _NARROW_CYCLES - 1), 0.1, row)
    allowed = {
      ('sort', 'ops/augment.py'),
      ('sort', 'engine/update.py'),
      ('gather', 'ops/augment.py'),
      ('gather', 'engine/update.py'),
      # Of pooling's gradient: counted in its schedule, BENCHMARKS.md.
      ('select-and-scatter', 'models/vgg.py'),
    }
    listed = {
      (each['operation'], each['source'].split(':')[0])
      for each in row['not_estimated']
    }
    self.assertContainsSubset(listed, allowed)


_NARROW_CYCLES = 5.32e6

if __name__ == '__main__':
  absltest.main()
