import numpy as np
import pandas as pd
from absl.testing import absltest

from benchmarks import blendshapes
from psm_jax.data.labels import weak


class ToldTest(absltest.TestCase):
  def test_people_whose_rest_differs_are_told_apart_within(self):
    frames = pd.DataFrame(0.0, index=range(9), columns=list(weak.NAMES))
    frames['person_id'] = [*'aaaabbbbc']
    frames['AU26'] = [0, 0, 2, 3] * 2 + [5]
    frames['jawOpen'] = [0.0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6, np.nan]
    (row,) = blendshapes.told(frames).to_dict('records')
    self.assertEqual(row['unit'], 'AU26')
    self.assertEqual((row['frames with it'], row['people']), (4, 2))
    self.assertEqual((row['AUC within'], row['least']), (1, 1))
    # 12 of 16 pairs in order, and one equal.
    self.assertAlmostEqual(row['AUC'], 12.5 / 16)
    self.assertAlmostEqual(row['mean with it'], 0.4)


if __name__ == '__main__':
  absltest.main()
