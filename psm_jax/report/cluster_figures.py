"""Figures of clusters: what they show, when, how alike, how faces move.

I and J clusters of two models of one person.
"""

import matplotlib.colors
import matplotlib.patches
import numpy as np
import pandas as pd

from psm_jax.discovery import novelty
from psm_jax.report import clusters, figures, formats

_MAX_CLUSTERS = 24  # A side of a map; smaller cells cannot hold a number.
_MAX_HALF = 9  # Columns of a map of half the page's width.
_MAX_FLOWS = 30
_MAX_ROWS = 24  # Of profiles and of videos.
_FLOW_COLUMNS = 6
_CELLS = 8  # A flow is told on 8 x 8 cells.
_SHARES = matplotlib.colors.LinearSegmentedColormap.from_list(
  'share', ['#ffffff', '#a9cfe8', '#005a94']
)
# The step is where the published rule begins to call clusters alike.
_ALIKE = matplotlib.colors.LinearSegmentedColormap.from_list(
  'alike',
  [
    *((0.0, '#ffffff'), (novelty.THRESHOLD, '#c3ddef')),
    *((novelty.THRESHOLD, '#2a78b0'), (1.0, '#00406b')),
  ],
  N=1001,
)
# Of frames: what they belong to, from the bottom of a strip to its top.
_KINDS = {
  clusters.STRICT: figures.RED,
  clusters.PUBLISHED: figures.ORANGE,
  clusters.OTHER: figures.BLUE,
  clusters.NONE: '#e3e6ea',
}


def profiles(made: clusters.Discovery) -> figures.Drawn | None:
  """Returns how often action units are active in clusters."""
  rows = made.clusters[made.clusters['cluster'] != clusters.NOISE]
  order = ['is_strictly_novel', 'is_novel', 'size']
  rows = rows.sort_values(order, ascending=False)
  shares = {}
  for _, row in rows[:_MAX_ROWS].iterrows():
    active = clusters.of(made.profiles, row).set_index('au')['active']
    if active.notna().any():
      who = formats.shorten(row['person_id'])
      shares[f'{who} {int(row["cluster"])}{_mark(row)}'] = active
  if not shares:
    return None
  table = pd.DataFrame(shares).T.rename(columns=formats.unit_id)
  figure, (axes,) = figures.new(figures.FULL_IN, 0.7 + 0.27 * len(table))
  shown = table.where(table >= 0.005)
  figures.draw_cells(axes, shown, colours=_SHARES, ends=(0, 1), dark=0.72)
  axes.tick_params(top=True, labeltop=True, labelbottom=False)
  text = (
    f'Profiles of {len(table)} of {formats.plural(len(rows), "cluster")}: the '
    'share of frames on which each action unit is active. Strictly novel '
    'clusters come first, then novel ones, then the largest.'
  )
  return figures.Drawn('cluster_profiles', figure, text, text)


def occupancy(made: clusters.Discovery) -> figures.Drawn | None:
  """Returns what each video's frames belong to over time."""
  if made.occupancy.empty:
    return None
  ids = ['model_id', 'person_id', 'cluster']
  kinds = made.clusters.assign(kind=made.clusters.apply(clusters.kind, axis=1))
  rows = made.occupancy.merge(kinds[[*ids, 'kind']], how='left', on=ids)
  is_none = rows['kind'].isna() | (rows['cluster'] == clusters.NOISE)
  rows['kind'] = rows['kind'].mask(is_none, clusters.NONE)
  videos = list(rows.groupby(['model_id', 'person_id', 'video_id']))
  shown = videos[:_MAX_ROWS]
  figure, (axes,) = figures.new(figures.FULL_IN, 0.9 + 0.27 * len(shown))
  for place, (_, video) in enumerate(shown):
    shares = video.groupby(['bin_start_s', 'kind'])['share'].sum()
    shares = shares.unstack(fill_value=0.0).reindex(columns=_KINDS).fillna(0.0)
    starts = shares.index.to_numpy()
    width = 0.97 * (np.diff(starts).min() if len(starts) > 1 else 10.0)
    bottom = place + 0.4
    for kind, colour in _KINDS.items():
      height = -0.8 * shares[kind].to_numpy()
      look = {'align': 'edge', 'color': colour, 'linewidth': 0}
      axes.bar(starts, height, width=width, bottom=bottom, **look)
      bottom = bottom + height
  names = [(formats.shorten(p), formats.shorten(v)) for (_, p, v), _ in shown]
  figures.name_rows(axes, [' '.join(each) for each in names])
  axes.set_xlabel('Time (s)')
  patch = matplotlib.patches.Patch
  handles = [patch(color=c, label=kind) for kind, c in _KINDS.items()]
  figures.legend(figure, handles, columns=4)
  text = (
    f'Where clusters occur, in {len(shown)} of '
    f'{formats.plural(len(videos), "video")}: the height of a colour is its '
    'share of the frames of a stretch of time.'
  )
  return figures.Drawn('cluster_occupancy', figure, text, text)


