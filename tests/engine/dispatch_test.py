"""The claims that lanes make about calls side by side."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.engine import dispatch


class LanesTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 3)
  def test_results_come_in_the_order_of_the_items(self, size):
    lanes = dispatch.Lanes(size)
    for num_items in (0, 1, 2, 7):
      items = list(range(num_items))
      self.assertEqual(
        lanes.map(lambda item: item * item, items), [i * i for i in items]
      )

  def test_calls_of_two_lanes_overlap(self):
    lanes = dispatch.Lanes(2)
    lanes.map(abs, [0])
    both = threading.Barrier(2, timeout=30)
    # Broken, and so an error, unless two calls are under way at once.
    self.assertLen(lanes.map(lambda _: both.wait(), range(2)), 2)

  def test_calls_of_one_lane_keep_their_order(self):
    lanes = dispatch.Lanes(2)
    seen = {}

    def note(item):
      seen.setdefault(threading.current_thread().name, []).append(item)

    lanes.map(note, range(1))
    seen.clear()
    for start in (0, 8):
      lanes.map(note, range(start, start + 8))
    self.assertCountEqual(
      seen.values(), [list(range(0, 16, 2)), list(range(1, 16, 2))]
    )

  def test_a_function_is_traced_once(self):
    traced = []

    @jax.jit
    def double(value):
      traced.append(threading.current_thread().name)
      return 2 * value

    lanes = dispatch.Lanes(4)
    results = lanes.map(double, [jnp.float32(item) for item in range(9)])
    np.testing.assert_array_equal(results, 2.0 * np.arange(9))
    self.assertEqual(traced, [threading.current_thread().name])

  @parameterized.parameters(1, 2)
  def test_an_error_of_a_call_reaches_the_caller(self, size):
    def refuse(item):
      if item == 3:
        raise ValueError('three')
      return item

    with self.assertRaisesRegex(ValueError, 'three'):
      dispatch.Lanes(size).map(refuse, range(5))


if __name__ == '__main__':
  absltest.main()
