"""The published data sets through TFDS into a store, and into training."""

import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import (
  alignment,
  builder as builder_lib,
  labels,
  prepare,
  store,
)
from psm_jax.data.tf import tfds
from tests import tiny
from tests.data import fake_trees

# A label of one frame of the fake tree, or None where there are none.
_LABEL = {
  'disfa': ('SN002', 'left', 4, 'AU12', 3.0),
  'bp4d': ('M002', 'T2', 2440, 'AU06', 3.0),
  'gft': ('001A', 'video', 3, 'AU01_c', 1.0),
  'ckplus': ('S011', '001', 3, 'expression', 7.0),
  'voxceleb1': ('id10001', 'v-0xYz_9_2', 2, None, None),
  'voxceleb2': ('id09238', 'vVqEJCd7pbgQ_0_folder', 1, None, None),
}
_FOLDS = {
  'disfa': {'SN001': '3', 'SN002': '3'},
  'bp4d': {'F001': '3', 'M002': '2'},
  'gft': {},
  'ckplus': {},
  'voxceleb1': {'id10001': 'dev', 'id10002': 'test'},
  'voxceleb2': {'id00012': 'dev', 'id09238': 'test'},
}
_OPTIONS = {'gft': {'images': 'images'}}


class StoresTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory(prefix='psm_jax_builders_')
    cls.addClassCleanup(temporary.cleanup)
    cls.folder = pathlib.Path(temporary.name)
    for kind in prepare.DATASETS:
      getattr(fake_trees, kind)(cls.folder / kind)

  def _check_label(self, kind, opened):
    person, video, frame, column, value = _LABEL[kind]
    index = opened.index
    row = index[
      (index.person_id == person)
      & (index.video_id == video)
      & (index.frame == frame)
    ]
    self.assertLen(row, 1)
    if column is None:
      self.assertEmpty(opened.label_columns)
    else:
      self.assertEqual(row[column].item(), value)

  @parameterized.parameters(*prepare.DATASETS)
  def test_the_config_reads_a_copy_into_a_store(self, kind):
    config = tiny.config(
      data__source=kind, data__path=str(self.folder / kind), data__size_px=16
    ).data
    config.tree.update(_OPTIONS.get(kind, {}))
    path = prepare.prepare(config, directory=self.folder / 'cache')
    opened = store.open_store(path)
    self._check_label(kind, opened)
    self.assertEqual(opened.source['kind'], kind)
    self.assertEqual(opened.source['folds'], _FOLDS[kind])
    self.assertEqual(
      prepare.prepare(config, directory=self.folder / 'cache'), path
    )

  def test_tfds_reads_what_its_options_name(self):
    options = {'source': 'disfa', 'path': str(self.folder / 'disfa')}
    options['tree'] = {'images': 'frames/*1'}
    builder = builder_lib.Faces(
      config=builder_lib.SourceConfig(name='own', options=options),
      data_dir=self.folder / 'tfds',
    )
    builder_lib.write(builder)
    (video,) = tfds.as_numpy(builder.as_dataset(split='train'))
    self.assertEqual((video['fps'], video['video_id']), (20.0, b'left'))
    np.testing.assert_allclose(
      video['frames']['image'][:, 0, 0, 0], [0, 10, 20, 30, 40, 50], atol=1
    )

  @parameterized.parameters(
    ('none', [(5.0, 7.5), (10.0, 7.5)]), ('eyes', [(4.8, 4.8), (11.2, 4.8)])
  )
  def test_landmarks_of_ckplus_follow_the_crop(self, align, eyes):
    config = tiny.config(
      data__source='ckplus',
      data__path=str(self.folder / 'ckplus'),
      data__size_px=16,
      data__align=align,
    ).data
    path = prepare.prepare(config, directory=self.folder / 'cache')
    index = store.open_store(path).index
    points = index[list(labels.LANDMARK_COLUMNS)].to_numpy()
    np.testing.assert_allclose(
      alignment.eye_centres(points.reshape(12, 68, 2)), [eyes] * 12, rtol=1e-5
    )


if __name__ == '__main__':
  absltest.main()
