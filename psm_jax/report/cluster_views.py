"""What launch.discover found in a run, as figures and tables."""

from psm_jax.discovery import novelty
from psm_jax.report import cluster_figures, clusters, evidence, formats, tables

_MAX_MAPS = 30
_MAX_OPEN = 6  # Maps of more people are folded away.


def section(read: evidence.Evidence) -> dict | None:
  """Returns the section, None if nothing was discovered."""
  made = clusters.read(read.folder)
  if made is None:
    return None
  people = list(dict.fromkeys(made.similarities['person_id']))
  maps = [
    (cluster_figures.similarity(made, person), _numbers(made, person))
    for person in people[:_MAX_MAPS]
  ]
  novel = made.novel
  return {
    'sentences': clusters.summarise(made),
    'people': _people(made),
    'profiles': cluster_figures.profiles(made),
    'occupancy': cluster_figures.occupancy(made),
    'maps': maps[:_MAX_OPEN],
    'more_maps': maps[_MAX_OPEN:],
    'shown': f'{formats.count(len(maps))} of {formats.people(len(people))}',
    'source': made.source,
    'threshold': formats.score(novelty.THRESHOLD, places=1),
    'flows': cluster_figures.flows(made),
    'lacks_flows': len(novel) and made.flows.empty,
    'novel': _novel(made, novel) if len(novel) else None,
  }


def _people(made: clusters.Discovery) -> tables.Table:
  """Returns the counts of each person."""
  others = made.others.groupby('person_id')['num_clusters'].mean()
  columns = {
    'Frames': ('num_frames', formats.count),
    'Clusters': ('num_clusters', formats.count),
    f'Clusters of {made.against}': ('others', formats.number),
    'In no cluster': ('noise_share', formats.score),
    'Novel, published rule': ('num_novel', formats.count),
    'By chance': ('chance_mean', formats.number),
    'p': ('p_novel', formats.number),
    'Strictly novel': ('num_strictly_novel', formats.count),
  }
  persons = made.persons.assign(others=made.persons['person_id'].map(others))
  return tables.Table(
    'Clusters of each person at the setting that both models share.',
    [*tables.names('Person'), *tables.numbers(*columns)],
    rows=[
      [row['person_id'], *(said(row[name]) for name, said in columns.values())]
      for _, row in persons.iterrows()
    ],
    of='people',
  )


def _novel(made: clusters.Discovery, rows) -> tables.Table:
  """Returns the novel clusters, the strictly novel ones first."""
  return tables.Table(
    'Novel clusters. What is new: share of frames with the action unit, less '
    'that of the nearest that the other model offers.',
    [
      *tables.names('Person, cluster'),
      *tables.texts('Strict rule'),
      *tables.numbers('Frames', 'Occasions', 'Purity'),
      *tables.numbers(f'Purity in {made.against}', 'p, shifted'),
      *tables.texts('What is new', 'Look at'),
    ],
    rows=[
      [
        f'{row["person_id"]}, {clusters.name(row["cluster"])}',
        tables.bold('strictly novel')
        if row['is_strictly_novel'] == 'True'
        else f'fails: {row["fails"].replace("+", ", ")}',
        formats.count(row['size']),
        formats.count(row['num_episodes']),
        formats.score(row['purity']),
        formats.score(row['purity_against']),
        formats.score(row['p_shift'], places=3),
        clusters.what_is_new(made, row) or formats.MISSING,
        clusters.exemplars(made, row) or formats.MISSING,
      ]
      for _, row in rows.iterrows()
    ],
    of='novel clusters',
  )


def _numbers(made: clusters.Discovery, person_id: str) -> tables.Table:
  """Returns the numbers of a person's map."""
  matrix = cluster_figures.matrix(made, person_id)
  return tables.Table(
    f'{person_id}: similarity of the clusters of {made.source} (rows) to '
    f'those of {made.against} (columns).',
    [
      *tables.names('Cluster'),
      *tables.numbers(*map(clusters.name, matrix.columns)),
    ],
    rows=[
      [clusters.name(label), *map(formats.score, values)]
      for label, values in zip(matrix.index, matrix.to_numpy(), strict=True)
    ],
    summary=f'The numbers of {person_id} as a table',
  )
