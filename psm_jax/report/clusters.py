"""What launch.discover found in a run: groups of frames, and which are novel.

  made = clusters.read(workdir)

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
    'num_frames num_clusters noise_share num_novel chance_mean p_novel '
    'num_strictly_novel'
  ),
  'clusters': (
    'cluster size num_episodes purity purity_against is_novel residual p_shift '
    'is_strictly_novel fails'
  ),
  'profiles': 'cluster au active residual',
  'exemplars': 'cluster rank video_id time_s',
  'occupancy': 'video_id bin_start_s cluster share',
  'similarities': 'cluster against_cluster normalised',
  'flows': 'cluster row column dy dx',
}
STRICT, PUBLISHED = 'strictly novel', 'novel by the published rule'
OTHER, NONE = 'another cluster', 'no cluster'
NOVEL = (STRICT, PUBLISHED)
_NEW = 0.1  # Share of frames by which a unit must differ to be named as new.


@dataclasses.dataclass(frozen=True)
class Discovery:
  """The tables of a run, by their files' names.

  Attributes:
    source: The run's name in the tables, whose rows the others are.
    against: The name of the models it was compared with.
    others: Their rows of persons.
  """

  source: str
  against: str
  others: pd.DataFrame
  persons: pd.DataFrame
  clusters: pd.DataFrame
  profiles: pd.DataFrame
  exemplars: pd.DataFrame
  occupancy: pd.DataFrame
  similarities: pd.DataFrame
  flows: pd.DataFrame

  @property
  def novel(self) -> pd.DataFrame:
    """The novel clusters, the strictly novel and the newest first."""
    flags = self.clusters[['is_novel', 'is_strictly_novel']] == 'True'
    rows = self.clusters[flags.any(axis=1)]
    return rows.sort_values(['is_strictly_novel', 'residual'], ascending=False)


def read(workdir: str | os.PathLike) -> Discovery | None:
  """Reads the clusters of a run, None if nothing was discovered.

  Args:
    workdir: The run directory.

  Raises:
    ValueError: If a table lacks a column or cannot be read; names the file.
  """
  folder = pathlib.Path(workdir) / FOLDER
  tables = {
    name: reading.read_table(
      folder / f'{name}.csv', (*_IDS, *columns.split()), optional=()
    )
    for name, columns in _COLUMNS.items()
  }
  persons = tables['persons']
  if persons.empty:
    return None
  source = persons['source'].iloc[0]  # launch.discover writes its models first.
  others = persons[persons['source'] != source]
  return Discovery(
    source=source,
    against=formats.listing(sorted(set(others['source']))) or 'nothing',
    others=others,
    **{name: t[t['source'] == source] for name, t in tables.items()},
  )


def summarise(made: Discovery) -> list[str]:
  """Returns sentences on how many clusters are novel, and what chance gives."""
  people = formats.people(made.persons['person_id'].nunique())
  total = int((made.clusters['cluster'] != NOISE).sum())
  sentences = [
    f'{formats.plural(total, "cluster")} were found in {people} and compared '
    f'with those of {made.against}.'
  ]
  if made.persons['num_novel'].isna().all():
    text = 'Without labels of action units there is no verdict on novelty.'
    return [*sentences, text]
  number = formats.count(made.persons['num_novel'].sum())
  chance = formats.number(made.persons['chance_mean'].sum())
  above = formats.count((made.persons['p_novel'] <= 0.05).sum())
  sentences.append(
    f'The published rule calls {number} of them novel; with labels dealt out '
    f'at random it would call {chance} so. In {above} of '
    f'{formats.plural(len(made.persons), "model")} the number is above chance '
    '(p ≤ .05).'
  )
  texts = []
  strict = made.novel[made.novel['is_strictly_novel'] == 'True']
  for _, row in strict.iterrows():
    new = what_is_new(made, row)
    texts.append(
      f'cluster {int(row["cluster"])} of {row["person_id"]} '
      f'({formats.count(row["size"])} frames on '
      f'{formats.plural(int(row["num_episodes"]), "occasion")}'
      f'{"; " + new if new else ""})'
    )
  named = ': ' + formats.listing(texts, limit=5) if texts else ''
  return [*sentences, f'The strict rule lets {len(texts)} pass{named}.']


def what_is_new(made: Discovery, cluster: pd.Series) -> str:
  """Returns the action units in which a cluster differs: 'AU12 +.45'."""
  new = of(made.profiles, cluster).set_index('au')['residual']
  new = new[new.abs() >= _NEW].sort_values(key=abs, ascending=False)
  texts = [
    f'{unit} {formats.score(x, is_signed=True)}' for unit, x in new.items()
  ]
  return formats.listing(texts, limit=4)


def exemplars(made: Discovery, cluster: pd.Series) -> str:
  """Returns where to look at a cluster: 'video1 at 19.8 s'."""
  rows = of(made.exemplars, cluster).sort_values('rank')[:3]
  return formats.listing(
    [f'{row.video_id} at {row.time_s:.1f} s' for row in rows.itertuples()]
  )


def of(table: pd.DataFrame, cluster: pd.Series) -> pd.DataFrame:
  """Returns the rows of a table that are of one cluster."""
  ids = ['person_id', 'model_id', 'cluster']
  return table[(table[ids] == cluster[ids]).all(axis=1)]


def kind(cluster: pd.Series) -> str:
  """Returns what the rules say of a cluster: STRICT, PUBLISHED, OTHER, NONE."""
  if cluster['is_strictly_novel'] == 'True':
    return STRICT
  if cluster['is_novel'] == 'True':  # Noise counts as a cluster.
    return PUBLISHED
  return NONE if cluster['cluster'] == NOISE else OTHER


def name(label: float) -> str:
  """Returns what a cluster is called: its number, or 'noise'."""
  return 'noise' if label == NOISE else str(int(label))
