import re

import numpy as np
from absl.testing import absltest

from psm_jax.discovery import groups
from tests.report import fake


class GroupsTest(absltest.TestCase):
  def test_frames_that_are_alike_are_together(self):
    table = fake.frames('P1')
    made = groups.find(table)
    kind = np.arange(len(table)) // 8 % 2
    for group in np.unique(made.label):
      self.assertLen(set(kind[made.label == group]), 1)
      self.assertTrue((made.label[made.exemplars[group]] == group).all())
    self.assertCountEqual(made.order, np.unique(made.label))

  def test_frames_that_are_all_the_same_have_no_groups(self):
    table = fake.frames('P1')
    table[[c for c in table if re.fullmatch(r'e\d+', c)]] = np.float32(1)
    self.assertIsNone(groups.find(table))
    self.assertIsNone(groups.find(table[:5]))


if __name__ == '__main__':
  absltest.main()
