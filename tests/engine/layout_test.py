"""How a population lies on devices that are not there."""

from absl.testing import absltest, parameterized

from psm_jax import methods
from psm_jax.engine import layout
from psm_jax.presets import canonical, canonical_narrow, narrow, psm


class StrategyTest(parameterized.TestCase):
  @parameterized.parameters(
    (psm, 'loop'),
    (narrow, 'vmap'),
    (canonical, 'loop'),
    (canonical_narrow, 'vmap'),
  )
  def test_models_share_an_accelerator_unless_one_fills_it(
    self, preset, shared
  ):
    config = preset.get_config()
    method = methods.abstract(config)
    for platform, strategy in (
      ('cpu', 'loop'),
      ('tpu', shared),
      ('cuda', shared),
    ):
      self.assertEqual(
        layout.fastest_strategy(platform, method, config), strategy
      )


if __name__ == '__main__':
  absltest.main()
