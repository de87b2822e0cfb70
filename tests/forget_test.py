"""Claims about forgetting: nothing of the person is left, the rest works."""

import contextlib
import pathlib
import shutil
import tempfile
from unittest import mock

import jax
import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest, parameterized

from psm_jax import embedding, forget, methods, training
from psm_jax.data import store as store_lib, upkeep
from psm_jax.evaluation import evaluate
from psm_jax.report import page
from psm_jax.runs import locks, metrics, run, zoo
from tests import tiny, training_runs

_PEOPLE = ('a7Kq2mZx91LpWv03', 'b5Tn8rYc64HsEu27', 'c1Gd9wQf38JkRo56')
_GONE = _PEOPLE[1]
_WINDOWS, _BYTES = 64, 32


def _windows(array, generator):
  """Returns pieces of an array's bytes, from all over it."""
  data = np.ascontiguousarray(array).tobytes()
  starts = generator.integers(0, max(1, len(data) - _BYTES), _WINDOWS)
  return [data[start : start + _BYTES] for start in starts]


def _windows_of(person, root, runs):
  """Returns windows of a person's frames and weights that lie in files.

  Args:
    person: Whose.
    root: Of a store `store` and of runs, not compressed.
    runs: model_id -> state of each run.
  """
  generator = np.random.default_rng(0)
  opened = store_lib.open_store(root / 'store')
  rows = np.flatnonzero(opened.index['person_id'] == person)
  theirs = _windows(np.asarray(opened.frames[rows]), generator)
  for states in runs:
    state = states[f'facecycle-{person}-s0']
    for leaf in jax.tree.leaves((state.params, state.opt_state)):
      if leaf.size * 4 > _BYTES:
        theirs += _windows(leaf, generator)
  held = b''.join(p.read_bytes() for p in root.rglob('*') if p.is_file())
  # Windows of few values may occur by chance.
  return {w for w in theirs if len(set(w)) > 8 and w in held}


def _holding(root, person, windows):
  """Returns the files that hold a person's id or a window of their data."""
  held = []
  for path in root.rglob('*'):
    data = path.read_bytes() if path.is_file() else b''
    if person in path.name or any(
      text in data for text in (person.encode(), *windows)
    ):
      held.append(path)
  return held


def _states(workdir):
  trained = embedding.Trained(workdir)
  return {
    model.model_id: trained.model_state(index)
    for index, model in enumerate(trained.run.models)
  }


@contextlib.contextmanager
def _toy_methods():
  """Has every method be the toy meanwhile."""
  made = dict.fromkeys(('make', 'abstract'), lambda c, **_: tiny.toy_method(c))
  facecycle = {'facecycle': lambda config, shared: tiny.toy_method(config)}
  with (
    mock.patch.dict(methods.METHODS, facecycle),
    mock.patch.multiple(methods, **made),
  ):
    yield


