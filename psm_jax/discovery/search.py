"""Movements that one model groups and another does not, person by person.

  compared = search.discover(psm_tables, gm_tables)
  search.write(compared, workdir / 'discovery')

docs/discovery.md says how to read the tables. All but skipped.csv begin with
source,model_id,person_id; rows of both models are there, each against the
other. Empty cells are values that do not exist.

persons.csv, a row per person and model:
  against,num_frames,min_samples,quantile,eps,num_clusters,
  num_clusters_with_noise,noise_share,grid_mean,grid_mean_with_noise,
  grid_difference,num_novel,chance_mean,chance_95,p_novel,num_novel_seed,
  is_above_null,num_strictly_novel,num_strictly_novel_seed,ami_action_units,
  ami_truth
  grid_* are means over the grid; grid_difference is against's count less this
  model's, with noise. chance_* are of num_novel with shuffled labels; *_seed
  is the largest count against another seed of the same model.
settings.csv, a row per setting of the grid:
  method,min_samples,quantile,eps,num_clusters,num_clusters_with_noise,
  noise_share,is_working
clusters.csv, a row per cluster of the working setting, noise is -1:
  against,cluster,size,share,num_episodes,jaccard,purity,overlap_cluster,
  overlap,purity_against,similarity,nearest,is_novel,residual,p_shuffle,p_shift,replicated,
  is_strictly_novel,fails,truth,truth_precision,truth_recall
  is_novel is the published rule. fails names the conditions of strict novelty
  that are not met: noise, size, episodes, residual, shuffle, shift, unseen,
  stability, replication.
profiles.csv, a row per cluster and action unit:
  cluster,au,active,counterpart,residual
exemplars.csv, a row per exemplar frame, the medoid has rank 0:
  cluster,rank,video_id,frame,time_s,mean_distance
occupancy.csv, a row per video, bin of time and cluster:
  video_id,bin_start_s,cluster,num_frames,share
similarities.csv, a row per cluster of the first model and of the other; the
  other way round it is the same:
  cluster,against_cluster,similarity,normalised
  similarity is the published metric, normalised the same rescaled to [0, 1]
  over the person's matrix. Both are written so that they read back as the same
  float64. Clusters in which no action unit is ever active are left out.
flows.csv, a row per novel cluster and cell of 8 x 8, if there are flows:
  cluster,row,column,dy,dx
skipped.csv, a row per person who, or part of whom, could not be compared:
  person_id,part,reason
"""

import collections
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd
import threadpoolctl
import tqdm

from psm_jax.data import embedded
from psm_jax.discovery import matching
from psm_jax.evaluation import features, results, splits

_IDS = ('source', 'model_id', 'person_id')
COLUMNS = {
  'persons': (
    *_IDS,
    'against',
    'num_frames',
    'min_samples',
    'quantile',
    'eps',
    'num_clusters',
    'num_clusters_with_noise',
    'noise_share',
    'grid_mean',
    'grid_mean_with_noise',
    'grid_difference',
    'num_novel',
    'chance_mean',
    'chance_95',
    'p_novel',
    'num_novel_seed',
    'is_above_null',
    'num_strictly_novel',
    'num_strictly_novel_seed',
    'ami_action_units',
    'ami_truth',
  ),
  'settings': (
    *_IDS,
    'method',
    'min_samples',
    'quantile',
    'eps',
    'num_clusters',
    'num_clusters_with_noise',
    'noise_share',
    'is_working',
  ),
  'clusters': (
    *_IDS,
    'against',
    'cluster',
    'size',
    'share',
    'num_episodes',
    'jaccard',
    'purity',
    'overlap_cluster',
    'overlap',
    'purity_against',
    'similarity',
    'nearest',
    'is_novel',
    'residual',
    'p_shuffle',
    'p_shift',
    'replicated',
    'is_strictly_novel',
    'fails',
    'truth',
    'truth_precision',
    'truth_recall',
  ),
  'profiles': (*_IDS, 'cluster', 'au', 'active', 'counterpart', 'residual'),
  'exemplars': (
    *_IDS,
    'cluster',
    'rank',
    'video_id',
    'frame',
    'time_s',
    'mean_distance',
  ),
  'occupancy': (
    *_IDS,
    'video_id',
    'bin_start_s',
    'cluster',
    'num_frames',
    'share',
  ),
  'similarities': (
    *_IDS,
    'cluster',
    'against_cluster',
    'similarity',
    'normalised',
  ),
  'flows': (*_IDS, 'cluster', 'row', 'column', 'dy', 'dx'),
  'skipped': ('person_id', 'part', 'reason'),
}
# Whole numbers and claims that some rows lack stay what they are in pandas.
_WHOLE = ('nearest', 'truth', 'num_novel', 'num_novel_seed')
_WHOLE += ('num_strictly_novel', 'num_strictly_novel_seed')
_CLAIMS = ('is_novel', 'is_strictly_novel', 'is_above_null')


