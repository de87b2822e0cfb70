import colorsys
import dataclasses
import functools
import inspect
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
from absl.testing import absltest, parameterized

from psm_jax.ops import augment
from psm_jax.presets import base

_ALL = augment.Augmentation()
_OFF = augment.Augmentation(
  crop_scale=(1, 1),
  crop_aspect=(1, 1),
  jitter_probability=1,
  brightness=0,
  contrast=0,
  saturation=0,
  hue=0,
  flip='none',
)


def _only(**changes):
  """Returns a configuration that changes nothing but this."""
  return dataclasses.replace(_OFF, **changes)


def _image(*, height=16, width=16, seed=0):
  """Returns smooth noise over the whole range, as an 8-bit image holds it."""
  small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
  image = PIL.Image.fromarray(small).resize((width, height))
  return np.asarray(image, np.float32) / 255


def _pil(image):
  return PIL.Image.fromarray(np.uint8(np.round(255 * np.asarray(image))))


@functools.partial(jax.jit, static_argnames='config')
def _augment_many(keys, image, *, config):
  one = functools.partial(augment.augment, config=config)
  return jax.vmap(one, (0, None))(keys, image)


_augment_pairs = jax.jit(augment.augment_pairs, static_argnames='config')


def _crop_box(image_of_positions):
  """Reads (top, left, height, width) off a cropped _positions image.

  The first and last pixel centres of a crop lie outside those of the output,
  so the corners of the output are the corners of the crop.
  """
  height, width, _ = image_of_positions.shape
  first, last = image_of_positions[0, 0], image_of_positions[-1, -1]
  (top, left), (bottom, right) = (
    np.rint(corner[:2] * (height - 1, width - 1)).astype(int)
    for corner in (first, last)
  )
  return top, left, bottom - top + 1, right - left + 1


def _positions(height, width):
  """Returns an image whose red is the row and whose green is the column."""
  rows, columns = np.mgrid[:height, :width].astype(np.float32)
  return np.stack(
    [rows / (height - 1), columns / (width - 1), np.zeros_like(rows)], -1
  )


def _reference_box(generator, height, width, config):
  """RandomResizedCrop.get_params of torchvision: returns a box."""
  for _ in range(10):
    area = height * width * generator.uniform(*config.crop_scale)
    aspect = math.exp(generator.uniform(*np.log(config.crop_aspect)))
    crop_width = round(math.sqrt(area * aspect))
    crop_height = round(math.sqrt(area / aspect))
    if 0 < crop_width <= width and 0 < crop_height <= height:
      return (
        generator.integers(height - crop_height + 1),
        generator.integers(width - crop_width + 1),
        crop_height,
        crop_width,
      )
  return 0, 0, height, width


def _reference_jitter(draws, image, config):
  """ColorJitter of torchvision in float64, given its random numbers."""
  swing = 2 * draws[1:5] - 1

  def grey(image):
    return (image @ [0.299, 0.587, 0.114])[..., None]

  def blend(image, target, strength, swing):
    factor = 1 + strength * swing
    return np.clip(factor * image + (1 - factor) * target, 0, 1)

  def turn(image):
    turned = np.empty_like(image)
    for pixel in np.ndindex(image.shape[:2]):
      hue, saturation, value = colorsys.rgb_to_hsv(*image[pixel])
      hue = (hue + config.hue * swing[3]) % 1
      turned[pixel] = colorsys.hsv_to_rgb(hue, saturation, value)
    return turned

  operations = [
    lambda x: blend(x, 0, config.brightness, swing[0]),
    lambda x: blend(x, grey(x).mean(), config.contrast, swing[1]),
    lambda x: blend(x, grey(x), config.saturation, swing[2]),
    turn,
  ]
  for index in np.argsort(draws[5:9]):
    image = operations[index](image)
  return image


