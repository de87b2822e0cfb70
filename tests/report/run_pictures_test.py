"""The frames that a report sets beside a model's examples."""

from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.report import run_pictures
from psm_jax.runs import run


class NearestTest(absltest.TestCase):
  def test_the_nearest_frame_is_of_another_person_and_by_angle(self):
    # Rows 0-3 show A, 4-7 show B; the embedding is a direction and a length.
    angles = np.array([0, 30, 60, 90, 88, 2, 45, 120]) * np.pi / 180
    lengths = np.array([1, 1, 1, 1, 9, 9, 9, 9])
    values = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    trained = mock.Mock()
    trained.store.index = pd.DataFrame({'person_id': ['A'] * 4 + ['B'] * 4})
    trained.rows_of = {'A': np.arange(4), 'B': np.arange(4, 8)}.get
    trained.embed = lambda index, rows: values[rows]
    model = mock.Mock(spec=run.Model, cohort=('A', 'B'))
    rows = np.array([0, 3, 7])
    nearest = run_pictures._nearest_in_others(trained, 0, model, rows)
    np.testing.assert_array_equal(nearest, [5, 4, 3])


class OrderTest(absltest.TestCase):
  def test_what_belongs_to_a_source_stands_together(self):
    names = [
      f'{kind} {number}'
      for kind in ('mask', 'source', 'warped')
      for number in (1, 2)
    ]
    ordered = sorted(
      ['reconstruction', *names, 'target'], key=run_pictures._place
    )
    self.assertEqual(
      ordered,
      [
        'target',
        *('source 1', 'warped 1', 'mask 1', 'source 2', 'warped 2', 'mask 2'),
        'reconstruction',
      ],
    )
    ordered = sorted(['reconstruction', 'neutral'], key=run_pictures._place)
    self.assertEqual(ordered, ['neutral', 'reconstruction'])

  def test_frames_are_spread_over_the_middle(self):
    np.testing.assert_array_equal(
      run_pictures._spread(np.arange(100, 151), 4), [110, 120, 130, 140]
    )


if __name__ == '__main__':
  absltest.main()
