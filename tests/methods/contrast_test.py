import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from psm_jax.methods import contrast
from psm_jax.ops import data_axis

_CLIPS, _FRAMES, _UNITS, _ENTRIES = 3, 5, 6, 20
_IDENTITY = np.array([0, 1, 0], np.int32)
_ONE_DEVICE = data_axis.DataAxis()
# Compiled as fast as possible: what is compared are the formulas.
_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _embeddings(*, num_frames=_FRAMES, seed=0):
  """Returns queries and keys of unit length."""
  generator = np.random.default_rng(seed)
  shape = (2, _CLIPS, num_frames, _UNITS)
  return _unit(generator.standard_normal(shape).astype(np.float32))


def _dictionary(*, seed=1):
  """Returns a dictionary of four people, every fifth entry not yet written."""
  generator = np.random.default_rng(seed)
  keys = _unit(generator.standard_normal((_ENTRIES, _UNITS)).astype('f4'))
  return contrast.Dictionary(
    keys=jnp.asarray(keys),
    identity=jnp.asarray(generator.integers(0, 4, _ENTRIES), jnp.int32),
    is_valid=jnp.arange(_ENTRIES) % 5 > 0,
    position=jnp.int32(0),
  )


def _is_allowed(dictionary):
  others = _IDENTITY[:, None] != np.asarray(dictionary.identity)
  return others & np.asarray(dictionary.is_valid)


@functools.partial(_jit, static_argnames=('num_nearest', 'temperature'))
def _reconstruct(query, is_allowed, dictionary, *, num_nearest, temperature):
  return contrast.reconstruct(
    query,
    is_allowed,
    dictionary,
    num_nearest=num_nearest,
    temperature=temperature,
  )


def _cross_loss(query, keys, identity, dictionary, **options):
  """Returns (loss, share of clips that count) of defaults but for options."""
  values = {
    'kind': 'contrast',
    'negatives': 'clip+batch',
    'num_nearest': 3,
    'min_entries': 1,
    'temperature': 0.1,
    'weight_temperature': 0.05,
    'axis': _ONE_DEVICE,
  }
  return contrast.cross_identity_loss(
    query, keys, identity, dictionary, **(values | options)
  )


@functools.partial(_jit, static_argnames=('kind', 'negatives', 'num_nearest'))
def _cross(query, keys, identity, dictionary, **options):
  """Returns (loss, share), and the gradients of queries and entries."""

  def loss(query, entries):
    return _cross_loss(
      query, keys, identity, dictionary.replace(keys=entries), **options
    )

  return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
    query, dictionary.keys
  )


class DictionaryTest(absltest.TestCase):
  def test_it_is_a_queue_of_the_last_keys(self):
    size, pushed_at_once = 7, 3
    expected = collections.deque(maxlen=size)
    ours = contrast.empty_dictionary(size, 2)
    push = _jit(contrast.push)
    for step in range(6):
      keys = np.full((pushed_at_once, 2), step, np.float32)
      keys[:, 1] = range(pushed_at_once)
      identity = np.arange(pushed_at_once, dtype=np.int32) + 10 * step
      ours = push(ours, keys, identity)
      expected.extend(zip(map(tuple, keys), identity, strict=True))
      # From the oldest entry on.
      turned = np.roll(np.arange(size), -int(ours.position))
      turned = [i for i in turned if ours.is_valid[i]]
      self.assertEqual(
        [(tuple(ours.keys[i]), ours.identity[i]) for i in turned],
        list(expected),
      )
    self.assertTrue(np.all(ours.is_valid))

  def test_zero_has_no_direction_and_a_finite_gradient(self):
    value, gradient = _jit(
      jax.value_and_grad(lambda x: contrast.unit(x).sum())
    )(np.zeros(3, np.float32))
    self.assertEqual(value, 0)
    self.assertTrue(np.all(np.isfinite(gradient)))


_rank = _jit(
  jax.value_and_grad(functools.partial(contrast.rank_loss, margin=0.03))
)
_disc = _jit(
  jax.value_and_grad(
    functools.partial(contrast.disc_loss, temperature=0.1, margin=0.1)
  )
)
_LOSSES = {'rank': _rank, 'disc': _disc}


class TemporalTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.query, self.keys = _embeddings()

  def test_ranking_equals_plain_loops(self):
    losses = []
    for z, k in zip(self.query, self.keys, strict=True):
      for t in range(_FRAMES):
        rings = collections.defaultdict(list)
        for u in range(_FRAMES):
          rings[abs(t - u)].append(np.sum((z[t] - k[u]) ** 2))
        ring_means = [np.mean(rings[r]) for r in range(len(rings))]
        steps = np.maximum(0, 0.03 - np.diff(ring_means))
        losses.append(steps.sum() / len(steps))
    ours, _ = _rank(self.query, self.keys)
    self.assertAlmostEqual(ours / np.mean(losses), 1, places=5)

  def test_discrimination_equals_plain_loops(self):
    losses = []
    for z, k in zip(self.query, self.keys, strict=True):
      for t in range(_FRAMES):
        own = np.exp((z[t] @ k[t] - 0.1) / 0.1)
        others = sum(
          abs(t - u) / (_FRAMES - 1) * np.exp(z[t] @ k[u] / 0.1)
          for u in range(_FRAMES)
          if u != t
        )
        losses.append(-np.log(own / (own + others)))
    ours, _ = _disc(self.query, self.keys)
    self.assertAlmostEqual(ours / np.mean(losses), 1, places=5)

  @parameterized.parameters('rank', 'disc')
  def test_time_may_run_backwards(self, name):
    loss, _ = _LOSSES[name](self.query, self.keys)
    turned, _ = _LOSSES[name](self.query[:, ::-1], self.keys[:, ::-1])
    self.assertAlmostEqual(turned, loss, places=5)

  def test_steadily_growing_distances_have_no_ranking_loss(self):
    angle = 0.3 * np.arange(_FRAMES)
    clip = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[None]
    clip = clip.astype(np.float32)
    # The rings' distances are 2 - 2 cos(0.3 r): the first grows least.
    least = 2 - 2 * np.cos(0.3)
    loss = functools.partial(_jit(contrast.rank_loss), clip, clip)
    self.assertEqual(loss(margin=0.99 * least), 0)
    self.assertGreater(loss(margin=1.01 * least), 0)

  @parameterized.parameters('rank', 'disc')
  def test_a_clip_of_one_frame_has_no_loss(self, name):
    query, keys = _embeddings(num_frames=1)
    loss, gradient = _LOSSES[name](query, keys)
    self.assertEqual(loss, 0)
    np.testing.assert_array_equal(gradient, 0)


class ReconstructTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.query, _ = _embeddings()
    self.dictionary = _dictionary()
    self.is_allowed = _is_allowed(self.dictionary)

  @parameterized.parameters(0, 3, _ENTRIES)
  def test_only_the_nearest_others_have_weight(self, num_nearest):
    rebuilt, weights = _reconstruct(
      self.query,
      self.is_allowed,
      self.dictionary,
      num_nearest=num_nearest,
      temperature=0.05,
    )
    similarity = self.query @ np.asarray(self.dictionary.keys).T
    for clip in range(_CLIPS):
      allowed = np.flatnonzero(self.is_allowed[clip])
      for frame in range(_FRAMES):
        order = allowed[np.argsort(-similarity[clip, frame, allowed])]
        nearest = order[: num_nearest or None]
        expected = np.zeros(_ENTRIES)
        logits = similarity[clip, frame, nearest] / 0.05
        expected[nearest] = np.exp(logits - logits.max())
        expected /= expected.sum()
        np.testing.assert_allclose(weights[clip, frame], expected, atol=1e-5)
        np.testing.assert_array_equal(
          np.asarray(weights[clip, frame])[expected == 0], 0
        )
    np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-5)
    expected = _unit(np.asarray(weights) @ np.asarray(self.dictionary.keys))
    np.testing.assert_allclose(rebuilt, expected, atol=1e-5)

  def test_sharp_weights_choose_the_nearest(self):
    rebuilt, _ = _reconstruct(
      self.query,
      self.is_allowed,
      self.dictionary,
      num_nearest=3,
      temperature=1e-5,
    )
    keys = np.asarray(self.dictionary.keys)
    similarity = np.where(
      self.is_allowed[:, None], self.query @ keys.T, -np.inf
    )
    nearest = keys[np.argmax(similarity, axis=-1)]
    np.testing.assert_allclose(rebuilt, nearest, atol=1e-5)

  def test_fewer_allowed_than_asked_for_are_all_used(self):
    is_allowed = np.zeros((_CLIPS, _ENTRIES), bool)
    is_allowed[:2, :2] = True
    rebuilt, weights = _reconstruct(
      self.query, is_allowed, self.dictionary, num_nearest=3, temperature=0.05
    )
    self.assertTrue(np.all(np.asarray(weights)[:2, :, :2] > 0))
    np.testing.assert_allclose(np.sum(weights, -1)[:2], 1, atol=1e-5)
    # Nothing is allowed to the last clip.
    np.testing.assert_array_equal(weights[2], 0)
    np.testing.assert_array_equal(rebuilt[2], 0)


class CrossIdentityTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.query, self.keys = _embeddings()
    self.dictionary = _dictionary()

  def _rebuilt(self, source):
    rebuilt, weights = _reconstruct(
      source,
      _is_allowed(self.dictionary),
      self.dictionary,
      num_nearest=3,
      temperature=0.05,
    )
    return np.asarray(rebuilt), np.asarray(weights)

  @parameterized.parameters(*contrast.NEGATIVES)
  def test_it_is_the_contrast_with_the_chosen_negatives(self, negatives):
    rebuilt, weights = self._rebuilt(self.query)
    losses = []
    for b in range(_CLIPS):
      for t in range(_FRAMES):
        others = []
        if 'clip' in negatives:
          others += [self.keys[b, u] for u in range(_FRAMES) if u != t]
        if 'batch' in negatives:
          others += [
            key for c in range(_CLIPS) if c != b for key in self.keys[c]
          ]
        if negatives == 'bank':
          free = np.asarray(self.dictionary.is_valid) & (weights[b, t] == 0)
          others += list(np.asarray(self.dictionary.keys)[free])
        own = np.exp(rebuilt[b, t] @ self.keys[b, t] / 0.1)
        total = own + np.exp(np.stack(others) @ rebuilt[b, t] / 0.1).sum()
        losses.append(-np.log(own / total))
    (loss, share), _ = _cross(
      self.query, self.keys, _IDENTITY, self.dictionary, negatives=negatives
    )
    self.assertAlmostEqual(loss / np.mean(losses), 1, places=4)
    self.assertEqual(share, 1)

  def test_attraction_is_to_the_key_s_reconstruction(self):
    rebuilt, _ = self._rebuilt(self.keys)
    (loss, _), (gradient, _) = _cross(
      self.query, self.keys, _IDENTITY, self.dictionary, kind='attract'
    )
    expected = np.mean(1 - np.sum(self.query * rebuilt, axis=-1))
    self.assertAlmostEqual(loss, expected, places=5)
    np.testing.assert_allclose(
      gradient, -rebuilt / (_CLIPS * _FRAMES), atol=1e-6
    )

  @parameterized.parameters(*contrast.CROSS_IDENTITY)
  def test_dictionary_entries_are_constants(self, kind):
    _, grads = _cross(
      self.query, self.keys, _IDENTITY, self.dictionary, kind=kind
    )
    self.assertGreater(np.abs(grads[0]).max(), 1e-3)
    np.testing.assert_array_equal(grads[1], 0)

  def test_names_of_identities_do_not_matter(self):
    names = np.array([7, 3, 11, 5], np.int32)
    ours, _ = _cross(self.query, self.keys, _IDENTITY, self.dictionary)
    renamed = self.dictionary.replace(
      identity=jnp.asarray(names[np.asarray(self.dictionary.identity)])
    )
    theirs, _ = _cross(self.query, self.keys, names[_IDENTITY], renamed)
    self.assertEqual(ours, theirs)

  @parameterized.parameters(*contrast.CROSS_IDENTITY)
  def test_only_clips_with_enough_entries_count(self, kind):
    # Entries of person 1 alone: clip 1 has nobody else's.
    dictionary = self.dictionary.replace(identity=jnp.ones(_ENTRIES, jnp.int32))
    counted = np.array([0, 2])
    options = {'kind': kind}
    if kind == 'contrast':
      options['negatives'] = 'clip'
    enough = int(np.sum(dictionary.is_valid))
    (loss, share), _ = _cross(
      self.query,
      self.keys,
      _IDENTITY,
      dictionary,
      min_entries=enough,
      **options,
    )
    (alone, _), _ = _cross(
      self.query[counted],
      self.keys[counted],
      _IDENTITY[counted],
      dictionary,
      min_entries=1,
      **options,
    )
    self.assertAlmostEqual(loss, alone, places=5)
    self.assertAlmostEqual(share, 2 / 3, places=6)

  @parameterized.product(
    kind=contrast.CROSS_IDENTITY, num_nearest=(0, 3), case=('few', 'empty')
  )
  def test_without_entries_loss_and_gradient_are_zero(
    self, kind, num_nearest, case
  ):
    dictionary, min_entries = self.dictionary, _ENTRIES
    if case == 'empty':
      dictionary = contrast.empty_dictionary(_ENTRIES, _UNITS)
      min_entries = 0
    (loss, share), (gradient, _) = _cross(
      self.query,
      self.keys,
      _IDENTITY,
      dictionary,
      kind=kind,
      num_nearest=num_nearest,
      min_entries=min_entries,
    )
    self.assertEqual((loss, share), (0, 0))
    np.testing.assert_array_equal(gradient, 0)

  def test_clips_of_one_frame_are_told_from_other_clips(self):
    query, keys = _embeddings(num_frames=1)
    (loss, share), _ = _cross(query, keys, _IDENTITY, self.dictionary)
    self.assertGreater(loss, 0)
    self.assertEqual(share, 1)


