import dataclasses
import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized
from sklearn import metrics

from psm_jax.data import labels
from psm_jax.discovery import clusters, named_movements
from psm_jax.evaluation import results
from tests.evaluation import people

_AVATARS = pathlib.Path(__file__).resolve().parents[3] / 'shared/data/avatars'
_CONFIG = clusters.ClusterConfig(frame_stride=1, min_samples=(4,))
_RULES = [
  named_movements.Rule('brow', {'AU04': 2.0}),
  named_movements.Rule('smile', {'AU12': 2.0}),
  named_movements.Rule('grin', {'AU12': 2.0, 'AU25': 2.0}),
]


def _frames(**columns):
  size = len(next(iter(columns.values())))
  return pd.DataFrame(
    {
      'person_id': 'P1',
      'video_id': 'v1',
      'frame': np.arange(size),
      'time_s': np.arange(size) / 20,
      **columns,
    }
  )


def _agreement(tables, movements):
  """Returns a row a source and person, a column a metric."""
  rows, _ = named_movements.agreement(tables, movements, config=_CONFIG)
  return results.wide(results.table(rows))


class ReadTest(parameterized.TestCase):
  def _write(self, text, name='file'):
    return self.create_tempfile(name, text).full_path

  def test_a_table_is_read_with_its_ids_as_text(self):
    path = self._write(
      'person_id,video_id,frame,movement,note\n007,1,12,smile,x\n007,1,13,,y\n'
    )
    self.assertEqual(
      named_movements.read(path).to_dict('records'),
      [
        {'person_id': '007', 'video_id': '1', 'frame': 12, 'movement': 'smile'},
        {'person_id': '007', 'video_id': '1', 'frame': 13, 'movement': ''},
      ],
    )

  @parameterized.parameters(
    ('person_id,video_id,frame\n', r"lacks the columns \['movement'\]"),
    (
      'person_id,video_id,frame,movement\nP,v,1.5,a\n',
      "frame .* '1.5'",
    ),
    ('person_id,video_id,frame,movement\nP,v,,a\n', "frame should be .* ''"),
    ('person_id,video_id,frame,movement\nP,v,1,a\nP,v,1,b\n', 'more than once'),
    ('', 'is empty'),
  )
  def test_a_bad_table_is_named(self, text, message):
    path = self._write(text)
    with self.assertRaisesRegex(ValueError, f'{path}.*{message}'):
      named_movements.read(path)

  def test_rules_are_read(self):
    path = self._write(
      '[{"movement": "a", "at_least": {"AU06": 2, "AU12": 1.5}},'
      ' {"movement": "b", "at_least": {"x": 1}, "persons": ["P7"]}]'
    )
    self.assertEqual(
      named_movements.read_rules(path),
      [
        named_movements.Rule('a', {'AU06': 2, 'AU12': 1.5}),
        named_movements.Rule('b', {'x': 1}, ('P7',)),
      ],
    )

  @parameterized.parameters(
    ('{', 'is no JSON'),
    ('{}', 'whole should be a list'),
    ('[]', 'list of one or more rules'),
    ('[3]', r'\[0\] should be an object, but is 3'),
    ('[{"movement": "a", "at_least": {"x": 1}, "y": 2}]', 'rule 0'),
    ('[{"movement": "", "at_least": {"x": 1}}]', "movement ''"),
    ('[{"movement": "a"}]', "there is no 'at_least' in "),
    ('[{"movement": "a", "at_least": {"x": "1"}}]', 'least values'),
    ('[{"movement": "a", "at_least": {"x": true}}]', 'least values'),
    ('[{"movement": "a", "at_least": {"x": NaN}}]', 'least values'),
    (f'[{{"movement": "a", "at_least": {{"x": {10**400}}}}}]', 'least values'),
    (
      '[{"movement": "a", "at_least": {"x": 1}, "persons": "P"}]',
      'list of ids',
    ),
  )
  def test_a_bad_rule_is_named(self, text, message):
    path = self._write(text)
    with self.assertRaisesRegex(ValueError, f'{path}.*{message}'):
      named_movements.read_rules(path)


class DeriveTest(absltest.TestCase):
  def test_the_rule_of_most_columns_wins_then_the_first(self):
    frames = _frames(
      AU04=[0.0, 3, 0, 0, 3],
      AU12=[0.0, 0, 3, 3, 3],
      AU25=[0.0, 0, 0, 2, np.nan],
    )
    found = named_movements.derive(frames, _RULES)
    self.assertEqual(
      found['movement'].tolist(), ['', 'brow', 'smile', 'grin', 'brow']
    )

  def test_a_rule_of_one_person_leaves_the_others(self):
    frames = _frames(AU12=[3.0])
    rule = named_movements.Rule('own', {'AU12': 1.0}, ('P2',))
    self.assertEqual(
      named_movements.derive(frames, [rule])['movement'].tolist(), ['']
    )

  def test_a_missing_column_is_named(self):
    with self.assertRaisesRegex(ValueError, r"'grin'.*\['AU25'\].*\['AU12'\]"):
      named_movements.derive(_frames(AU12=[3.0]), _RULES)


