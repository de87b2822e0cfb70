"""What holds for every data set's scan; BP4D's tree serves as the example."""

import os
import pathlib

from absl.testing import absltest, parameterized

from psm_jax.data import prepare
from psm_jax.data.datasets import trees
from tests.data import fake_trees


class ScanTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path) / 'copy'
    fake_trees.bp4d(self.root)

  def scan(self, **options):
    return trees.scan(
      prepare.DATASETS['bp4d'], self.root, trees.Options(**options)
    )

  @parameterized.parameters(
    ({'align': 'eyes'}, "data.align 'eyes' needs landmarks.*bp4d"),
    ({'align': 'nose'}, "data.align 'nose'"),
    ({'eye_distance': 40.0}, 'data.eye_distance'),
    ({'fps': -1.0}, 'data.fps'),
    ({'labels': 'none'}, 'data.tree.labels: .*none is not a folder'),
    ({'images': 'x/*'}, 'data.tree.images: no folder matches'),
    ({'folds': 'folds.csv'}, 'folds.csv'),
    ({'persons': ('F999',)}, 'F999, not found.*F001, M002'),
  )
  def test_an_option_that_cannot_be_used_is_named(self, options, message):
    with self.assertRaisesRegex(ValueError, message):
      self.scan(**options)

  def test_a_missing_root_is_named(self):
    with self.assertRaisesRegex(ValueError, 'data.path'):
      trees.scan(
        prepare.DATASETS['bp4d'], self.root / 'missing', trees.Options()
      )

  def test_an_empty_root_says_what_was_expected(self):
    with self.assertRaisesRegex(ValueError, 'Expected F001/T1/2440.jpg'):
      trees.scan(
        prepare.DATASETS['bp4d'],
        self.create_tempdir().full_path,
        trees.Options(),
      )

  def test_people_are_chosen_by_id(self):
    source = self.scan(persons=('M002',))
    self.assertEqual({v.person_id for v in source.videos}, {'M002'})
    self.assertEqual(source.folds, {'M002': '2'})

  def test_an_undocumented_rate_is_assumed_aloud(self):
    with self.assertLogs(level='WARNING') as logs:
      self.assertEqual(self.scan().videos[0].fps, 25.0)
    self.assertIn('assume 25 frames a second', logs.output[-1])
    self.assertEqual(self.scan(fps=30.0).videos[0].fps, 30.0)

  def test_missing_codes_are_the_users_to_name(self):
    source = self.scan(missing_codes=(9.0, 0.0))
    values = source.videos[0].labels.values
    self.assertTrue(values.loc[2441].loc[['AU01_c']].isna().all())
    reasons = [problem['reason'] for problem in source.problems]
    self.assertIn('1 codes of 2 are not 0 or 1; missing', reasons)

  def test_pictures_without_or_of_one_number_are_reported(self):
    folder = self.root / 'F001' / 'T1'
    fake_trees.picture(folder / 'portrait.jpg')
    fake_trees.picture(folder / '002440.png')
    source = self.scan()
    self.assertEqual(source.videos[0].frames, (2438, 2439, 2440, 2441))
    reasons = {
      pathlib.Path(p['path']).name: p['reason'] for p in source.problems
    }
    self.assertIn('no usable frame number', reasons['portrait.jpg'])
    self.assertIn('same frame number as', reasons['2440.jpg'])

  def test_pictures_of_nobody_are_counted(self):
    fake_trees.picture(self.root / 'samples' / '1.jpg')
    source = self.scan()
    self.assertIn(
      {
        'path': 'copy/samples',
        'reason': '1 pictures of nobody known by their path; not read',
      },
      source.problems,
    )

  def test_links_to_folders_are_followed_even_in_a_circle(self):
    (self.root / 'F001').rename(self.root.parent / 'F001')
    (self.root / 'F001').symlink_to(self.root.parent / 'F001')
    self.assertLen(self.scan().videos, 4)
    (self.root / 'again').symlink_to(self.root)
    with self.assertRaisesRegex(ValueError, 'Two folders hold pictures'):
      self.scan()

  def test_the_fingerprint_follows_pictures_labels_and_options(self):
    def fingerprint(**options):
      return self.scan(**options).fingerprint

    before = fingerprint()
    self.assertEqual(fingerprint(), before)
    self.assertNotEqual(fingerprint(fps=24.0), before)
    self.assertNotEqual(fingerprint(persons=('F001',)), before)
    path = self.root / 'AUCoding' / 'AU_OCC' / 'F001_T1.csv'
    path.write_text(path.read_text().replace('2440,1', '2440,0'))
    labelled = fingerprint()
    self.assertNotEqual(labelled, before)
    os.utime(self.root / 'F001' / 'T1' / '2440.jpg', ns=(1, 1))
    self.assertNotEqual(fingerprint(), labelled)

  def test_the_fingerprint_does_not_depend_on_the_place(self):
    before = self.scan().fingerprint
    moved = self.root.with_name('moved')
    self.root.rename(moved)
    self.root = moved
    self.assertEqual(self.scan().fingerprint, before)


if __name__ == '__main__':
  absltest.main()
