"""Every field of an experiment with its default; other configs change these.

The defaults are the published full-size model on frame folders.
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.seed = 0

  data = config.data = ml_collections.ConfigDict()
  # synthetic_faces | frame_folder | video_folder (of launch.ingest) | disfa |
  # bp4d | gft | ckplus | voxceleb1 | voxceleb2 | store
  data.source = 'frame_folder'
  data.path = ''  # PERSON/VIDEO/*.jpg, a data set, or a frame store or pack.
  data.feed = 'auto'  # auto | resident | stream, see psm_jax/engine/feed.py.
  data.size_px = 64  # A multiple of 16; 64 in the papers.
  # none | eyes: by labels.csv, or by CK+'s landmarks | landmarks: those that
  # launch.ingest --detector=landmarker found in videos.
  data.align = 'none'
  data.eye_distance = 0.40  # Share of the side, unless align = 'none'.
  data.fps = 0.0  # Frames a second; 0: dataset.json's, the data set's, or 25.
  data.persons = ()  # Person ids to use; () is all.
  data.min_frames = 0  # People with fewer frames are left out, by name.
  # Where a copy of disfa, bp4d, gft, ckplus or voxceleb differs from the tree
  # in docs/datasets.md; folders are below data.path or absolute.
  data.tree = ml_collections.ConfigDict()
  data.tree.images = ''  # Glob of the pictures' folders; '': all of data.path.
  data.tree.labels = ''  # Folder of the labels; '': the data set's usual one.
  # check | -1 | 0 | 1: a picture's number minus that of its row of labels.
  # check: 0, unless the numbers speak for another, which stops with an error.
  data.tree.label_shift = 'check'
  data.tree.missing_codes = (9.0, 999.0, -1.0)  # Labels that mean not coded.
  data.tree.folds = ''  # CSV of person_id,fold; '': the published, if any.
  data.synthetic = ml_collections.ConfigDict()
  data.synthetic.num_people = 8
  data.synthetic.num_videos = 2
  data.synthetic.num_frames = 300
  data.synthetic.seed = 0
  data.synthetic.fps = 20.0

  method = config.method = ml_collections.ConfigDict()
  method.name = 'facecycle'  # facecycle | fabnet | clp | canonical
  method.width = 1.0  # Multiplies hidden channels; the embedding stays 256.
  method.vgg = 'random'  # random | none | file
  method.vgg_path = ''  # torchvision's vgg19 weights, with vgg = 'file'.
  method.code_std = 0.01  # Initial spread of the two code layers (reference).
  method.ssim_images = 'normalised'  # normalised (published) | positive
  # Of FaceCycle, see psm_jax/methods/facecycle.py; the published values.
  method.encoder = 'published'  # published | plain
  method.weigh_regions = False  # Eyes, brows and mouth, of eye-aligned frames.
  method.neutral_consistency = 0.0  # Weight between a pair's neutral faces.

  fabnet = method.fabnet = ml_collections.ConfigDict()
  # jittered (published, for frames as loose as VoxCeleb's) | centre | whole
  fabnet.crop = 'jittered'
  fabnet.window = (0, 5)  # Tenths of the sorted batch that the loss is of.
  fabnet.window_end = 9  # Where the window stays; published: from .9 on.
  fabnet.patience = 15  # Epochs without a better validation before it moves.
  fabnet.freeze_decoder = False  # Stage 2, with several sources.
  fabnet.upsample_align_corners = False
  fabnet.sample_align_corners = True

  # CLP's paper prints none of these where we could read them: our choice.
  clp = method.clp = ml_collections.ConfigDict()
  clp.stem_px = 7  # Side of ResNet's first kernel, 7 or 3.
  clp.projection_size = 128
  clp.temporal = 'both'  # rank | disc | both
  clp.temporal_weight = 1.0  # 0 leaves the temporal signal out.
  clp.temporal_margin = 0.03  # Growth of squared distance a step in time.
  clp.additive_margin = 0.1
  clp.cross_identity = 'contrast'  # contrast | attract
  clp.cross_identity_weight = 1.0  # 0 leaves the cross-identity signal out.
  # clip | batch | bank | clip+batch; the batch's rewarded identity in a toy.
  clp.negatives = 'clip'
  clp.dictionary_size = 16384
  clp.num_nearest = 32  # 0 is all.
  clp.temperature = 0.1
  clp.weight_temperature = 0.05
  clp.key_momentum = 0.999
  clp.key_momentum_schedule = 'constant'  # constant | cosine
  clp.optimizer = 'sgd'  # sgd | adamw
  clp.weight_decay = 1e-4
  clp.grey_probability = 0.2
  clp.blur_probability = 0.5

  # docs/science.md measures what these are worth.
  canonical = method.canonical = ml_collections.ConfigDict()
  canonical.code_size = 256  # Units of the embedding.
  # The encoder is given a frame's difference to its canonical face as well: for
  # people whom the model will not have seen.
  canonical.sees_difference = False
  # Farthest a pixel of the canonical face moves, in halves of the side; 0: the
  # face is repainted only.
  canonical.reach = 0.25
  # Eyes, mouth and brows of eye-aligned frames count more in the loss.
  canonical.weigh_regions = True
  # Standard deviations of what is done to the encoder's input, see
  # psm_jax/methods/canonical.py.
  canonical.log_gain = 0.1
  canonical.bias = 0.05
  canonical.shift = 0.0
  canonical.turn_deg = 0.0
  canonical.log_scale = 0.0

  init = config.init = ml_collections.ConfigDict()
  # Run, or exported models, that these start from; '': random weights.
  init.path = ''
  # Which of its models a model starts from: one | own | others, see
  # psm_jax/runs/warm_start.py.
  init.match = 'one'

  population = config.population = ml_collections.ConfigDict()
  # each: a model a person | all: one of everybody | others: a model for each
  # person of everybody else.
  population.cohorts = 'each'
  population.seeds = (0,)  # A model of each cohort for each seed.
  population.strategy = 'auto'  # auto | vmap | map | loop
  # auto | float32 | bfloat16; auto is float32 on CPUs, bfloat16 elsewhere.
  population.precision = 'auto'
  population.wave = 0  # Models resident at once; 0 is all.
  # Models of a wave computed together: strategy map (0 is one), and loop on a
  # CPU (0 is one a core, or as many as its memory holds).
  population.chunk = 0
  # auto | grouped | matmul | unrolled: convolutions of stacked models, see
  # psm_jax/ops/conv.py.
  population.lowering = 'auto'
  population.num_devices = 0  # 0 is all that JAX sees.
  # Devices share each model's batch, instead of the models: for a general
  # model on several devices.
  population.data_parallel = False

  train = config.train = ml_collections.ConfigDict()
  train.batch_size = 16  # Examples a step; 16 pairs are 32 images (PSM).
  # Parts of a batch computed one after another, gradients averaged: less
  # memory, and faster on CPUs for full-size batches. FaceCycle only.
  train.microbatches = 1
  # Keep no activations within networks, compute them again for the gradient:
  # less memory, about a third more work. FaceCycle only.
  train.remat = False
  train.steps = 0  # Steps of each model; 0: train.epochs decides.
  train.epochs = 500  # Epochs of each model's own length (PSM paper).
  # Share of each person's frames held out for methods that validate (FAb-Net):
  # whole videos if there are enough, else the end of each.
  train.validation_share = 0.0
  train.validation_batches = 4  # Looked at when an epoch ends.
  # How often a model may leave out a step whose loss or gradient is not finite,
  # and go on at half its rate; then it is frozen.
  train.rollbacks = 0
  # Epochs without a better loss after which a model is done: the validation's
  # where the method validates, else the smoothed training loss. 0: never.
  train.patience = 0
  train.compilation_cache = True  # Programs, for the next start; not on CPUs.
  train.log_every = 10  # Steps between rows of metrics.csv.
  train.save_minutes = 10.0  # Wall-clock time between checkpoints.
  train.save_steps = 0  # Steps between checkpoints; 0: by the clock alone.
  # Steps between checkpoints that stay, for launch.learning_curve; 0 keeps only
  # the newest. One is as large as the states: 240 MB a model at full width.
  train.keep_steps = 0

  optim = config.optim = ml_collections.ConfigDict()
  optim.schedule = 'reference'  # reference | constant | cosine
  optim.learning_rate = 8e-5  # At the start; PSM release.
  optim.final_learning_rate = 5e-6  # PSM release; from epoch 200 on.
  optim.warmup_steps = 0  # constant and cosine only.

  curriculum = config.curriculum = ml_collections.ConfigDict()
  # fixed (PSM) | repaired | gap (PSM_wCTL) | drawn (GM) | drawn_gap (GM_wCTL)
  # | views (FAb-Net) | clips (CLP); see psm_jax/sampling/plan.py.
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
  # How often a pair's second image is the mirrored first: 0.5 for GM.
  augment.mirror_probability = 0.0
  return config
