import io
import pathlib

import numpy as np
from absl.testing import absltest
from matplotlib import image
from tensorboardX.proto import event_pb2

from psm_jax.runs import events


def summaries(path):
  """Returns (step, value) of all that is shown; the format is TensorBoard's."""
  content, start, made = path.read_bytes(), 0, []
  while start < len(content):
    size = int.from_bytes(content[start : start + 8], 'little')
    event = event_pb2.Event.FromString(content[start + 12 : start + 12 + size])
    start += 16 + size
    made += [(event.step, value) for value in event.summary.value]
  return made


def read(path):
  """Returns (step, tag, value) of each scalar."""
  return [(step, v.tag, v.simple_value) for step, v in summaries(path)]


class EventsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path) / 'board'
    self.log = events.EventLog(self.folder, step=4)
    self.log.write(5, {'loss/a': 1.5, 'loss/b': 2})
    self.log.write(6, {'loss/b': 0.5, 'mean': -3})
    self.log.close()
    (self.path,) = self.folder.iterdir()

  def test_scalars_are_what_was_written(self):
    self.assertEqual(
      read(self.path),
      [
        (5, 'loss/a', 1.5),
        (5, 'loss/b', 2),
        (6, 'loss/b', 0.5),
        (6, 'mean', -3),
      ],
    )

  def test_histograms_count_what_is_finite(self):
    log = events.EventLog(self.folder / 'more', step=0)
    values = np.array([0.0, 1.0, 1.0, np.nan, np.inf])
    log.write(1, {}, histograms={'weights/a/x': values, 'none': values[3:]})
    log.close()
    (first, none) = (value.histo for value in self._values('more'))
    self.assertEqual((first.min, first.max, first.num), (0, 1, 3))
    self.assertEqual((first.sum, first.sum_squares), (2, 2))
    self.assertEqual(sum(first.bucket), 3)
    self.assertEqual(first.bucket[-1], 2)
    self.assertLen(first.bucket_limit, len(first.bucket))
    self.assertEqual(none.num, 0)

  def test_pictures_are_what_was_written(self):
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    log = events.EventLog(self.folder / 'more', step=0)
    log.write(1, {}, pictures={'faces/a/input': picture})
    log.close()
    (value,) = self._values('more')
    self.assertEqual((value.image.height, value.image.width), (4, 6))
    shown = image.imread(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(np.rint(255 * shown[..., :3]), picture)
    (path,) = (self.folder / 'more').iterdir()
    self.assertTrue(events.rewrite(path, lambda tag: '/a' not in tag))
    self.assertNotIn(b'PNG', path.read_bytes())

  def _values(self, name):
    (path,) = (self.folder / name).iterdir()
    return [value for _, value in summaries(path)]

  def test_tensorboard_is_told_which_steps_go(self):
    data = self.path.read_bytes()
    started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self.assertIn(started.SerializeToString(), data)

  def test_a_file_is_rewritten_without_some_tags(self):
    self.assertTrue(events.rewrite(self.path, lambda tag: tag != 'loss/b'))
    self.assertEqual(read(self.path), [(5, 'loss/a', 1.5), (6, 'mean', -3)])
    self.assertNotIn(b'loss/b', self.path.read_bytes())

  def test_a_file_without_them_is_left_alone(self):
    before = self.path.stat().st_mtime_ns
    self.assertFalse(events.rewrite(self.path, lambda tag: tag != 'loss/c'))
    self.assertEqual(self.path.stat().st_mtime_ns, before)

  def test_of_a_damaged_file_the_sound_beginning_stays(self):
    whole = self.path.read_bytes()
    for data in (whole[:-5], whole[:-1] + b'\0', whole + b'\xff' * 12):
      self.path.write_bytes(data)
      self.assertTrue(events.rewrite(self.path, lambda tag: True))
      self.assertEqual(
        read(self.path)[:2], [(5, 'loss/a', 1.5), (5, 'loss/b', 2)]
      )
      self.assertFalse(events.rewrite(self.path, lambda tag: True))


if __name__ == '__main__':
  absltest.main()