_PEOPLE, _TRAIT_UNITS, _ACTION_UNITS = 12, 8, 4


def _clips(generator, traits, who):
  """Returns clips [..., T, 12]: who is seen, at twice the size, and doing what.

  An action moves along a line in its four units.
  """
  start, speed = (
    scale * generator.standard_normal((*who.shape, 1, _ACTION_UNITS))
    for scale in (1, 0.5)
  )
  action = start + speed * np.arange(_FRAMES)[:, None]
  trait = np.broadcast_to(
    2 * traits[who][..., None, :], (*who.shape, _FRAMES, _TRAIT_UNITS)
  )
  return np.concatenate([trait, action], axis=-1).astype(np.float32)


def _linear_prediction(inputs, targets, new):
  """Returns what a ridge regression predicts for new inputs."""
  inputs, new = (np.c_[x, np.ones(len(x))] for x in (inputs, new))
  gram = inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1])
  return new @ np.linalg.solve(gram, inputs.T @ targets)


def _probe(kernel, clips, who):
  """Returns R^2 of actions of new people, and accuracy of who is seen."""
  embedded = _unit(clips @ kernel)

  def rows(x):
    return x.reshape(-1, x.shape[-1])

  known = who < _PEOPLE // 2
  actions = clips[..., _TRAIT_UNITS:]
  truth = rows(actions[~known])
  predicted = _linear_prediction(
    rows(embedded[known]), rows(actions[known]), rows(embedded[~known])
  )
  left = np.sum((predicted - truth) ** 2)
  action = 1 - left / np.sum((truth - truth.mean(0)) ** 2)
  person = np.repeat(who, _FRAMES)
  half = len(person) // 2
  votes = _linear_prediction(
    rows(embedded)[:half],
    np.eye(_PEOPLE)[person[:half]],
    rows(embedded)[half:],
  )
  return action, np.mean(votes.argmax(axis=1) == person[half:])


def _train(kernel, data):
  """Returns a linear encoder to four units after 200 steps of both signals."""

  def step(carry, batch):
    kernel, slow, speed, dictionary = carry
    first, second, who = batch
    keys = contrast.unit(second @ slow)

    def loss(kernel):
      query = contrast.unit(first @ kernel)
      return (
        contrast.rank_loss(query, keys, margin=0.03)
        + contrast.disc_loss(query, keys, temperature=0.1, margin=0.1)
        + _cross_loss(
          query,
          keys,
          who,
          dictionary,
          negatives='clip',
          num_nearest=8,
          min_entries=32,
        )[0]
      )

    speed = 0.9 * speed + jax.grad(loss)(kernel)
    kernel = kernel - 0.02 * speed
    slow = 0.95 * slow + 0.05 * kernel
    dictionary = contrast.push(dictionary, keys[:, 0], who)
    return (kernel, slow, speed, dictionary), None

  dictionary = contrast.empty_dictionary(96, kernel.shape[1])
  carry = (kernel, kernel, jnp.zeros_like(kernel), dictionary)
  return jax.lax.scan(step, carry, data)[0][0]


class LearningTest(absltest.TestCase):
  def test_actions_come_forward_and_people_recede(self):
    kernels, data, tests = [], [], []
    for seed in range(3):
      generator = np.random.default_rng(seed)
      traits = generator.standard_normal((_PEOPLE, _TRAIT_UNITS))
      who = np.stack([generator.permutation(_PEOPLE) for _ in range(200)])
      clips = _clips(generator, traits, who)
      views = [
        clips + 0.1 * generator.standard_normal(clips.shape).astype('f4')
        for _ in range(2)
      ]
      data.append((*views, who.astype(np.int32)))
      shape = (_TRAIT_UNITS + _ACTION_UNITS, 4)
      kernels.append(generator.standard_normal(shape).astype('f4') / 3.5)
      seen = np.arange(20 * _PEOPLE) % _PEOPLE
      tests.append((_clips(generator, traits, seen), seen))
    trained = jax.jit(jax.vmap(_train))(
      np.stack(kernels), jax.tree.map(lambda *x: np.stack(x), *data)
    )
    for before, after, (clips, seen) in zip(
      kernels, trained, tests, strict=True
    ):
      old_action, old_person = _probe(before, clips, seen)
      action, person = _probe(np.asarray(after), clips, seen)
      self.assertGreater(action, old_action + 0.1)
      self.assertLess(person, old_person - 0.1)


if __name__ == '__main__':
  absltest.main()
