"""TensorFlow and TensorFlow Datasets, kept off the accelerators.

TensorFlow only decodes pictures here; left alone it would take the memory that
JAX needs. Modules that use it get it from this one:

  from psm_jax.data.tf import tf, tfds

Importing this module changes TensorFlow's visible devices, and quiets its
start-up messages unless TF_CPP_MIN_LOG_LEVEL is set.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import tensorflow as tf  # noqa: E402 (reads the variable above)
import tensorflow_datasets as tfds  # noqa: E402

__all__ = ['tf', 'tfds']

tf.get_logger().setLevel('ERROR')
for _kind in ('GPU', 'TPU'):
  tf.config.set_visible_devices([], _kind)
# Our own bars count frames, which is what a user waits for.
tfds.disable_progress_bar()
