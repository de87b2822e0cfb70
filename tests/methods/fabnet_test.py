import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from absl.testing import absltest, parameterized

from psm_jax import sampling
from psm_jax.engine import update
from psm_jax.methods import fabnet, interface, loss_window
from psm_jax.models import fabnet as networks
from psm_jax.ops import data_axis
from tests import tiny

_SIZE_PX = 16
_NUM = 4
_SOURCES = 2
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _config(*, num_sources=_SOURCES, **fields):
  config = tiny.config(
    data__size_px=_SIZE_PX,
    train__batch_size=_NUM,
    curriculum__pairing='views',
    curriculum__num_sources=num_sources,
    train__validation_share=0.2,
  )
  defaults = {
    'crop': 'jittered',
    'window': (0, 5),
    'window_end': 9,
    'patience': 15,
    'freeze_decoder': False,
    'upsample_align_corners': False,
    'sample_align_corners': True,
  }
  config.method.fabnet = ml_collections.ConfigDict(defaults | fields)
  return config


def _frames(*shape, seed=0):
  generator = np.random.default_rng(seed)
  shape = (*shape, _SIZE_PX * _SIZE_PX * 3)
  return generator.integers(0, 256, shape, dtype=np.uint8)


def _batch(*shape, seed=0):
  return interface.Batch(
    _frames(*shape, seed=seed), np.zeros(shape[:-2] + shape[-1:], np.int32)
  )


def _schedule(epoch=1):
  return interface.Schedule(
    epoch=jnp.int32(epoch),
    gap=jnp.int32(0),
    learning_rate=jnp.float32(1e-4),
    neutral_weight=jnp.float32(1),
  )


def _relative(ours, theirs):
  return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-12)


def _layers(tree):
  """Returns {path of a layer: its numbers}.

  By layer, as a single bias may be a sum of which little remains.
  """
  layers = {}
  for path, leaf in jax.tree.leaves_with_path(tree):
    name = jax.tree_util.keystr(path[:-1])
    layers.setdefault(name, []).append(np.ravel(leaf))
  return {name: np.concatenate(leaves) for name, leaves in layers.items()}


def _assert_close(test, ours, theirs, *, tolerance):
  ours, theirs = _layers(ours), _layers(theirs)
  test.assertEqual(ours.keys(), theirs.keys())
  for name, expected in theirs.items():
    test.assertLess(_relative(ours[name], expected), tolerance, name)


def _gradient(method):
  def gradient(key, params, state, batch):
    return jax.value_and_grad(
      lambda p: method.loss(key, p, state, (), batch, _schedule()),
      has_aux=True,
    )(params)

  return gradient


@functools.cache
def _alone():
  """Returns a method, three models, and the compiled gradient of one."""
  method = fabnet.make(_config())
  keys = jax.random.split(jax.random.key(0, impl='threefry2x32'), 3)
  params, state = jax.eval_shape(jax.vmap(method.init), keys)
  # In place of initial weights: drawing those compiles for long.
  params = jax.tree.map(
    lambda leaf: np.stack(
      [
        tiny.filled(jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), seed=seed)
        for seed in range(len(keys))
      ]
    ),
    params,
  )
  state = fabnet.State(
    jax.tree.map(lambda leaf: np.ones(leaf.shape, 'f4'), state.statistics),
    jax.tree.map(lambda leaf: np.stack(3 * [leaf]), loss_window.start((0, 5))),
  )
  return method, keys, (params, state), _jit(_gradient(method))


