from absl.testing import absltest

from psm_jax.ops import lowerings


class FastestTest(absltest.TestCase):
  def test_a_row_of_the_table_is_found_again(self):
    for platform, rows in lowerings.TABLE.items():
      for layer, lowering in rows:
        self.assertIn(lowering, lowerings.LOWERINGS)
        self.assertEqual(lowerings.fastest(*layer)[platform], lowering)

  def test_every_layer_has_a_lowering_on_every_platform(self):
    chosen = lowerings.fastest(channels=1, size_px=1000, num_models=3)
    self.assertEqual(chosen.keys(), lowerings.TABLE.keys())
    self.assertIn('default', chosen)


if __name__ == '__main__':
  absltest.main()
