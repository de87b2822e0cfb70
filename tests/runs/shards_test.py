"""Claims about dealing models to machines."""

import pathlib

from absl.testing import absltest, parameterized

from psm_jax.runs import locks, run, shards
from tests import tiny


def _models(*steps):
  return [
    run.Model(
      model_id=f'm{index}',
      cohort=(f'p{index}',),
      seed=0,
      total_steps=total,
      num_epochs=1,
      num_frames=10,
      num_videos=1,
      gap_cap=None,
    )
    for index, total in enumerate(steps)
  ]


class ParseTest(parameterized.TestCase):
  @parameterized.parameters(
    ('2/4', {}, (2, 4)),
    (
      'auto',
      {
        'SLURM_ARRAY_TASK_ID': '5',
        'SLURM_ARRAY_TASK_MIN': '3',
        'SLURM_ARRAY_TASK_COUNT': '8',
      },
      (2, 8),
    ),
    ('auto/4', {'JOB_COMPLETION_INDEX': '3'}, (3, 4)),
    (
      'auto',
      {'TPU_WORKER_ID': '1', 'TPU_WORKER_HOSTNAMES': 'a,b,c,d'},
      (1, 4),
    ),
  )
  def test_a_shard_is_named_or_detected(self, text, environment, expected):
    shard = shards.parse(text, environment=environment)
    self.assertEqual((shard.index, shard.count), expected)

  @parameterized.parameters(
    ('3', {}, 'should be like 0/4'),
    ('4/4', {}, 'numbers go from 0 to 3'),
    ('auto', {}, 'needs one of SLURM_ARRAY_TASK_ID'),
    ('auto', {'JOB_COMPLETION_INDEX': '3'}, '--shard=auto/n'),
  )
  def test_what_names_no_shard_is_refused(self, text, environment, message):
    with self.assertRaisesRegex(ValueError, message):
      shards.parse(text, environment=environment)

  @parameterized.parameters(
    ('auto', 1, 3, 2), ('auto', 3, 3, 1), ('auto/8', 0, 3, 4)
  )
  def test_a_part_of_an_array_is_refused(self, text, first, last, count):
    array = {'ID': last, 'MIN': first, 'MAX': last, 'COUNT': count}
    environment = {
      f'SLURM_ARRAY_TASK_{name}': str(value) for name, value in array.items()
    }
    with self.assertRaisesRegex(ValueError, f'{count} tasks from {first} to'):
      shards.parse(text, environment=environment)

  def test_a_whole_array_may_begin_anywhere(self):
    environment = {
      'SLURM_ARRAY_TASK_ID': '4',
      'SLURM_ARRAY_TASK_MIN': '3',
      'SLURM_ARRAY_TASK_MAX': '6',
      'SLURM_ARRAY_TASK_COUNT': '4',
    }
    for text in ('auto', 'auto/4'):
      shard = shards.parse(text, environment=environment)
      self.assertEqual((shard.index, shard.count), (1, 4))


