"""The section of a run's page on its clusters: tables and figures."""

import matplotlib.colors
import matplotlib.patches
import numpy as np
import pandas as pd

from psm_jax.discovery import novelty
from psm_jax.report import (
  cluster_figures,
  clusters,
  comparison_units,
  document,
  figures,
  formats,
  markup,
)

_MAX_PROFILES = 24
_MAX_STRIPS = 24
_MAX_OPEN = 6  # Maps of more people are folded away.
_SHARES = matplotlib.colors.LinearSegmentedColormap.from_list(
  'share', ['#ffffff', '#a9cfe8', '#005a94']
)
# Of frames: what they belong to, from the bottom of a strip to its top.
_KINDS = (
  (clusters.STRICT, figures.RED),
  (clusters.PUBLISHED, figures.ORANGE),
  (clusters.OTHER, figures.BLUE),
  (clusters.NONE, '#e3e6ea'),
)


def section(found: clusters.Discovery, embed: document.Embed) -> markup.Html:
  """Returns the section.

  Args:
    found: The clusters.
    embed: Takes a figure, or None for none, and returns its element.
  """
  return markup.join(
    [
      markup.tag('p', ' '.join(clusters.summarise(found))),
      markup.tag(
        'p',
        'Compare novel clusters with what chance gives before anything else: '
        'the published rule finds some in models that see the same. A strict '
        'verdict says that frames recur, hang together in this model and are '
        'scattered in the other; look at the exemplars.',
        class_='notice',
      ),
      _people(found),
      embed(_profiles(found)),
      embed(_strips(found)),
      _similarities(found, embed),
      embed(cluster_figures.flows(found)),
      _without_flows(found),
      _novel(found),
    ]
  )


def _people(found: clusters.Discovery) -> markup.Html:
  """Returns the counts of each person."""
  others = found.others.groupby('person_id')['num_clusters'].mean()
  lines = [
    [
      row.person_id,
      _count(row.num_frames),
      _count(row.num_clusters),
      formats.number(others.get(row.person_id, np.nan)),
      formats.score(row.noise_share),
      _count(row.num_novel),
      formats.number(row.chance_mean),
      formats.score(row.p_novel, places=3),
      _count(row.num_strictly_novel),
    ]
    for row in found.persons.itertuples()
  ]
  names = ('Frames', 'Clusters', f'Clusters of {found.against}')
  names += ('In no cluster', 'Novel, published rule', 'By chance', 'p')
  table = markup.table(
    'Clusters of each person at the setting that both models share.',
    [
      markup.Column('Person', 'name'),
      *(markup.Column(name) for name in (*names, 'Strictly novel')),
    ],
    rows=lines,
  )
  return markup.fold_long(table, len(lines), 'people')


def _novel(found: clusters.Discovery) -> markup.Html | None:
  """Returns the novel clusters, the strictly novel ones first."""
  rows = clusters.in_order(found)
  if rows.empty:
    return None
  lines = []
  for _, row in rows.iterrows():
    is_strict = row['is_strictly_novel'] == 'True'
    fails = row['fails'].replace('+', ', ')
    lines.append(
      [
        f'{row["person_id"]}, {clusters.name(row["cluster"])}',
        markup.tag('b', 'strictly novel') if is_strict else f'fails: {fails}',
        _count(row['size']),
        _count(row['num_episodes']),
        formats.score(row['purity']),
        formats.score(row['purity_against']),
        formats.score(row['p_shift'], places=3),
        clusters.what_is_new(found, row) or formats.MISSING,
        clusters.exemplars(found, row) or formats.MISSING,
      ]
    )
  table = markup.table(
    'Novel clusters. What is new: share of frames with the action unit, less '
    'that of the nearest that the other model offers.',
    [
      markup.Column('Person, cluster', 'name'),
      markup.Column('Strict rule', 'text'),
      *(markup.Column(n) for n in ('Frames', 'Occasions', 'Purity')),
      markup.Column(f'Purity in {found.against}'),
      markup.Column('p, shifted'),
      *(markup.Column(n, 'text') for n in ('What is new', 'Look at')),
    ],
    rows=lines,
  )
  return markup.fold_long(table, len(lines), 'novel clusters')


def _similarities(
  found: clusters.Discovery, embed: document.Embed
) -> markup.Html | None:
  """Returns the maps of how alike clusters are, person by person."""
  people = list(dict.fromkeys(found.similarities['person_id']))
  if not people:
    return None
  shown = [
    _similarity(found, person_id, embed)
    for person_id in people[: cluster_figures.MAX_MAPS]
  ]
  threshold = formats.score(novelty.THRESHOLD, places=1)
  text = (
    'How alike the profiles of clusters are, rescaled to 0 for the least and 1 '
    'for the most alike pair of a person, in '
    f'{formats.count(len(shown))} of {formats.people(len(people))}. By the '
    f'published rule a cluster of {found.source} is novel (framed) if no cell '
    f'of its row is above {threshold}, where cells begin to be dark; those in '
    'red are novel by the strict rule too. Noise counts as a cluster.'
  )
  first, more = shown[:_MAX_OPEN], shown[_MAX_OPEN:]
  parts = [
    markup.tag('h3', 'Similarity of clusters'),
    markup.tag('p', text),
    markup.tag('div', first, class_='figures'),
  ]
  if more:
    parts.append(
      markup.fold(
        f'Maps of {formats.count(len(more))} more people',
        markup.tag('div', more, class_='figures'),
      )
    )
  return markup.join(parts)


