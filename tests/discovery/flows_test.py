"""The flows of a run's frames, in which unit and of which frames."""

import dataclasses
import types
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax import embedding, methods
from psm_jax.discovery import flows
from psm_jax.evaluation import features, splits
from tests import tiny


def _pictures(key, params, method_state, shared, frames, canonical):
  """Returns flows that repeat a frame's first two bytes, scaled."""
  del key, method_state, shared, canonical
  flow = params * frames[:, None, None, :2] * np.ones((1, 9, 10, 1))
  return {'neutral': flow, 'flow': flow}


def _trained(pictures=_pictures):
  """Returns a run of two models of A and B, as embedding.Trained shows it."""
  store = tiny.empty_store(A=(3, 4), B=(5,))
  index = store.index
  index['person_id'] = ['A'] * 7 + ['B'] * 5
  index['video_id'] = ['v0'] * 3 + ['v1'] * 4 + ['v0'] * 5
  index['frame'] = [1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5]
  frames = np.arange(24, dtype=np.uint8).reshape(12, 2)
  starts = {'A': 0, 'B': 7}
  return types.SimpleNamespace(
    method=types.SimpleNamespace(
      name='toy',
      size_px=36,
      shared=(),
      pictures=pictures,
      uses_canonical=False,
    ),
    canonical=None,
    store=dataclasses.replace(store, frames=frames),
    run=types.SimpleNamespace(
      models=[types.SimpleNamespace(model_id=f'm{i}') for i in range(2)]
    ),
    rows_of=lambda person: np.arange(starts[person], {'A': 7, 'B': 12}[person]),
    model_state=lambda index: types.SimpleNamespace(
      params=np.float32(index + 1), method_state=()
    ),
  )


def _table(trained, rows, model_id='m0', **changes):
  frames = trained.store.index.iloc[rows].assign(time_s=0.0, **changes)
  return features.FeatureTable(
    'psm',
    model_id,
    frames['person_id'].iloc[0],
    np.zeros((len(frames), 1), np.float32),
    frames.reset_index(drop=True),
  )


class FlowsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.trained = _trained()
    self.enter_context(
      mock.patch.object(embedding, 'Trained', lambda workdir: self.trained)
    )

  def test_flows_are_down_and_right_in_sides_of_the_picture(self):
    flow_of = flows.of_run('run')
    rows = [5, 0, 3]
    for index, model_id in enumerate(('m0', 'm1')):
      flow = flow_of(_table(self.trained, rows, model_id))
      self.assertEqual(flow.shape, (3, 9, 10, 2))
      x_y = (index + 1) * self.trained.store.frames[rows]
      np.testing.assert_allclose(flow[:, 8, 0], x_y[:, ::-1] / 2)

  def test_the_same_frame_number_of_another_person_is_not_taken(self):
    flow = flows.of_run('run')(_table(self.trained, [7, 8]))
    np.testing.assert_allclose(flow[:, 0, 0, 1], [7, 8])

  def test_what_the_run_lacks_is_named(self):
    flow_of = flows.of_run('run')
    with self.assertRaisesRegex(splits.Impossible, 'run has no model x'):
      flow_of(_table(self.trained, [0], 'x'))
    with self.assertRaisesRegex(splits.Impossible, 'lacks 2 of the frames'):
      flow_of(_table(self.trained, [0, 1, 2], video_id=['v0', 'v9', 'v9']))
    with self.assertRaisesRegex(splits.Impossible, 'not of this person'):
      flow_of(_table(self.trained, [0], person_id='C'))

  def test_of_several_runs_the_one_without_flows_is_named(self):
    def opened(workdir):
      if workdir == 'gone':
        raise ValueError('the frames are gone')
      return self.trained

    table = _table(self.trained, [4])
    with mock.patch.object(embedding, 'Trained', opened):
      with self.assertLogs(level='WARNING') as logs:
        self.assertIsNone(flows.of_runs({'psm': 'gone'}))
      self.assertIn('No flows of gone: the frames are gone', logs.output[0])
      flow_of = flows.of_runs({'psm': 'run', 'gm': 'gone'})
    np.testing.assert_array_equal(flow_of(table), flows.of_run('run')(table))
    self.assertIsNone(flow_of(dataclasses.replace(table, source='gm')))

  def test_a_flow_too_coarse_is_an_error(self):
    self.trained = _trained(
      lambda *args: {n: f[:, :4] for n, f in _pictures(*args).items()}
    )
    with self.assertRaisesRegex(ValueError, 'toy of 36 px .* 4 x 10'):
      flows.of_run('run')

  @parameterized.parameters(
    ('facecycle', 'gap'), ('canonical', 'repaired'), ('fabnet', 'views')
  )
  def test_only_a_flow_from_a_neutral_face_counts(self, name, pairing):
    method = methods.make(
      tiny.config(method__name=name, curriculum__pairing=pairing)
    )
    params, method_state = jax.eval_shape(method.init, jax.random.key(0))
    self.trained = types.SimpleNamespace(
      method=method,
      canonical=None,
      store=types.SimpleNamespace(frames=tiny.frames(3)),
      run=types.SimpleNamespace(models=[]),
      model_state=lambda index: types.SimpleNamespace(
        params=params, method_state=method_state
      ),
    )
    if name != 'fabnet':
      flows.of_run('run')
    else:
      with self.assertRaisesRegex(ValueError, f'{name} draws no flow'):
        flows.of_run('run')


if __name__ == '__main__':
  absltest.main()
