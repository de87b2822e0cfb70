import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.methods import loss_window


class MeanTest(parameterized.TestCase):
  @parameterized.product(
    num=(1, 2, 4, 10, 128), window=((0, 5), (3, 8), (4, 9))
  )
  def test_the_mean_is_of_a_slice_of_the_sorted_errors(self, num, window):
    errors = np.random.default_rng(num).random(num, np.float32)
    low, high = (int(edge * num / 10 + 1e-9) for edge in window)
    inside = np.sort(errors)[low : max(high, low + 1)]
    ours = loss_window.mean(jnp.asarray(errors), *window)
    np.testing.assert_allclose(ours, inside.mean(), rtol=1e-6)

  def test_the_gradient_flows_through_the_window_only(self):
    errors = jnp.asarray([0.5, 0.1, 0.9, 0.3, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6])
    grad = jax.jit(jax.grad(loss_window.mean))(errors, 2, 5)
    # Of the two equal errors both are inside, with 0.4.
    expected = np.zeros(10)
    expected[[3, 4, 8]] = 1 / 3
    np.testing.assert_allclose(grad, expected, rtol=1e-6)


def _slow_window(losses, *, end, patience):
  """Returns [(low, high, fired, rate_scale)] after each epoch, in Python.

  Written after the release's description: a tracker made anew whenever the
  window moves, and PyTorch's ReduceLROnPlateau.
  """
  low, high, scale = 0, 5, 1.0
  best, best_epoch, last_fire = 1000.0, -1, -1
  plateau_best, bad = float('inf'), 0
  history = []
  for epoch, loss in enumerate(losses):
    if loss < best:
      best, best_epoch, last_fire = loss, epoch, epoch
    fired = epoch - best_epoch > patience and epoch - last_fire > patience
    if fired:
      last_fire = epoch
      if high < end:
        low, high = low + 1, high + 1
        best, best_epoch, last_fire = 1000.0, -1, -1
      else:
        if loss < plateau_best * (1 - 1e-4):
          plateau_best, bad = loss, 0
        else:
          bad += 1
        if bad > 10:
          scale, bad = scale * 0.1, 0
    history.append((low, high, fired, scale))
  return history


@functools.partial(jax.jit, static_argnames=('end', 'patience'))
def _followed(losses, *, end, patience):
  def one(state, given):
    state = loss_window.follow(state, *given, end=end, patience=patience)
    return state, state

  epochs = jnp.arange(len(losses), dtype=jnp.int32)
  start = loss_window.start((0, 5))
  return jax.lax.scan(one, start, (losses, epochs))[1]


class FollowTest(parameterized.TestCase):
  def _check(self, losses, *, end=9, patience=15):
    losses = np.asarray(losses, np.float32)
    states = _followed(losses, end=end, patience=patience)
    slow = _slow_window(losses.tolist(), end=end, patience=patience)
    low, high, _, scale = zip(*slow, strict=True)
    np.testing.assert_array_equal(states.low, low)
    np.testing.assert_array_equal(states.high, high)
    np.testing.assert_allclose(states.rate_scale, scale, rtol=1e-6)
    return slow

  def test_a_flat_loss_moves_the_window_and_then_the_rate(self):
    slow = self._check([0.5] * 320)
    fired = [epoch for epoch, (*_, fires, _) in enumerate(slow) if fires]
    # The first epoch, and the one after each move, count as the best so far;
    # firing needs 16 more without a better one.
    self.assertEqual(fired[:5], [16, 33, 50, 67, 84])
    self.assertEqual(np.diff(fired[4:]).tolist(), [16] * len(fired[5:]))
    windows = list(dict.fromkeys((low, high) for low, high, *_ in slow))
    self.assertEqual(windows, [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9)])
    # The plateau rule is first fed at 84, which sets its best loss; 11 more
    # firings are too many.
    scales = np.array([scale for *_, scale in slow])
    steps = np.flatnonzero(np.diff(scales)) + 1
    self.assertEqual(steps.tolist(), [84 + 11 * 16])

  def test_a_falling_loss_changes_nothing(self):
    slow = self._check(0.5 - 0.001 * np.arange(100))
    self.assertEqual(slow[-1], (0, 5, False, 1.0))

  @parameterized.parameters(0, 1, 2)
  def test_any_losses_give_what_the_slow_version_gives(self, seed):
    epochs = np.arange(900)
    trend = 0.5 * 0.998 ** np.minimum(epochs, 300)
    trend += 1e-4 * np.maximum(epochs - 300, 0)
    noise = 0.05 * np.random.default_rng(seed).random(900)
    # Coarse steps, so that equal losses occur.
    slow = self._check(
      np.round(trend + noise, 3), end=(9, 8, 7)[seed], patience=(15, 5, 3)[seed]
    )
    self.assertEqual(slow[-1][:2], [(4, 9), (3, 8), (2, 7)][seed])
    self.assertLess(slow[-1][-1], 0.05)


if __name__ == '__main__':
  absltest.main()
