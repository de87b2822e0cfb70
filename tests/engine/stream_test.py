"""Streamed frames are the resident ones, at any step, on any devices."""

import contextlib
import os
import subprocess
import sys
import threading
from unittest import mock

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import sampling
from psm_jax.data import canonical_faces, store
from psm_jax.data.tf import tf
from psm_jax.engine import feed
from tests import tiny, training_runs
from tests.data import stores

_LENGTHS = (30, 21, 47)
_ROWS = sum(_LENGTHS)


def _config(**fields):
  return tiny.config(**{'population__strategy': 'loop', **fields})


def _built(config, *, num_devices=1, people=None):
  return tiny.build(
    config,
    people or tiny.cohorts(*_LENGTHS),
    devices=jax.devices()[:num_devices],
  )


def _feeds(built, config, **canonical):
  """Returns the resident and the stream feed, closed together."""
  frames, made = tiny.frames(_ROWS), []
  for name in ('resident', 'stream'):
    config.data.feed = name
    made.append(feed.make(built, frames, config, **canonical))
  return made


class StreamTest(parameterized.TestCase):
  def _assert_equal(self, built, config, steps):
    resident, stream = _feeds(built, config)
    with contextlib.closing(resident), contextlib.closing(stream):
      for step in steps:
        expected, given = resident.batches_at(step), stream.batches_at(step)
        self.assertEqual(len(given), len(expected))
        for ours, theirs in zip(given, expected, strict=True):
          for name in ('frames', 'person'):
            a, b = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_array_equal(a, b)
            self.assertEqual((a.dtype, a.sharding), (b.dtype, b.sharding))

  @parameterized.parameters(*sampling.PAIRINGS)
  @pytest.mark.thorough
  def test_streamed_batches_are_the_resident_ones(self, pairing):
    config = _config(
      curriculum__pairing=pairing,
      curriculum__draws_per_person=9,
      curriculum__clip_frames=3,
    )
    # Past the models' last step too, where the last examples are repeated.
    self._assert_equal(_built(config), config, [0, 1, 4, 7])

  @parameterized.parameters(('loop', 1), ('vmap', 1), ('loop', 2), ('vmap', 2))
  def test_they_lie_where_the_models_do(self, strategy, num_devices):
    config = _config(population__strategy=strategy)
    built = _built(config, num_devices=num_devices)
    self._assert_equal(built, config, [3, 4])

  def test_models_of_several_people_see_who_they_see(self):
    config = _config(
      curriculum__pairing='views', curriculum__draws_per_person=5
    )
    everybody = sampling.Cohort(
      name='p0+p1',
      rows=np.arange(51),
      video_lengths=np.array([20, 10, 14, 7]),
      fps=np.full(4, 20.0),
      video_people=np.array([0, 0, 1, 1]),
    )
    built = _built(config, people=[everybody])
    self._assert_equal(built, config, [0, 1])

  @parameterized.parameters('loop', 'vmap')
  def test_every_frame_comes_with_the_face_of_its_video(self, strategy):
    config = _config(
      population__strategy=strategy, curriculum__pairing='repaired'
    )
    built = _built(config, num_devices=2)
    frames = tiny.frames(_ROWS)
    # A face tells its video by its bytes; each person has two.
    lengths = [part for n in _LENGTHS for part in (n - n // 3, n // 3)]
    video = np.repeat(np.arange(6, dtype=np.int32), lengths)
    faces = np.repeat(np.arange(6, dtype=np.uint8)[:, None], 3072, axis=1)
    canonical = canonical_faces.CanonicalFaces(faces, video)
    for source in _feeds(built, config, canonical=canonical):
      with contextlib.closing(source):
        given = built.to_host(source.batches_at(2))
      self.assertEqual(given.canonical.shape, given.frames.shape)
      shown = (given.frames[..., None, :] == frames).all(-1).argmax(-1)
      np.testing.assert_array_equal(given.canonical, faces[video[shown]])

  def test_the_stream_begins_and_goes_back_anywhere(self):
    config = _config()
    self._assert_equal(_built(config), config, [3, 4, 1, 2, 4, 0])

  def test_training_on_the_stream_ends_bitwise_the_same(self):
    config = _config()
    built = _built(config, num_devices=2)
    ends = []
    for source in _feeds(built, config):
      with contextlib.closing(source):
        states = built.init()
        for step in range(5):
          states, _ = built.step(states, source.batches_at(step))
        ends.append(built.to_host(states))
    jax.tree.map(np.testing.assert_array_equal, *ends)
    self.assertEqual(ends[0].step.tolist(), [5] * 3)

  def test_the_stream_is_read_ahead_and_counts_the_callers_waiting(self):
    config = _config()
    built = _built(config)
    _, stream = _feeds(built, config)
    gathered = threading.Semaphore(0)
    original = stream._gather_numpy

    def gather(number):
      made = original(number)
      gathered.release()
      return made

    with (
      contextlib.closing(stream),
      mock.patch.object(stream, '_gather_numpy', gather),
    ):
      stream.batches_at(0)
      self.assertGreater(stream.wait_s, 0)
      # Three slots each of step 0, which was given, and of the next two.
      for _ in range(9):
        self.assertTrue(gathered.acquire(timeout=60))

  def test_closing_ends_the_thread_and_may_be_repeated(self):
    config = _config()
    _, stream = _feeds(_built(config), config)
    stream.batches_at(0)

    def copiers():
      names = [thread.name for thread in threading.enumerate()]
      return [name for name in names if name.startswith('psm_jax_stream')]

    self.assertNotEmpty(copiers())
    stream.close()
    stream.close()
    self.assertEmpty(copiers())

  def test_an_error_while_reading_reaches_the_caller(self):
    config = _config()
    _, stream = _feeds(_built(config), config)
    with contextlib.closing(stream):
      stream.batches_at(0)
      good = stream._frames
      stream._frames = good[:3]
      with self.assertRaisesRegex(tf.errors.OpError, 'out of bounds'):
        for step in range(1, 9):
          stream.batches_at(step)
      stream._frames = good
      self.assertLen(stream.batches_at(step), 3)

  def test_a_damaged_person_is_named(self):
    # As of a store: without TensorFlow's wrapping, which programs trace back.
    config = _config(data__feed='stream')
    path = training_runs.write_store(self.create_tempdir().full_path)
    stores.flip(path, 'p1')
    source = feed.make(
      _built(config, people=tiny.cohorts(30, 21)),
      store.open_store(path).frames,
      config,
    )
    with (
      contextlib.closing(source),
      self.assertRaisesRegex(ValueError, 'p1.arrow, .* person p1'),
    ):
      source.batches_at(0)

  def test_tensorflow_sees_no_accelerator(self):
    self.assertEmpty(tf.config.get_visible_devices('GPU'))


class MakeTest(parameterized.TestCase):
  @parameterized.parameters((10**9, 'ResidentFeed'), (10**5, 'StreamFeed'))
  def test_frames_are_resident_if_they_fit(self, held, expected):
    config = _config(data__feed='auto')
    built = _built(config)
    with mock.patch.object(feed.memory, 'limit_of', return_value=held):
      source = feed.make(built, tiny.frames(_ROWS), config)
    source.close()
    self.assertEqual(type(source).__name__, expected)

  @pytest.mark.thorough
  def test_a_machine_without_tensorflow_is_told_what_to_do(self):
    code = (
      "import sys; sys.modules['tensorflow'] = None\n"
      'from psm_jax.engine import feed\n'
      'from tests import tiny\n'
      "config = tiny.config(data__feed='stream')\n"
      'built = tiny.build(config, tiny.cohorts(30))\n'
      'try:\n'
      '  feed.make(built, tiny.frames(30), config)\n'
      'except ValueError as error:\n'
      '  print(error)\n'
    )
    result = subprocess.run(
      [sys.executable, '-c', code],
      env={**os.environ, 'PYTHONPATH': os.getcwd()},
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertRegex(
      result.stdout, "no module 'tensorflow'.*data.feed=resident", result.stderr
    )


if __name__ == '__main__':
  absltest.main()