def _model(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


class CurriculumTest(absltest.TestCase):
  def test_a_model_starts_with_the_easier_half(self):
    method = fabnet.make(_config())
    _, state = jax.eval_shape(method.init, jax.random.key(0))
    self.assertEqual(state.curriculum.high.dtype, jnp.int32)
    start = loss_window.start((0, 5))
    self.assertEqual((start.low, start.high, start.rate_scale), (0, 5, 1))

  def test_validation_moves_the_curriculum_of_a_state_only(self):
    method = fabnet.make(_config(patience=0))
    state = fabnet.State('statistics', loss_window.start((0, 5)))
    for epoch in range(2):
      state = method.on_validation(state, jnp.float32(0.5), jnp.int32(epoch))
    self.assertEqual(state.statistics, 'statistics')
    self.assertEqual((state.curriculum.low, state.curriculum.high), (1, 6))
    state = state.replace(
      curriculum=state.curriculum.replace(rate_scale=jnp.float32(0.1))
    )
    self.assertEqual(method.rate_scale(state), jnp.float32(0.1))


def _ramp(size_px, *shape):
  """Returns frames whose red is the row and whose green is the column."""
  line = np.arange(size_px, dtype=np.uint8)
  image = np.zeros((*shape, size_px, size_px, 3), np.uint8)
  image[..., 0], image[..., 1] = line[:, None], line
  return image


class CropTest(parameterized.TestCase):
  def test_the_central_crop_is_the_release_s(self):
    # 170 of 366 x 296 pixels, of which 80 rows and 20 columns are border.
    image = np.random.default_rng(0).integers(
      0, 256, (1, 256, 256, 3), dtype=np.uint8
    )
    crop = image[:, 98 - 80 :, 63 - 20 :][:, :170, :170] / np.float32(255)
    expected = jax.image.resize(crop, image.shape, 'bilinear')
    np.testing.assert_allclose(fabnet.central(image), expected, atol=1e-5)

  def test_crops_have_the_epoch_s_side_and_each_their_own_place(self):
    jittered = jax.jit(fabnet.jittered)
    sides = {}
    for epoch in range(12):
      cropped = jittered(
        jax.random.key(epoch), _ramp(256, 3, 4), epoch=jnp.int32(epoch)
      )
      # The outer pixels repeat those of the crop.
      first = 255 * np.asarray(cropped)[:, :, 0, 0, :2].reshape(-1, 2)
      last = 255 * np.asarray(cropped)[:, :, -1, -1, :2].reshape(-1, 2)
      side = np.unique(np.rint(last - first + 1))
      self.assertLen(side, 1)
      sides[epoch] = int(side[0])
      start = np.rint(first).astype(int)
      np.testing.assert_allclose(first, start, atol=1e-3)
      # 190 of 366 x 296 pixels begin at row 88 and column 53.
      low = np.array([88 - 80, 53 - 20])
      self.assertTrue((start >= low).all())
      self.assertTrue((start <= low + 190 - side[0]).all())
      if side[0] < 185:
        self.assertGreater(len(np.unique(start, axis=0)), 4)
    self.assertTrue(set(sides.values()) <= set(range(170, 190)))
    self.assertGreater(len(set(sides.values())), 5)

  def test_smaller_frames_are_cropped_in_proportion(self):
    # Away from the ends, where the outer pixels repeat.
    large = 255 * fabnet.central(_ramp(256, 1))[0, ..., :2]
    small = 255 * fabnet.central(_ramp(64, 1))[0, ..., :2]
    centres = (np.asarray(large) + 0.5) / 256
    centres = centres.reshape(64, 4, 64, 4, 2).mean((1, 3))
    np.testing.assert_allclose(
      ((small + 0.5) / 64)[2:-2, 2:-2], centres[2:-2, 2:-2], atol=1e-4
    )

  @pytest.mark.thorough
  def test_two_devices_draw_what_one_would(self):
    image = _frames(3, 4).reshape(3, 4, _SIZE_PX, _SIZE_PX, 3)
    key, epoch = jax.random.key(3), jnp.int32(1)
    whole = fabnet.jittered(key, image, epoch=epoch)
    axis = data_axis.DataAxis('data', 2)
    halves = jax.pmap(
      lambda half: fabnet.jittered(key, half, epoch=epoch, axis=axis),
      axis_name='data',
      devices=jax.devices()[:2],
    )(np.stack([image[:, :2], image[:, 2:]]))
    np.testing.assert_allclose(
      np.concatenate(list(halves), axis=1), whole, atol=1e-6
    )

  def test_whole_frames_are_used_as_they_are(self):
    method = fabnet.make(_config(crop='whole', num_sources=1))
    frames = _frames(3)
    _, _, (params, state), _ = _alone()
    made = _jit(method.pictures)(
      jax.random.key(0), _model(params, 0), _model(state, 0), (), frames, ()
    )
    image = frames.reshape(3, _SIZE_PX, _SIZE_PX, 3) / np.float32(255)
    np.testing.assert_allclose(made['target'], image, atol=1e-6)
    np.testing.assert_allclose(made['source'], image[[2, 0, 1]], atol=1e-6)


class LossTest(absltest.TestCase):
  @pytest.mark.thorough
  def test_three_models_together_have_the_gradients_of_each_alone(self):
    method, keys, (params, state), alone = _alone()
    batches = _batch(3, 1 + _SOURCES, _NUM)
    (losses, _), grads = _jit(jax.vmap(_gradient(method)))(
      keys, params, state, batches
    )
    for index in range(3):
      (loss, _), expected = alone(
        keys[index],
        *(_model(tree, index) for tree in (params, state, batches)),
      )
      self.assertAlmostEqual(losses[index] / loss, 1, places=5)
      _assert_close(self, _model(grads, index), expected, tolerance=1e-4)

  @pytest.mark.slow
  def test_two_devices_have_the_gradients_of_one(self):
    _, keys, (params, state), alone = _alone()
    params, state = _model(params, 0), _model(state, 0)
    batch = _batch(1 + _SOURCES, _NUM)
    (loss, (moved, terms)), grads = alone(keys[0], params, state, batch)
    axis = data_axis.DataAxis('data', 2)
    shared = _gradient(fabnet.make(_config(), axis=axis))

    def step(half):
      result, grads = shared(keys[0], params, state, half)
      return result, axis.mean(grads)

    # What pmap does, but compiled as fast as possible.
    def over_devices(halves):
      out = step(jax.tree.map(lambda leaf: leaf[0], halves))
      return jax.tree.map(lambda leaf: leaf[None], out)

    mesh = jax.sharding.Mesh(jax.devices()[:2], ('data',))
    lie = jax.sharding.PartitionSpec('data')
    halves = interface.Batch(
      np.stack([batch.frames[:, :2], batch.frames[:, 2:]]),
      batch.person.reshape(2, 2),
    )
    (losses, (states, both_terms)), both = _jit(
      jax.shard_map(
        over_devices, mesh=mesh, in_specs=lie, out_specs=lie, check_vma=False
      )
    )(halves)
    np.testing.assert_allclose(losses, [loss, loss], rtol=1e-5)
    for device in range(2):
      _assert_close(self, _model(both, device), grads, tolerance=1e-4)
      for ours, theirs in zip(
        jax.tree.leaves(_model(states, device)),
        jax.tree.leaves(moved),
        strict=True,
      ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
      for name, term in terms.items():
        np.testing.assert_allclose(both_terms[name][device], term, rtol=1e-5)

  @pytest.mark.thorough
  def test_the_loss_is_of_the_window_and_terms_say_which(self):
    _, keys, (params, state), alone = _alone()
    params, state = _model(params, 0), _model(state, 0)
    batch = _batch(1 + _SOURCES, _NUM)
    losses = {}
    for window in ((0, 5), (5, 10), (0, 10)):
      edges = loss_window.start(window)
      (loss, (_, terms)), _ = alone(
        keys[0], params, state.replace(curriculum=edges), batch
      )
      losses[window] = loss
      self.assertAlmostEqual(terms['window_low'], window[0] / 10, places=6)
      self.assertAlmostEqual(terms['window_high'], window[1] / 10, places=6)
      np.testing.assert_allclose(terms['rate_scale'], 1)
    self.assertLess(losses[0, 5], losses[5, 10])
    halves = (losses[0, 5] + losses[5, 10]) / 2
    np.testing.assert_allclose(losses[0, 10], halves, rtol=1e-5)
    np.testing.assert_allclose(terms['whole_batch'], losses[0, 10], rtol=1e-5)


class TrainingTest(absltest.TestCase):
  @pytest.mark.slow
  def test_a_frozen_decoder_keeps_its_weights_and_gathers_the_rest(self):
    config = _config(num_sources=1, freeze_decoder=True)
    config.optim.schedule = 'constant'
    method = fabnet.make(config)
    plan, _ = sampling.make_plan(tiny.cohorts(30)[0], config, seed=0)
    clock = jax.tree.map(jnp.asarray, plan.clock)
    start = _jit(functools.partial(update.init_model, method=method))(clock.key)
    step = _jit(functools.partial(update.train_step, method, config))
    state = start
    for seed in range(2):
      batch = _batch(2, _NUM, seed=seed)
      state, metrics = step(state, clock, (), batch)
    self.assertEqual((state.step, state.failed_step), (2, -1))
    self.assertTrue(metrics['is_active'])

    def change(tree_of, part):
      trees = (tree_of(s)[part] for s in (start, state))
      return optax.tree.norm(jax.tree.map(jnp.subtract, *trees))

    def params(s):
      return s.params

    def statistics(s):
      return s.method_state.statistics

    self.assertEqual(change(params, 'decoder'), 0)
    momentum = state.opt_state[0].trace['decoder']
    self.assertGreater(optax.tree.norm(momentum), 0)
    self.assertGreater(change(statistics, 'decoder'), 0.01)
    self.assertGreater(change(params, 'encoder'), 0)
    self.assertGreater(change(statistics, 'encoder'), 0.01)
    # The mask head has no say with one source.
    self.assertEqual(change(params, 'mask'), 0)
    self.assertEqual(change(statistics, 'mask'), 0)

  def test_the_optimiser_is_pytorch_s_momentum(self):
    optimizer = fabnet.make_optimizer(freeze_decoder=False)
    params = {part: jnp.zeros(()) for part in networks.PARTS}
    state = optimizer.init(params)
    buffer, weight = 0.0, 0.0
    for number in range(1, 5):
      grads = {part: jnp.float32(number) for part in networks.PARTS}
      params, state = update.apply_gradients(
        optimizer, params, state, grads, 0.5
      )
      buffer = 0.9 * buffer + number
      weight -= 0.5 * buffer
    self.assertAlmostEqual(params['decoder'], weight, places=5)


class UseTest(absltest.TestCase):
  def test_embeddings_are_of_the_central_crop_by_running_statistics(self):
    method, _, (params, state), _ = _alone()
    params, state = _model(params, 0), _model(state, 0)
    frames = _frames(3)
    embed = _jit(method.embed)
    ours = embed(params, state, frames)
    self.assertEqual((ours.shape, ours.dtype), ((3, 256), jnp.float32))
    image = fabnet.central(frames.reshape(3, _SIZE_PX, _SIZE_PX, 3))
    nets = networks.Networks(size_px=_SIZE_PX, width=1 / 16)
    expected = _jit(nets.encode)(params, state.statistics, image)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    others = embed(params, state, np.stack([frames[0], *_frames(2, seed=1)]))
    np.testing.assert_array_equal(ours[0], others[0])

  def test_validation_sees_all_examples_in_the_same_places_each_time(self):
    method, _, (params, state), _ = _alone()
    params, state = _model(params, 0), _model(state, 0)
    batch = _batch(1 + _SOURCES, _NUM)
    validate = _jit(method.validate)
    loss = validate(params, state, (), batch)
    other = state.replace(curriculum=loss_window.start((4, 9)))
    self.assertEqual(validate(params, other, (), batch), loss)
    image = fabnet.jittered(
      jax.random.key(0, impl='threefry2x32'),
      batch.frames.reshape(1 + _SOURCES, _NUM, _SIZE_PX, _SIZE_PX, 3),
      epoch=jnp.int32(0),
    )
    nets = networks.Networks(size_px=_SIZE_PX, width=1 / 16)
    transfer = _jit(functools.partial(nets.transfer, train=False))
    outputs, _ = transfer(params, state.statistics, image)
    expected = np.abs(outputs['result'] - image[0]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)

  def test_pictures_can_be_shown(self):
    for num_sources, own in (
      (1, {'source', 'warped'}),
      (2, {f'{n} {i}' for n in ('source', 'warped', 'mask') for i in (1, 2)}),
    ):
      method = fabnet.make(_config(num_sources=num_sources))
      params, state = jax.eval_shape(method.init, jax.random.key(0))
      shapes = jax.eval_shape(
        method.pictures, jax.random.key(0), params, state, (), _frames(3), ()
      )
      self.assertEqual(set(shapes), {'target', 'reconstruction', 'flow'} | own)
      for name, leaf in shapes.items():
        channels = 2 if name == 'flow' else 3
        self.assertEqual(leaf.shape, (3, _SIZE_PX, _SIZE_PX, channels), name)


class MakeTest(parameterized.TestCase):
  @parameterized.parameters(
    ({'crop': 'tight'}, "crop is 'tight'; expected one of jittered"),
    ({'window': (5, 5)}, r'window is \(5, 5\)'),
    ({'window': (0, 10)}, 'window_end is 9'),
    ({'window_end': 11}, 'window_end is 11'),
    ({'patience': -1}, 'patience is -1'),
  )
  def test_fields_that_cannot_be_are_named(self, fields, message):
    with self.assertRaisesRegex(
      ValueError, f'method.fabnet.{message}|{message}'
    ):
      fabnet.check(_config(**fields))

  def test_a_size_that_is_no_power_of_two_is_named(self):
    config = _config()
    config.data.size_px = 48
    with self.assertRaisesRegex(ValueError, 'data.size_px is 48'):
      fabnet.check(config)

  def test_other_pairings_are_refused(self):
    config = _config()
    config.curriculum.pairing = 'gap'
    with self.assertRaisesRegex(
      ValueError, "pairing is 'gap'.* expected views"
    ):
      fabnet.check(config)

  def test_an_example_is_a_target_and_its_sources(self):
    method = fabnet.make(_config(num_sources=3))
    self.assertEqual((method.num_members, method.shared), (4, ()))
    self.assertEqual(sampling.num_members(_config(num_sources=3).curriculum), 4)


if __name__ == '__main__':
  absltest.main()
