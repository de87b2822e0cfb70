import dataclasses
import functools

import jax
import numpy as np
from absl.testing import absltest

from psm_jax.methods import clip_views
from psm_jax.ops import augment, data_axis

_CLIPS, _FRAMES, _SIZE = 16, 3, 16
_ONE_DEVICE = data_axis.DataAxis()
_NO_COLOURS = augment.Augmentation(
  crop_scale=(0.6, 1.0),
  crop_aspect=(1.0, 1.0),
  jitter_probability=0.0,
  flip='shared',
)
_GEOMETRY = {
  'config': _NO_COLOURS,
  'grey_probability': 0.0,
  'blur_probability': 0.0,
}
_COLOURS = {
  'config': augment.Augmentation(
    crop_scale=(1.0, 1.0),
    crop_aspect=(1.0, 1.0),
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    flip='none',
  ),
  'grey_probability': 0.2,
  'blur_probability': 0.5,
}
_draw = jax.jit(
  clip_views.draw,
  static_argnames=(*_GEOMETRY, 'axis'),
  compiler_options={'xla_backend_optimization_level': 0},
)


def _positions():
  """Returns a frame whose red is the row and whose green is the column."""
  rows, columns = np.mgrid[:_SIZE, :_SIZE].astype(np.float32) / (_SIZE - 1)
  return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


def _clips(*, seed=0):
  shape = (_CLIPS, _FRAMES, _SIZE, _SIZE, 3)
  return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


class DrawTest(absltest.TestCase):
  def test_crop_and_flip_are_a_clip_s(self):
    clips = np.broadcast_to(_positions(), (_CLIPS, _FRAMES, _SIZE, _SIZE, 3))
    first, second = map(
      np.asarray,
      _draw(jax.random.key(0), clips, **_GEOMETRY, axis=_ONE_DEVICE),
    )
    np.testing.assert_array_equal(first, second)
    for frame in range(1, _FRAMES):
      np.testing.assert_array_equal(first[:, 0], first[:, frame])
    # Clips differ, and about half of them are turned.
    corners = first[:, 0, 0, 0, :2]
    self.assertGreater(len(np.unique(corners, axis=0)), _CLIPS // 2)
    turned = first[:, 0, 0, 0, 1] > first[:, 0, 0, -1, 1]
    self.assertBetween(turned.sum(), 1, _CLIPS - 1)

  def test_colours_are_a_view_s(self):
    clips = np.repeat(_clips()[:, :1], _FRAMES, axis=1)
    first, second = map(
      np.asarray,
      _draw(jax.random.key(1), clips, **_COLOURS, axis=_ONE_DEVICE),
    )
    for view in (first, second):
      self.assertBetween(view.min(), 0, 1)
      self.assertBetween(view.max(), 0, 1)
      for frame in range(1, _FRAMES):
        np.testing.assert_array_equal(view[:, 0], view[:, frame])
    changed = np.abs(first - second).max(axis=(1, 2, 3, 4)) > 0.01
    self.assertGreater(changed.sum(), _CLIPS // 2)
    # 32 views: grey with 0.2, blurred with 0.5.
    views = np.concatenate([first, second])[:, 0]
    is_grey = np.ptp(views, axis=-1).max(axis=(1, 2)) < 1e-6
    self.assertBetween(is_grey.sum(), 1, 16)

  def test_a_clip_does_not_depend_on_the_others(self):
    clips = _clips()
    changed = np.concatenate([clips[:4], 1 - clips[4:]])
    ours, theirs = (
      _draw(jax.random.key(2), x, **_COLOURS, axis=_ONE_DEVICE)[0]
      for x in (clips, changed)
    )
    np.testing.assert_array_equal(ours[:4], theirs[:4])
    self.assertGreater(np.abs(ours[4:] - theirs[4:]).min(axis=0).max(), 0)

  def test_two_devices_draw_as_one(self):
    clips = _clips()
    whole = _draw(jax.random.key(2), clips, **_GEOMETRY, axis=_ONE_DEVICE)
    draw = functools.partial(
      clip_views.draw,
      jax.random.key(2),
      **_GEOMETRY,
      axis=data_axis.DataAxis('data', 2),
    )
    halves = jax.pmap(draw, axis_name='data', devices=jax.devices()[:2])(
      clips.reshape((2, -1, *clips.shape[1:]))
    )
    for ours, theirs in zip(halves, whole, strict=True):
      np.testing.assert_allclose(ours.reshape(clips.shape), theirs, atol=1e-6)

  def test_nothing_changes_where_nothing_is_asked_for(self):
    images = dataclasses.replace(
      _NO_COLOURS, crop_scale=(1.0, 1.0), flip='none'
    )
    off = _GEOMETRY | {'config': images}
    clips = _clips()
    for view in _draw(jax.random.key(0), clips, **off, axis=_ONE_DEVICE):
      np.testing.assert_array_equal(view, clips)


class BlurTest(absltest.TestCase):
  def test_it_is_a_convolution_with_a_gaussian(self):
    frames = np.zeros((1, 15, 15, 3), np.float32)
    frames[0, 7, 7] = 1
    sigma = 1.3
    offset = np.arange(15) - 7
    bell = np.exp(-(offset**2) / (2 * sigma**2))
    bell /= bell.sum()
    expected = np.outer(bell, bell)
    ours = np.asarray(jax.jit(clip_views.blur)(frames, sigma))
    np.testing.assert_allclose(
      ours[0, 4:11, 4:11, 1], expected[4:11, 4:11], atol=1e-4
    )
    flat = np.full((1, 15, 15, 3), 0.25, np.float32)
    np.testing.assert_allclose(
      jax.jit(clip_views.blur)(flat, sigma), flat, atol=1e-6
    )


if __name__ == '__main__':
  absltest.main()
