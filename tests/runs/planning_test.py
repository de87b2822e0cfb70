import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.runs import planning, run
from tests import tiny


class PlanModelsTest(parameterized.TestCase):
  store = tiny.empty_store(B=(20, 12), A=(30,), C=(16, 4, 4))

  def _ids(self, **fields):
    models, plans = planning.plan_models(tiny.run_config(**fields), self.store)
    self.assertLen(plans, len(models))
    return [model.model_id for model in models]

  def test_each_person_is_a_cohort_in_the_order_of_names(self):
    self.assertEqual(
      self._ids(), ['facecycle-A-s0', 'facecycle-B-s0', 'facecycle-C-s0']
    )

  def test_each_cohort_has_a_model_for_each_seed(self):
    ids = self._ids(population__seeds=(3, 1), data__persons=('A', 'B'))
    self.assertEqual(
      ids,
      [f'facecycle-{person}-s{seed}' for person in 'AB' for seed in (3, 1)],
    )

  def test_all_is_one_cohort_of_everybody(self):
    config = tiny.run_config(population__cohorts='all')
    (model,), (plan,) = planning.plan_models(config, self.store)
    self.assertEqual(model.model_id, 'facecycle-all-s0')
    self.assertEqual(model.cohort, ('A', 'B', 'C'))
    self.assertEqual((model.num_frames, model.num_videos), (86, 6))
    videos = [v for p in 'ABC' for v in self.store.videos(p)]
    rows = np.concatenate([np.arange(v.start, v.stop) for v in videos])
    np.testing.assert_array_equal(plan.rows, rows)
    starts = np.cumsum([0] + [v.stop - v.start for v in videos])
    np.testing.assert_array_equal(plan.video_start, starts)

  def test_a_model_is_told_what_it_learns_from(self):
    models, plans = planning.plan_models(
      tiny.run_config(population__seeds=(4,)), self.store
    )
    model, plan = models[1], plans[1]
    self.assertEqual((model.cohort, model.seed), (('B',), 4))
    self.assertEqual((model.num_frames, model.num_videos), (32, 2))
    self.assertEqual(model.total_steps, 5)
    # Sixteen disjoint pairs, so four batches an epoch.
    self.assertEqual(model.num_epochs, 2)
    self.assertIsNone(model.gap_cap)
    self.assertEqual((model.status, model.steps_done), ('running', 0))
    self.assertIsNone(model.failed_step)
    np.testing.assert_array_equal(plan.rows, np.arange(32))

  def test_models_of_one_person_draw_differently(self):
    _, plans = planning.plan_models(
      tiny.run_config(population__seeds=(0, 1)), self.store
    )
    self.assertNotEqual(plans[0].order_seed, plans[1].order_seed)
    self.assertTrue(np.any(plans[0].clock.key != plans[1].clock.key))

  def test_a_model_does_not_depend_on_who_else_is_trained(self):
    _, many = planning.plan_models(tiny.run_config(), self.store)
    _, (alone,) = planning.plan_models(
      tiny.run_config(data__persons=('B',)), self.store
    )
    np.testing.assert_array_equal(alone.clock.key, many[1].clock.key)
    np.testing.assert_array_equal(alone.partner, many[1].partner)

  def test_people_with_too_few_frames_are_left_out_by_name(self):
    with self.assertLogs('absl', 'WARNING') as logs:
      ids = self._ids(data__min_frames=28)
    self.assertEqual(ids, ['facecycle-A-s0', 'facecycle-B-s0'])
    (line,) = logs.output
    self.assertIn('C is left out: 24 frames', line)
    self.assertIn('data.min_frames=28', line)

  def test_exactly_min_frames_are_enough(self):
    self.assertLen(self._ids(data__min_frames=24), 3)

  def test_somebody_must_be_left(self):
    with self.assertRaisesRegex(ValueError, 'data.min_frames=99 .*some/store'):
      planning.plan_models(tiny.run_config(data__min_frames=99), self.store)

  def test_a_cohort_too_small_for_a_batch_is_named(self):
    store = tiny.empty_store(A=(30,), tiny=(5, 2))
    with self.assertRaisesRegex(
      ValueError, 'tiny has 7 usable frames in 2 videos.*data.min_frames'
    ):
      planning.plan_models(tiny.run_config(), store)

  def test_a_person_the_store_lacks_is_named(self):
    with self.assertRaisesRegex(ValueError, "no person 'Z'.*A, B, C"):
      planning.plan_models(
        tiny.run_config(data__persons=('A', 'Z')), self.store
      )

  def test_a_person_id_too_long_for_a_model_id_is_refused(self):
    with self.assertRaisesRegex(ValueError, "model_id 'facecycle-P{60}-s0'"):
      planning.plan_models(
        tiny.run_config(), tiny.empty_store(**{'P' * 60: (30,)})
      )

  def test_a_capped_gap_is_kept_and_logged(self):
    config = tiny.run_config(
      curriculum__pairing='gap',
      curriculum__gap__schedule='linear',
      curriculum__gap__start=50.0,
      data__persons=('A',),
    )
    with self.assertLogs('absl', 'WARNING') as logs:
      (model,), _ = planning.plan_models(config, self.store)
    self.assertEqual(model.gap_cap, 26)
    self.assertIn('A: the gap is capped at 26', logs.output[0])

  def test_others_leaves_each_person_out_of_one_cohort(self):
    config = tiny.run_config(population__cohorts='others')
    models, plans = planning.plan_models(config, self.store)
    self.assertEqual(
      {model.model_id: model.cohort for model in models},
      {
        'facecycle-without-A-s0': ('B', 'C'),
        'facecycle-without-B-s0': ('A', 'C'),
        'facecycle-without-C-s0': ('A', 'B'),
      },
    )
    self.assertEqual([int(plan.num_people) for plan in plans], [2, 2, 2])

  def test_one_person_alone_has_no_others(self):
    config = tiny.run_config(population__cohorts='others', data__persons=('B',))
    with self.assertRaisesRegex(ValueError, 'cohorts is others.*only B'):
      planning.plan_models(config, self.store)

  def test_a_general_plan_knows_whose_videos_they_are(self):
    config = tiny.run_config(population__cohorts='all')
    _, (plan,) = planning.plan_models(config, self.store)
    np.testing.assert_array_equal(plan.person_start, [0, 1, 3, 6])

  def test_videos_shorter_than_a_clip_are_left_out(self):
    config = tiny.run_config(curriculum__pairing='clips')
    config.curriculum.clip_frames = 5
    with self.assertLogs('absl', 'WARNING') as logs:
      models, _ = planning.plan_models(config, self.store)
    self.assertEqual([model.num_frames for model in models], [30, 32, 16])
    self.assertIn('C: 2 of 3 videos are left out', logs.output[0])

  def test_a_person_without_a_clip_is_named(self):
    config = tiny.run_config(curriculum__pairing='clips')
    config.curriculum.clip_frames = 31
    with self.assertRaisesRegex(ValueError, 'A has no video as long as a clip'):
      planning.plan_models(config, self.store)


