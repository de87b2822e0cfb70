import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.presets import base
from psm_jax.sampling import curriculum


def _rate_config(**fields):
  config = base.get_config().optim
  config.update(fields)
  return config


def _rates(config, *, steps, total_steps, epochs=None):
  """Returns the rates of steps of one model, computed inside a program."""
  if epochs is None:
    epochs = np.ones(len(steps), np.int32)

  def rate(epoch, step):
    return curriculum.learning_rate(
      config, epoch=epoch, step=step, total_steps=jnp.int32(total_steps)
    )

  return np.asarray(jax.jit(jax.vmap(rate))(np.int32(epochs), np.int32(steps)))


class LearningRateTest(parameterized.TestCase):
  def test_reference_changes_at_epochs_10_50_and_200(self):
    config = _rate_config(
      schedule='reference', learning_rate=8e-5, final_learning_rate=5e-6
    )
    epochs = [1, 9, 10, 49, 50, 199, 200, 500]
    rates = _rates(config, steps=[0] * 8, epochs=epochs, total_steps=1000)
    expected = [8e-5, 8e-5, 5e-5, 5e-5, 1e-5, 1e-5, 5e-6, 5e-6]
    np.testing.assert_array_equal(rates, np.float32(expected))

  def test_reference_s_middle_rates_are_constants(self):
    config = _rate_config(
      schedule='reference', learning_rate=3e-3, final_learning_rate=2e-3
    )
    rates = _rates(
      config, steps=[0] * 4, epochs=[9, 10, 50, 200], total_steps=9
    )
    np.testing.assert_allclose(rates, [3e-3, 5e-5, 1e-5, 2e-3], rtol=1e-6)

  def test_reference_does_not_warm_up(self):
    config = _rate_config(
      schedule='reference', learning_rate=1e-3, warmup_steps=100
    )
    rates = _rates(config, steps=[0], total_steps=1000)
    np.testing.assert_allclose(rates, 1e-3, rtol=1e-6)

  def test_cosine_goes_from_initial_to_final(self):
    config = _rate_config(
      schedule='cosine', learning_rate=1e-3, final_learning_rate=1e-5
    )
    steps = np.arange(0, 101, 10)
    rates = _rates(config, steps=steps, total_steps=100)
    wave = (1 + np.cos(np.pi * steps / 100)) / 2
    np.testing.assert_allclose(rates, 1e-5 + (1e-3 - 1e-5) * wave, rtol=1e-4)

  def test_cosine_begins_after_the_warm_up(self):
    config = _rate_config(
      schedule='cosine',
      learning_rate=1e-3,
      final_learning_rate=0.0,
      warmup_steps=20,
    )
    steps = np.arange(0, 100, 5)
    rates = _rates(config, steps=steps, total_steps=100)
    wave = (1 + np.cos(np.pi * np.maximum(0, steps - 20) / 80)) / 2
    expected = 1e-3 * wave * np.minimum(1, (steps + 1) / 20)
    np.testing.assert_allclose(rates, expected, rtol=1e-4)

  @parameterized.parameters('constant', 'cosine')
  def test_warm_up_rises_in_equal_steps_and_never_is_zero(self, schedule):
    config = _rate_config(schedule=schedule, learning_rate=1e-3, warmup_steps=4)
    rates = _rates(config, steps=range(4), total_steps=1000)
    np.testing.assert_allclose(rates, 1e-3 * np.arange(1, 5) / 4, rtol=1e-6)

  def test_constant_stays(self):
    config = _rate_config(
      schedule='constant', learning_rate=1e-3, final_learning_rate=7.0
    )
    rates = _rates(config, steps=[0, 500, 999], total_steps=1000)
    np.testing.assert_array_equal(rates, np.float32([1e-3] * 3))

  def test_training_shorter_than_the_warm_up_is_finite(self):
    config = _rate_config(
      schedule='cosine', learning_rate=1e-3, warmup_steps=50
    )
    rates = _rates(config, steps=range(10), total_steps=10)
    np.testing.assert_allclose(rates, 1e-3 * np.arange(1, 11) / 50, rtol=1e-6)

  @parameterized.parameters(*curriculum.RATE_SCHEDULES)
  def test_rates_are_float32_scalars(self, schedule):
    config = _rate_config(schedule=schedule, warmup_steps=3)
    rate = curriculum.learning_rate(
      config,
      epoch=jnp.int32(1),
      step=jnp.int32(0),
      total_steps=jnp.int32(5),
    )
    self.assertEqual((rate.shape, rate.dtype), ((), jnp.float32))