class CropTest(chex.TestCase):
  def test_the_crop_is_that_of_an_8_bit_image(self):
    config = _only(crop_scale=(0.3, 1), crop_aspect=(0.7, 1.4))
    keys = jax.random.split(jax.random.key(0), 20)
    image = _image(height=16, width=24)
    crops = _augment_many(keys, image, config=config)
    boxes = _augment_many(keys, _positions(16, 24), config=config)
    for crop, box_image in zip(crops, boxes, strict=True):
      top, left, height, width = _crop_box(np.asarray(box_image))
      expected = (
        _pil(image)
        .crop((left, top, left + width, top + height))
        .resize((24, 16), PIL.Image.Resampling.BILINEAR)
      )
      # Pillow rounds after the columns and after the rows: one grey level.
      np.testing.assert_allclose(255 * crop, np.asarray(expected), atol=1.01)

  @parameterized.parameters((0.95, 1.05), (0.2, 1.2))
  def test_boxes_are_distributed_as_published(self, low, high):
    config = _only(crop_scale=(low, high), crop_aspect=(0.8, 1.25))
    num_draws = 3000
    keys = jax.random.split(jax.random.key(1), num_draws)
    images = np.asarray(_augment_many(keys, _positions(16, 16), config=config))
    boxes = np.array([_crop_box(image) for image in images])
    generator = np.random.default_rng(0)
    expected = np.array(
      [_reference_box(generator, 16, 16, config) for _ in range(num_draws)]
    )
    # Four standard errors of the difference of two means.
    error = 4 * np.sqrt(2) * expected.std(0) / np.sqrt(num_draws)
    np.testing.assert_array_less(
      np.abs(boxes.mean(0) - expected.mean(0)), error
    )
    np.testing.assert_allclose(
      boxes.std(0), expected.std(0), rtol=0.1, atol=0.05
    )

  def test_ten_misses_keep_the_whole_image_bit_for_bit(self):
    config = _only(crop_scale=(1.2, 1.3))
    image = jnp.asarray(_image())
    np.testing.assert_array_equal(
      augment.augment(jax.random.key(0), image, config=config), image
    )

  def test_ten_misses_keep_the_largest_centre_of_an_allowed_aspect(self):
    config = _only(crop_aspect=(2, 2))
    image = jnp.asarray(_positions(16, 16))
    box = augment.augment(jax.random.key(0), image, config=config)
    self.assertEqual(_crop_box(np.asarray(box)), (4, 0, 8, 16))

  def test_a_constant_image_stays_constant(self):
    image = np.full((16, 16, 3), 0.3, np.float32)
    keys = jax.random.split(jax.random.key(2), 10)
    crops = _augment_many(keys, image, config=_only(crop_scale=(0.5, 1)))
    np.testing.assert_allclose(crops, np.broadcast_to(image, crops.shape), 1e-6)


class JitterTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_all_four_equal_the_published_definition_in_random_order(self):
    # Strong enough that clipping makes the order matter.
    config = _only(brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5)
    image = _image()
    fn = self.variant(functools.partial(augment.augment, config=config))
    for seed in range(6):
      key = jax.random.key(seed)
      draws = np.asarray(jax.random.uniform(key, (32,)), np.float64)[22:]
      np.testing.assert_allclose(
        fn(key, image),
        _reference_jitter(draws, image.astype(np.float64), config),
        atol=1e-5,  # float32; the hue divides by the colour's range.
      )

  @parameterized.parameters(
    ('brightness', PIL.ImageEnhance.Brightness, 22 + 1),
    ('contrast', PIL.ImageEnhance.Contrast, 22 + 2),
    ('saturation', PIL.ImageEnhance.Color, 22 + 3),
  )
  def test_one_change_is_that_of_an_8_bit_image(self, name, enhance, draw):
    image = _image()
    for seed in range(4):
      key = jax.random.key(seed)
      changed = augment.augment(key, image, config=_only(**{name: 0.5}))
      factor = 0.5 + jax.random.uniform(key, (32,))[draw]
      expected = enhance(_pil(image)).enhance(float(factor))
      # Pillow rounds the grey and cuts off the result's fraction.
      np.testing.assert_allclose(255 * changed, np.asarray(expected), atol=1.6)

  def test_half_a_turn_of_hue_makes_red_cyan(self):
    key = jax.random.key(0)
    turn = 2 * jax.random.uniform(key, (32,))[22 + 4] - 1
    image = np.zeros((4, 4, 3), np.float32)
    image[..., 0] = 1
    changed = augment.augment(key, image, config=_only(hue=0.5))
    expected = colorsys.hsv_to_rgb(float(0.5 * turn) % 1, 1, 1)
    np.testing.assert_allclose(changed[0, 0], expected, atol=1e-5)

  def test_saturation_leaves_a_grey_image(self):
    image = np.repeat(_image()[..., :1], 3, -1)
    changed = augment.augment(
      jax.random.key(0), image, config=_only(saturation=0.5)
    )
    np.testing.assert_allclose(changed, image, atol=1e-6)

  def test_the_share_of_changed_images_is_the_probability(self):
    config = _only(brightness=0.05, jitter_probability=0.8)
    image = _image(height=2, width=2)
    keys = jax.random.split(jax.random.key(3), 2000)
    changed = np.asarray(_augment_many(keys, image, config=config))
    share = np.mean([np.any(one != image) for one in changed])
    self.assertAlmostEqual(share, 0.8, delta=4 * math.sqrt(0.8 * 0.2 / 2000))


