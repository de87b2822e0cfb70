import json
import pathlib
import threading
from unittest import mock

import jax
import numpy as np
import safetensors.numpy
from absl.testing import absltest, parameterized

from psm_jax import methods, paths
from psm_jax.engine import update
from psm_jax.runs import checkpoint, run, zoo
from tests import tiny

_IDS = ['m0', 'm1']


class ZooTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enterContext(mock.patch.dict(methods.METHODS, toy=tiny.toy_method))
    self.workdir = pathlib.Path(self.create_tempdir().full_path)
    self.out = self.workdir / 'zoo'
    config = tiny.config(
      method__name='toy',
      data__path='/lab/secret',
      init__path='/lab/secret/run',
    )
    self.method = tiny.toy_method(config)
    models = [
      run.Model(name, (f'p{name}',), 0, 5, 1, 30, 1, None) for name in _IDS
    ]
    run.start(self.workdir, config, models, self.workdir)
    states = [
      update.init_model(np.array([0, seed], np.uint32), self.method)
      for seed in range(2)
    ]
    self.states = jax.tree.map(lambda *x: np.stack(x), *states)
    self._save(self.states.replace(step=np.array([5, 5], np.int32)))

  def _save(self, states):
    checkpoints = checkpoint.Checkpoints(self.workdir)
    checkpoints.save(5, states, _IDS)
    checkpoints.close()

  def test_a_model_returns_bitwise(self):
    folders = zoo.export_run(self.workdir, self.out)
    self.assertEqual([folder.name for folder in folders], _IDS)
    for index, folder in enumerate(folders):
      model = zoo.load(folder)
      jax.tree.map(
        lambda ours, theirs, i=index: np.testing.assert_array_equal(
          ours, theirs[i]
        ),
        model.params,
        self.states.params,
      )
      self.assertEqual(model.cohort, (f'p{model.model_id}',))
      self.assertEqual(model.steps, 5)

  def test_a_failed_model_is_left_out(self):
    self._save(self.states.replace(failed_step=np.array([-1, 3], np.int32)))
    folders = zoo.export_run(self.workdir, self.out)
    self.assertEqual([folder.name for folder in folders], ['m0'])

  def test_an_unknown_model_is_named(self):
    with self.assertRaisesRegex(ValueError, 'no model m7.*such as m0'):
      zoo.export_run(self.workdir, self.out, model_ids=['m7'])

  def test_folders_are_private_and_hold_no_path_of_the_lab(self):
    folders = zoo.export_run(self.workdir, self.out)
    for folder in (self.out, *folders):
      self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
    text = (folders[0] / 'model.json').read_text()
    self.assertNotIn('/lab/secret', text)
    self.assertIn('biometric', (folders[0] / 'README.md').read_text())

  def test_exporting_again_replaces_the_model(self):
    zoo.export_run(self.workdir, self.out)
    moved = jax.tree.map(lambda leaf: leaf + 1, self.states.params)
    self._save(self.states.replace(params=moved))
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    name, leaf = 'down', zoo.load(folder).params['down']
    np.testing.assert_array_equal(leaf, moved[name][0])

  def test_a_flipped_byte_is_noticed(self):
    folder, _ = zoo.export_run(self.workdir, self.out)
    path = folder / 'model.safetensors'
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with self.assertRaisesRegex(ValueError, 'model.safetensors is damaged'):
      zoo.load(folder)
    wrong = zoo.problems(self.out)
    self.assertEqual(list(wrong), _IDS)
    self.assertIn('m0/model.safetensors is damaged', wrong['m0'])
    self.assertEqual(wrong['m1'], '')

  def _replace(self, folder, data):
    """Writes other tensors, with the hash that belongs to them."""
    (folder / 'model.safetensors').write_bytes(data)
    described = folder / 'model.json'
    content = json.loads(described.read_text())
    content['sha256'] = zoo.hashlib.sha256(data).hexdigest()
    described.write_text(json.dumps(content))

  def test_tensors_of_another_shape_are_named(self):
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
    tensors['params/down'] = tensors['params/down'][..., :1].copy()
    self._replace(folder, safetensors.numpy.save(tensors))
    with self.assertRaisesRegex(ValueError, r'params/down.*\(2, 2, 3, 4\)'):
      zoo.load(folder)

  @parameterized.parameters(np.nan, np.inf)
  def test_numbers_that_are_none_are_named(self, bad):
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
    tensors['params/up'] = tensors['params/up'].copy()
    tensors['params/up'][0, 0, 0, 0] = bad
    self._replace(folder, safetensors.numpy.save(tensors))
    with self.assertRaisesRegex(ValueError, 'params/up that are not finite'):
      zoo.load(folder)

  @parameterized.parameters(
    (b'', 'no whole .safetensors'),
    (b'\xff' * 40, 'no whole .safetensors'),
    (b'0' * (2 << 20), 'has 2097152 bytes; .* at most'),
  )
  def test_a_file_of_no_tensors_is_named(self, data, message):
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    self._replace(folder, data)
    with self.assertRaisesRegex(ValueError, f'model.safetensors .*{message}'):
      zoo.load(folder)

  def test_a_description_of_another_shape_is_named(self):
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    path = folder / 'model.json'
    whole = path.read_text()
    for change, message in (
      ({'cohort': 'p0'}, 'cohort should be a list'),
      ({'cohort': ['../x']}, 'person_id in .*model.json'),
      ({'model_id': 'a/b'}, 'model_id in .*model.json'),
      ({'config': {'seed': 0}}, "there is no '[a-z]*' in config"),
    ):
      path.write_text(json.dumps(json.loads(whole) | change))
      with self.assertRaisesRegex(ValueError, message):
        zoo.load(folder)

  def test_a_kill_while_a_model_is_replaced_leaves_it(self):
    (folder,) = zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    with (
      mock.patch.object(pathlib.Path, 'rename', side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    self.assertEqual(zoo.folders_of(self.out), {'m0': folder})
    folder.rename(folder.with_suffix('.before'))
    (left,) = zoo.folders_of(self.out).values()
    zoo.load(left)
    zoo.export_run(self.workdir, self.out, model_ids=['m0'])
    self.assertEqual(zoo.folders_of(self.out), {'m0': folder})
    self.assertEqual([p.name for p in self.out.iterdir()], ['m0'])

  def test_two_exports_into_one_folder_wait_for_each_other(self):
    zoo.export_run(self.workdir, self.out, model_ids=['m1'])
    other = threading.Thread(
      target=zoo.export_run,
      args=(self.workdir, self.out),
      kwargs={'model_ids': ['m0']},
    )
    with paths.locked(self.out / '.lock', busy='busy'):
      other.start()
      other.join(0.5)
      self.assertTrue(other.is_alive())
      self.assertEqual(list(zoo.folders_of(self.out)), ['m1'])
    other.join()
    self.assertEqual(list(zoo.folders_of(self.out)), ['m0', 'm1'])

  @parameterized.parameters(
    ('{"schema_version": 99}', 'schema version 99'), ('{', 'no JSON')
  )
  def test_a_description_it_cannot_read_is_named(self, text, message):
    folder = self.workdir / 'bad'
    folder.mkdir()
    (folder / 'model.json').write_text(text)
    with self.assertRaisesRegex(ValueError, message):
      zoo.load(folder)

  def test_a_folder_without_model_says_how_to_export_one(self):
    with self.assertRaisesRegex(ValueError, 'launch.export'):
      zoo.load(self.workdir)


if __name__ == '__main__':
  absltest.main()
