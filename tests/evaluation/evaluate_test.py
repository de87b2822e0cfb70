import dataclasses
import pathlib
import stat

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax.evaluation import (
  evaluate,
  person_independent,
  probes,
  results,
  splits,
)
from tests.evaluation import people

_CONFIG = probes.ProbeConfig(**people.QUICK)
_RANDOM = dataclasses.replace(_CONFIG, splits=('random',))
_ONE_PARTITION = person_independent.FoldConfig(num_partitions=1)
_PERSONS = ('P1', 'P2', 'P3', 'P4', 'P5')


def _tables(source='trained', *, shared=False, persons=_PERSONS, **options):
  """Returns the tables of models of one person each, or of one of all."""
  return [
    people.table(
      people.frames(p, length=240),
      source,
      model_id='m-all' if shared else f'm-{p}',
      model_seed=0 if shared else number,
      **options,
    )
    for number, p in enumerate(persons)
  ]


def _evaluate(tables, **options):
  return evaluate.evaluate(
    tables, **{'config': _CONFIG, 'show_progress': False, **options}
  )


class EvaluateTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.given = _tables(noise=0.3) + _tables('other', noise=30.0)
    cls.rows, cls.skipped = _evaluate(cls.given)
    cls.table = results.table(cls.rows)

  @pytest.mark.thorough
  def test_all_sources_see_the_same_frames(self):
    rows = self.table[self.table['metric'] == 'n_positive']
    rows = rows[rows['source'] != 'nearest_in_time']
    cells = rows.groupby(['person_id', 'split', 'direction', 'target'])
    counts = cells[['n_train', 'n_test', 'value']].nunique()
    self.assertTrue((counts == 1).all(axis=None))
    self.assertEqual(set(cells.size()), {3})
    self.assertEmpty(self.skipped)

  def test_planted_signal_beats_noise_and_time_is_no_help_beyond_a_guard(self):
    summary = results.summarise(
      self.table, pairs=[('trained', 'other'), ('trained', 'nearest_in_time')]
    )
    summary = summary[summary['target'] == results.ACTION_UNITS]
    keys = ['first', 'second', 'split', 'metric']
    summary = summary.set_index(keys).sort_index()
    for split in splits.SPLITS:
      self.assertGreater(summary.loc['trained', '', split, 'auc']['mean'], 0.95)
      self.assertGreater(summary.loc['trained', '', split, 'icc']['mean'], 0.9)
      gain = summary.loc['trained', 'other', split, 'auc']
      self.assertGreater(gain['ci_low'], 0.1)
      self.assertEqual((gain['wins'], gain['losses']), (5, 0))
    time = summary.loc['trained', 'nearest_in_time']
    self.assertLess(time.loc[('random', 'auc'), 'mean'], 0.05)
    self.assertGreater(time.loc[('blocked', 'auc'), 'mean'], 0.1)

  def test_one_person_does_not_depend_on_the_others(self):
    alone, _ = _evaluate([t for t in self.given if t.person_id == 'P1'])
    together = self.table.query("person_id == 'P1'").reset_index(drop=True)
    pd.testing.assert_frame_equal(results.table(alone), together)

  @pytest.mark.thorough
  def test_processes_give_the_same_rows(self):
    spread, _ = _evaluate(self.given, num_workers=2)
    pd.testing.assert_frame_equal(results.table(spread), self.table)

  def test_unlabelled_person_is_named_and_the_others_go_on(self):
    tables = _tables(persons=('P1', 'P2'))
    bare = tables[1].frames.drop(columns=list(people.UNITS))
    tables[1] = dataclasses.replace(tables[1], frames=bare)
    rows, skipped = _evaluate(tables)
    self.assertEqual(
      [(r['person_id'], r['split'], r['reason']) for r in skipped],
      [('P2', s, 'no action-unit labels') for s in splits.SPLITS],
    )
    table = results.table(rows)
    ranks = table[table['metric'] == 'effective_rank']
    self.assertEqual(set(ranks['person_id']), {'P1', 'P2'})

  def test_no_tables_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'no feature tables'):
      _evaluate([])

  def test_the_same_table_twice_is_an_error(self):
    tables = _tables()
    with self.assertRaisesRegex(ValueError, 'two feature tables of .*P1'):
      _evaluate([*tables, tables[0]])


