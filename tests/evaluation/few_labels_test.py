import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.evaluation import few_labels, probes, results, splits
from tests.evaluation import people


def _world(num_frames=240, *, noise=1.0, seed=0):
  """Returns two videos' features that tell two of three units, and labels."""
  generator = np.random.default_rng(seed)
  labels = generator.random((num_frames, 3)) < (0.3, 0.4, 0.3)
  values = generator.standard_normal((num_frames, 20))
  values[:, :2] += 3 / noise * labels[:, :2]
  return values, labels


def _auc(values, labels, train=None, **options):
  """Returns the AUCs of probes of the first half, or of `train`."""
  first, second = np.split(np.arange(len(labels)), 2)
  train = first if train is None else train
  folds = few_labels.stretches(len(train))
  return few_labels.probe_auc(
    values, labels, train, second, folds=folds, **options
  )


class ProbeTest(absltest.TestCase):
  def test_units_that_the_features_tell_are_told_and_no_others(self):
    told = _auc(*_world())
    self.assertGreater(told[:2].min(), 0.9)
    self.assertBetween(told[2], 0.3, 0.7)

  def test_the_scale_of_a_column_is_of_no_account(self):
    values, labels = _world()
    scaled = values * np.geomspace(1e-2, 1e2, 20) + 7
    np.testing.assert_allclose(_auc(scaled, labels), _auc(values, labels))

  def test_labels_of_the_test_frames_do_not_reach_the_probe(self):
    values, labels = _world()
    labels[120:] = labels[:119:-1]
    self.assertLess(_auc(values, labels).max(), 0.7)

  def test_a_frame_is_told_the_same_whoever_else_is_tested(self):
    values, labels = _world(noise=6.0)
    # The last frames look otherwise, and their labels are turned.
    values[180:] = 5 - 3 * values[180:]
    train, auc, told = np.arange(120), few_labels.scores.auc, []
    for stop in (180, 240):
      with mock.patch.object(few_labels.scores, 'auc', wraps=auc) as scored:
        few_labels.probe_auc(
          values,
          labels,
          train,
          np.arange(120, stop),
          folds=few_labels.stretches(120),
        )
      told.append(scored.call_args.args[1])
    np.testing.assert_allclose(told[1][:60], told[0])

  def test_columns_that_are_only_noise_are_left_out_where_that_pays(self):
    values, labels = _world(noise=2.0)
    noise = np.random.default_rng(1).normal(size=(240, 300))
    fewer, all_of_them = (
      _auc(
        np.hstack([values, noise]), labels[:, :2], np.arange(40), sizes=sizes
      ).mean()
      for sizes in ((2, 320), ())
    )
    self.assertGreater(fewer, all_of_them + 0.02)


class ScoreTest(absltest.TestCase):
  CONFIG = dataclasses.replace(
    probes.DEFAULT, few_labels=(10, 60, 200, 0), few_label_draws=2
  )

  def _score(self, source='lab', **options):
    table = people.table(people.frames('P1'), 'lab', **options)
    table = dataclasses.replace(table, source=source)
    labels = splits.action_unit_labels(table.frames, threshold=2.0)
    parts = splits.make_splits(
      'cross_video', table.frames, labels, min_base_rate=0, guard_s=0, seed=0
    )
    made = few_labels.score(table, parts, config=self.CONFIG)
    return results.table(made)

  def test_every_draw_is_a_row_and_the_whole_video_one_of_its_own(self):
    rows = self._score()
    cells = rows.groupby(['split', 'direction', 'draw', 'target']).n_train
    self.assertEqual(set(cells.size()), {1})
    of_split = rows.groupby('split').n_train.agg(['count', 'mean'])
    num = 2 * len(people.UNITS)
    self.assertEqual(
      of_split.T.to_dict('list'),
      {
        'few_labels_10': [2 * num, 10],
        'few_labels_60': [2 * num, 60],
        'few_labels_all': [num, 200],
      },
    )

  def test_each_draw_is_of_frames_of_its_own(self):
    rows = self._score(noise=6.0)
    rows = rows[rows['split'] == 'few_labels_10']
    values = rows.pivot(
      index=['direction', 'target'], columns='draw', values='value'
    )
    self.assertFalse((values[0] == values[1]).any())

  def test_more_labels_teach_more(self):
    rows = self._score(noise=6.0)
    mean = rows.groupby('split').value.mean()
    self.assertLess(mean['few_labels_10'], mean['few_labels_60'])
    self.assertLess(mean['few_labels_60'], mean['few_labels_all'])

  def test_equal_frames_are_drawn_for_all_features(self):
    rows = [self._score(name).drop(columns='source') for name in ('a', 'b')]
    pd.testing.assert_frame_equal(*rows)


class ComponentsTest(absltest.TestCase):
  def test_a_picture_of_two_patterns_has_two_components(self):
    generator = np.random.default_rng(0)
    for num_pixels in (64, 120):
      mixed = generator.normal(size=(90, 2))
      mixed = mixed @ generator.normal(size=(2, num_pixels))
      values, _ = few_labels.components(mixed + 5)
      spread = values.std(axis=0)
      self.assertGreater(spread[1], 1)
      self.assertLess(spread[2:].max(), 1e-9)

  def test_frames_are_seen_by_the_components_of_those_fitted(self):
    generator = np.random.default_rng(0)
    seen, others = generator.normal(size=(2, 90, 20))
    values, _ = few_labels.components(others, fit=seen)
    both, _ = few_labels.components(np.concatenate([seen, others]), fit=seen)
    np.testing.assert_allclose(values, both[90:])
    self.assertGreater(np.abs(values.mean(axis=0)).max(), 0.01)

  def test_probes_of_few_pixels_have_no_more_components(self):
    frames = np.random.default_rng(0).normal(size=(90, 20))
    self.assertEqual(few_labels.components(frames)[1], (8, 16))


if __name__ == '__main__':
  absltest.main()
