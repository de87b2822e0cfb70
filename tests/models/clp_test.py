import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from psm_jax.models import clp
from psm_jax.ops import data_axis
from tests import tiny


class NetworksTest(absltest.TestCase):
  def test_the_projector_adds_two_layers_to_resnet_18(self):
    networks = clp.Networks(axis=data_axis.DataAxis())
    params, _ = jax.eval_shape(networks.init, jax.random.key(0))
    sizes = jax.tree.map(lambda leaf: leaf.size, params)
    self.assertEqual(sum(jax.tree.leaves(sizes['encoder'])), 11_176_512)
    # 512 x 512 and 512 x 128, with biases.
    self.assertEqual(
      sum(jax.tree.leaves(sizes['projector'])), 512 * 513 + 128 * 513
    )

  def test_projections_lie_as_the_frames_of_the_clips(self):
    self.enter_context(mock.patch.object(clp, '_STAGES', ((64, 0),)))
    networks = clp.Networks(
      width=1 / 16, projection_size=8, axis=data_axis.DataAxis()
    )
    params, statistics = jax.eval_shape(networks.init, jax.random.key(0))
    params = tiny.filled(params)
    statistics = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), statistics)
    clips = np.random.default_rng(0).standard_normal((2, 3, 16, 16, 3))
    clips = clips.astype(np.float32)
    project = jax.jit(
      functools.partial(networks.project, params, statistics),
      compiler_options={'xla_backend_optimization_level': 0},
    )
    ours, _ = project(clips)
    self.assertEqual(ours.shape, (2, 3, 8))
    # The batch's statistics do not depend on the order of its images.
    turned, _ = project(clips[::-1, ::-1])
    np.testing.assert_allclose(turned[::-1, ::-1], ours, atol=1e-4)
    self.assertGreater(np.abs(turned - ours).max(), 1e-2)


if __name__ == '__main__':
  absltest.main()
