"""What launch.embed writes of a run, and what its tables say of themselves."""

import dataclasses
import pathlib
import shutil
import tempfile
import types
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized

from psm_jax import embedding, methods, sampling, training
from psm_jax.data import store as store_lib
from psm_jax.embedding import grey, pictures, tables
from psm_jax.engine import programs
from psm_jax.evaluation import features
from psm_jax.runs import planning, run, run_states, zoo
from tests import tiny, training_runs

_STEPS = 10


def _train(folder, store, *, keep_steps=4, **fields):
  config = tiny.config(
    data__source='store',
    data__path=str(store),
    train__keep_steps=keep_steps,
    **{'train__steps': _STEPS, **fields},
  )
  training.train(config, folder)
  return folder


class EpochsTest(parameterized.TestCase):
  @parameterized.parameters((0, 0), (2, 0.5), (4, 1), (7, 2.25), (9, 2.5))
  def test_parts_of_an_epoch_count(self, step, epochs):
    # Epochs of 4, 2 and 4 steps; the model ends in the midst of the third.
    clock = sampling.Clock(
      key=np.zeros(2, np.uint32),
      total_steps=np.int32(8),
      num_epochs=np.int32(3),
      # A fourth epoch is another model's.
      epoch_start=np.array([0, 4, 6, 100], np.int32),
      gap=np.ones((4, 1), np.int32),
    )
    nothing = np.zeros(0, np.int32)
    plan = sampling.Plan(
      clock=clock,
      order_seed=np.uint32(0),
      num_examples=np.array([13, 6, 12, 1], np.int32),
      num_people=np.int32(1),
      person_start=nothing,
      video_start=nothing,
      partner=nothing,
      rows=nothing,
    )
    self.assertAlmostEqual(tables.epochs_at(plan, step, batch_size=3), epochs)


