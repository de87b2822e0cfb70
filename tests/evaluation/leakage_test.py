import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
from absl.testing import absltest, parameterized

from psm_jax.evaluation import coordinates, leakage
from tests.evaluation import people

_PERSONS = ('P1', 'P2', 'P3', 'P4')
_MAX_FRAMES = 400


def _population(source='gm', *, num_videos=2, **options):
  return [
    people.table(people.frames(p, num_videos=num_videos), source, **options)
    for p in _PERSONS
  ]


def _identity(tables):
  """Returns a row a model, person, direction and probe, and the reasons."""
  with mock.patch.object(leakage, 'MAX_FRAMES', _MAX_FRAMES):
    rows, skipped = leakage.identity(tables)
  return people.wide(rows), [row['reason'] for row in skipped]


def _accuracy(tables):
  return _identity(tables)[0].groupby(['source', 'target'])['accuracy'].mean()


class IdentityTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.found, _ = _identity(
      _population('clean') + _population('leaky', identity=6.0)
    )
    cls.accuracy = cls.found.groupby(['source', 'target'])['accuracy'].mean()

  def test_a_planted_identity_is_found_and_none_where_none_is(self):
    self.assertGreater(self.accuracy['leaky', 'identity'], 0.95)
    self.assertLess(self.accuracy['clean', 'identity'], 0.45)
    self.assertTrue((self.found['chance'] == 1 / 4).all())
    self.assertEqual(set(self.found['split']), {'cross_video'})

  def test_centring_takes_a_shifted_mean_away(self):
    self.assertGreater(self.accuracy['leaky', 'identity_nearest'], 0.95)
    self.assertLess(self.accuracy['leaky', 'identity_centred'], 0.6)

  def test_training_parts_hold_equally_many_frames_of_everybody(self):
    short = people.frames('P1', length=80)
    found, _ = _identity([people.table(short), *_population()[1:]])
    self.assertEqual(set(found['n_train']), {80})
    self.assertEqual(set(found['n_test']), {80, 100})

  def test_the_order_of_rows_does_not_matter(self):
    tables = _population(identity=1.0)
    shuffled = []
    for table in tables:
      order = np.random.default_rng(0).permutation(len(table.frames))
      shuffled.append(
        dataclasses.replace(
          table,
          features=table.features[order],
          frames=table.frames.iloc[order],
        )
      )
    pd.testing.assert_series_equal(_accuracy(tables), _accuracy(shuffled))

  def test_one_video_is_tested_on_its_other_half(self):
    found, _ = _identity(_population(identity=6.0, num_videos=1))
    self.assertEqual(set(found['split']), {'blocked'})
    # 200 frames less the 2 s between the halves.
    self.assertEqual(set(found['n_test']), {80})

  def test_a_model_each_has_a_reason_instead_of_a_value(self):
    own = [
      people.table(people.frames(p), 'psm', model_id=f'm-{p}', model_seed=i)
      for i, p in enumerate(_PERSONS)
    ]
    found, reasons = _identity(own)
    self.assertEqual(reasons, [coordinates.OWN_MODELS])
    self.assertEmpty(found)

  def test_pixels_are_shared_whatever_model_they_are_the_control_of(self):
    pixels = [
      dataclasses.replace(table, model_id=f'm-{table.person_id}-{seed}')
      for table in _population('pixel_pca', identity=6.0)
      for seed in range(2)
    ]
    found, _ = _identity(pixels)
    # Two directions and three probes of one model.
    self.assertLen(found, len(_PERSONS) * 2 * 3)
    self.assertGreater(_accuracy(pixels)['pixel_pca', 'identity'], 0.95)

  def test_a_person_of_too_few_frames_is_named_and_the_others_go_on(self):
    short = people.table(people.frames('P1', length=10))
    found, reasons = _identity([short, *_population()[1:]])
    self.assertEqual(set(found['person_id']), set(_PERSONS[1:]))
    self.assertIn('without P1', reasons[0])

  def test_one_sound_person_is_no_population(self):
    tables = [people.table(people.frames(p, length=10)) for p in _PERSONS[1:]]
    found, reasons = _identity([_population()[0], *tables])
    self.assertEmpty(found)
    self.assertIn('P2, P3, P4', reasons[0])


if __name__ == '__main__':
  absltest.main()
