import dataclasses
import itertools

import numpy as np
from absl.testing import absltest

from psm_jax.data import synthetic
from psm_jax.data.synthetic import person as person_lib


class SamplePersonTest(absltest.TestCase):
  def test_the_same_arguments_give_the_same_person(self):
    self.assertEqual(
      synthetic.sample_person(3, 5), synthetic.sample_person(3, 5)
    )

  def test_people_of_another_seed_differ(self):
    self.assertNotEqual(
      synthetic.sample_person(3, 5), synthetic.sample_person(4, 5)
    )

  def test_ids_count_from_one(self):
    self.assertEqual(synthetic.sample_person(0, 0).person_id, 'P001')

  def test_colours_stay_in_range(self):
    for index in range(30):
      person = synthetic.sample_person(1, index)
      for colour in (person.skin, person.hair, person.iris, person.lip):
        self.assertTrue(all(0 <= value <= 255 for value in colour))

  def test_neighbours_differ_in_skin_and_hair_style(self):
    people = [synthetic.sample_person(0, index) for index in range(8)]
    for one, other in itertools.pairwise(people):
      self.assertNotEqual(one.hair_style, other.hair_style)
      distance = np.abs(np.subtract(one.skin, other.skin)).max()
      self.assertGreater(distance, 20)

  def test_every_hair_style_comes_up(self):
    styles = {synthetic.sample_person(0, i).hair_style for i in range(8)}
    self.assertEqual(styles, set(person_lib.HAIR_STYLES))

  def test_habits_name_every_action_unit(self):
    person = synthetic.sample_person(0, 1)
    for name in ('rates', 'strengths', 'asymmetry'):
      self.assertLen(getattr(person, name), len(synthetic.ACTION_UNITS))

  def test_a_person_can_be_changed_by_replacing_fields(self):
    person = synthetic.sample_person(0, 1)
    self.assertTrue(dataclasses.replace(person, glasses=True).glasses)


if __name__ == '__main__':
  absltest.main()
