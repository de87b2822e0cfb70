import dataclasses

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.report import curves, figures
from psm_jax.report import run as report_run


def _metrics(num_models, *, num_steps=20, gap=5.0):
  steps = np.arange(1, num_steps + 1)
  return pd.concat(
    [
      pd.DataFrame(
        {
          'step': steps.astype(float),
          'model_id': f'm{index}',
          'gap': gap,
          'loss': 100.0 / steps + index,
          'pixel': 1.0 / steps,
          'perceptual': 0.0,
        }
      )
      for index in range(num_models)
    ],
    ignore_index=True,
  )


class CurvesTest(parameterized.TestCase):
  def _run(self, metrics):
    run = report_run.read(self.create_tempdir().full_path)
    return dataclasses.replace(run, metrics=metrics)

  @parameterized.parameters((1, 1, 0), (30, 31, 0), (31, 1, 2))
  def test_many_models_become_bands(self, num_models, num_lines, num_bands):
    (axes,) = curves.loss(self._run(_metrics(num_models))).figure.axes
    self.assertLen(axes.lines, num_lines)
    self.assertLen(axes.collections, num_bands)

  def test_the_emphasised_line_is_the_mean(self):
    (axes,) = curves.loss(self._run(_metrics(3))).figure.axes
    steps, mean = axes.lines[-1].get_data()
    np.testing.assert_allclose(mean, 100 / steps + 1)

  def test_long_curves_are_averaged_over_steps(self):
    metrics = _metrics(1, num_steps=1000).assign(loss=lambda t: t['step'])
    (axes,) = curves.loss(self._run(metrics)).figure.axes
    steps, values = axes.lines[0].get_data()
    self.assertLess(len(steps), 200)
    # A bin holds 6 or 7 steps, so its mean is within a step of its middle.
    np.testing.assert_allclose(values, steps, atol=1)

  def test_losses_that_are_not_finite_are_left_out(self):
    metrics = _metrics(2)
    metrics.loc[metrics.index[-3:], 'loss'] = [np.inf, np.nan, np.inf]
    (axes,) = curves.loss(self._run(metrics)).figure.axes
    self.assertTrue(
      all(np.isfinite(line.get_ydata()[:17]).all() for line in axes.lines)
    )

  def test_terms_that_are_zero_are_named_not_drawn(self):
    with figures.style():
      drawn = curves.terms(self._run(_metrics(2)))
    self.assertEqual(
      [a.get_title('left') for a in drawn.figure.axes], ['pixel']
    )
    self.assertIn('left out: perceptual', drawn.caption)

  @parameterized.parameters(np.nan, 0.0)
  def test_random_pairs_have_no_gap(self, gap):
    self.assertIsNone(curves.gap(self._run(_metrics(2, gap=gap))))

  def test_nothing_logged_is_nothing_drawn(self):
    metrics = _metrics(1)
    metrics['loss'] = np.nan
    self.assertIsNone(curves.loss(self._run(metrics)))


if __name__ == '__main__':
  absltest.main()
