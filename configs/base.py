"""Every field of an experiment with its default; other configs change these.

The defaults are the published full-size model on frame folders.
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.seed = 0

  data = config.data = ml_collections.ConfigDict()
  data.source = 'frame_folder'  # synthetic_faces | frame_folder | store
  data.path = ''  # The folder PERSON/VIDEO/*.jpg, or a finished frame store.
  data.size_px = 64  # A multiple of 16; 64 in the papers.
  data.align = 'none'  # none | eyes: by the landmark columns of labels.csv.
  data.eye_distance = 0.40  # Share of the side, with align = 'eyes'.
  data.fps = 0.0  # Frames a second of frame folders; 0: dataset.json, or 25.
  data.persons = ()  # Person ids to use; () is all.
  data.min_frames = 0  # People with fewer frames are left out, by name.
  data.synthetic = ml_collections.ConfigDict()
  data.synthetic.num_people = 8
  data.synthetic.num_videos = 2
  data.synthetic.num_frames = 300
  data.synthetic.seed = 0
  data.synthetic.fps = 20.0

  method = config.method = ml_collections.ConfigDict()
  method.name = 'facecycle'
  method.width = 1.0  # Multiplies hidden channels; the embedding stays 256.
  method.vgg = 'random'  # random | none | file
  method.vgg_path = ''  # torchvision's vgg19 weights, with vgg = 'file'.
  method.code_std = 0.01  # Initial spread of the two code layers (reference).

  population = config.population = ml_collections.ConfigDict()
  population.cohorts = 'each'  # each: a model a person | all: one of everybody
  population.seeds = (0,)  # A model of each cohort for each seed.
  population.strategy = 'auto'  # auto | vmap | loop
  population.lowering = 'matmul'  # grouped | matmul | unrolled, under vmap
  population.num_devices = 0  # 0 is all that JAX sees.

  train = config.train = ml_collections.ConfigDict()
  train.batch_size = 16  # Examples a step; 16 pairs are 32 images (PSM).
  train.steps = 0  # Steps of each model; 0: train.epochs decides.
  train.epochs = 500  # Epochs of each model's own length (PSM paper).
  train.log_every = 10  # Steps between rows of metrics.csv.
  train.save_minutes = 10.0  # Wall-clock time between checkpoints.
  train.save_steps = 0  # Steps between checkpoints; 0: by the clock alone.

  curriculum = config.curriculum = ml_collections.ConfigDict()
  # fixed (PSM) | repaired | gap (PSM_wCTL) | drawn (GM) | drawn_gap (GM_wCTL)
  # | views (FAb-Net) | clips (CLP); see psm_jax/sampling.py.
  curriculum.pairing = 'fixed'
  # Examples of each person in an epoch: drawn, drawn_gap, views, clips. 450
  # are GM's of all DISFA frames (PSM release).
  curriculum.draws_per_person = 450
  curriculum.num_sources = 1  # Source frames of a target: views.
  curriculum.clip_frames = 5  # Our choice; clips.
  curriculum.clip_gap = 5  # Largest step between frames of clips; our choice.
  gap = curriculum.gap = ml_collections.ConfigDict()
  gap.schedule = 'reference'  # reference | linear | geometric
  gap.unit = 'frames'  # frames | seconds; linear and geometric only
  gap.start = 2.0
  gap.end = 100.0
  gap.full_at = 1.0  # Share of training at which gap.end is reached.
  rate = curriculum.learning_rate = ml_collections.ConfigDict()
  rate.schedule = 'reference'  # reference | constant | cosine
  rate.initial = 8e-5  # PSM release.
  rate.final = 5e-6  # PSM release; from epoch 200 on.
  rate.warmup_steps = 0  # constant and cosine only.
  curriculum.neutral_weight = ()  # (): 1 | (a,) | (a, b): a line over epochs

  augment = config.augment = ml_collections.ConfigDict()
  augment.enabled = True
  augment.crop_scale = (0.95, 1.05)
  augment.crop_aspect = (0.95, 1.05)
  augment.jitter_probability = 0.8
  augment.brightness = 0.05
  augment.contrast = 0.05
  augment.saturation = 0.05
  augment.hue = 0.01
  augment.flip = 'independent'  # independent (published) | shared | none
  augment.flip_probability = 0.5
  return config