@pytest.mark.thorough
class ForgetTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.enterClassContext(_toy_methods())
    cls.begun = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    training_runs.write_store(cls.begun, lengths=(30, 21, 24), people=_PEOPLE)
    cls._train('each', population__strategy='loop')
    cls._train('stacked', population__strategy='vmap')
    cls._train('all', population__cohorts='all')
    written = cls.begun / 'each'
    embedding.write_embeddings(written)
    for name in ('driven', 'neutral_faces'):  # Of methods that draw a face.
      shutil.copytree(written / 'embeddings', written / name)
    for name in ('each', 'all'):
      zoo.export_run(cls.begun / name, cls.begun / 'zoo')
    made = cls.begun / 'each' / 'evaluation'
    made.mkdir()
    (made / 'scores.csv').write_text(f'person_id\n{_GONE}\n')

  @classmethod
  def _config(cls, root, **fields):
    return training_runs.config(
      root / 'store', **{'train__keep_steps': 3, **fields}
    )

  @classmethod
  def _train(cls, name, **fields):
    config = cls._config(cls.begun, **fields)
    training.train(config, cls.begun / name, show_faces=True)

  def setUp(self):
    super().setUp()
    # The runs name their store by its path.
    self.root = self.begun
    self.safe = pathlib.Path(self.create_tempdir().full_path) / 'safe'
    shutil.copytree(self.begun, self.safe)
    self.addCleanup(self._bring_back)

  def _bring_back(self):
    shutil.rmtree(self.begun)
    shutil.copytree(self.safe, self.begun)

  def test_nothing_of_the_person_is_left_and_the_rest_goes_on(self):
    before = {name: _states(self.root / name) for name in ('each', 'stacked')}
    theirs = _windows_of(_GONE, self.root, before.values())
    self.assertGreater(len(theirs), 200)

    done = forget.forget(_GONE, [self.root], general=forget.REMOVE)
    self.assertEqual(done.left, ())
    self.assertEmpty(_holding(self.root, _GONE, theirs))
    self.assertFalse((self.root / 'each/evaluation').exists())
    for path in (self.root / 'each/embeddings').rglob('*.parquet'):
      self.assertNotIn(_GONE, set(pd.read_parquet(path)['person_id']))

    for name, states in before.items():
      after = _states(self.root / name)
      self.assertEqual(list(after), [k for k in states if _GONE not in k])
      for model_id, state in after.items():
        jax.tree.map(np.testing.assert_array_equal, state, states[model_id])
      outcome = training.train(
        self._config(
          self.root,
          train__steps=15,
          population__strategy='loop' if name == 'each' else 'vmap',
        ),
        self.root / name,
      )
      self.assertEqual(
        [(m.status, m.steps_done) for m in outcome.models], [('done', 15)] * 2
      )
      self.assertLen(
        embedding.write_embeddings(self.root / name, controls=False), 4
      )
    self.assertFalse((self.root / 'all' / 'checkpoints').exists())
    config = self._config(self.root, population__cohorts='all')
    (model,) = training.train(config, self.root / 'all').models
    self.assertEqual(model.cohort, (_PEOPLE[0], _PEOPLE[2]))
    self.assertEqual((model.status, model.steps_done), ('done', 12))
    self.assertLen(list((self.root / 'zoo').iterdir()), 2)

  @parameterized.parameters(
    (upkeep, 'write_manifest'),
    (forget, '_forget_export'),
    (forget, '_rewrite_checkpoints'),
    (metrics, 'drop_models'),
    (run, 'rewrite'),
  )
  def test_killed_at_any_moment_the_same_command_goes_on(self, module, name):
    before = {name: _states(self.root / name) for name in ('each', 'stacked')}
    theirs = _windows_of(_GONE, self.root, before.values())
    with (
      mock.patch.object(module, name, side_effect=KeyboardInterrupt),
      self.assertRaises(KeyboardInterrupt),
    ):
      forget.forget(_GONE, [self.root], general=forget.REMOVE)
    done = forget.forget(_GONE, [self.root], general=forget.REMOVE)
    self.assertEqual(done.left, ())
    self.assertEmpty(_holding(self.root, _GONE, theirs))
    for workdir, states in before.items():
      after = _states(self.root / workdir)
      self.assertEqual(list(after), [k for k in states if _GONE not in k])
      for model_id, state in after.items():
        jax.tree.map(np.testing.assert_array_equal, state, states[model_id])

  def test_without_a_word_about_general_models_nothing_changes(self):
    def content():
      return {p: p.read_bytes() for p in self.root.rglob('*') if p.is_file()}

    before = content()
    with self.assertRaisesRegex(
      ValueError, 'facecycle-all-s0.*--remove_models .*--keep_models'
    ):
      forget.forget(_GONE, [self.root])
    after = {p: data for p, data in content().items() if p.name != '.lock'}
    self.assertEqual(after, {k: v for k, v in before.items() if k in after})

  def test_a_general_model_that_is_kept_stays_as_it_was(self):
    before = _states(self.root / 'all')['facecycle-all-s0']
    forget.forget(_GONE, [self.root], general=forget.KEEP)
    after = _states(self.root / 'all')['facecycle-all-s0']
    jax.tree.map(np.testing.assert_array_equal, after, before)
    model = zoo.load(self.root / 'zoo/facecycle-all-s0')
    self.assertEqual(model.cohort, (_PEOPLE[0], _PEOPLE[2]))
    config = self._config(self.root, population__cohorts='all')
    outcome = training.train(config, self.root / 'all')
    self.assertEqual(outcome.models[0].steps_done, training_runs.STEPS)

  def test_while_somebody_writes_it_is_refused(self):
    with (
      locks.locked(self.root / 'stacked'),
      self.assertRaisesRegex(ValueError, 'writing to .*stacked'),
    ):
      forget.forget(_GONE, [self.root], general=forget.KEEP)

  def test_while_somebody_makes_tables_it_is_refused(self):
    with (
      locks.making(self.root / 'stacked'),
      self.assertRaisesRegex(ValueError, 'makes tables .*stacked'),
    ):
      forget.forget(_GONE, [self.root], general=forget.KEEP)

  def test_frames_outside_the_roots_are_asked_for(self):
    with self.assertRaisesRegex(ValueError, 'below none of --roots'):
      forget.forget(_GONE, [self.root / 'each'])

  def test_somebody_who_is_not_there_is_said(self):
    with self.assertRaisesRegex(ValueError, 'Nothing below .* is of nobody'):
      forget.forget('nobody', [self.root])

  def test_files_that_are_not_ours_are_named(self):
    notes = self.root / 'notes.txt'
    notes.write_text(f'{_GONE} came on Monday')
    done = forget.forget(_GONE, [self.root], general=forget.KEEP)
    self.assertEqual(done.left, (str(notes),))


