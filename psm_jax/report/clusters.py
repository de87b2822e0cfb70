"""What launch.discover found in a run: groups of frames, and which are novel.

  found = clusters.read(workdir)

psm_jax/discovery/search.py describes the tables.
"""

import dataclasses
import os
import pathlib

import pandas as pd

from psm_jax.report import formats, reading

FOLDER = 'discovery'
NOISE = -1
_IDS = ('source', 'model_id', 'person_id')
_COLUMNS = {
  'persons': (
    *_IDS,
    *('num_frames', 'num_clusters', 'noise_share', 'num_novel', 'chance_mean'),
    *('p_novel', 'num_strictly_novel'),
  ),
  'clusters': (
    *_IDS,
    *('cluster', 'size', 'num_episodes', 'purity', 'purity_against'),
    *('is_novel', 'residual', 'p_shift', 'is_strictly_novel', 'fails'),
  ),
  'profiles': (*_IDS, 'cluster', 'au', 'active', 'residual'),
  'exemplars': (*_IDS, 'cluster', 'rank', 'video_id', 'time_s'),
  'occupancy': (*_IDS, 'video_id', 'bin_start_s', 'cluster', 'share'),
  'similarities': (*_IDS, 'cluster', 'against_cluster', 'normalised'),
  'flows': (*_IDS, 'cluster', 'row', 'column', 'dy', 'dx'),
}
_FILES = tuple(f'{name}.csv' for name in _COLUMNS)
STRICT = 'strictly novel'
PUBLISHED = 'novel by the published rule'
OTHER = 'another cluster'
NONE = 'no cluster'
NOVEL = (STRICT, PUBLISHED)
_NEW = 0.1  # Share of frames by which a unit must differ to be named as new.


@dataclasses.dataclass(frozen=True)
class Discovery:
  """The clusters of a run.

  Attributes:
    source: The run's name in the tables.
    against: The name of the models it was compared with.
    persons: A row a person and model of the run.
    others: The same of the models compared with.
    clusters: A row a cluster of the run's models; noise is -1.
    profiles: A row a cluster and action unit.
    exemplars: A row a frame that stands for a cluster, rank 0 first.
    occupancy: A row a video, stretch of time and cluster.
    similarities: A row a cluster and cluster of the models compared with.
    flows: A row a novel cluster and cell of 8 x 8.
    written: The files that there are.
  """

  source: str
  against: str
  persons: pd.DataFrame
  others: pd.DataFrame
  clusters: pd.DataFrame
  profiles: pd.DataFrame
  exemplars: pd.DataFrame
  occupancy: pd.DataFrame
  similarities: pd.DataFrame
  flows: pd.DataFrame
  written: tuple[str, ...]

  @property
  def novel(self) -> pd.DataFrame:
    """Clusters that are novel by the published rule."""
    return self.clusters[self.clusters['is_novel'] == 'True']

  @property
  def strictly_novel(self) -> pd.DataFrame:
    """Clusters that are novel by the strict rule."""
    return self.clusters[self.clusters['is_strictly_novel'] == 'True']


def read(workdir: str | os.PathLike) -> Discovery | None:
  """Reads the clusters of a run, None if nothing was discovered.

  Args:
    workdir: The run directory.

  Raises:
    ValueError: If a table lacks a column or cannot be read; names the file.
  """
  folder = pathlib.Path(workdir) / FOLDER
  tables = {
    name: reading.read_table(folder / f'{name}.csv', columns, optional=())
    for name, columns in _COLUMNS.items()
  }
  persons = tables['persons']
  if persons.empty:
    return None
  source = persons['source'].iloc[0]  # launch.discover writes its own first.
  is_own = persons['source'] == source
  others = persons[~is_own]
  return Discovery(
    source=source,
    against=formats.listing(sorted(set(others['source']))) or 'nothing',
    persons=persons[is_own],
    others=others,
    **{
      name: tables[name][tables[name]['source'] == source]
      for name in tables
      if name != 'persons'
    },
    written=tuple(reading.written(folder, _FILES)),
  )