@pytest.mark.thorough
class RunTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    for name in ('make', 'abstract'):
      cls.enterClassContext(mock.patch.object(methods, name, tiny.toy_method))
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.store = training_runs.write_store(cls.folder, lengths=(240, 210))
    cls.workdir = _train(
      cls.folder / 'run', cls.store, train__validation_share=0.25
    )
    cls.written = embedding.write_embeddings(cls.workdir, kept_steps=True)
    cls.trained = embedding.Trained(cls.workdir)
    cls.learned = features.read_run(cls.workdir)
    cls.controls = {
      (table.source, table.person_id): table
      for table in features.controls(cls.workdir, cls.learned)
    }

  def test_every_frame_is_embedded_and_the_table_says_of_what_it_is(self):
    for index, table in enumerate(self.learned):
      model = self.trained.run.models[index]
      rows = self.trained.rows_of(table.person_id)
      np.testing.assert_allclose(
        table.features, self.trained.embed(index, rows), atol=1e-5
      )
      origin = table.frames.attrs
      self.assertEqual(origin['model_id'], model.model_id)
      self.assertEqual(origin['step'], _STEPS)
      self.assertRegex(origin['state'] + origin['config'], '^[0-9a-f]{32}$')
    first, second = (table.frames.attrs for table in self.learned)
    self.assertNotEqual(first['state'], second['state'])
    self.assertEqual(first['config'], second['config'])

  def test_an_exported_model_writes_the_table_of_its_run(self):
    model_id = self.trained.run.models[1].model_id
    (folder,) = zoo.export_run(
      self.workdir, self.folder / 'zoo', model_ids=[model_id]
    )
    store = store_lib.open_store(self.store)
    written = embedding.write_with(zoo.load(folder), store, self.folder / 'out')
    of_run = self.learned[1]
    videos = [p for p in written if p.parent.name == of_run.person_id]
    values = pd.concat(map(pd.read_parquet, videos)).filter(regex=r'^e\d')
    np.testing.assert_allclose(values, of_run.features, atol=1e-5)

  def test_a_store_of_another_size_is_refused(self):
    model = types.SimpleNamespace(model_id='m', config=tiny.config())
    store = store_lib.open_store(self.store)
    other = dataclasses.replace(store, size_px=store.size_px // 2)
    with self.assertRaisesRegex(ValueError, 'embeds frames of 32 px'):
      embedding.write_with(model, other, self.folder / 'out')

  def test_the_state_is_that_of_the_parameters(self):
    again, other, start = (
      features.read_run(self.workdir, folder=f'steps/{step:09d}')[0]
      for step in (_STEPS, 4, 0)
    )
    state = self.learned[0].frames.attrs['state']
    self.assertEqual(again.frames.attrs['state'], state)
    for earlier in (other, start):
      self.assertNotEqual(earlier.frames.attrs['state'], state)

  def test_controls_are_the_first_weights_and_grey_pixels(self):
    start = self.trained.at_step(0)
    size = self.trained.store.size_px
    for index, table in enumerate(self.learned):
      rows = self.trained.rows_of(table.person_id)
      random = self.controls['random_encoder', table.person_id]
      np.testing.assert_allclose(
        random.features, start.embed(index, rows), atol=1e-5
      )
      self.assertGreater(np.abs(random.features - table.features).max(), 1e-3)
      images = self.trained.store.frames[rows].reshape(-1, size, size, 3)
      pixels = self.controls['pixel_pca', table.person_id]
      np.testing.assert_array_equal(pixels.features, grey.grey_pixels(images))

  def test_held_out_frames_are_those_that_training_never_drew(self):
    validation = planning.plan_validation(
      self.trained.run.config, self.trained.store, self.trained.run.models
    )
    for table, plan, kept in zip(
      self.learned, self.trained.plans, validation, strict=True
    ):
      rows = self.trained.rows_of(table.person_id)
      held_out = rows[table.frames['held_out'] == 1]
      self.assertNotEmpty(held_out)
      self.assertEmpty(set(held_out) & set(np.asarray(plan.rows).tolist()))
      self.assertEqual(set(held_out), set(np.asarray(kept.rows).tolist()))

  def test_labelled_frames_are_embedded_at_every_kept_step_and_the_start(self):
    self.assertEqual(
      run_states.kept_steps(run.open_run(self.workdir)), [4, 8, 10]
    )
    folders = sorted(p.name for p in (self.workdir / 'steps').iterdir())
    self.assertEqual([int(name) for name in folders], [0, 4, 8, 10])
    seen = []
    for name in folders:
      table = features.read_run(self.workdir, folder=f'steps/{name}')[0]
      self.assertTrue(table.frames['AU12'].notna().all())
      seen.append(table.frames.attrs)
    self.assertEqual(
      [origin['examples_seen'] for origin in seen],
      [tiny.BATCH * step for step in (0, 4, 8, 10)],
    )
    epochs = [origin['epochs'] for origin in seen]
    self.assertEqual(epochs, sorted(epochs))
    np.testing.assert_array_equal(table.features, self.learned[0].features)

  def test_an_unreadable_checkpoint_leaves_its_step_out(self):
    broken = shutil.copytree(self.workdir, self.folder / 'broken')
    shutil.rmtree(broken / 'steps')
    path = broken / 'checkpoints/wave000/4/state/_METADATA'
    path.write_bytes(path.read_bytes()[:10])
    with self.assertLogs('absl', 'WARNING') as logs:
      embedding.write_embeddings(broken, controls=False, kept_steps=True)
    self.assertIn('Step 4 is left out', ' '.join(logs.output))
    folders = sorted(int(p.name) for p in (broken / 'steps').iterdir())
    self.assertEqual(folders, [0, 8, 10])

  def test_models_that_are_still_trained_are_counted(self):
    part = shutil.copytree(self.workdir, self.folder / 'part')
    path = part / 'models.json'
    path.write_text(path.read_text().replace('"done"', '"running"', 1))
    with self.assertLogs('absl', 'WARNING') as logs:
      embedding.write_embeddings(part, controls=False)
    self.assertIn('1 of 2 models have steps to train', ' '.join(logs.output))

  def test_a_run_that_kept_nothing_is_refused_by_field(self):
    kept = shutil.copytree(self.workdir, self.folder / 'none')
    for step in (4, 8):
      shutil.rmtree(kept / f'checkpoints/wave000/{step}')
    with self.assertRaisesRegex(ValueError, r'train\.keep_steps'):
      embedding.write_embeddings(kept, controls=False, kept_steps=True)

  def test_a_wave_that_ended_early_stays_at_its_end(self):
    # Epochs of 15 and 10 steps, so the waves end apart.
    workdir = _train(
      self.folder / 'waves',
      training_runs.write_store(self.folder / 'short', lengths=(30, 21)),
      keep_steps=6,
      train__steps=0,
      train__epochs=1,
      population__wave=1,
      curriculum__pairing='fixed',
    )
    opened = run.open_run(workdir)
    first, second = (model.total_steps for model in opened.models)
    self.assertGreater(first, second)
    kept = run_states.kept_steps(opened)
    self.assertIn(first, kept)
    trained = embedding.Trained(workdir).at_step(first)
    self.assertEqual(int(trained.model_state(1).step), second)


def _pictures(key, params, method_state, shared, frames, canonical):
  """Returns flows that repeat a frame's first two bytes, scaled."""
  del key, method_state, shared, canonical
  flow = params * frames[:, None, None, :2] * np.ones((1, 9, 10, 1))
  return {'neutral': flow, 'flow': flow}


def _computed(pictures_of=_pictures):
  """Returns the programs of a method of one parameter that draws pictures."""
  method = dataclasses.replace(
    tiny.toy_method(tiny.config()),
    init=lambda key: (jnp.float32(1), ()),
    pictures=pictures_of,
  )
  with mock.patch.object(methods, 'make', lambda config: method):
    return programs.Programs(tiny.config())


class FlowsTest(parameterized.TestCase):
  def test_flows_are_down_and_right_in_sides_of_the_picture(self):
    frames, cells_of = tiny.frames(3), tables._flow_cells(_computed())
    for scale in (1, 2):
      cells = cells_of(np.float32(scale), (), frames)
      self.assertEqual(cells.shape, (3, 8, 8, 2))
      y_x = scale * frames[:, 1::-1].astype(np.float32)
      np.testing.assert_allclose(cells[:, 7, 0], y_x / 2)

  def test_a_cell_is_the_mean_of_its_part_of_the_picture(self):
    flow = np.random.default_rng(0).normal(size=(2, 16, 24, 2))
    computed = _computed(lambda *args: {'neutral': 0, 'flow': flow})
    cells = tables._flow_cells(computed)(1.0, (), tiny.frames(2))
    expected = flow.reshape(2, 8, 2, 8, 3, 2).mean(axis=(2, 4))[..., ::-1] / 2
    np.testing.assert_allclose(cells, expected, rtol=1e-5, atol=1e-7)

  def test_a_flow_too_coarse_is_an_error(self):
    computed = _computed(
      lambda *args: {n: f[:, :4] for n, f in _pictures(*args).items()}
    )
    with self.assertRaisesRegex(ValueError, 'toy of 32 px .* 4 x 10'):
      tables._flow_cells(computed)

  @parameterized.parameters(
    ('facecycle', 'gap'), ('canonical', 'repaired'), ('fabnet', 'views')
  )
  def test_only_a_flow_from_a_neutral_face_counts(self, name, pairing):
    config = tiny.config(method__name=name, curriculum__pairing=pairing)
    computed = programs.of(config)
    if name != 'fabnet':
      tables._flow_cells(computed)
    else:
      with self.assertRaisesRegex(ValueError, f'{name} draws no flow'):
        tables._flow_cells(computed)


class PicturesTest(absltest.TestCase):
  def test_the_nearest_frame_is_of_another_person_and_by_angle(self):
    # Rows 0-3 show A, 4-7 show B; the embedding is a direction and a length.
    angles = np.array([0, 30, 60, 90, 88, 2, 45, 120]) * np.pi / 180
    lengths = np.array([1, 1, 1, 1, 9, 9, 9, 9])
    values = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    trained = mock.Mock()
    trained.store.index = pd.DataFrame({'person_id': ['A'] * 4 + ['B'] * 4})
    trained.rows_of = {'A': np.arange(4), 'B': np.arange(4, 8)}.get
    trained.embed = lambda index, rows: values[rows]
    model = mock.Mock(spec=run.Model, cohort=('A', 'B'))
    rows = np.array([0, 3, 7])
    nearest = pictures._nearest_in_others(trained, 0, model, rows)
    np.testing.assert_array_equal(nearest, [5, 4, 3])

  def test_what_belongs_to_a_source_stands_together(self):
    names = [
      f'{kind} {number}'
      for kind in ('mask', 'source', 'warped')
      for number in (1, 2)
    ]
    ordered = sorted(['reconstruction', *names, 'target'], key=pictures._place)
    self.assertEqual(
      ordered,
      [
        'target',
        *('source 1', 'warped 1', 'mask 1', 'source 2', 'warped 2', 'mask 2'),
        'reconstruction',
      ],
    )
    ordered = sorted(['reconstruction', 'neutral'], key=pictures._place)
    self.assertEqual(ordered, ['neutral', 'reconstruction'])

  def test_frames_are_spread_over_the_middle(self):
    np.testing.assert_array_equal(
      store_lib.spread(np.arange(100, 151), 4), [110, 120, 130, 140]
    )

  def test_pictures_are_written_for_the_report_to_read(self):
    store = tiny.empty_store(A=(30,))
    size = store.size_px
    frames = np.random.default_rng(0).integers(
      0, 256, (30, size * size * 3), np.uint8
    )
    made = np.full((6, 4, 4, 3), 0.5)
    index = pd.DataFrame(
      {'person_id': 'A', 'video_id': 'v0', 'frame': np.arange(30)}
    )
    trained = types.SimpleNamespace(
      store=dataclasses.replace(store, frames=frames, index=index),
      run=types.SimpleNamespace(
        models=[types.SimpleNamespace(model_id='m', cohort=('A',))]
      ),
      rows_of=lambda person: np.arange(30),
      pictures=lambda index, rows: {
        'neutral': made,
        'target': made,
        'flow': np.zeros((6, 2, 2, 2), np.float32),
      },
    )
    workdir = pathlib.Path(self.create_tempdir().full_path)
    (path,) = pictures.write(trained, 0, workdir / 'pictures')
    self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
    with np.load(path) as arrays:
      self.assertEqual(
        [n for n in arrays.files if n.startswith('made_')],
        ['made_00_target', 'made_01_neutral'],
      )
      self.assertEqual(set(arrays['made_00_target'].ravel()), {128})
      self.assertEqual(arrays['frames'].shape, (6, 3))
      np.testing.assert_array_equal(
        arrays['input'][0].ravel(), frames[int(arrays['frames'][0, 2])]
      )


if __name__ == '__main__':
  absltest.main()