def matrix(made: clusters.Discovery, person_id: str) -> pd.DataFrame:
  """Returns [I, J] similarities in [0, 1] of a person's clusters, ascending.

  Rows are of the run, columns of the other model. Of many the novel and the
  largest are taken, and what is nearest to them.
  """
  rows = made.similarities[made.similarities['person_id'] == person_id]
  table = rows.pivot(
    index='cluster', columns='against_cluster', values='normalised'
  )
  theirs = made.clusters[made.clusters['person_id'] == person_id]
  order = theirs.sort_values(['is_novel', 'size'], ascending=False)['cluster']
  kept = [c for c in order if c in table.index][:_MAX_CLUSTERS]
  table = table.loc[sorted(kept)]
  nearest = table.max().sort_values(ascending=False, kind='stable')
  return table[sorted(nearest.index[:_MAX_CLUSTERS])]


def similarity(made: clusters.Discovery, person_id: str) -> figures.Drawn:
  """Returns the map of how alike two models' clusters of a person are."""
  table = matrix(made, person_id)
  theirs = made.clusters[made.clusters['person_id'] == person_id]
  marks = {row['cluster']: _mark(row) for _, row in theirs.iterrows()}
  is_wide = table.shape[1] > _MAX_HALF
  figure, (axes,) = figures.new(
    figures.FULL_IN if is_wide else figures.HALF_IN,
    1.2 + 0.25 * max(4, len(table)),
  )
  names = {c: clusters.name(c) + marks.get(c, '') for c in table.index}
  shown = table.rename(index=names, columns=clusters.name)
  options = {'colours': _ALIKE, 'ends': (0, 1), 'dark': novelty.THRESHOLD}
  image = figures.draw_cells(axes, shown, **options)
  axes.set_ylabel(f'Cluster of {formats.shorten(made.source)}')
  axes.set_xlabel(f'Cluster of {formats.shorten(made.against)}')
  axes.set_title(formats.shorten(person_id))
  for place, label in enumerate(table.index):
    if mark := marks.get(label):
      frame = matplotlib.patches.Rectangle(
        (-0.5, place - 0.46), table.shape[1], 0.92, fill=False, linewidth=1.6
      )
      frame.set_edgecolor(figures.RED if 'strict' in mark else figures.ORANGE)
      frame.set_clip_on(False)
      axes.add_patch(frame)
  bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
  figures.score_ticks(bar.ax.yaxis)
  bar.outline.set_visible(False)
  bar.set_label(f'dark: above {formats.score(novelty.THRESHOLD, places=1)}')
  novel = [clusters.name(label) for label in table.index if marks.get(label)]
  caption = f'{person_id}: {formats.listing(novel) or "none"} framed.'
  rows = made.similarities[made.similarities['person_id'] == person_id]
  total = rows['cluster'].nunique(), rows['against_cluster'].nunique()
  if table.shape != total:
    caption += (
      f' Shown are {len(table)} of {total[0]} of {made.source} and '
      f'{table.shape[1]} of {total[1]} of {made.against}: the novel, the '
      'largest, and what is nearest to them; similarities.csv has all.'
    )
  nearest = [
    f'{names[label]} {formats.score(values.max())} to '
    f'{clusters.name(values.idxmax())}'
    for label, values in table.iterrows()
  ]
  return figures.Drawn(
    f'cluster_similarity_{person_id}',
    figure,
    f'Similarity of the clusters of {person_id} in {made.source} and in '
    f'{made.against}, the largest of each: {"; ".join(nearest)}.',
    caption,
  )