class PretrainedTest(parameterized.TestCase):
  """A general model, own ones from it, and one from an export of those."""

  def setUp(self):
    super().setUp()
    self.enterContext(_toy_methods())
    self.root = pathlib.Path(self.create_tempdir().full_path)
    training_runs.write_store(self.root, lengths=(30, 21, 24), people=_PEOPLE)
    (self.root / 'few').mkdir()
    training_runs.write_store(
      self.root / 'few', lengths=(30,), people=_PEOPLE[:1]
    )
    self._train('general', population__cohorts='all')
    self._train('own', init__path=str(self.root / 'general'))
    zoo.export_run(self.root / 'own', self.root / 'zoo')
    self._train(
      'further',
      init__path=str(self.root / 'zoo'),
      init__match='own',
      data__path=str(self.root / 'few' / 'store'),
    )

  def _train(self, name, **fields):
    config = training_runs.config(self.root / 'store', **fields)
    return training.train(config, self.root / name).models

  def _cohorts(self):
    """Returns whom each export learned from, and whom its beginning."""
    described = map(zoo.describe, (self.root / 'zoo').iterdir())
    return sorted((d['cohort'], d['pretrained_on']) for d in described)

  def test_an_export_says_of_whom_it_learned_before(self):
    self.assertEqual(
      self._cohorts(), [([name], list(_PEOPLE)) for name in sorted(_PEOPLE)]
    )

  @parameterized.parameters('', 'general', 'zoo')
  def test_all_are_named_wherever_they_began(self, lost):
    if lost:
      shutil.rmtree(self.root / lost)
    with self.assertRaises(ValueError) as caught:
      forget.forget(_GONE, [self.root])
    for name in {'general', 'own', 'further'} - {lost}:
      self.assertIn(f'{self.root / name}: ', str(caught.exception))
    if lost != 'zoo':
      self.assertIn(
        str(self.root / 'zoo' / 'facecycle-'), str(caught.exception)
      )

  @parameterized.parameters(None, '_forget_in_run', '_delete_all')
  @pytest.mark.thorough
  def test_all_begin_anew_without_the_person(self, killed_in):
    if killed_in:
      work = getattr(forget, killed_in)
      with (
        mock.patch.object(forget, killed_in, _once_then_killed(work)),
        self.assertRaises(KeyboardInterrupt),
      ):
        forget.forget(_GONE, [self.root], general=forget.REMOVE)
    done = forget.forget(_GONE, [self.root], general=forget.REMOVE)
    self.assertEqual(done.left, ())
    self.assertEmpty(list((self.root / 'zoo').iterdir()))
    for name in ('general', 'own', 'further'):
      with self.assertRaisesRegex(ValueError, 'is no run directory'):
        run.open_run(self.root / name)
      self.assertFalse((self.root / name / 'checkpoints').exists(), name)
    self._train('general', population__cohorts='all')
    models = self._train('own', init__path=str(self.root / 'general'))
    self.assertEqual([model.status for model in models], ['done'] * 2)
    stay = tuple(name for name in _PEOPLE if name != _GONE)
    self.assertEqual(
      run.read_pretrained(self.root / 'own'), {'facecycle-all-s0': stay}
    )

  def test_all_are_kept_without_the_name(self):
    done = forget.forget(_GONE, [self.root], general=forget.KEEP)
    self.assertEqual(done.left, ())
    stay = [name for name in _PEOPLE if name != _GONE]
    self.assertEqual(self._cohorts(), [([name], stay) for name in sorted(stay)])
    with self.assertRaisesRegex(ValueError, 'Nothing below'):
      forget.forget(_GONE, [self.root])