class DealTest(parameterized.TestCase):
  @parameterized.parameters(
    ((1, 1, 1, 1), 2, [2, 2]),
    ((3, 1, 1, 1), 2, [1, 3]),
    ((1, 1, 1, 3), 2, [3, 1]),
    ((9, 1, 1), 3, [1, 1, 1]),
    ((5,), 1, [1]),
  )
  def test_parts_are_about_equal_and_none_is_empty(self, costs, count, sizes):
    parts = shards.balanced(costs, count)
    self.assertEqual([len(part) for part in parts], sizes)
    self.assertEqual([i for part in parts for i in part], [*range(len(costs))])

  def test_five_hundred_unequal_models_differ_by_less_than_one(self):
    costs = [100 + 37 * index % 211 for index in range(500)]
    sums = [
      sum(costs[index] for index in part) for part in shards.balanced(costs, 16)
    ]
    self.assertLess(max(sums) - min(sums), 2 * max(costs))

  def test_more_shards_than_models_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'at most 2 shards'):
      shards.deal(_models(5, 5), 3, wave=0)

  def test_a_shard_trains_in_waves_of_its_own(self):
    models = _models(*[5] * 6)
    shards.deal(models, 2, wave=2)
    self.assertEqual([m.shard for m in models], [0, 0, 0, 1, 1, 1])
    self.assertEqual(
      [m.waves for m in models], [(0,), (0,), (1,), (2,), (2,), (3,)]
    )

  def test_more_machines_divide_waves(self):
    models = _models(*[5] * 4)
    shards.deal(models, 1, wave=0)
    shards.deal_anew(models, 2)
    self.assertEqual([m.shard for m in models], [0, 0, 1, 1])
    self.assertEqual([m.waves for m in models], [(0, 1)] * 2 + [(0, 2)] * 2)

  def test_fewer_machines_take_whole_waves(self):
    models = _models(*[5] * 4)
    shards.deal(models, 4, wave=0)
    shards.deal_anew(models, 2)
    self.assertEqual([m.shard for m in models], [0, 0, 1, 1])
    self.assertEqual([m.waves for m in models], [(0,), (1,), (2,), (3,)])

  def test_models_that_have_ended_are_not_dealt_again(self):
    models = _models(*[5] * 4)
    shards.deal(models, 2, wave=0)
    models[0].status = models[1].status = 'done'
    shards.deal_anew(models, 1)
    self.assertEqual([m.shard for m in models], [0, 0, 0, 0])
    self.assertEqual([m.waves for m in models], [(0,), (0,), (1,), (1,)])


class IndicesTest(absltest.TestCase):
  def _indices(self, models, count):
    opened = run.Run(pathlib.Path('x'), None, tuple(models), 'data', count)
    return [
      [*shards.indices_of(opened, shards.Shard(index, count))]
      for index in range(count)
    ]

  def test_who_trained_models_uses_them(self):
    models = _models(9, 1, 1, 1)
    shards.deal(models, 2, wave=0)
    self.assertEqual(self._indices(models, 2), [[0], [1, 2, 3]])

  def test_another_number_shares_them_by_frames(self):
    models = _models(9, 1, 1, 1)
    shards.deal(models, 2, wave=0)
    self.assertEqual(self._indices(models, 4), [[0], [1], [2], [3]])
    self.assertEqual(self._indices(models, 1), [[0, 1, 2, 3]])


class StartTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.config = tiny.run_config()

  def _start(self, index, count):
    """Returns the models as a shard sees them; it is over then."""
    shard, models = shards.Shard(index, count), _models(5, 5, 5)
    with locks.locked(self.workdir, name=shard.lock):
      shards.start(
        self.workdir,
        self.config,
        models,
        self.workdir / 'data',
        shard=shard,
      )
    return models

  def test_whoever_starts_first_all_see_the_same(self):
    first, second = self._start(1, 2), self._start(0, 2)
    self.assertEqual(first, second)
    opened = run.open_run(self.workdir)
    self.assertEqual(opened.num_shards, 2)
    self.assertEqual(opened.models, tuple(first))

  def test_shards_hold_the_run_together_but_each_part_once(self):
    with locks.locked(self.workdir, name=shards.Shard(0, 2).lock):
      with locks.locked(self.workdir, name=shards.Shard(1, 2).lock):
        pass
      for shard in (shards.Shard(0, 2), shards.ALONE):
        with (
          self.assertRaisesRegex(ValueError, 'Another process'),
          locks.locked(self.workdir, name=shard.lock),
        ):
          pass

  def test_another_number_is_refused_while_some_are_at_it(self):
    self._start(0, 2)
    with (
      locks.locked(self.workdir, name=shards.Shard(1, 2).lock),
      self.assertRaisesRegex(ValueError, 'shared by 2 processes'),
    ):
      self._start(0, 3)
    self.assertLen({model.shard for model in self._start(0, 3)}, 3)

  def test_what_shards_wrote_is_read_as_one_run(self):
    models = self._start(0, 2)
    for number, members in shards.waves_of(models).items():
      for model in members:
        model.status, model.steps_done = 'done', 5
      run.write_states(self.workdir, number, members)
    self.assertEqual(run.open_run(self.workdir).models, tuple(models))


if __name__ == '__main__':
  absltest.main()