def flows(made: clusters.Discovery) -> figures.Drawn | None:
  """Returns arrows of how the face moves in each novel cluster."""
  fields = []
  for _, row in made.novel.iterrows():
    cells = clusters.of(made.flows, row).sort_values(['row', 'column'])
    if len(cells) == _CELLS**2:
      field = cells[['dy', 'dx']].to_numpy(float)
      fields.append((row, field.reshape(_CELLS, _CELLS, 2)))
  if not fields:
    return None
  shown = fields[:_MAX_FLOWS]
  columns = min(_FLOW_COLUMNS, len(shown))
  lines = -(-len(shown) // columns)
  width = figures.FULL_IN if columns > 3 else figures.HALF_IN
  figure, panels = figures.new(width, 1.9 * lines, rows=lines, columns=columns)
  stretch = figures.stretch(
    np.stack([field for _, field in shown]), reach=1.3 / _CELLS
  )
  largest = []
  for axes, (row, field) in zip(panels, shown, strict=False):
    _draw_flow(axes, field, stretch)
    name = f'{row["person_id"]} {clusters.name(row["cluster"])}'
    is_strict = clusters.kind(row) == clusters.STRICT
    weight = 'bold' if is_strict else 'normal'
    axes.set_title(formats.shorten(name), fontsize=8.5, weight=weight)
    percent = f'{100 * np.linalg.norm(field, axis=-1).max():.1f}%'
    axes.set_xlabel(f'up to {percent}', fontsize=7.5)
    largest.append(f'{name} {percent}, {_where(field)}')
  for axes in panels[len(shown) :]:
    axes.remove()
  number = formats.plural(len(fields), 'novel cluster')
  text = f'How the face moves in {len(shown)} of {number}'
  return figures.Drawn(
    'cluster_flows',
    figure,
    f'{text}; the largest shift in percent of the side and where it is: '
    f'{"; ".join(largest)}.',
    f'{text}, strictly novel ones in bold. An arrow begins at a place of the '
    "neutral face, seen from the front, and points to where the cluster's "
    "frames show it, less where the person's other frames do; arrows are drawn "
    f'{formats.number(stretch)} times as long as the shift, whose largest is '
    "below each in percent of the picture's side. No label is behind it: it "
    'is what the model itself moves to make a neutral face.',
  )


def _mark(cluster: pd.Series) -> str:
  """Returns ', novel' or ', strictly novel', '' of other clusters."""
  kind = clusters.kind(cluster)
  return f', {kind.split(" by ")[0]}' if kind in clusters.NOVEL else ''


def _draw_flow(axes, field: np.ndarray, stretch: float) -> None:
  """Draws the arrows of a flow field, in cells."""
  x, y = np.meshgrid(*(np.arange(_CELLS) + 0.5,) * 2)
  axes.scatter(x, y, s=2.5, color=figures.PALE, linewidth=0)
  down, right = np.moveaxis(field * stretch * _CELLS, -1, 0)
  figures.draw_arrows(axes, x, y, right, down, width=0.014)
  figures.frameless(axes)
  axes.set(xlim=(-0.5, _CELLS + 0.5), ylim=(_CELLS + 0.5, -0.5))
  axes.set_aspect('equal')
  axes.spines[:].set(visible=True, color=figures.PALE)


def _where(field: np.ndarray) -> str:
  """Returns where the largest shift is and leads: 'lower left, up'."""
  length = np.linalg.norm(field, axis=-1)
  row, column = np.unravel_index(length.argmax(), length.shape)
  dy, dx = field[row, column]
  leads = 'to the right' if dx > 0 else 'to the left'
  if abs(dy) >= abs(dx):
    leads = 'down' if dy > 0 else 'up'
  height = ('upper', 'middle', 'lower')[3 * row // _CELLS]
  side = ('left', 'centre', 'right')[3 * column // _CELLS]
  return f'{height} {side}, {leads}'
