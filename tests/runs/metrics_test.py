import csv
import pathlib

import numpy as np
from absl.testing import absltest
from tensorboardX.proto import event_pb2

from psm_jax.runs import metrics

_IDS = ('facecycle-A-s0', 'facecycle-B-s0')


def _metrics(step, *, gap=4, **fields):
  """Returns what a step of two models gives, float32 and int32 as there."""
  made = {
    'epoch': np.array([1, 2], np.int32),
    'gap': np.array([gap, gap], np.int32),
    'learning_rate': np.array([1e-3, 1e-4], np.float32),
    'neutral_weight': np.ones(2, np.float32),
    'loss': np.array([step + 0.1, step + 0.2], np.float32),
    'pixel': np.array([0.25, 0.5], np.float32),
    'grad_norm': np.array([3.0, 4.0], np.float32),
    'is_active': np.array([True, True]),
    'failed_step': np.array([-1, -1], np.int32),
  }
  return made | fields


class MetricsLogTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.path = self.workdir / 'metrics.csv'

  def _write(self, *steps, opened_at=0, **fields):
    log = metrics.MetricsLog(self.workdir, _IDS, step=opened_at)
    for step in steps:
      log.write(
        step,
        _metrics(step, **fields),
        steps_per_s=2.5,
        examples_per_step=16,
        frames_per_example=2,
      )
    log.close()

  def _rows(self):
    with open(self.path, newline='') as file:
      return list(csv.DictReader(file))

  def _steps(self):
    return [(int(row['step']), row['model_id']) for row in self._rows()]

  def test_a_row_holds_the_step_the_model_and_its_own_numbers(self):
    self._write(10)
    first, second = self._rows()
    self.assertEqual(
      first,
      {
        'step': '10',
        'model_id': 'facecycle-A-s0',
        'epoch': '1',
        'gap': '4',
        'learning_rate': '0.00100000005',
        'neutral_weight': '1',
        'loss': '10.1000004',
        'pixel': '0.25',
        'grad_norm': '3',
        'examples_seen': '160',
        'frames_seen': '320',
        'steps_per_s': '2.5',
        'frames_per_s': '80',
        'input_wait_share': '0',
      },
    )
    self.assertEqual(second['model_id'], 'facecycle-B-s0')
    self.assertEqual((second['epoch'], second['pixel']), ('2', '0.5'))

  def test_numbers_are_written_with_all_digits_of_float32(self):
    loss = np.float32([1 / 3, 2**-20])
    self._write(1, loss=loss)
    np.testing.assert_array_equal(
      np.float32([row['loss'] for row in self._rows()]), loss
    )

  def test_random_pairs_have_no_gap(self):
    self._write(1, gap=0)
    self.assertEqual([row['gap'] for row in self._rows()], ['', ''])

  def test_not_a_number_is_an_empty_cell(self):
    self._write(1, loss=np.float32([np.nan, 2]), pixel=np.float32([np.nan, 3]))
    first, second = self._rows()
    self.assertEqual((first['loss'], first['pixel']), ('', ''))
    self.assertEqual((second['loss'], second['pixel']), ('2', '3'))

  def test_a_model_that_is_not_active_has_no_row(self):
    self._write(7, is_active=np.array([False, True]))
    self.assertEqual(self._steps(), [(7, 'facecycle-B-s0')])

  def test_with_no_active_model_there_is_the_header_alone(self):
    self._write(7, is_active=np.array([False, False]))
    self.assertEqual(self._steps(), [])
    self.assertStartsWith(self.path.read_text(), 'step,model_id,epoch,gap,')

  def test_reopened_at_an_earlier_step_each_step_stands_once(self):
    self._write(1, 10, 20, 30)
    self._write(20, 30, 40, opened_at=10)
    steps = [1, 10, 20, 30, 40]
    self.assertEqual(self._steps(), [(s, m) for s in steps for m in _IDS])

  def test_reopened_from_the_start_nothing_old_is_left(self):
    self._write(1, 10)
    self._write(1, opened_at=0)
    self.assertEqual(self._steps(), [(1, m) for m in _IDS])

  def test_steps_are_compared_as_numbers(self):
    self._write(9, 10)
    self._write(11, opened_at=9)
    self.assertEqual([step for step, _ in self._steps()], [9, 9, 11, 11])

  def test_a_torn_last_line_goes(self):
    self._write(1, 2)
    content = self.path.read_text()
    for cut in (1, 5, 30):
      self.path.write_text(content[:-cut])
      self._write(3, opened_at=2)
      self.assertEqual(
        self._steps(),
        [(1, _IDS[0]), (1, _IDS[1]), (2, _IDS[0])] + [(3, m) for m in _IDS],
      )

  def test_a_torn_header_begins_a_new_table(self):
    self._write(1)
    self.path.write_text(self.path.read_text()[:20])
    self._write(2, opened_at=1)
    self.assertEqual(self._steps(), [(2, m) for m in _IDS])

  def test_columns_stay_those_of_the_first_row(self):
    self._write(1)
    header = self.path.read_text().splitlines()[0]
    shuffled = dict(reversed(_metrics(2).items()))
    log = metrics.MetricsLog(self.workdir, _IDS, step=1)
    log.write(
      2,
      shuffled | {'new': np.zeros(2)},
      steps_per_s=1.0,
      examples_per_step=1,
      frames_per_example=2,
    )
    log.close()
    self.assertEqual(self.path.read_text().splitlines()[0], header)
    rows = self._rows()
    self.assertEqual(rows[-1]['pixel'], '0.5')
    self.assertEqual(rows[-1]['loss'], '2.20000005')
    self.assertNotIn(None, rows[-1])

  def test_flushed_rows_are_on_the_disk(self):
    log = metrics.MetricsLog(self.workdir, _IDS, step=0)
    log.write(
      1,
      _metrics(1),
      steps_per_s=1.0,
      examples_per_step=1,
      frames_per_example=2,
    )
    log.flush()
    self.assertLen(self._rows(), 2)
    log.close()

  def test_tensorboard_holds_each_model_s_loss_and_the_active_ones_mean(self):
    self._write(
      5,
      loss=np.float32([1, 3]),
      pixel=np.float32([9, 4]),
      is_active=np.array([False, True]),
    )
    (path,) = (self.workdir / 'tensorboard').glob('wave000/events.*')
    content = path.read_bytes()
    scalars = {}
    start = 0
    # Records: length (8 bytes), its checksum (4), the event, its checksum (4).
    while start < len(content):
      size = int.from_bytes(content[start : start + 8], 'little')
      event = event_pb2.Event()
      event.ParseFromString(content[start + 12 : start + 12 + size])
      start += 16 + size
      for value in event.summary.value:
        scalars[value.tag] = (event.step, value.simple_value)
    self.assertEqual(scalars['loss/facecycle-B-s0'], (5, 3))
    self.assertNotIn('loss/facecycle-A-s0', scalars)
    self.assertEqual(scalars['mean/pixel'], (5, 4))
    self.assertEqual(scalars['speed/steps_per_s'], (5, 2.5))


if __name__ == '__main__':
  absltest.main()