def _similarity(found, person_id, embed) -> markup.Html:
  """Returns one person's map, and its numbers as a table that is folded."""
  drawn = cluster_figures.similarity(found, person_id)
  matrix = cluster_figures.matrix(found, person_id)
  table = markup.table(
    f'{person_id}: similarity of the clusters of {found.source} (rows) to '
    f'those of {found.against} (columns).',
    [
      markup.Column('Cluster', 'name'),
      *(markup.Column(clusters.name(label)) for label in matrix.columns),
    ],
    rows=[
      [clusters.name(label), *map(formats.score, values)]
      for label, values in zip(matrix.index, matrix.to_numpy(), strict=True)
    ],
  )
  return markup.tag(
    'div',
    embed(drawn),
    markup.fold(f'The numbers of {person_id} as a table', table),
    class_='wide' if drawn.is_wide else None,
  )


def _without_flows(found: clusters.Discovery) -> markup.Html | None:
  """Returns why there are no arrows, if clusters could have some."""
  if clusters.in_order(found).empty or not found.flows.empty:
    return None
  return markup.tag(
    'p',
    'How the face moves in novel clusters is not known: ',
    markup.tag('code', 'launch.discover'),
    ' asks the model for it, unless told not to, where its method draws a '
    'neutral face and its checkpoint and frames are at hand.',
    class_='soft',
  )


def _profiles(found: clusters.Discovery) -> figures.Drawn | None:
  """Returns how often action units are active in clusters."""
  rows = found.clusters[found.clusters['cluster'] != clusters.NOISE]
  rows = rows.sort_values(
    ['is_strictly_novel', 'is_novel', 'size'], ascending=False
  )
  table, names = [], []
  for _, row in rows[:_MAX_PROFILES].iterrows():
    active = clusters.of(found.profiles, row).set_index('au')['active']
    if active.notna().any():
      table.append(active)
      kind = _KINDS[_kind(row)][0].split(' by ')[0]
      mark = '' if kind == 'another cluster' else f', {kind}'
      names.append(
        f'{formats.shorten(row["person_id"])} {int(row["cluster"])}{mark}'
      )
  if not table:
    return None
  shares = pd.DataFrame(table, index=names)
  figure, (axes,) = figures.new(figures.FULL_IN, 0.7 + 0.27 * len(shares))
  axes.imshow(shares, cmap=_SHARES, vmin=0, vmax=1, aspect='auto')
  comparison_units.write_cells(axes, shares.where(shares >= 0.005), 1.0)
  axes.set_xticks(np.arange(shares.shape[1]), list(shares.columns))
  axes.set_yticks(np.arange(len(shares)), names)
  axes.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
  axes.grid(visible=False)
  axes.spines[:].set_visible(False)
  text = (
    f'Profiles of {len(shares)} of {formats.plural(len(rows), "cluster")}: the '
    'share of frames on which each action unit is active. Strictly novel '
    'clusters come first, then novel ones, then the largest.'
  )
  return figures.Drawn('cluster_profiles', figure, text, text)


def _strips(found: clusters.Discovery) -> figures.Drawn | None:
  """Returns what each video's frames belong to over time."""
  if found.occupancy.empty:
    return None
  kinds = {
    (row['model_id'], row['person_id'], row['cluster']): _kind(row)
    for _, row in found.clusters.iterrows()
  }
  videos = list(found.occupancy.groupby(['model_id', 'person_id', 'video_id']))
  shown = videos[:_MAX_STRIPS]
  figure, (axes,) = figures.new(figures.FULL_IN, 0.9 + 0.27 * len(shown))
  for place, ((model_id, person_id, _), rows) in enumerate(shown):
    kind = [
      kinds.get((model_id, person_id, cluster), len(_KINDS) - 1)
      for cluster in rows['cluster']
    ]
    shares = rows.groupby(['bin_start_s', np.array(kind)])['share'].sum()
    shares = shares.unstack(fill_value=0.0)
    _draw_strip(axes, place, shares)
  names = [
    f'{formats.shorten(person)} {formats.shorten(video)}'
    for (_, person, video), _ in shown
  ]
  axes.set_yticks(np.arange(len(shown)), names)
  axes.set_ylim(len(shown) - 0.4, -0.6)
  axes.grid(visible=False)
  axes.tick_params(axis='y', length=0)
  axes.set_xlabel('Time (s)')
  handles = [
    matplotlib.patches.Patch(color=colour, label=name)
    for name, colour in _KINDS
  ]
  figures.legend(figure, handles, columns=4)
  text = (
    f'Where clusters occur, in {len(shown)} of '
    f'{formats.plural(len(videos), "video")}: the height of a colour is its '
    'share of the frames of a stretch of time.'
  )
  return figures.Drawn('cluster_occupancy', figure, text, text)


def _draw_strip(axes, place: int, shares: pd.DataFrame) -> None:
  """Draws one video's shares as stacked bars, the last kind on top."""
  starts = shares.index.to_numpy()
  width = np.diff(starts).min() if len(starts) > 1 else 10.0
  bottom = np.full(len(starts), place + 0.4)
  for kind, (_, colour) in enumerate(_KINDS):
    if kind in shares:
      height = -0.8 * shares[kind].to_numpy()
      axes.bar(
        starts,
        height,
        width=0.97 * width,
        bottom=bottom,
        align='edge',
        color=colour,
        linewidth=0,
      )
      bottom = bottom + height


def _kind(cluster: pd.Series) -> int:
  """Returns which of _KINDS a cluster is."""
  kind = clusters.kind(cluster)
  if cluster['cluster'] == clusters.NOISE:
    kind = clusters.NONE
  return [name for name, _ in _KINDS].index(kind)


def _count(value: float) -> str:
  """Returns a whole number, or a dash."""
  return formats.MISSING if pd.isna(value) else formats.count(value)
