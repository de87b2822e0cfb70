import types

import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.data import canonical_faces
from psm_jax.embedding import driven, grey
from psm_jax.engine import update
from tests import tiny

_LENGTHS = {'v0': 40, 'v1': 50, 'v2': 45}


def _store(unlabelled=()):
  """Returns a person of three videos, some without labels."""
  index = pd.DataFrame(
    [
      ('P', video, frame, frame / 25, np.nan if video in unlabelled else 1.0)
      for video, length in _LENGTHS.items()
      for frame in range(length)
    ],
    columns=['person_id', 'video_id', 'frame', 'time_s', 'AU01'],
  )
  return tiny.store_of(index)


def _images(store, rows):
  return store.frames[rows].reshape(-1, tiny.SIZE_PX, tiny.SIZE_PX, 3)


class OfPersonTest(absltest.TestCase):
  """A model that shows the still face it is given, and leaks every frame."""

  def _made(self, store, *, uses_canonical):

    def drive(method_state, rows):
      _, face = method_state
      return np.broadcast_to(face, (len(rows), *face.shape))

    computed = types.SimpleNamespace(
      drive=drive,
      picture=lambda name: lambda _, rows: _images(store, rows) / 255,
    )
    trained = types.SimpleNamespace(
      store=store,
      programs=computed,
      method=types.SimpleNamespace(uses_canonical=uses_canonical),
      apply=lambda state, rows, *, function: function(state.method_state, rows),
    )
    state = update.TrainState(0, (), (), (), -1, ())
    return list(driven.of_person(trained, state, 'P'))

  def test_the_face_is_the_canonical_one_of_the_other_video(self):
    store = _store()
    first, second = self._made(store, uses_canonical=True)
    np.testing.assert_array_equal(first.rows, np.arange(40))
    face = canonical_faces.median(_images(store, second.rows))
    np.testing.assert_allclose(
      first.driven,
      grey.grey_pixels(np.repeat(face[None], 40, axis=0)),
      rtol=1e-6,
    )
    self.assertIsNone(first.neutral)

  def test_a_face_that_does_not_move_rests_as_it_is(self):
    for made in self._made(_store(), uses_canonical=True):
      np.testing.assert_allclose(made.sums.rest_face, made.sums.still_face)

  def test_neutral_faces_that_networks_make_are_kept_and_moved(self):
    store = _store()
    first, second = self._made(store, uses_canonical=False)
    np.testing.assert_allclose(
      first.neutral,
      grey.grey_pixels(_images(store, first.rows)),
      rtol=1e-6,
    )
    spread = _images(store, second.rows)[np.linspace(0, 49, 33).astype(int)]
    face = np.rint(np.median(spread, axis=0)).astype(np.uint8)
    np.testing.assert_allclose(
      first.driven[:1], grey.grey_pixels(face[None]), rtol=1e-6
    )

  def test_videos_are_the_labelled_ones_that_probes_go_across(self):
    made = self._made(_store(unlabelled=('v1',)), uses_canonical=True)
    self.assertEqual([len(one.rows) for one in made], [40, 45])


if __name__ == '__main__':
  absltest.main()
