import dataclasses
import pathlib
import stat
import types

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import (
  features,
  person_independent,
  probes,
  scoring,
  splits,
)
from psm_jax.runs import planning
from tests import tiny

_CONFIG = probes.ProbeConfig(
  guard_s=0.5, num_frame_resamples=5, num_block_resamples=20
)
_RANDOM = dataclasses.replace(_CONFIG, splits=('random',))
_LENGTHS = {'A': (120, 100), 'B': (110, 130)}


def _index(lengths):
  """Returns the index of a store whose people move at 20 frames a second."""
  videos = []
  for person_id, own in lengths.items():
    for number, length in enumerate(own):
      generator = np.random.default_rng([length, number])
      time_s = np.arange(length) / 20
      moves = np.sin(time_s * 3 + generator.uniform(0, 6, 2)[:, None])
      videos.append(
        pd.DataFrame(
          {
            'person_id': person_id,
            'video_id': f'v{number}',
            'frame': np.arange(length),
            'time_s': time_s,
            'AU01': 4 * moves[0].clip(0),
            'AU12': 4 * moves[1].clip(0),
            'pose_yaw': 9 * np.cos(time_s),
          }
        )
      )
  return pd.concat(videos, ignore_index=True)


def _embeddings(index, *, units=5, seed=0):
  generator = np.random.default_rng(seed)
  hidden = index[['AU01', 'AU12', 'pose_yaw']].to_numpy() / [2, 2, 9]
  data = hidden @ generator.normal(size=(3, units))
  data += 0.3 * generator.normal(size=data.shape)
  return data.astype(np.float32)


class _Fake:
  """A run as embedding.Trained shows it, without weights."""

  def __init__(self, workdir, *, share=0.0, cohorts='each', lengths=_LENGTHS):
    config = tiny.run_config(
      train__validation_share=share, population__cohorts=cohorts
    )
    index = _index(lengths)
    pixels = np.random.default_rng(0).integers(
      0, 256, (len(index), 16 * 16 * 3), np.uint8
    )
    self.store = dataclasses.replace(
      tiny.empty_store(**lengths), index=index, frames=pixels
    )
    models, self.plans = planning.plan_models(config, self.store)
    self.run = types.SimpleNamespace(
      workdir=workdir, models=models, config=config
    )
    for model in models:
      for person_id in model.cohort:
        self._write(model.model_id, person_id)

  def embed_untrained(self, index, rows):
    del index
    return np.random.default_rng(1).normal(size=(len(rows), 4)).astype('f4')

  def _write(self, model_id, person_id):
    index = self.store.index
    for video_id, own in index[index['person_id'] == person_id].groupby(
      'video_id'
    ):
      data = _embeddings(own)
      path = self.run.workdir / 'embeddings' / model_id / person_id
      path.mkdir(parents=True, exist_ok=True)
      own.assign(
        model_id=model_id,
        **{f'e{unit:03d}': data[:, unit] for unit in range(data.shape[1])},
      ).to_parquet(path / f'{video_id}.parquet')


class RunTest(parameterized.TestCase):
  def _score(self, *, fake=None, **options):
    """Returns the tables that score_run writes."""
    workdir = pathlib.Path(self.create_tempdir().full_path)
    self.fake = _Fake(workdir, **(fake or {}))
    with absltest.mock.patch.object(
      scoring.embedding, 'Trained', lambda workdir: self.fake
    ):
      written = scoring.score_run(workdir, **{'config': _RANDOM, **options})
    self.assertEqual({p.parent for p in written}, {workdir / 'evaluation'})
    return {path.stem: pd.read_csv(path) for path in written}

  def test_every_control_stands_beside_the_embeddings(self):
    found = self._score(config=_CONFIG)
    controls = ['random_encoder', 'pixel_pca', 'head_pose', 'nearest_in_time']
    for name in ('scores', 'intensity', 'intervals'):
      self.assertEqual(set(found[name]['source']), {'psm', *controls}, name)
    sources = set(found['summary']['source'])
    self.assertEqual(
      {s for s in sources if ' - ' in s}, {f'psm - {c}' for c in controls}
    )
    self.assertEmpty(found['skipped'])
    self.assertEmpty(found['person_independent'])
    # Nothing is held out of training, so there is no such split.
    self.assertEqual(set(found['scores']['split']), set(splits.SPLITS))

  @parameterized.parameters(0.25, 0.5)  # Ends of videos, a whole video.
  def test_held_out_frames_are_those_that_training_never_drew(self, share):
    seen = {}
    make_splits = splits.make_splits

    def spy(name, frames, labels, **options):
      parts = make_splits(name, frames, labels, **options)
      if name == 'held_out':
        seen[frames['person_id'].iloc[0]] = frames[parts[0].test]
      return parts

    with absltest.mock.patch.object(splits, 'make_splits', spy):
      found = self._score(fake={'share': share}, config=_CONFIG)
    self.assertIn('held_out', set(found['scores']['split']))
    validation = planning.plan_validation(
      self.fake.run.config, self.fake.store, self.fake.run.models
    )
    keys = ['person_id', 'video_id', 'frame']
    index = self.fake.store.index
    for model, plan, held_out in zip(
      self.fake.run.models, self.fake.plans, validation, strict=True
    ):
      (person_id,) = model.cohort
      test = set(seen[person_id][keys].itertuples(index=False, name=None))
      drawn, kept = (
        set(index.iloc[rows][keys].itertuples(index=False, name=None))
        for rows in (np.asarray(plan.rows), np.asarray(held_out.rows))
      )
      self.assertEmpty(test & drawn)
      self.assertEqual(test, kept)

  def test_splits_that_were_asked_for_are_left_as_they_are(self):
    found = self._score(fake={'share': 0.25})
    self.assertEqual(set(found['scores']['split']), {'random'})

  def test_a_model_of_everybody_is_probed_across_people(self):
    lengths = {f'P{k}': (60, 60) for k in range(4)}
    across = scoring.Across(
      config=person_independent.FoldConfig(num_partitions=1)
    )
    found = self._score(
      fake={'cohorts': 'all', 'lengths': lengths}, across=across
    )
    self.assertEqual(
      set(found['person_independent']['source']),
      {'psm', 'random_encoder', 'pixel_pca', 'head_pose'},
    )
    self.assertEmpty(found['skipped'])

  def test_people_of_their_own_models_are_not_unless_asked_and_then_refused(
    self,
  ):
    across = scoring.Across(
      when='yes',
      folds={'A': '1', 'B': '2'},
      config=person_independent.FoldConfig(num_partitions=1),
    )
    found = self._score(across=across)
    self.assertEqual(
      set(found['person_independent']['source']), {'pixel_pca', 'head_pose'}
    )
    reasons = found['skipped'].set_index('person_id')['reason']
    self.assertRegex(reasons['all'].iloc[0], 'psm: each person has a model')

  def test_other_tables_of_the_same_frames_stand_beside_the_run(self):
    index = _index(_LENGTHS)
    others = [
      features.FeatureTable(
        'lab', 'lab', person_id, _embeddings(own), own.reset_index(drop=True)
      )
      for person_id, own in index.groupby('person_id')
    ]
    found = self._score(others=others)
    sources = set(found['summary']['source'])
    self.assertIn('psm - lab', sources)
    self.assertIn('lab - pixel_pca', sources)

  def test_embeddings_of_other_frames_are_an_error(self):
    workdir = pathlib.Path(self.create_tempdir().full_path)
    fake = _Fake(workdir)
    fake.store.index['frame'] += 1
    with (
      absltest.mock.patch.object(scoring.embedding, 'Trained', lambda _: fake),
      self.assertRaisesRegex(ValueError, 'Embed again'),
    ):
      scoring.score_run(workdir)


class TablesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, name, *, suffix='.csv', seed=0, **columns):
    index = _index(_LENGTHS)
    data = _embeddings(index, seed=seed)
    table = index.rename(columns={'AU01': 'au1', 'pose_yaw': 'yaw'}).assign(
      **{f'e{unit:03d}': data[:, unit] for unit in range(data.shape[1])},
      **columns,
    )
    path = self.folder / f'{name}{suffix}'
    if suffix == '.csv':
      table.to_csv(path, index=False)
    else:
      table.to_parquet(path)
    return path

  def test_tables_are_scored_beside_their_controls(self):
    first, second = self._write('a'), self._write('b', suffix='.parquet')
    given = scoring.read_tables([f'lab={first}', f'other={second}'])
    out = self.folder / 'out' / 'evaluation'
    written = scoring.score_tables(given, out, config=_CONFIG)
    self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o700)
    found = {path.stem: pd.read_csv(path) for path in written}
    self.assertEqual(
      set(found['scores']['source']),
      {'lab', 'other', 'head_pose', 'nearest_in_time'},
    )
    self.assertEqual(set(found['scores']['au']), {'AU01', 'AU12'})
    self.assertEqual(set(found['regression']['target']), {'yaw'})
    self.assertIn('lab - other', set(found['summary']['source']))
    self.assertIn('lab - nearest_in_time', set(found['summary']['source']))
    self.assertLen(written, 12)

  def test_files_of_one_name_are_read_together(self):
    whole = pd.read_csv(self._write('whole'))
    for person_id in ('A', 'B'):
      own = whole[whole['person_id'] == person_id]
      own.to_csv(self.folder / f'{person_id}.csv', index=False)
    given = scoring.read_tables(
      [f'lab={self.folder}/{person_id}.csv' for person_id in ('A', 'B')]
    )
    self.assertEqual([table.person_id for table in given], ['A', 'B'])
    self.assertEqual({table.source for table in given}, {'lab'})

  def test_a_column_held_out_allows_that_split(self):
    held_out = (_index(_LENGTHS)['frame'] > 70) * 1
    given = scoring.read_tables([f'lab={self._write("a", held_out=held_out)}'])
    written = scoring.score_tables(given, self.folder / 'out', config=_CONFIG)
    scores = pd.read_csv(written[0])
    self.assertIn('held_out', set(scores['split']))

  @parameterized.parameters('lab/a.csv', '=a.csv', 'lab=')
  def test_entry_without_a_name_or_a_file_is_an_error(self, entry):
    with self.assertRaisesRegex(ValueError, 'NAME=FILE'):
      scoring.read_tables([entry])

  def test_a_missing_file_is_named(self):
    with self.assertRaisesRegex(ValueError, 'none.csv'):
      scoring.read_tables([f'lab={self.folder}/none.csv'])

  def test_no_tables_are_an_error(self):
    with self.assertRaisesRegex(ValueError, 'no embeddings'):
      scoring.score_tables([], self.folder)

  def test_unknown_choice_is_an_error(self):
    with self.assertRaisesRegex(ValueError, "'perhaps'"):
      scoring.Across(when='perhaps')


if __name__ == '__main__':
  absltest.main()
