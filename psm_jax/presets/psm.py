"""PSM: a full-size model a person, random pairs, as published.

  python -m launch.train --config=configs/psm.py --workdir=runs/psm \
      --config.data.path=/data/frames

/data/frames holds PERSON/VIDEO/*.jpg. 500 epochs a person (Tazi et al., 2022).
For pretrained VGG19 weights, as published, add --config.method.vgg=file
--config.method.vgg_path=vgg19-dcbb9e9d.pth.

The published size has not been run to its end here: a step takes some 25 s of
two cores. At an eighth of the width on 32 px, 1,000 steps of six rendered
people gave AUC .743 across videos (random weights .659; BENCHMARKS.md).
"""

from psm_jax.presets import base


def get_config():
  return base.get_config()
