"""Claims about what every program does around its own work."""

import pathlib
import threading
from unittest import mock

from absl import flags
from absl.testing import absltest, parameterized

from psm_jax.cli import program
from psm_jax.runs import locks


class HoldingTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    (self.workdir / 'models.json').write_text('{}')

  def _enter(self, verb, **values):
    """Returns whether a program has to wait for another."""
    entered = threading.Event()

    def hold():
      with program._holding_run(verb):
        entered.set()

    values = {'workdir': str(self.workdir), **values}
    with mock.patch.object(
      flags.FlagValues, 'flag_values_dict', lambda _: values
    ):
      thread = threading.Thread(target=hold)
      with locks.making(self.workdir):
        thread.start()
        waits = not entered.wait(0.3)
      thread.join()
    self.assertTrue(entered.is_set())
    return waits

  @parameterized.parameters(
    'embed', 'evaluate', 'discover', 'label', 'attach_labels', 'report'
  )
  def test_what_writes_into_a_run_waits_for_others_that_do(self, verb):
    self.assertTrue(self._enter(verb))

  def test_others_do_not_wait(self):
    self.assertFalse(self._enter('status'))
    self.assertFalse(self._enter('export'))
    self.assertFalse(self._enter('embed', shard='0/2'))
    self.assertFalse(self._enter('evaluate', workdir=None))


if __name__ == '__main__':
  absltest.main()