class AugmentTest(chex.TestCase):
  def test_the_draws_fit_in_one_batch_and_each_serves_one_purpose(self):
    # The tests above read these numbers: 22 of the crop, 9 of the colours
    # (whether, four strengths, four places in the order) and 1 of the flip.
    image = _image()
    key = jax.random.key(0)
    draws = jax.random.uniform(key, (32,))
    for probability in (float(draws[31]) - 0.01, float(draws[31]) + 0.01):
      config = _only(flip='independent', flip_probability=probability)
      flipped = augment.augment(key, image, config=config)
      expected = image[:, ::-1] if draws[31] < probability else image
      np.testing.assert_array_equal(flipped, expected)

  def test_disabled_operations_leave_nothing_in_the_program(self):
    program = jax.jit(functools.partial(augment.augment, config=_OFF))
    image = _image()
    key = jax.random.key(0)
    np.testing.assert_array_equal(program(key, image), image)
    changes = jax.make_jaxpr(functools.partial(augment._augment, config=_OFF))
    self.assertEmpty(changes(jnp.zeros(32), jnp.zeros(()), image).eqns)

  def test_results_stay_in_range(self):
    config = augment.Augmentation(
      crop_scale=(0.2, 1.5), brightness=1, contrast=1, saturation=1, hue=0.5
    )
    keys = jax.random.split(jax.random.key(4), 50)
    image = np.random.default_rng(0).integers(0, 2, (8, 8, 3))
    images = _augment_many(keys, image.astype(np.float32), config=config)
    self.assertEqual(images.dtype, np.float32)
    self.assertGreaterEqual(images.min(), 0)
    self.assertLessEqual(images.max(), 1)

  def test_a_wrong_shape_is_refused(self):
    with self.assertRaises(AssertionError):
      inspect.unwrap(augment.augment)(
        jax.random.key(0), jnp.zeros((8, 8, 1)), config=_OFF
      )


class AugmentPairsTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    images = [_image(seed=seed) for seed in range(6)]
    self.frames = np.stack(images).reshape(2, 3, 16, 16, 3)
    self.key = jax.random.key(5)

  def test_image_m_b_is_augmented_with_its_own_key(self):
    frames = _augment_pairs(self.key, self.frames, config=_ALL)
    for member, pair in ((0, 0), (1, 0), (0, 2), (1, 2)):
      key = jax.random.fold_in(self.key, 2 * pair + member)
      image = jnp.asarray(self.frames[member, pair])
      alone = augment.augment(key, image, config=_ALL)
      # Two programs, one of them op by op, add up the mean grey in other
      # orders.
      np.testing.assert_allclose(frames[member, pair], alone, atol=1e-6)

  def test_an_image_does_not_depend_on_the_others(self):
    others = self.frames.copy()
    others[:, 0] = np.nan
    others[1, 1] = 0
    np.testing.assert_array_equal(
      _augment_pairs(self.key, self.frames, config=_ALL)[0, 1],
      _augment_pairs(self.key, others, config=_ALL)[0, 1],
    )

  def test_models_side_by_side_equal_each_alone(self):
    fn = functools.partial(_augment_pairs, config=_ALL)
    keys = jax.random.split(self.key, 2)
    frames = np.stack([self.frames, self.frames[:, ::-1]])
    together = jax.jit(jax.vmap(fn))(keys, frames)
    for model_index in range(2):
      alone = fn(keys[model_index], frames[model_index])
      np.testing.assert_allclose(together[model_index], alone, atol=1e-6)

  def test_the_identity_returns_the_frames_bit_for_bit(self):
    frames = augment.augment_pairs(self.key, self.frames, config=_OFF)
    np.testing.assert_array_equal(frames, self.frames)

  def _flips(self, flip, *, num_pairs=1000):
    """Returns [2, num_pairs] bool: which images were flipped."""
    frames = np.zeros((2, num_pairs, 1, 2, 3), np.float32)
    frames[..., 1, :] = 1
    config = _only(flip=flip)
    flipped = augment.augment_pairs(self.key, frames, config=config)
    return np.asarray(flipped)[:, :, 0, 0, 0] == 1

  def test_independent_flips_hit_half_of_the_images_one_by_one(self):
    first, second = self._flips('independent')
    delta = 4 * math.sqrt(0.25 / 1000)
    self.assertAlmostEqual(first.mean(), 0.5, delta=delta)
    self.assertAlmostEqual(second.mean(), 0.5, delta=delta)
    self.assertAlmostEqual((first == second).mean(), 0.5, delta=delta)

  def test_shared_flips_hit_both_images_when_they_would_hit_the_first(self):
    first, second = self._flips('shared')
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, self._flips('independent')[0])
    self.assertAlmostEqual(first.mean(), 0.5, delta=4 * math.sqrt(0.25 / 1000))

  def test_no_flip_flips_nothing(self):
    self.assertFalse(self._flips('none').any())

  def test_flipping_twice_returns_the_frames(self):
    config = _only(flip='independent', flip_probability=1)
    once = augment.augment_pairs(self.key, self.frames, config=config)
    np.testing.assert_array_equal(once, self.frames[:, :, :, ::-1])
    twice = augment.augment_pairs(self.key, once, config=config)
    np.testing.assert_array_equal(twice, self.frames)

  def test_a_mirrored_second_image_is_the_augmented_first_one_flipped(self):
    config = dataclasses.replace(_ALL, mirror_probability=1)
    first, second = _augment_pairs(self.key, self.frames, config=config)
    np.testing.assert_array_equal(second, first[:, :, ::-1])
    plain = _augment_pairs(self.key, self.frames, config=_ALL)
    np.testing.assert_allclose(first, plain[0], atol=1e-6)

  def test_half_of_the_pairs_are_mirrored_and_the_others_stay(self):
    frames = np.zeros((2, 1000, 1, 2, 3), np.float32)
    frames[0, :, :, 1] = 1
    frames[1] = 0.5
    config = _only(mirror_probability=0.5)
    first, second = augment.augment_pairs(self.key, frames, config=config)
    np.testing.assert_array_equal(first, frames[0])
    is_mirrored = np.asarray(second)[:, 0, 0, 0] == 1
    expected = np.where(
      is_mirrored[:, None, None, None], frames[0][:, :, ::-1], frames[1]
    )
    np.testing.assert_array_equal(second, expected)
    delta = 4 * math.sqrt(0.25 / 1000)
    self.assertAlmostEqual(is_mirrored.mean(), 0.5, delta=delta)

  @pytest.mark.thorough
  def test_pairs_on_another_device_are_those_of_the_whole_batch(self):
    config = dataclasses.replace(_ALL, mirror_probability=0.5)
    whole = _augment_pairs(self.key, self.frames, config=config)
    part = _augment_pairs(
      self.key, self.frames[:, 1:], config=config, pairs=jnp.array([1, 2])
    )
    np.testing.assert_allclose(part, whole[:, 1:], atol=1e-6)


class AugmentationTest(parameterized.TestCase):
  def test_its_fields_are_the_config_s_unless_it_is_switched_off(self):
    config = base.get_config().augment
    config.enabled, config.hue = True, 0.25
    self.assertEqual(augment.of_config(config).hue, 0.25)
    config.enabled = False
    self.assertIsNone(augment.of_config(config))

  @parameterized.parameters(
    ('crop_scale', (1.05, 0.95)),
    ('crop_scale', (0, 1)),
    ('crop_aspect', (1,)),
    ('crop_aspect', (0.5, math.inf)),
    ('jitter_probability', 1.1),
    ('flip_probability', -0.1),
    ('mirror_probability', 1.1),
    ('brightness', 2),
    ('contrast', -0.1),
    ('saturation', math.nan),
    ('hue', 0.6),
    ('flip', 'both'),
  )
  def test_a_wrong_value_is_refused_by_name(self, name, value):
    with self.assertRaisesRegex(ValueError, f'^{name} is '):
      augment.Augmentation(**{name: value})


if __name__ == '__main__':
  absltest.main()