def summarise(found: Discovery) -> list[str]:
  """Returns sentences on how many clusters are novel, and what chance gives."""
  people = found.persons['person_id'].nunique()
  total = int((found.clusters['cluster'] != NOISE).sum())
  sentences = [
    f'{formats.plural(total, "cluster")} were found in '
    f'{formats.people(people)} and compared with those of {found.against}.'
  ]
  if found.persons['num_novel'].notna().any():
    number = formats.count(found.persons['num_novel'].sum())
    chance = formats.number(found.persons['chance_mean'].sum())
    above = int((found.persons['p_novel'] <= 0.05).sum())
    sentences.append(
      f'The published rule calls {number} of them novel; with labels dealt '
      f'out at random it would call {chance} so. In {formats.count(above)} of '
      f'{formats.plural(len(found.persons), "model")} the number is above '
      'chance (p ≤ .05).'
    )
    strict = len(found.strictly_novel)
    sentences.append(
      f'The strict rule lets {formats.count(strict)} pass'
      + (': ' + _named(found) if strict else '')
      + '.'
    )
  else:
    sentences.append(
      'Without labels of action units there is no verdict on novelty.'
    )
  return sentences


def what_is_new(found: Discovery, cluster: pd.Series) -> str:
  """Returns the action units in which a cluster differs: 'AU12 +.45'.

  Args:
    found: The discovery.
    cluster: A row of its clusters.
  """
  own = of(found.profiles, cluster)
  own = own[own['residual'].abs() >= _NEW]
  own = own.sort_values('residual', key=abs, ascending=False)
  texts = [
    f'{row.au} {formats.score(row.residual, is_signed=True)}'
    for row in own.itertuples()
  ]
  return formats.listing(texts, limit=4)


def exemplars(found: Discovery, cluster: pd.Series) -> str:
  """Returns where to look at a cluster: 'video1 at 19.8 s'.

  Args:
    found: The discovery.
    cluster: A row of its clusters.
  """
  own = of(found.exemplars, cluster).sort_values('rank')
  texts = [f'{row.video_id} at {row.time_s:.1f} s' for row in own.itertuples()]
  return formats.listing(texts[:3])


def of(table: pd.DataFrame, cluster: pd.Series) -> pd.DataFrame:
  """Returns the rows of a table that are of one cluster."""
  rows = table[table['cluster'] == cluster['cluster']]
  for name in ('person_id', 'model_id'):
    rows = rows[rows[name] == cluster[name]]
  return rows


def kind(cluster: pd.Series) -> str:
  """Returns what the rules say of a cluster: STRICT, PUBLISHED, OTHER or NONE.

  Args:
    cluster: A row of a discovery's clusters.
  """
  if cluster['is_strictly_novel'] == 'True':
    return STRICT
  if cluster['is_novel'] == 'True':
    return PUBLISHED
  return NONE if cluster['cluster'] == NOISE else OTHER


def name(label: float) -> str:
  """Returns what a cluster is called: its number, or 'noise'."""
  return 'noise' if label == NOISE else str(int(label))


def in_order(found: Discovery) -> pd.DataFrame:
  """Returns the novel clusters, the strictly novel and the newest first."""
  rows = found.clusters.loc[
    found.novel.index.union(found.strictly_novel.index, sort=False)
  ]
  return rows.sort_values(
    ['is_strictly_novel', 'residual'], ascending=[False, False]
  )


def _named(found: Discovery) -> str:
  """Returns the strictly novel clusters in words."""
  texts = []
  for _, row in found.strictly_novel.iterrows():
    new = what_is_new(found, row)
    texts.append(
      f'cluster {int(row["cluster"])} of {row["person_id"]} '
      f'({formats.count(row["size"])} frames on '
      f'{formats.plural(int(row["num_episodes"]), "occasion")}'
      f'{"; " + new if new else ""})'
    )
  return formats.listing(texts, limit=5)
