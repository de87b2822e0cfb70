import pathlib

import pandas as pd
from absl.testing import absltest

from psm_jax.report import clusters, page
from tests.report import checker

_IDS = {'source': 'psm', 'model_id': 'm-P1', 'person_id': 'P1'}


def _fill(workdir, *, is_strict=True):
  """Writes the clusters of one person: noise, a novel one, a common one."""
  folder = pathlib.Path(workdir) / 'discovery'
  folder.mkdir()
  person = {
    'num_frames': 100,
    'num_clusters': 2,
    'noise_share': 0.3,
    'num_novel': 1,
    'chance_mean': 0.4,
    'p_novel': 0.2,
    'num_strictly_novel': int(is_strict),
  }
  other = {**_IDS, 'source': 'gm', 'model_id': 'all', **person}
  rows = [
    {
      **_IDS,
      'cluster': cluster,
      'size': size,
      'num_episodes': 3,
      'purity': 0.9,
      'purity_against': 0.2,
      'is_novel': cluster == 0,
      'residual': 0.8,
      'p_shift': 0.01,
      'is_strictly_novel': is_strict and cluster == 0,
      'fails': '' if is_strict else 'shift+size',
    }
    for cluster, size in ((-1, 30), (0, 20), (1, 50))
  ]
  profiles = [
    {**_IDS, 'cluster': c, 'au': au, 'active': value, 'residual': new}
    for c in (0, 1)
    for au, value, new in (('AU06', 0.2, 0.05), ('AU12', 0.9, 0.75))
  ]
  exemplar = {'cluster': 0, 'rank': 0, 'video_id': 'v1', 'time_s': 19.75}
  occupancy = [
    {**_IDS, 'video_id': 'v1', 'bin_start_s': t, 'cluster': c, 'share': s}
    for t in (0, 10)
    for c, s in ((-1, 0.3), (0, 0.2), (1, 0.5))
  ]
  tables = {
    'persons': [{**_IDS, **person}, other],
    'clusters': [*rows, {**rows[1], 'source': 'gm', 'model_id': 'all'}],
    'profiles': profiles,
    'exemplars': [{**_IDS, **exemplar}],
    'occupancy': occupancy,
  }
  for name, table in tables.items():
    pd.DataFrame(table).to_csv(folder / f'{name}.csv', index=False)
  return workdir


class ClustersTest(absltest.TestCase):
  def _read(self, **options):
    return clusters.read(_fill(self.create_tempdir().full_path, **options))

  def test_a_run_without_discovery_has_none(self):
    self.assertIsNone(clusters.read(self.create_tempdir().full_path))

  def test_only_clusters_of_the_run_are_taken(self):
    found = self._read()
    self.assertEqual(set(found.clusters['source']), {'psm'})
    self.assertEqual(found.against, 'gm')
    self.assertLen(found.novel, 1)

  def test_the_sentences_set_the_number_beside_chance(self):
    text = ' '.join(clusters.summarise(self._read()))
    self.assertIn('2 clusters were found in 1 person', text)
    self.assertIn('calls 1 of them novel', text)
    self.assertIn('at random it would call 0.4 so', text)
    self.assertIn('In 0 of 1 model the number is above chance', text)
    self.assertIn(
      'lets 1 pass: cluster 0 of P1 (20 frames on 3 occasions; AU12 +.75)', text
    )

  def test_no_strictly_novel_cluster_is_said(self):
    text = ' '.join(clusters.summarise(self._read(is_strict=False)))
    self.assertIn('The strict rule lets 0 pass.', text)

  def test_exemplars_say_where_to_look(self):
    found = self._read()
    cluster = found.novel.iloc[0]
    self.assertEqual(clusters.exemplars(found, cluster), 'v1 at 19.8 s')


class PageTest(absltest.TestCase):
  def test_a_run_with_clusters_has_their_section(self):
    workdir = pathlib.Path(_fill(self.create_tempdir().full_path))
    path = page.write(workdir)
    content = checker.section(path, 'clusters')
    self.assertIn('<b>strictly novel</b>', content)
    self.assertIn('Profiles of 2 of 2 clusters', content)
    self.assertEmpty(checker.parse(path).open)
    names = {file.stem for file in (workdir / 'report').iterdir()}
    self.assertEqual(names, {'cluster_profiles', 'cluster_occupancy'})

  def test_failed_conditions_are_named(self):
    workdir = _fill(self.create_tempdir().full_path, is_strict=False)
    content = checker.section(page.write(workdir), 'clusters')
    self.assertIn('fails: shift, size', content)

  def test_a_run_without_clusters_has_no_such_section(self):
    path = page.write(self.create_tempdir().full_path)
    self.assertNotIn('id="clusters"', path.read_text('utf-8'))


if __name__ == '__main__':
  absltest.main()