class ScoreTest(absltest.TestCase):
  def _score(self, tables, **options):
    """Returns the tables of a run with its controls."""
    workdir = pathlib.Path(self.create_tempdir().full_path)
    people.write_run(workdir, tables)
    people.write_tables(workdir / 'controls/random_encoder', tables)
    grey = [dataclasses.replace(t, model_id='grey') for t in tables]
    people.write_tables(workdir / 'controls/pixel_pca', grey)
    written = evaluate.score(workdir, **{'config': _RANDOM, **options})
    self.assertEqual({p.parent for p in written}, {workdir / 'evaluation'})
    return {path.stem: pd.read_csv(path) for path in written}

  def test_every_control_stands_beside_the_embeddings(self):
    found = self._score(_tables(persons=('P1', 'P2')), config=_CONFIG)
    controls = ['random_encoder', 'pixel_pca', 'head_pose', 'nearest_in_time']
    self.assertEqual(set(found['scores']['source']), {'trained', *controls})
    pairs = found['summary'].dropna(subset='second')
    self.assertEqual(set(pairs['first']), {'trained'})
    self.assertEqual(set(pairs['second']), set(controls))
    self.assertEmpty(found['skipped'])
    self.assertEmpty(found['person_independent_summary'])
    # Nothing is held out of training, so there is no such split.
    self.assertEqual(
      set(found['scores']['split'].dropna()),
      {*splits.SPLITS, 'few_labels_30'},
    )

  @pytest.mark.thorough
  def test_held_out_frames_make_a_split_unless_others_were_asked_for(self):
    tables = []
    for table in _tables(persons=('P1',)):
      held_out = (table.frames['frame'] > 180) * 1.0
      frames = table.frames.assign(held_out=held_out)
      tables.append(dataclasses.replace(table, frames=frames))
    for config, has_it in ((_CONFIG, True), (_RANDOM, False)):
      rows = self._score(tables, config=config)['scores']
      self.assertEqual('held_out' in set(rows['split']), has_it)
    rows = self._score(tables, config=_CONFIG)['scores']
    held_out = rows[
      (rows['split'] == 'held_out') & rows['target'].str.match(r'AU\d')
    ]
    self.assertEqual(set(held_out['n_test']), {2 * 59})

  @pytest.mark.thorough
  def test_a_model_of_everybody_is_probed_across_people(self):
    found = self._score(_tables(shared=True), fold_config=_ONE_PARTITION)
    summary = found['person_independent_summary']
    self.assertEqual(
      set(summary['source']),
      {'trained', 'random_encoder', 'pixel_pca', 'head_pose'},
    )
    self.assertEmpty(found['skipped'])
    # Nobody's scores are a person's: they are not in the summary.
    self.assertNotIn('person_independent', set(found['summary']['split']))

  def test_people_of_their_own_models_are_not_unless_asked_and_then_refused(
    self,
  ):
    found = self._score(
      _tables(persons=('P1', 'P2')),
      across='yes',
      folds={'P1': '1', 'P2': '2'},
      fold_config=_ONE_PARTITION,
    )
    self.assertEqual(
      set(found['person_independent_summary']['source']),
      {'pixel_pca', 'head_pose'},
    )
    reasons = found['skipped'].set_index('source')['reason']
    self.assertRegex(reasons['trained'], 'each person has a model')

  def test_other_tables_of_the_same_frames_stand_beside_the_run(self):
    persons = ('P1', 'P2')
    found = self._score(
      _tables(persons=persons), others=_tables('lab', persons=persons)
    )
    pairs = set(
      zip(found['summary']['first'], found['summary']['second'], strict=True)
    )
    self.assertLessEqual({('trained', 'lab'), ('lab', 'pixel_pca')}, pairs)

  def test_files_alone_are_scored_beside_the_controls_of_their_labels(self):
    out = pathlib.Path(self.create_tempdir().full_path) / 'out' / 'evaluation'
    written = evaluate.score(
      None,
      others=[*_tables('lab'), *_tables('other')],
      folder=out,
      config=_RANDOM,
    )
    self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o700)
    self.assertEqual(
      {path.stem for path in written},
      {
        *('results', 'scores', 'summary', 'skipped'),
        'person_independent_summary',
      },
    )
    found = pd.read_csv(out / 'scores.csv')
    self.assertEqual(
      set(found['source']), {'lab', 'other', 'head_pose', 'nearest_in_time'}
    )
    self.assertTrue(np.isfinite(found['n_test']).all())

  def test_unknown_choice_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "'perhaps'"):
      evaluate.score(None, others=_tables(), across='perhaps')


if __name__ == '__main__':
  absltest.main()
