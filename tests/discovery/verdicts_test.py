import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.discovery import novelty, verdicts


class UnseenTest(parameterized.TestCase):
  def _judge(self, *purities):
    """Returns the verdict on cluster 0, of such purities in other models."""
    labels = np.repeat([0, 1], 60)
    active = np.stack([labels == 0, labels == 1], axis=1)
    blind = np.zeros(120, int)  # All frames are one cluster.
    rivals = [
      verdicts.Rival(blind, blind[None], {0: purity, 1: 0.0})
      for purity in purities
    ]
    described = [
      {'cluster': cluster, 'num_episodes': 5, 'jaccard': 1.0, 'purity': 1.0}
      for cluster in (0, 1)
    ]
    found, _, _ = verdicts.judge(
      'P1',
      labels,
      rivals,
      [],
      verdicts.Labelled(np.ones(120, bool), active, ('AU01', 'AU02')),
      described,
      config=novelty.NoveltyConfig(num_draws=20, max_purity=0.5),
      min_size=10,
    )
    return found[0]

  @parameterized.parameters((0.2, 0.9), (0.9, 0.2))
  def test_what_any_seed_of_the_rival_keeps_together_is_not_unseen(
    self, *purities
  ):
    found = self._judge(*purities)
    self.assertEqual(found['purity_against'], 0.9)
    self.assertIn('unseen', found['fails'])

  def test_what_no_seed_of_the_rival_keeps_together_is_unseen(self):
    found = self._judge(0.2, 0.4)
    self.assertEqual(found['purity_against'], 0.4)
    self.assertNotIn('unseen', found['fails'])


class ChanceTest(absltest.TestCase):
  def test_what_chance_gives_as_often_is_no_finding(self):
    # One cluster of all frames: labels dealt out again are the same ones.
    labels = np.zeros(80, int)
    active = np.random.default_rng(0).random((80, 3)) < 0.4
    _, _, person = verdicts.judge(
      'P1',
      labels,
      [verdicts.Rival(labels, labels[None], {0: 1.0})],
      [],
      verdicts.Labelled(np.ones(80, bool), active, ('AU01', 'AU02', 'AU04')),
      [{'cluster': 0, 'num_episodes': 5, 'jaccard': 1.0, 'purity': 1.0}],
      config=novelty.NoveltyConfig(num_draws=20),
      min_size=10,
    )
    self.assertEqual(person['num_novel'], 0)
    self.assertEqual(person['chance_mean'], 0)
    self.assertEqual(person['p_novel'], 1.0)


if __name__ == '__main__':
  absltest.main()