def discover(
  tables_a: Sequence[features.FeatureTable],
  tables_b: Sequence[features.FeatureTable],
  *,
  config: matching.DiscoveryConfig = matching.DEFAULT,
  flows: matching.Flows | None = None,
  show_progress: bool = True,
) -> dict[str, pd.DataFrame]:
  """Clusters two models' embeddings of every person and compares them.

  Of several models of a person on one side the first in order of model_id is
  compared; the others are taken for other seeds of it. A person who cannot be
  compared is recorded in skipped with the reason, and the others go on.

  Args:
    tables_a: Features of one source, e.g. 'psm', any number of persons.
    tables_b: Of another, e.g. 'gm', of the same frames.
    config: How frames are grouped and what counts as novel.
    flows: A table of some of a person's frames to [n, H, W, 2] float, (dy, dx),
      H and W of at least 8: the flow of each frame, e.g. from the neutral face
      to it; None if there is none. Asked once for every model and person with
      novel clusters, so that no more than one person's flows are held. A
      splits.Impossible that it raises is recorded in skipped.
    show_progress: Show a progress bar over the persons.

  Returns:
    The tables of the module's description by their names.

  Raises:
    ValueError: If a side has no tables or two of the same model and person,
      both sides have a table in common, or flows are not one for each frame.
  """
  sides = [_by_person(tables) for tables in (tables_a, tables_b)]
  _check_distinct(tables_a, tables_b)
  rows = collections.defaultdict(list)
  # The matrices are small: more threads take twice the processor's time.
  with threadpoolctl.threadpool_limits(limits=1, user_api='blas'):
    for person_id in tqdm.tqdm(
      sorted(sides[0].keys() | sides[1].keys()),
      desc='discover',
      unit='person',
      disable=not show_progress,
    ):
      try:
        if any(person_id not in side for side in sides):
          raise splits.Impossible('features of one source only')
        compared = matching.compare_person(
          sides[0][person_id],
          sides[1][person_id],
          config=config,
          flows=flows,
        )
      except splits.Impossible as reason:
        rows['skipped'].append(
          {'person_id': person_id, 'part': 'all', 'reason': str(reason)}
        )
        continue
      for name, of_person in compared.items():
        rows[name] += of_person
      if not compared['profiles']:
        rows['skipped'].append(
          {
            'person_id': person_id,
            'part': 'novelty',
            'reason': 'no action-unit labels',
          }
        )
  return {name: _frame(name, rows[name]) for name in COLUMNS}


def write(
  compared: Mapping[str, pd.DataFrame], directory: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each table of `discover` as NAME.csv, see results.write."""
  # Of other floats eight digits are written.
  exact = compared['similarities'].astype(
    dict.fromkeys(('similarity', 'normalised'), str)
  )
  return results.write({**compared, 'similarities': exact}, directory)


def flows_of(workdirs: Mapping[str, str | os.PathLike]) -> matching.Flows:
  """Returns what reads the flows that launch.embed wrote, for `discover`.

  Args:
    workdirs: Source of tables to the run that they are of.
  """

  @functools.cache
  def read(source):
    return {
      (table.model_id, table.person_id): table
      for table in features.read_run(workdirs[source], folder=embedded.FLOWS)
    }

  def flow_of(table):
    if table.source not in workdirs:
      return None
    try:
      flow = read(table.source)[table.model_id, table.person_id]
      if flow.frames.attrs['state'] != table.frames.attrs.get('state'):
        raise ValueError('they are of another state than the embeddings')
      flow = features.at(flow, table.frames)
    except (ValueError, KeyError) as reason:
      raise splits.Impossible(
        f'no flows of {table.model_id} ({reason}); write them with '
        'launch.embed --flows'
      ) from reason
    return flow.features.reshape(
      -1, embedded.FLOW_CELLS, embedded.FLOW_CELLS, 2
    )

  return flow_of


def _by_person(tables):
  """Returns each person's tables in order of model."""
  if not tables:
    raise ValueError('One of the two sources has no feature tables.')
  return features.by_person(sorted(tables, key=lambda table: table.model_id))


def _check_distinct(tables_a, tables_b):
  """Raises an error if a table is on both sides."""
  first, second = (
    {(t.source, t.model_id, t.person_id) for t in tables}
    for tables in (tables_a, tables_b)
  )
  if first & second:
    raise ValueError(
      f'{min(first & second)} is on both sides. Name the two sources apart.'
    )


def _frame(name, rows) -> pd.DataFrame:
  """Returns rows as a table with the columns of its name."""
  table = pd.DataFrame(rows, columns=COLUMNS[name])
  kinds = {c: 'Int64' for c in _WHOLE if c in table}
  kinds |= {c: 'boolean' for c in _CLAIMS if c in table}
  return table.astype(kinds)