def _once_then_killed(function):
  """Returns a function that works once, and the second time is killed."""
  calls = []

  def called(*args, **kwargs):
    calls.append(args)
    if len(calls) > 1:
      raise KeyboardInterrupt
    return function(*args, **kwargs)

  return called


class SixPeopleTest(parameterized.TestCase):
  # The mark of what is parameterized would be lost.
  @parameterized.parameters('loop', 'vmap')
  @pytest.mark.slow  # All programs, twice.
  def test_every_program_goes_on_for_the_five_who_stay(self, strategy):
    self.enterContext(_toy_methods())
    root = pathlib.Path(self.create_tempdir().full_path)
    people = [f'{name}{"x7Kq2mZx91LpWv0"}' for name in 'abcdef']
    training_runs.write_store(root, lengths=[90] * 6, people=people)
    run_of = {'train__save_steps': 4, 'population__strategy': strategy}

    def every_program(steps):
      config = training_runs.config(
        root / 'store', train__steps=steps, **run_of
      )
      outcome = training.train(config, root / 'run')
      embedding.write_embeddings(root / 'run')
      evaluate.score(root / 'run', num_workers=1)
      page.write(root / 'run')
      return [model.cohort[0] for model in outcome.models]

    self.assertEqual(every_program(12), people)
    scores = pd.read_csv(root / 'run/evaluation/scores.csv')
    self.assertEqual(set(scores['person_id']), set(people))
    before = _states(root / 'run')
    theirs = _windows_of(people[3], root, [before])
    self.assertGreater(len(theirs), 200)
    done = forget.forget(people[3], [root])
    self.assertEqual(done.left, ())
    self.assertEmpty(_holding(root, people[3], theirs))
    stay = people[:3] + people[4:]
    for model_id, state in _states(root / 'run').items():
      jax.tree.map(np.testing.assert_array_equal, state, before[model_id])
    self.assertEqual(every_program(16), stay)
    scores = pd.read_csv(root / 'run/evaluation/scores.csv')
    self.assertEqual(set(scores['person_id']), set(stay))
    self.assertEmpty(_holding(root, people[3], theirs))


if __name__ == '__main__':
  absltest.main()