class AvatarTest(absltest.TestCase):
  """Named combinations of action units against the movements rendered."""

  def test_rules_of_intensities_find_the_movements_that_were_rendered(self):
    if not _AVATARS.exists():
      pytest.skip(f'{_AVATARS} does not exist')
    folder = _AVATARS / 'AV001'
    person = json.loads((folder / 'person.json').read_text())
    rules = [
      named_movements.Rule(
        str(entry['id']),
        # Nearly a third of the height, 5 being the whole of an action unit.
        {f'AU{int(u):02d}': 1.5 * peak for u, peak in entry['aus'].items()},
      )
      for entry in person['signatures']
    ]
    values = pd.concat(
      [
        labels.read_labels(folder / video / 'labels.csv')
        .values.reset_index()
        .assign(person_id='AV001', video_id=video)
        for video in ('video1', 'video2')
      ]
    )
    movement = named_movements.derive(values, rules)['movement']
    truth = values['signature'].astype(int).astype(str).replace('0', '')
    truth = truth.to_numpy()
    found = movement.to_numpy() != ''
    self.assertGreater((movement.to_numpy() == truth)[found].mean(), 0.85)
    shown = truth != ''
    self.assertGreater((movement.to_numpy() == truth)[shown].mean(), 0.6)


class AgreementTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.tables = []
    cls.movements = []
    for person_id in ('P1', 'P2'):
      own = people.frames(person_id)
      # Movements are held, as clusters need them; people move smoothly.
      own['AU25'] = np.where(own['AU12'] > 2.5, own['AU25'], 0.0)
      own[list(people.UNITS)] = 4.0 * (own[list(people.UNITS)] > 2.0)
      movements = named_movements.derive(own, _RULES)
      cls.movements.append(movements)
      cls.tables += [
        people.table(own, 'sees', noise=0.05),
        people.table(own, 'blind', action=0.0, noise=1.0),
      ]
    cls.movements = pd.concat(cls.movements)
    cls.found = _agreement(cls.tables, cls.movements)

  def test_a_model_that_sees_the_movements_agrees_and_a_blind_one_not(self):
    ami = self.found.groupby('source')[['ami', 'ami_moving']].mean()
    self.assertGreater(ami.loc['sees', 'ami'], 0.5)
    self.assertGreater(ami.loc['sees', 'ami_moving'], 0.5)
    self.assertLess(ami.loc['blind'].abs().max(), 0.05)

  def test_all_sources_of_a_person_have_one_setting(self):
    settings = self.found.groupby('person_id')[
      ['min_samples', 'quantile', 'eps', 'num_movement_frames']
    ].nunique()
    self.assertTrue((settings == 1).all(axis=None))

  def test_it_is_the_ami_of_scikit_learns_clusters(self):
    row = self.found.iloc[0]
    table = self.tables[0]
    unit = table.features / np.linalg.norm(table.features, axis=1)[:, None]
    spread = np.sqrt(2 * ((unit - unit.mean(axis=0)) ** 2).sum(1).mean())
    labels = clusters.cluster.DBSCAN(
      eps=row['eps'] * spread * (1 + 1e-6), min_samples=int(row['min_samples'])
    ).fit_predict(unit)
    truth = self.movements.query("person_id == 'P1'")['movement']
    self.assertAlmostEqual(
      row['ami'], metrics.adjusted_mutual_info_score(truth, labels), places=6
    )

  def test_frames_that_are_not_listed_show_no_movement(self):
    listed = self.movements[self.movements['movement'] != '']
    pd.testing.assert_frame_equal(_agreement(self.tables, listed), self.found)

  def test_rows_in_another_order_change_nothing(self):
    order = np.random.default_rng(0).permutation(len(self.tables[0].frames))
    tables = [
      dataclasses.replace(
        table, features=table.features[order], frames=table.frames.iloc[order]
      )
      for table in self.tables
    ]
    pd.testing.assert_frame_equal(
      _agreement(tables, self.movements), self.found
    )

  def test_a_person_without_movements_has_a_reason(self):
    others = self.movements.query("person_id == 'P2'")
    found = _agreement(self.tables, others)
    self.assertEqual(set(found['person_id']), {'P2'})
    self.assertGreater(found.query("source == 'sees'")['ami'].item(), 0.5)
    _, skipped = named_movements.agreement(self.tables, others, config=_CONFIG)
    (reason,) = skipped
    self.assertEqual(reason['person_id'], 'P1')
    self.assertIn('shows a movement', reason['reason'])


if __name__ == '__main__':
  absltest.main()