class HeldOutTest(parameterized.TestCase):
  """Frames that only a validation sees."""

  def _rows(self, share, **lengths):
    store = tiny.empty_store(**lengths)
    config = tiny.run_config(
      curriculum__pairing='views',
      population__cohorts='all',
      train__validation_share=share,
      train__validation_batches=2,
      train__batch_size=2,
    )
    models, (plan,) = planning.plan_models(config, store)
    (held_out,) = planning.plan_validation(config, store, models)
    self.assertEqual(held_out.clock.total_steps, 2)
    return plan.rows.tolist(), held_out.rows.tolist()

  def test_few_videos_give_their_ends(self):
    rows, held_out = self._rows(0.1, A=(20, 30), B=(10,))
    self.assertEqual(held_out, [18, 19, 47, 48, 49, 59])
    self.assertEqual(sorted(rows + held_out), list(range(60)))

  def test_many_videos_give_some_of_them_whole(self):
    rows, held_out = self._rows(0.25, A=(5, 5, 5, 5))
    self.assertEqual(held_out, list(range(10, 15)))
    self.assertEqual(sorted(rows + held_out), list(range(20)))

  def test_no_share_holds_out_nothing(self):
    store = tiny.empty_store(A=(20, 12))
    _, (plan,) = planning.plan_models(tiny.run_config(), store)
    self.assertLen(plan.rows, 32)

  def test_a_person_too_short_to_hold_frames_out_is_named(self):
    with self.assertRaisesRegex(ValueError, 'B has too few frames to hold out'):
      self._rows(0.1, A=(20,), B=(4,))


class DonorsTest(parameterized.TestCase):
  """Whose models the models of a run start from."""

  store = tiny.empty_store(B=(20, 12), A=(30,), C=(16, 4, 4))

  def _source(self, **fields):
    """Returns the directory of a run, and writes who its models are."""
    workdir = pathlib.Path(self.create_tempdir().full_path)
    config = tiny.run_config(**fields)
    models, _ = planning.plan_models(config, self.store)
    run.start(workdir, config, models, workdir / 'data')
    return workdir

  def _models(self, source, **fields):
    config = tiny.run_config(init__path=str(source), **fields)
    return planning.plan_models(config, self.store)[0]

  def test_one_general_model_gives_to_everybody(self):
    source = self._source(population__cohorts='all')
    models = self._models(source, init__match='one')
    self.assertEqual(
      [(model.model_id, model.init_from) for model in models],
      [(f'facecycle-{p}-s0', 'facecycle-all-s0') for p in 'ABC'],
    )

  def test_own_gives_to_the_same_person(self):
    models = self._models(self._source(), init__match='own')
    self.assertEqual(
      [model.init_from for model in models],
      [f'facecycle-{p}-s0' for p in 'ABC'],
    )

  def test_others_make_every_ordered_pair_on_the_same_draws(self):
    source = self._source()
    config = tiny.run_config(init__path=str(source), init__match='others')
    models, plans = planning.plan_models(config, self.store)
    self.assertEqual(
      [(model.cohort[0], model.init_from[10]) for model in models],
      [('A', 'B'), ('A', 'C'), ('B', 'A'), ('B', 'C'), ('C', 'A'), ('C', 'B')],
    )
    self.assertLen({model.model_id for model in models}, 6)
    self.assertEqual(plans[0].order_seed, plans[1].order_seed)

  def test_several_models_are_not_one(self):
    with self.assertRaisesRegex(ValueError, 'match is one.*3 sound models'):
      self._models(self._source(), init__match='one')

  def test_a_failed_model_gives_nothing(self):
    source = self._source()
    content = json.loads((source / 'models.json').read_text())
    content['models'][1]['failed_step'] = 7
    (source / 'models.json').write_text(json.dumps(content))
    with self.assertRaisesRegex(ValueError, 'no sound model for B'):
      self._models(source, init__match='own')

  def test_other_parameters_are_refused_by_field(self):
    source = self._source(method__width=0.5)
    with self.assertRaisesRegex(ValueError, 'method.width is 1.0, but 0.5'):
      self._models(source, init__match='own')


if __name__ == '__main__':
  absltest.main()
