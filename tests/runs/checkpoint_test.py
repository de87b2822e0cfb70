import dataclasses
import pathlib
import random
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax.engine import update
from psm_jax.methods import facecycle
from psm_jax.runs import checkpoint
from tests import tiny

_IDS = ['facecycle-A-s0', 'facecycle-B-s0']


def _states(step, *, num_models=2):
  """Returns stacked states of a method of two layers, all numbers distinct."""
  generator = np.random.default_rng(step)

  def draw(*shape):
    return generator.standard_normal((num_models, *shape)).astype(np.float32)

  params = {'dense': {'kernel': draw(3, 2), 'bias': draw(2)}, 'scale': draw()}
  return update.TrainState(
    step=np.full(num_models, step, np.int32),
    params=params,
    opt_state=facecycle.OPTIMIZER.init(params)._replace(
      count=np.full(num_models, step, np.int32),
      mu=jax.tree.map(lambda leaf: leaf * np.float32(np.pi), params),
      nu=jax.tree.map(np.square, params),
    ),
    method_state=(),
    failed_step=np.full(num_models, -1, np.int32),
    course=update.Course(
      rollbacks=np.zeros(num_models, np.int32),
      smoothed=draw(),
      best=draw(),
      stale=np.full(num_models, step, np.int32),
    ),
  )


def _assert_same(ours, expected):
  def same(our, their):
    assert isinstance(our, np.ndarray), type(our)
    assert our.dtype == their.dtype, (our.dtype, their.dtype)
    assert our.tobytes() == np.asarray(their).tobytes()

  jax.tree.map(same, ours, expected)


class CheckpointsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.folder = self.workdir / 'checkpoints/wave000'
    self.template = jax.tree.map(np.zeros_like, _states(0))

  def _save(self, *steps, ids=None, keep_steps=0):
    checkpoints = checkpoint.Checkpoints(self.workdir, keep_steps=keep_steps)
    for step in steps:
      checkpoints.save(step, _states(step), ids or _IDS)
    checkpoints.close()

  def _restore(self, ids=None, **options):
    checkpoints = checkpoint.Checkpoints(self.workdir, **options)
    self.addCleanup(checkpoints.close)
    return checkpoints.restore(self.template, ids or _IDS)

  def _kept(self):
    return sorted(int(p.name) for p in self.folder.iterdir())

  def _truncate(self, step, name='state/_METADATA'):
    """Cuts off the second half of a file of a checkpoint."""
    path = self.folder / str(step) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

  def test_what_was_saved_comes_back_bit_by_bit(self):
    self._save(7)
    step, states = self._restore()
    self.assertEqual(step, 7)
    _assert_same(states, _states(7))

  def test_numbers_that_are_not_finite_come_back_too(self):
    states = _states(1)
    states.params['scale'][:] = [np.nan, -np.inf]
    checkpoints = checkpoint.Checkpoints(self.workdir)
    checkpoints.save(1, states, _IDS)
    checkpoints.close()
    _assert_same(self._restore()[1], states)

  def test_without_a_checkpoint_there_is_none(self):
    self.assertIsNone(self._restore())

  def test_the_newest_two_are_kept_and_the_newest_is_given(self):
    self._save(3, 10, 11)
    self.assertEqual(self._kept(), [10, 11])
    self.assertEqual(self._restore()[0], 11)

  def test_multiples_of_keep_steps_stay(self):
    self._save(4, 5, 8, 9, 11, 12, 13, keep_steps=4)
    self.assertEqual(self._kept(), [4, 8, 12, 13])

  def test_an_earlier_step_is_given_and_no_other_in_its_place(self):
    self._save(4, 8, 9, 10, keep_steps=4)
    checkpoints = checkpoint.Checkpoints(self.workdir)
    self.addCleanup(checkpoints.close)
    for until, step in ((4, 4), (7, 4), (8, 8), (12, 10)):
      given, states = checkpoints.restore(self.template, _IDS, until=until)
      self.assertEqual(given, step)
      _assert_same(states, _states(step))
    self._truncate(8)
    with self.assertRaisesRegex(ValueError, 'No checkpoint'):
      checkpoints.restore(self.template, _IDS, until=8)

  @parameterized.parameters('state/_METADATA', 'models/metadata')
  def test_a_truncated_newest_gives_the_one_before_with_a_warning(self, name):
    self._save(5, 10)
    self._truncate(10, name)
    with self.assertLogs('absl', 'WARNING') as logs:
      step, states = self._restore()
    self.assertEqual(step, 5)
    _assert_same(states, _states(5))
    (line,) = logs.output
    self.assertIn('Checkpoint 10 is unreadable', line)
    self.assertLess(len(line), 300)

  def test_a_checkpoint_without_its_numbers_is_passed_over(self):
    self._save(5, 10)
    shutil.rmtree(self.folder / '10' / 'state')
    self.assertEqual(self._restore()[0], 5)

  @pytest.mark.thorough
  def test_no_damage_of_any_file_changes_a_number(self):
    self._damage_files(num_flips=6, num_cuts=3)

  @pytest.mark.slow
  def test_no_damage_of_hundreds_of_places_changes_a_number(self):
    self._damage_files(num_flips=50, num_cuts=20)

  def _damage_files(self, *, num_flips, num_cuts):
    """Restores while each file in turn is flipped, cut, longer and missing."""
    self._save(5, 10)
    generator = random.Random(0)
    files = [p for p in (self.folder / '10').rglob('*') if p.is_file()]
    self.assertGreater(len(files), 8)
    for path in files:
      data = path.read_bytes()
      cuts = np.linspace(0, len(data) - 1, num_cuts).astype(int)
      damaged = [None, data + b'\0', *(data[:cut] for cut in cuts)]
      # At equal distances, the first and the last byte among them.
      for place in np.linspace(0, len(data) - 1, num_flips).astype(int):
        flipped = bytearray(data)
        flipped[place] ^= 1 << generator.randrange(8)
        damaged.append(flipped)
      for content in damaged:
        path.unlink(missing_ok=True)
        if content is not None:
          path.write_bytes(content)
        with self.subTest(path=str(path), content=content):
          step, states = self._restore(read_only=True)
          _assert_same(states, _states(step))
          # What is not sealed holds nothing that matters.
          is_sealed = path.parent != self.folder / '10' or 'seal' in path.name
          self.assertEqual(step == 5, is_sealed)
      path.write_bytes(data)

  def test_arrays_that_were_stored_wrongly_are_passed_over(self):
    self._save(5)
    written = _states(10)
    with mock.patch.object(
      checkpoint,
      '_describe',
      return_value=checkpoint._describe(10, written, _IDS),
    ):
      written.params['scale'][1] += 1
      checkpoints = checkpoint.Checkpoints(self.workdir)
      checkpoints.save(10, written, _IDS)
      checkpoints.close()
    with self.assertLogs('absl', 'WARNING') as logs:
      self.assertEqual(self._restore()[0], 5)
    self.assertIn('not those that were saved', logs.output[0])

  @parameterized.parameters(7, 10)
  def test_training_that_fell_back_is_saved_again(self, step):
    self._save(5, 10)
    self._truncate(10)
    self._save(step)
    self.assertEqual(self._kept(), [5, step])
    restored, states = self._restore()
    self.assertEqual(restored, step)
    _assert_same(states, _states(step))

  def test_if_none_can_be_read_it_says_so_and_changes_nothing(self):
    self._save(5, 10)
    self._truncate(5)
    self._truncate(10)
    with self.assertRaisesRegex(
      ValueError, f'No checkpoint in {self.folder} .*(?s:.*)Move the folder'
    ):
      self._restore()
    self.assertEqual(self._kept(), [5, 10])

  @parameterized.parameters(
    (['facecycle-A-s0'],), (['facecycle-B-s0', 'facecycle-A-s0'],)
  )
  def test_a_checkpoint_of_other_models_is_refused(self, ids):
    self._save(5, 10)
    with self.assertRaisesRegex(ValueError, 'Checkpoint 10 .*other models'):
      self._restore(ids)

  def test_states_may_change_while_they_are_written(self):
    states = _states(1)
    checkpoints = checkpoint.Checkpoints(self.workdir)
    checkpoints.save(1, states, _IDS)
    checkpoints.close()
    jax.tree.map(lambda leaf: leaf.fill(0), states)
    _assert_same(self._restore()[1], _states(1))

  def test_a_reader_leaves_a_save_in_progress_alone(self):
    self._save(5)
    partial = self.folder / '6.orbax-checkpoint-tmp'
    (partial / 'state').mkdir(parents=True)
    self.assertEqual(self._restore(read_only=True)[0], 5)
    self.assertTrue((partial / 'state').is_dir())

  def test_a_writer_clears_what_a_killed_save_left(self):
    self._save(5)
    (self.folder / '6.orbax-checkpoint-tmp').mkdir()
    self._save(7)
    self.assertEqual(self._kept(), [5, 7])


class TemplateTest(absltest.TestCase):
  def test_it_is_zeros_in_the_shape_of_stacked_states(self):
    method = dataclasses.replace(
      tiny.toy_method(tiny.config()),
      optimizer=facecycle.OPTIMIZER,
      init=lambda key: (
        {
          'dense': {
            'kernel': jax.random.normal(key, (3, 2)),
            'bias': jnp.ones(2),
          },
          'scale': jnp.float32(1),
        },
        (),
      ),
    )
    template = checkpoint.template(method, 2)
    _assert_same(template, jax.tree.map(np.zeros_like, _states(0)))


if __name__ == '__main__':
  absltest.main()
