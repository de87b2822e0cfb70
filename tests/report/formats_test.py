from absl.testing import absltest, parameterized

from psm_jax.report import formats

_NAN = float('nan')


class FormatsTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.7, '.70'),
    (1.0, '1.00'),
    (-0.05, '−.05'),
    (-0.001, '.00'),
    (0.996, '1.00'),
    (_NAN, '–'),
  )
  def test_scores_have_no_leading_zero(self, value, text):
    self.assertEqual(formats.score(value), text)

  @parameterized.parameters((0.04, '+.04'), (-0.04, '−.04'), (0.0, '.00'))
  def test_differences_have_a_sign(self, value, text):
    self.assertEqual(formats.score(value, is_signed=True), text)

  @parameterized.parameters(
    (0.04, -0.01, 0.09, 2),
    (0.04, 0.001, 0.09, 3),
    (0.0004, -0.04, 0.05, 2),
    (0.0402, 0.0398, 0.0406, 3),
    (0.0402, 0.0401, 0.0403, 4),
    (0.7, _NAN, _NAN, 2),
  )
  def test_digits_tell_an_interval_from_zero(self, mean, low, high, digits):
    self.assertEqual(formats.digits(mean, low, high), digits)

  @parameterized.parameters(
    ([], ''),
    (['a'], 'a'),
    (['a', 'b', 'c'], 'a, b and c'),
    (list('abcde'), 'a, b, c and 2 more'),
  )
  def test_long_listings_are_cut(self, items, text):
    self.assertEqual(formats.listing(items, limit=3), text)

  @parameterized.parameters(
    ('trained', 'Trained encoder', 'the trained encoder', 'Trained'),
    ('gm', 'gm', 'gm', 'gm'),
  )
  def test_a_source_has_a_name_for_each_place(self, name, alone, text, brief):
    self.assertEqual(formats.source(name), alone)
    self.assertEqual(formats.in_text(name), text)
    self.assertEqual(formats.brief(name), brief)

  @parameterized.parameters(
    ('AU12', 'AU12 lip corner puller'),
    ('AU99', 'AU99'),
    ('weak_jawOpen', 'jawOpen (weak)'),
  )
  def test_a_weak_label_is_called_so(self, name, text):
    self.assertEqual(formats.unit(name), text)

  def test_unknown_names_come_last_in_order(self):
    names = ['other', 'random', 'cross_video']
    self.assertEqual(
      formats.in_order(names, tuple(formats.SPLITS)),
      ['cross_video', 'random', 'other'],
    )

  def test_long_names_are_shortened(self):
    self.assertLessEqual(len(formats.shorten('x' * 64)), 28)
    self.assertEqual(formats.shorten('AV003'), 'AV003')


if __name__ == '__main__':
  absltest.main()
