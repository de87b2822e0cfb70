import importlib
import pathlib

from absl.testing import absltest, parameterized

from psm_jax import config_check
from psm_jax.presets import base
from tests import tiny

_CONFIGS = sorted(
  path.stem
  for path in (pathlib.Path(__file__).parents[1] / 'configs').glob('[!_]*.py')
  if path.stem != '__init__'
)
_WRONG = {
  'seed': 2**63,
  'data.source': 'video',
  'data.path': '',
  'data.feed': 'socket',
  'data.align': 'nose',
  'data.size_px': 40,
  'data.min_frames': -1,
  'data.fps': -1.0,
  'data.eye_distance': 0.0,
  'data.persons': ('A', 'B', 'A'),
  'data.tree.label_shift': '2',
  'data.synthetic.num_people': 0,
  'data.synthetic.num_videos': 0,
  'data.synthetic.num_frames': 1,
  'method.name': 'autoencoder',
  'method.vgg': 'pretrained',
  'method.ssim_images': 'bytes',
  'method.encoder': 'resnet',
  'method.neutral_consistency': -1.0,
  'method.width': 0.0,
  'method.code_std': 0.0,
  'init.match': 'all',
  'population.cohorts': 'folds',
  'population.strategy': 'pmap',
  'population.precision': 'float16',
  'population.lowering': 'winograd',
  'population.num_devices': -1,
  'population.seeds': (0, 1, 0),
  'train.batch_size': 0,
  'train.steps': -5,
  'train.epochs': -5,
  'train.log_every': 0,
  'train.save_steps': -1,
  'train.save_minutes': 0.0,
  'curriculum.pairing': 'random',
  'curriculum.gap.schedule': 'stepwise',
  'curriculum.gap.unit': 'minutes',
  'curriculum.gap.start': -1.0,
  'curriculum.gap.end': -1.0,
  'curriculum.gap.full_at': 0.0,
  'optim.schedule': 'linear',
  'optim.learning_rate': 0.0,
  'optim.final_learning_rate': -1e-6,
  'optim.warmup_steps': -1,
  'curriculum.neutral_weight': (1.0, 2.0, 3.0),
  'augment.flip': 'both',
  'augment.crop_scale': (1.0, 0.5),
  'augment.crop_aspect': (0.0, 1.0),
  'augment.jitter_probability': 1.5,
  'augment.flip_probability': -0.5,
  'augment.mirror_probability': 1.5,
  'train.microbatches': 3,
  'augment.hue': 0.6,
  'augment.brightness': -0.1,
}


_ALSO_WRONG = (
  ('seed', -1),
  ('data.size_px', 10**9),
  ('data.path', 'gs://lab/store'),
  ('data.tree.labels', 's3://lab/labels'),
  ('init.path', 'gs://lab/run'),
  ('data.persons', ('a,b',)),
  ('data.persons', (1.5,)),
  ('data.persons', ('../a',)),
  ('data.tree.missing_codes', (9.0, float('nan'))),
  ('population.seeds', (1.5,)),
  ('population.seeds', (True,)),
  ('population.seeds', ('0',)),
  ('population.seeds', (2**31,)),
  ('population.seeds', ()),
  ('train.batch_size', 10**12),
  ('train.steps', 3 * 10**9),
  ('train.epochs', 10**9),
  ('train.validation_share', float('inf')),
  ('optim.learning_rate', float('nan')),
  ('curriculum.gap.end', float('inf')),
  ('augment.hue', float('nan')),
)


def _config(**fields):
  """Returns a config that can be run, with some fields ('.' as '__') set."""
  config = base.get_config()
  config.data.path = 'frames'
  return tiny.changed(config, fields)


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(*_CONFIGS)
  def test_shipped_configs_can_be_run(self, name):
    config = importlib.import_module(f'psm_jax.presets.{name}').get_config()
    if config.data.source != 'synthetic_faces':
      config.data.path = config.data.path or 'frames'
    config_check.check(config)

  @parameterized.parameters(*_WRONG.items(), *_ALSO_WRONG)
  def test_a_wrong_value_is_refused_with_its_field(self, field, value):
    config = _config()
    config_check.check(config)
    config.update_from_flattened_dict({field: value})
    with self.assertRaises(ValueError) as caught:
      config_check.check(config)
    message = str(caught.exception)
    self.assertTrue(message.startswith(f'{field} is '), message)
    self.assertIn(str(value), message)

  def test_ids_of_digits_are_text(self):
    config = _config(data__persons=(101, '007'))
    checked = config_check.checked(config)
    self.assertEqual(checked.data.persons, ('101', '007'))
    self.assertEqual(config.data.persons, (101, '007'))

  @parameterized.product(
    name=('fabnet', 'clp'),
    field=('train.microbatches', 'train.remat'),
  )
  def test_what_only_facecycle_can_is_refused_elsewhere(self, name, field):
    config = importlib.import_module(f'psm_jax.presets.{name}').get_config()
    config.data.path = 'frames'
    config.update_from_flattened_dict(
      {field: 2 if field == 'train.microbatches' else True}
    )
    with self.assertRaisesRegex(ValueError, f'{field} is .*method.name={name}'):
      config_check.check(config)

  @parameterized.parameters((0, 0), (10, 10))
  def test_exactly_one_of_steps_and_epochs_is_wanted(self, steps, epochs):
    config = _config(train__steps=steps, train__epochs=epochs)
    with self.assertRaisesRegex(ValueError, 'train.steps is .*train.epochs'):
      config_check.check(config)

  @parameterized.parameters('start', 'end')
  def test_geometric_widening_needs_gaps_above_zero(self, end):
    config = _config(curriculum__gap__schedule='geometric')
    config_check.check(config)
    config.curriculum.gap[end] = 0.0
    with self.assertRaisesRegex(ValueError, f'^curriculum.gap.{end} is 0.0'):
      config_check.check(config)
    config.curriculum.gap.schedule = 'linear'
    config_check.check(config)

  def test_pretrained_weights_need_a_path(self):
    config = _config(method__vgg='file')
    with self.assertRaisesRegex(ValueError, "^method.vgg_path is ''"):
      config_check.check(config)
    config.method.vgg_path = 'vgg.npz'
    config_check.check(config)

  def test_synthetic_faces_need_no_path(self):
    config_check.check(_config(data__source='synthetic_faces', data__path=''))

  def test_at_least_one_seed_is_wanted(self):
    with self.assertRaisesRegex(ValueError, r'^population.seeds is \(\)'):
      config_check.check(_config(population__seeds=()))

  @parameterized.parameters(8, 0, -16, 17)
  def test_a_size_the_networks_cannot_halve_is_refused(self, size_px):
    with self.assertRaisesRegex(ValueError, '^data.size_px is .*16'):
      config_check.check(_config(data__size_px=size_px))


if __name__ == '__main__':
  absltest.main()
