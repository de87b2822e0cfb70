"""The example of docs/methods.md is code: it trains, as written there."""

import pathlib
import re

import jax
import numpy as np
from absl.testing import absltest

from psm_jax import sampling
from psm_jax.engine import feed, population
from tests import tiny

_PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs/methods.md'


class ExampleTest(absltest.TestCase):
  def test_a_method_written_as_the_page_says_learns(self):
    (_, code) = re.findall(r'```python\n(.*?)```', _PAGE.read_text(), re.S)
    names = {}
    exec(compile(code, str(_PAGE), 'exec'), names)  # noqa: S102
    config = tiny.config(population__strategy='vmap')
    method = names['make'](config)
    people = tiny.cohorts(30, 21)
    plans = [sampling.make_plan(p, config, seed=0)[0] for p in people]
    built = population.build(method, plans, config, devices=jax.devices()[:1])
    # Every frame the same, so that there is something to learn in a few steps.
    frames = np.repeat(tiny.frames(1), 51, axis=0)
    source = feed.ResidentFeed(built, frames, config)
    states, losses = built.init(), []
    for step in range(5):
      states, metrics = built.step(states, source.batches_at(step))
      losses.append(built.to_host(metrics)['error'])
    self.assertTrue((losses[-1] < 0.5 * losses[0]).all(), losses)
    embedded = method.embed(
      jax.tree.map(lambda leaf: leaf[0, 0], states[0].params), (), frames[:3]
    )
    self.assertEqual(embedded.shape, (3, 256))


if __name__ == '__main__':
  absltest.main()
