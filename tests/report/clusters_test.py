import dataclasses
import pathlib
import shutil

import matplotlib.quiver
import numpy as np
import pandas as pd
from absl.testing import absltest

from psm_jax.report import cluster_figures, clusters, figures, page
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
  similar = {-1: (0.9, 0.2), 0: (0.75, 0.0), 1: (0.3, 1.0)}
  similarities = [
    {**_IDS, 'cluster': c, 'against_cluster': g, 'normalised': value}
    for c, values in similar.items()
    for g, value in zip((-1, 3), values, strict=True)
  ]
  flows = [
    {
      **_IDS,
      'cluster': 0,
      'row': row,
      'column': column,
      'dy': -0.04 if (row, column) == (1, 6) else 0.0,
      'dx': 0.01,
    }
    for row in range(8)
    for column in range(8)
  ]
  tables = {
    'persons': [{**_IDS, **person}, other],
    'clusters': [*rows, {**rows[1], 'source': 'gm', 'model_id': 'all'}],
    'profiles': profiles,
    'exemplars': [{**_IDS, **exemplar}],
    'occupancy': occupancy,
    'similarities': similarities,
    'flows': flows,
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
    made = self._read()
    self.assertEqual(set(made.clusters['source']), {'psm'})
    self.assertEqual(made.against, 'gm')
    self.assertLen(made.novel, 1)

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
    made = self._read()
    cluster = made.novel.iloc[0]
    self.assertEqual(clusters.exemplars(made, cluster), 'v1 at 19.8 s')


class FigureTest(absltest.TestCase):
  def _made(self, novel, *, num_columns=40):
    """Returns a person with clusters of equal size but the novel ones."""
    made = clusters.read(_fill(self.create_tempdir().full_path))
    labels = np.arange(40.0)
    theirs = pd.DataFrame(
      {
        **_IDS,
        'cluster': labels,
        'size': np.where(np.isin(labels, novel), 5, 100 + labels),
        'is_novel': np.where(np.isin(labels, novel), 'True', 'False'),
        'is_strictly_novel': 'False',
      }
    )
    similarities = pd.DataFrame(
      [
        {**_IDS, 'cluster': c, 'against_cluster': g, 'normalised': c * g}
        for c in labels
        for g in range(num_columns)
      ]
    )
    similarities['normalised'] /= similarities['normalised'].max()
    return dataclasses.replace(made, clusters=theirs, similarities=similarities)

  def test_of_many_clusters_the_novel_and_the_largest_are_shown(self):
    table = cluster_figures.matrix(self._made([2, 5]), 'P1')
    self.assertEqual(table.index.tolist(), [2, 5, *range(18, 40)])
    self.assertEqual(table.columns.tolist(), list(range(16, 40)))

  def test_few_columns_take_half_of_the_page(self):
    with figures.style():
      for num_columns, is_wide in ((9, False), (10, True)):
        made = self._made([2], num_columns=num_columns)
        drawn = cluster_figures.similarity(made, 'P1')
        self.assertEqual(drawn.is_wide, is_wide)
        self.assertIn('Shown are 24 of 40 of psm and', drawn.caption)

  def test_cells_are_dark_above_the_threshold_alone(self):
    made = self._made([2], num_columns=4)
    values = [0.5, 0.79, 0.81, 1.0]
    made.similarities['normalised'] = np.resize(values, 160)
    with figures.style():
      drawn = cluster_figures.similarity(made, 'P1')
    axes = drawn.figure.axes[0]
    image = axes.images[0]
    grey = image.cmap(image.norm(values))[:, :3].mean(axis=1)
    self.assertGreater(grey[:2].min(), 0.8)
    self.assertLess(grey[2:].max(), 0.5)
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    self.assertEqual(
      colours,
      {'.50': figures.INK, '.79': figures.INK, '.81': 'white', '1.00': 'white'},
    )

  def test_arrows_lead_from_the_neutral_place_to_that_in_the_frames(self):
    made = clusters.read(_fill(self.create_tempdir().full_path))
    with figures.style():
      drawn = cluster_figures.flows(made)
    axes = drawn.figure.axes[0]
    (quiver,) = (
      c for c in axes.collections if isinstance(c, matplotlib.quiver.Quiver)
    )
    place = np.ravel_multi_index((1, 6), (8, 8))
    np.testing.assert_allclose((quiver.X[place], quiver.Y[place]), (6.5, 1.5))
    self.assertAlmostEqual(quiver.V[place] / quiver.U[place], -4)
    self.assertGreater(quiver.U[place], 0)
    low, high = axes.get_ylim()
    self.assertGreater(low, high)  # Down is down.


class PageTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.workdir = pathlib.Path(absltest.get_default_test_tmpdir()) / 'clusters'
    shutil.rmtree(cls.workdir, ignore_errors=True)
    cls.workdir.mkdir(parents=True)
    cls.path = page.write(_fill(cls.workdir))
    cls.alts = [image['alt'] for image in checker.parse(cls.path).of('img')]

  def test_a_run_with_clusters_has_their_section(self):
    content = checker.section(self.path, 'clusters')
    self.assertIn('<b>strictly novel</b>', content)
    self.assertIn('Profiles of 2 of 2 clusters', content)
    self.assertEmpty(checker.parse(self.path).open)
    names = {file.stem for file in (self.workdir / 'report').iterdir()}
    self.assertEqual(
      names,
      {
        'cluster_profiles',
        'cluster_occupancy',
        'cluster_similarity_P1',
        'cluster_flows',
      },
    )

  def test_similarities_are_told_in_words_and_as_a_table(self):
    (alt,) = (alt for alt in self.alts if alt.startswith('Similarity'))
    self.assertIn(
      'noise .90 to noise; 0, strictly novel .75 to noise; 1 1.00 to 3', alt
    )
    content = checker.section(self.path, 'clusters')
    self.assertIn('P1: 0 framed.', content)
    self.assertIn(
      '<th scope="row" class="name">0</th><td class="number">.75</td>'
      '<td class="number">.00</td>',
      content,
    )

  def test_flows_are_told_in_words(self):
    (alt,) = (alt for alt in self.alts if alt.startswith('How the face moves'))
    self.assertIn('in 1 of 1 novel cluster;', alt)
    self.assertIn('P1 0 4.1%, upper right, up.', alt)

  def test_older_results_without_both_have_the_other_figures(self):
    workdir = pathlib.Path(_fill(self.create_tempdir().full_path))
    for name in ('similarities', 'flows'):
      (workdir / 'discovery' / f'{name}.csv').unlink()
    path = page.write(workdir)
    content = checker.section(path, 'clusters')
    self.assertIn('Profiles of 2 of 2 clusters', content)
    self.assertNotIn('Similarity of clusters', content)
    self.assertIn('How the face moves in novel clusters is not known', content)

  def test_failed_conditions_are_named(self):
    workdir = _fill(self.create_tempdir().full_path, is_strict=False)
    content = checker.section(page.write(workdir), 'clusters')
    self.assertIn('fails: shift, size', content)

  def test_a_run_without_clusters_has_no_such_section(self):
    path = page.write(self.create_tempdir().full_path)
    self.assertNotIn('id="clusters"', path.read_text('utf-8'))


if __name__ == '__main__':
  absltest.main()
