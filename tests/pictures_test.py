"""The frames that a report sets beside a model's examples."""

from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax import pictures, run


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
    nearest = pictures._nearest_in_others(trained, 0, model, rows)
    np.testing.assert_array_equal(nearest, [5, 4, 3])


if __name__ == '__main__':
  absltest.main()
