import cv2
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.data import alignment, decode
from psm_jax.data.tf import tf

_CENTRE = np.full((2, 3), np.nan, np.float32)
_noise = np.random.default_rng(0)


def _crop(picture, crop, size_px):
  encoded = cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
  crop = np.asarray(crop, np.float32)
  frame, size = decode.decode_frame(encoded, crop, size_px=size_px)
  assert size == picture.shape[1::-1]
  return frame


def _picture(height, width):
  return _noise.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _dot(point, radius, *, height, width):
  """A bright blurred dot at (x, y), counted from the picture's corner."""
  y, x = np.indices((height, width)) + 0.5
  distance = (x - point[0]) ** 2 + (y - point[1]) ** 2
  grey = 250 * np.exp(-distance / (2 * radius**2))
  return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def _centre_of_mass(frame):
  """(x, y) of the light of a frame, counted from its corner."""
  y, x = np.indices(frame.shape[:2]) + 0.5
  light = frame[..., 0].astype(np.float64)
  return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


class CutCropTest(parameterized.TestCase):
  def test_a_square_picture_of_the_right_size_is_unchanged(self):
    picture = _picture(16, 16)
    np.testing.assert_array_equal(_crop(picture, _CENTRE, 16), picture)

  @parameterized.parameters((16, 20, 0, 2), (21, 16, 2, 0))
  def test_without_crop_the_centre_square_is_taken(self, height, width, y, x):
    picture = _picture(height, width)
    np.testing.assert_array_equal(
      _crop(picture, _CENTRE, 16), picture[y : y + 16, x : x + 16]
    )

  @parameterized.parameters(2, 3)
  def test_shrinking_by_a_whole_factor_averages_blocks(self, factor):
    picture = _picture(8 * factor, 8 * factor)
    blocks = picture.reshape(8, factor, 8, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(
      _crop(picture, _CENTRE, 8), blocks, atol=0.5 + 1e-3
    )

  def test_shrinking_a_checkerboard_does_not_alias(self):
    rows, columns = np.indices((96, 96))
    board = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
    picture = np.repeat(board[..., None], 3, axis=2)
    self.assertLess(_crop(picture, _CENTRE, 40).astype(float).std(), 25)

  def test_a_turned_crop_equals_opencv(self):
    picture = cv2.GaussianBlur(_picture(40, 40), (0, 0), 2)
    crop = alignment.eye_crop(
      np.array([(14.0, 17.0), (25.0, 20.0)]), eye_distance=0.4
    )
    size = 32
    # OpenCV counts from pixel centres on both sides.
    to_crop = np.array([[1 / size, 0, 0.5 / size], [0, 1 / size, 0.5 / size]])
    matrix = crop @ np.vstack([to_crop, [0, 0, 1]])
    matrix[:, 2] -= 0.5
    expected = cv2.warpAffine(
      picture,
      matrix,
      (size, size),
      flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
      borderMode=cv2.BORDER_REPLICATE,
    )
    actual = _crop(picture, crop, size)
    # OpenCV may place samples on a grid of 1/32 pixel.
    np.testing.assert_allclose(actual, expected.astype(int), atol=2)

  def test_outside_the_picture_the_edge_repeats(self):
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[0] = 200
    crop = np.array([[10, 0, 0], [0, 10, -5]], np.float32)
    np.testing.assert_array_equal(_crop(picture, crop, 10)[:5], 200)

  def test_a_crop_far_larger_than_the_picture_stays_cheap(self):
    crop = np.array([[1e6, 0, 0], [0, 1e6, 0]], np.float32)
    self.assertEqual(_crop(_picture(20, 20), crop, 8).shape, (8, 8, 3))

  @parameterized.parameters(
    (None, 30),
    (None, 64),
    ([(30, 25), (50, 31)], 32),
    ([(39, 20), (47, 24)], 48),
  )
  def test_a_dot_lands_where_its_landmark_does(self, eyes, size_px):
    points = np.array([(36.3, 25.8), (47.7, 24.1), (42.1, 28.4)])
    height, width = 61, 84
    crop = _CENTRE
    known = alignment.centre_crop(width, height)
    if eyes:
      crop = known = alignment.eye_crop(np.array(eyes), eye_distance=0.4)
    placed = alignment.to_frame(points[None], known[None], size_px=size_px)[0]
    for point, expected in zip(points, placed, strict=True):
      picture = _dot(point, 1.5, height=height, width=width)
      frame = _crop(picture, crop, size_px)
      np.testing.assert_allclose(_centre_of_mass(frame), expected, atol=0.1)

  def test_landmarks_land_where_the_crop_says(self):
    picture = np.zeros((60, 80, 3), np.uint8)
    eyes = np.array([(30.5, 25.5), (50.5, 31.5)])
    for x, y in eyes:
      picture[int(y), int(x)] = 255
    crop = alignment.eye_crop(eyes, eye_distance=0.4)
    frame = _crop(picture, crop, 64)[..., 0].astype(float)
    frame = cv2.GaussianBlur(frame, (0, 0), 1)
    for side, columns in ((0.3, slice(0, 32)), (0.7, slice(32, 64))):
      row, column = np.unravel_index(
        frame[:, columns].argmax(), frame[:, columns].shape
      )
      np.testing.assert_allclose(
        (column + columns.start + 0.5, row + 0.5),
        (side * 64, alignment.EYE_HEIGHT * 64),
        atol=1.0,
      )


class DecodePictureTest(parameterized.TestCase):
  @parameterized.parameters('.png', '.jpg')
  def test_channels_are_red_green_blue(self, extension):
    bgr = np.zeros((8, 8, 3), np.uint8)
    bgr[..., 2] = 250
    encoded = cv2.imencode(extension, bgr)[1].tobytes()
    decoded = decode.decode_frame(encoded, _CENTRE, size_px=8)[0]
    np.testing.assert_allclose(decoded[4, 4], [250, 0, 0], atol=6)

  @parameterized.parameters(1, 4)
  def test_grey_and_transparent_pictures_become_colour(self, channels):
    picture = np.full((8, 8, channels), 77, np.uint8)
    encoded = cv2.imencode('.png', picture)[1].tobytes()
    decoded = decode.decode_frame(encoded, _CENTRE, size_px=8)[0]
    np.testing.assert_array_equal(decoded, np.full((8, 8, 3), 77))


class AcceleratorTest(absltest.TestCase):
  def test_tensorflow_sees_no_accelerator(self):
    for kind in ('GPU', 'TPU'):
      self.assertEmpty(tf.config.get_visible_devices(kind))


if __name__ == '__main__':
  absltest.main()
