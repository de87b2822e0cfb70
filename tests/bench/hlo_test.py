"""Costs and sources are read from the text of a compiled program."""

import pathlib

from absl.testing import absltest

from psm_jax.bench import hlo

_WARP = pathlib.Path(hlo.__file__).parents[1] / 'ops' / 'warp.py'


def _cost(cycles):
  return f'backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}'


_TRIPS = 'backend_config={"known_trip_count":{"n":"3"}}'
# Frames are counted from 1, their parents from 2: frame 2 is called by 1.
_TEXT = f"""HloModule jit_step, is_scheduled=true

FileNames
1 "{_WARP}"
2 "/elsewhere/optax/transform.py"

FunctionNames
1 "warp"
2 "update"

FileLocations
1 {{file_name_id=1 function_name_id=1 line=40 end_line=40}}
2 {{file_name_id=2 function_name_id=2 line=7 end_line=7}}

StackFrames
1 {{file_location_id=1 parent_frame_id=1}}
2 {{file_location_id=2 parent_frame_id=2}}
3 {{file_location_id=2 parent_frame_id=1}}

%fused (p: f32[8,4]) -> f32[4] {{
  %p = f32[8,4]{{1,0}} parameter(0)
  ROOT %g = f32[4]{{0}} gather(%p, %p), metadata={{stack_frame_id=1}}
}}

%counted (t: (s32[], f32[8])) -> pred[] {{
  %constant.1 = s32[]{{:T(128)}} constant(16)
  %t = (s32[], f32[8]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  ROOT %lt = pred[] compare(%i, %constant.1), direction=LT
}}

%body (t: (s32[], f32[8])) -> (s32[], f32[8]) {{
  %t = (s32[], f32[8]) parameter(0)
  %add.1 = f32[8]{{0}} add(%t, %t), metadata={{stack_frame_id=2}}, {_cost(10)}
  ROOT %r = (s32[], f32[8]) tuple(%t, %add.1)
}}

ENTRY %main (a: f32[8,4]) -> f32[4] {{
  %a = f32[8,4]{{1,0}} parameter(0)
  %copy-start = (bf16[8,4]{{1,0}}, f32[8,4]{{1,0}}, u32[]) copy-start(%a)
  %copy-done = bf16[8,4]{{1,0}} copy-done(%copy-start)
  %w = (s32[], f32[8]) while(%a), condition=%c, body=%body, {_TRIPS}
  %ag = f32[16,4]{{1,0}} all-gather-start(%a), dimensions={{0}}
  %agd = f32[16,4]{{1,0}} all-gather-done(%ag)
  %dot = bf16[8,4]{{1,0}} dot(%a), metadata={{stack_frame_id=3}}, {_cost(500)}
  %sort.1 = s32[4]{{0}} sort(%a), to_apply=%compare
  ROOT %f = f32[4]{{0}} fusion(%a), kind=kCustom, calls=%fused
}}
"""


class ReadTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.program = hlo.read(_TEXT)

  def test_a_loop_counts_as_often_as_it_runs(self):
    self.assertEqual(self.program.cycles, 500 + 3 * 10)

  def test_a_loop_that_does_not_say_counts_up_to_its_bound(self):
    for condition, times in (('counted', 16), ('unknown', 1)):
      text = _TEXT.replace(
        f'condition=%c, body=%body, {_TRIPS}',
        f'condition=%{condition}, body=%body',
      )
      self.assertEqual(hlo.read(text).cycles, 500 + times * 10)

  def test_cycles_go_to_the_nearest_line_of_the_package_on_the_stack(self):
    costs = {str(k): n for k, n in self.program.cycles_by_source().items()}
    self.assertEqual(costs, {'elsewhere': 500, 'ops/warp.py:40 warp': 30})

  def test_a_gather_within_a_fusion_is_listed_with_its_line(self):
    listed = {
      (operation, str(source)): times
      for (operation, source), times in self.program.unestimated().items()
    }
    self.assertEqual(
      listed,
      {('gather', 'ops/warp.py:40 warp'): 1, ('sort', 'elsewhere'): 1},
    )

  def test_a_collective_is_counted_once_though_it_starts_and_ends(self):
    self.assertEqual(self.program.collectives(), {'all-gather': 1})


if __name__ == '__main__':
  absltest.main()
