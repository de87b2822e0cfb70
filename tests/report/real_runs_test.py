"""Pages of runs that were trained, embedded and compared, tiny ones.

tests/docs_test.py goes from frames to the page of a run with scores.
"""

import dataclasses
import pathlib
import tempfile
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl.testing import absltest

from psm_jax import embedding, methods, training
from psm_jax.evaluation import (
  approaches,
  compare,
  probes,
  results,
)
from psm_jax.report import page
from tests import tiny, training_runs
from tests.data import stores
from tests.report import checker

pytestmark = pytest.mark.thorough

# As few probes as say that there are scores.
_CONFIG = dataclasses.replace(
  probes.DEFAULT,
  splits=('cross_video',),
  inverse_penalties=(1.0,),
  few_labels=(),
)


def _toy(config, **_):
  """Returns the toy, which diverges on frames that are 7 throughout."""
  toy = tiny.toy_method(config)

  def loss(key, params, method_state, shared, batch, schedule):
    value, rest = toy.loss(key, params, method_state, shared, batch, schedule)
    is_lost = jnp.all(batch.frames == 7)
    return jnp.where(is_lost, jnp.nan, value), rest

  return dataclasses.replace(toy, loss=loss)


class RealRunsTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    made = dict.fromkeys(('make', 'abstract'), _toy)
    cls.enterClassContext(mock.patch.multiple(methods, **made))
    cls.enterClassContext(training_runs.compiled_once(cls.root / 'compiled'))
    cls.store = training_runs.write_store(cls.root, lengths=(36, 36))
    cls._train('each')
    cls._train('all', population__cohorts='all')
    cls._train('transfer', init__path=str(cls.root / 'all'))

  @classmethod
  def _train(cls, name, store=None, **fields):
    config = training_runs.config(store or cls.store, **fields)
    training.train(config, cls.root / name)
    embedding.write_embeddings(cls.root / name, controls=name == 'each')
    return cls.root / name

  def _page(self, folder):
    path = page.write(folder)
    self.assertEmpty(checker.parse(path).open)
    text = checker.text(path)
    self.assertNotRegex(text, r'\bnan\b')
    return path, text

  def test_runs_are_compared_on_the_frames_they_share(self):
    read = [
      approaches.read_run(name, self.root / name)
      for name in ('each', 'all', 'transfer')
    ]
    both, omitted = approaches.take_common(read, labels_of='each')
    tables = compare.compare(
      both,
      baseline='all',
      controls=approaches.controls_of(both[0]),
      omitted=omitted,
      config=_CONFIG,
    )
    results.write(tables, self.root / 'cmp')
    path, text = self._page(self.root / 'cmp')
    self.assertIn('3 approaches to facial movement, 2 people', text)
    rows = checker.section(path, 'scores')
    for name in ('each', 'all', 'transfer'):
      self.assertIn(name, rows)
    self.assertEqual(rows.count('class="badge"'), 1)
    summary = checker.section(path, 'summary')
    self.assertRegex(summary, 'class="verdict">.*all orders .* of 100 pairs')
    self.assertNotIn('pose', summary)  # Nobody told it, and nobody asks.

  def test_one_person_in_one_unlabelled_video_has_a_page(self):
    index = pd.DataFrame({'frame': range(40)})
    index = index.assign(person_id='solo', video_id='v', time_s=index / 20)
    store = stores.write(
      self.root / 'solo_store', tiny.frames(40), index, size_px=tiny.SIZE_PX
    )
    path, text = self._page(self._train('solo', store))
    self.assertIn('Nobody labelled these frames', text)
    self.assertIn('1 person-specific model of', text)
    self.assertNotIn('is missing', checker.section(path, 'summary'))

  def test_a_model_that_failed_is_said_first(self):
    frames = np.concatenate([np.full_like(tiny.frames(60), 7), tiny.frames(60)])
    rows = [
      {'person_id': person, 'video_id': video, 'frame': f, 'time_s': f / 20}
      for person in ('lost', 'well')
      for video in 'ab'
      for f in range(30)
    ]
    store = stores.write(
      self.root / 'lost_store', frames, pd.DataFrame(rows), size_px=tiny.SIZE_PX
    )
    path, text = self._page(self._train('lost', store))
    people = checker.section(path, 'people')
    self.assertRegex(people, r'failed at step \d')
    self.assertLess(people.index('lost'), people.index('well'))
    self.assertIn('1 failed', text)


if __name__ == '__main__':
  absltest.main()
