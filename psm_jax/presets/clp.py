"""CLP: one contrastive model of all people of a data set.

  python -m launch.train --config=configs/clp.py --workdir=runs/clp \
      --config.data.path=/data/frames

/data/frames holds PERSON/VIDEO/*.jpg of several people, aligned face crops.
Clips of five frames, ResNet-18 on 112 px. Li and Shan (IEEE TIP 2023) do not
print their settings where we could read them: the numbers are our choice, those
of method.clp too.

This size has not been run here. At an eighth of the width on 64 px, 1,000 steps
of six rendered people gave AUC .788 across videos (pixels .925; BENCHMARKS.md).
"""

from psm_jax.presets import base


def get_config():
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      'data.size_px': 112,
      'method.name': 'clp',
      'method.vgg': 'none',
      'population.cohorts': 'all',
      'train.batch_size': 64,  # Clips; 320 frames.
      'train.epochs': 0,
      'train.steps': 100_000,
      'curriculum.pairing': 'clips',
      'curriculum.clip_frames': 5,
      'curriculum.clip_gap': 5,
    }
  )
  optim = config.optim
  optim.schedule = 'cosine'
  # 0.03 for 256 frames a step (MoCo), times 320 / 256.
  optim.learning_rate = 0.0375
  optim.final_learning_rate = 0.0
  optim.warmup_steps = 5_000  # A twentieth of training.
  augment = config.augment
  augment.crop_scale = (0.8, 1.0)
  augment.crop_aspect = (1.0, 1.0)
  augment.brightness = augment.contrast = augment.saturation = 0.4
  augment.hue = 0.1
  augment.flip = 'shared'  # By all frames of a clip.
  return config