class NeutralWeightTest(parameterized.TestCase):
  @parameterized.parameters(
    ((), 7, 1.0, 1.0),
    ((0.3,), 7, 0.3, 0.3),
    ((2.0, 0.5), 7, 2.0, 0.5),
    ((2.0, 0.5), 1, 2.0, 0.5),
    ((0.0, 5.0), 500, 0.0, 5.0),
  )
  def test_it_is_a_line_over_the_model_s_epochs(
    self, weights, num_epochs, start, end
  ):
    epochs = np.arange(1, num_epochs + 1, dtype=np.int32)

    def weight(epoch):
      return curriculum.neutral_weight(
        weights, epoch=epoch, num_epochs=jnp.int32(num_epochs)
      )

    ours = jax.jit(jax.vmap(weight))(epochs)
    self.assertEqual(ours.dtype, jnp.float32)
    np.testing.assert_allclose(
      ours, np.linspace(start, end, num_epochs), rtol=1e-6, atol=1e-6
    )


class ReferenceGapTest(parameterized.TestCase):
  @parameterized.parameters(
    (1, 2), (49, 98), (50, 200), (99, 396), (100, 500), (200, 1000)
  )
  def test_slope_changes_at_epochs_50_and_100(self, epoch, gap):
    self.assertEqual(curriculum.reference_gap(epoch), gap)


def _gaps(*, epoch=1, progress=0.0, fps=(25.0, 10.0), **fields):
  config = base.get_config().curriculum.gap
  config.update(fields)
  return curriculum.gap_frames(
    config, epoch=epoch, progress=progress, fps=np.array(fps)
  ).tolist()


class GapFramesTest(parameterized.TestCase):
  def test_reference_counts_frames_whatever_the_rate(self):
    gaps = _gaps(schedule='reference', unit='seconds', epoch=50, progress=0.9)
    self.assertEqual(gaps, [200, 200])

  @parameterized.parameters((0, 2), (0.25, 27), (0.5, 52), (1, 102), (1.5, 102))
  def test_linear_widening_is_a_line(self, progress, gap):
    fields = {'schedule': 'linear', 'start': 2.0, 'end': 102.0}
    self.assertEqual(_gaps(progress=progress, **fields), [gap, gap])

  @parameterized.parameters((0, 2), (0.25, 4), (0.5, 8), (1, 32))
  def test_geometric_widening_is_a_power(self, progress, gap):
    fields = {'schedule': 'geometric', 'start': 2.0, 'end': 32.0}
    self.assertEqual(_gaps(progress=progress, **fields), [gap, gap])

  @parameterized.parameters('linear', 'geometric')
  def test_the_end_is_reached_early_and_kept(self, schedule):
    fields = {'schedule': schedule, 'start': 1.0, 'end': 9.0, 'full_at': 0.5}
    for progress in (0.5, 0.75, 1.0):
      self.assertEqual(_gaps(progress=progress, **fields), [9, 9])

  def test_seconds_are_frames_of_each_video_s_own_rate(self):
    fields = {'schedule': 'linear', 'unit': 'seconds', 'start': 0.2, 'end': 2.0}
    self.assertEqual(_gaps(progress=0, **fields), [5, 2])
    self.assertEqual(_gaps(progress=1, **fields), [50, 20])

  def test_a_pair_is_never_one_frame_twice(self):
    fields = {'schedule': 'linear', 'unit': 'seconds', 'start': 0.0, 'end': 1.0}
    self.assertEqual(_gaps(progress=0, **fields), [1, 1])


class GapCapTest(parameterized.TestCase):
  @parameterized.parameters(
    ([50], 16), ([20, 30], 16), ([3, 3, 3], 5), ([7], 7), ([7], 8), ([], 1)
  )
  def test_it_is_the_largest_gap_that_leaves_a_batch(self, lengths, batch):
    lengths = np.array(lengths, np.int64)
    fitting = [
      gap
      for gap in range(1, 100)
      if np.maximum(0, lengths - gap).sum() >= batch
    ]
    self.assertEqual(
      curriculum.gap_cap(lengths, batch), max(fitting, default=0)
    )


if __name__ == '__main__':
  absltest.main()
