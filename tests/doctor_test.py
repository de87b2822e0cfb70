"""Claims about what a machine has and an experiment needs."""

import dataclasses
import pathlib
import re
from unittest import mock

from absl.testing import absltest

from psm_jax import doctor, methods
from tests import tiny, training_runs


class DoctorTest(absltest.TestCase):
  def test_a_machine_is_told_though_the_folder_is_not_there(self):
    facts = doctor.machine('no/such/folder')
    self.assertRegex(facts['free disk'], r'GiB in no/such/folder')
    self.assertIn('jax ', facts['packages'])
    self.assertIn('h264', facts['video'])
    self.assertGreater(int(facts['matrix products'].split()[0]), 0)
    self.assertFalse(pathlib.Path('no').exists())

  def test_an_experiment_is_told_by_its_own_steps(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    config = training_runs.config(
      training_runs.write_store(folder, lengths=(30, 21, 24)),
      population__num_devices=1,
      population__strategy='loop',
      population__chunk=1,
      train__keep_steps=4,
    )
    self.enterContext(mock.patch.object(methods, 'make', tiny.toy_method))
    facts = doctor.needs(
      config, folder / 'data', steps=2, shard_count=2, price=3.6e6
    )
    self.assertEqual(facts['people, models'], '3, 3')
    self.assertEqual(facts['waves'], '1 on each of 2 machines')
    self.assertRegex(facts['checkpoints'], 'those of train.keep_steps')
    seconds = float(facts['a step'].split()[0])
    hours = float(re.search(r'about (\S+) h', facts['time'])[1])
    # One or two models of 12 steps are a machine's.
    self.assertAlmostEqual(hours, 12 * seconds / 3600, delta=0.1 * hours)
    price = float(facts['price'].split()[1])
    self.assertAlmostEqual(price, hours * 3.6e6 * 2, delta=0.1 * price)

  def test_a_method_that_uses_canonical_faces_is_given_them(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    config = training_runs.config(
      training_runs.write_store(folder, lengths=(30, 21)),
      population__num_devices=1,
    )

    def loss(key, params, method_state, shared, batch, schedule):
      batch.canonical.reshape(batch.frames.shape)  # Not () as without them.
      toy = tiny.toy_method(config)
      return toy.loss(key, params, method_state, shared, batch, schedule)

    def make(*args, **kwargs):
      toy = tiny.toy_method(*args, **kwargs)
      return dataclasses.replace(toy, uses_canonical=True, loss=loss)

    self.enterContext(mock.patch.object(methods, 'make', make))
    facts = doctor.needs(config, folder / 'data', steps=1)
    self.assertEqual(facts['people, models'], '2, 2')


if __name__ == '__main__':
  absltest.main()
