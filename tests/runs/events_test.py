import pathlib

from absl.testing import absltest
from tensorboardX.proto import event_pb2

from psm_jax.runs import metrics


def read(path):
  """Returns (step, tag, value) of each scalar; the format is TensorBoard's."""
  content, start, scalars = path.read_bytes(), 0, []
  while start < len(content):
    size = int.from_bytes(content[start : start + 8], 'little')
    event = event_pb2.Event.FromString(content[start + 12 : start + 12 + size])
    start += 16 + size
    scalars += [
      (event.step, v.tag, v.simple_value) for v in event.summary.value
    ]
  return scalars


class EventsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path) / 'board'
    self.log = metrics.EventLog(self.folder, step=4)
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

  def test_tensorboard_is_told_which_steps_go(self):
    data = self.path.read_bytes()
    started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self.assertIn(started.SerializeToString(), data)

  def test_a_file_is_rewritten_without_some_tags(self):
    self.assertTrue(
      metrics.rewrite_events(self.path, lambda tag: tag != 'loss/b')
    )
    self.assertEqual(read(self.path), [(5, 'loss/a', 1.5), (6, 'mean', -3)])
    self.assertNotIn(b'loss/b', self.path.read_bytes())

  def test_a_file_without_them_is_left_alone(self):
    before = self.path.stat().st_mtime_ns
    self.assertFalse(
      metrics.rewrite_events(self.path, lambda tag: tag != 'loss/c')
    )
    self.assertEqual(self.path.stat().st_mtime_ns, before)

  def test_of_a_damaged_file_the_sound_beginning_stays(self):
    whole = self.path.read_bytes()
    for data in (whole[:-5], whole[:-1] + b'\0', whole + b'\xff' * 12):
      self.path.write_bytes(data)
      self.assertTrue(metrics.rewrite_events(self.path, lambda tag: True))
      self.assertEqual(
        read(self.path)[:2], [(5, 'loss/a', 1.5), (5, 'loss/b', 2)]
      )
      self.assertFalse(metrics.rewrite_events(self.path, lambda tag: True))


if __name__ == '__main__':
  absltest.main()
