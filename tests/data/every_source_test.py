"""Every source: by its builder into a store, to the devices, into training."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from psm_jax import methods, tasks, training
from psm_jax.data import builder as builder_lib, prepare, store
from psm_jax.data.ingest import batch, jobs
from psm_jax.engine import feed, population
from psm_jax.runs import planning
from tests import tiny
from tests.data import fake_trees
from tests.data.ingest import films

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SOURCES = [source for source in prepare.SOURCES if source != 'store']
_SYNTHETIC = {'num_people': 2, 'num_videos': 2, 'num_frames': 8}
# `tfds build`, without the other commands of `tfds`: they import Apache Beam.
_TFDS_BUILD = """
import sys
from tensorflow_datasets.scripts.cli import build, cli_utils
parse = cli_utils.make_flags_parser(build.Args, description='tfds build')
parse(sys.argv).execute()
"""


def _tiny_method(made_config):
  """Returns a method that learns three numbers and compiles at once."""

  def loss(key, params, method_state, shared, batch, schedule):
    del key, shared, schedule
    frames = batch.frames.reshape((-1, 3)) / jnp.float32(255)
    error = jnp.mean(jnp.square(frames - params['colour']))
    return error, (method_state, {'error': error})

  return dataclasses.replace(
    tiny.toy_method(made_config),
    init=lambda key: ({'colour': jax.random.normal(key, (1, 3))}, ()),
    loss=loss,
  )


def _make(source, root):
  """Makes what a source reads: enough frames to train on."""
  root.mkdir()
  if source == 'frame_folder':
    for name in ('A/v1', 'A/v2', 'B/v1'):
      for frame in range(12):
        fake_trees.picture(root / name / f'{frame}.png', 20 * frame)
    fake_trees.text(root / 'A' / 'v1' / 'labels.csv', 'frame,au12\n3,1\n1,2\n')
  elif source == 'video_folder':
    _ingest(root)
  elif source != 'synthetic_faces':
    getattr(fake_trees, source)(root, num_frames=12)


def _ingest(root):
  """Makes an ingest folder of two people's videos."""
  for name in ('videos', 'boxes'):
    (root / name).mkdir()
  for number, person in enumerate('ab'):
    films.write(
      root / 'videos' / f'{person}.mp4',
      [films.picture((number, i, 20, 10)) for i in range(12)],
    )
    boxes = films.box_rows([(range(12), 20, 10)])
    (root / 'boxes' / f'{person}.csv').write_text(boxes)
  with mock.patch.object(tasks, 'on_processes', tasks.here):
    batch.ingest(
      root / 'videos',
      root,
      options=jobs.Options(size_px=32),
      person_from='file',
      boxes=root / 'boxes',
    )


def _config(source, root):
  config = tiny.config(
    data__source=source,
    data__path=str(root),
    train__steps=2,
    train__log_every=1,
    population__num_devices=1,
    population__strategy='loop',
  )
  config.data.synthetic.update(_SYNTHETIC)
  if source == 'gft':
    config.data.tree.images = 'images'
  return config


class SourcesTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_sources_')
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)

  @parameterized.parameters(*_SOURCES)
  @pytest.mark.thorough
  def test_a_source_is_trained_on_and_streams_what_lies_on_the_devices(
    self, source
  ):
    root, workdir = self.folder / source, self.folder / f'run-{source}'
    _make(source, root)
    config = _config(source, root)
    with mock.patch.object(methods, 'make', _tiny_method):
      outcome = training.train(config, workdir)
    self.assertEqual([m.status for m in outcome.models], ['done'] * 2)
    opened = store.open_store(
      prepare.prepare(config.data, directory=workdir / 'data')
    )
    self.assertEqual(
      [model.cohort for model in outcome.models],
      [(person,) for person in opened.person_ids],
    )
    self._assert_feeds_agree(opened, config)

  def _assert_feeds_agree(self, opened, config):
    _, plans = planning.plan_models(config, opened)
    built = population.build(_tiny_method(config), plans, config)
    feeds = []
    for name in ('resident', 'stream'):
      config.data.feed = name
      feeds.append(feed.make(built, opened.frames, config))
    with contextlib.closing(feeds[0]), contextlib.closing(feeds[1]):
      for step in (0, 1):
        resident, stream = (own.batches_at(step) for own in feeds)
        jax.tree.map(np.testing.assert_array_equal, stream, resident)
        self.assertLen(resident, 2)


@pytest.mark.slow
class CommandLineTest(parameterized.TestCase):
  @parameterized.parameters(*_SOURCES)
  def test_tfds_build_makes_the_data_set(self, source):
    folder = pathlib.Path(self.create_tempdir().full_path)
    root = folder / 'copy'
    _make(source, root)
    options = {'source': source, 'path': str(root)}
    if source == 'gft':
      options['tree'] = {'images': 'images'}
    elif source == 'synthetic_faces':
      options['synthetic'] = _SYNTHETIC
    config = json.dumps({'name': 'own', 'options': options})
    arguments = ['faces', '--imports=psm_jax.data.builder']
    arguments += [f'--data_dir={folder}', f'--config={config}']
    ended = subprocess.run(
      [sys.executable, '-c', _TFDS_BUILD, *arguments],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(ended.returncode, 0, ended.stderr[-2000:])
    made = folder / 'faces' / 'own' / '1.0.0'
    self.assertGreater(builder_lib.read_metadata(made)['num_frames'], 20)


if __name__ == '__main__':
  absltest.main()
