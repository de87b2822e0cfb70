"""Figures of clusters: how alike those of two models are, and how faces move.

I and J clusters of two models of one person.
"""

import matplotlib.axes
import matplotlib.colors
import matplotlib.patches
import numpy as np
import pandas as pd

from psm_jax.discovery import novelty
from psm_jax.report import clusters, figures, formats

MAX_MAPS = 30
_MAX_CLUSTERS = 24  # A side of a map; smaller cells cannot hold a number.
_MAX_HALF = 9  # Columns of a map of half the page's width.
_MAX_FLOWS = 30
_FLOW_COLUMNS = 6
_CELLS = 8  # A flow is told on 8 x 8 cells.
_THRESHOLD = novelty.THRESHOLD
# The step is where the published rule begins to call clusters alike.
_ALIKE = matplotlib.colors.LinearSegmentedColormap.from_list(
  'alike',
  [
    (0.0, '#ffffff'),
    (_THRESHOLD, '#c3ddef'),
    (_THRESHOLD, '#2a78b0'),
    (1.0, '#00406b'),
  ],
  N=1001,
)


def matrix(found: clusters.Discovery, person_id: str) -> pd.DataFrame:
  """Returns the normalised similarities of a person's clusters.

  Args:
    found: The discovery.
    person_id: The person.

  Returns:
    [I, J] in [0, 1]; index: clusters of the run, columns: of the other model,
    both ascending. Of many the novel and the largest are taken, and what is
    nearest to them.
  """
  rows = found.similarities[found.similarities['person_id'] == person_id]
  table = rows.pivot(
    index='cluster', columns='against_cluster', values='normalised'
  )
  own = found.clusters[found.clusters['person_id'] == person_id]
  order = own.sort_values(['is_novel', 'size'], ascending=False)['cluster']
  kept = [c for c in order if c in table.index][:_MAX_CLUSTERS]
  table = table.loc[sorted(kept)]
  nearest = table.max().sort_values(ascending=False, kind='stable')
  return table[sorted(nearest.index[:_MAX_CLUSTERS])]


def similarity(
  found: clusters.Discovery, person_id: str
) -> figures.Drawn | None:
  """Returns the map of how alike two models' clusters of a person are.

  Args:
    found: The discovery.
    person_id: The person.
  """
  table = matrix(found, person_id)
  if table.empty:
    return None
  is_wide = table.shape[1] > _MAX_HALF
  figure, (axes,) = figures.new(
    figures.FULL_IN if is_wide else figures.HALF_IN,
    1.2 + 0.25 * max(4, len(table)),
  )
  image = axes.imshow(table, cmap=_ALIKE, vmin=0, vmax=1, aspect='auto')
  for (row, column), value in np.ndenumerate(table.to_numpy()):
    text = axes.text(
      column,
      row,
      formats.score(value),
      ha='center',
      va='center',
      fontsize=7,
      color='white' if value > _THRESHOLD else figures.INK,
    )
    text.set_in_layout(False)  # Measuring each would take seconds.
  kinds = _novel_kinds(found, person_id)
  names = [
    clusters.name(label) + (f', {kinds[label]}' if label in kinds else '')
    for label in table.index
  ]
  others = [clusters.name(label) for label in table.columns]
  axes.set_yticks(np.arange(len(names)), names)
  axes.set_xticks(np.arange(len(others)), others)
  axes.set_ylabel(f'Cluster of {formats.shorten(found.source)}')
  axes.set_xlabel(f'Cluster of {formats.shorten(found.against)}')
  axes.set_title(formats.shorten(person_id))
  axes.tick_params(length=0)
  axes.grid(visible=False)
  axes.spines[:].set_visible(False)
  _frame_rows(axes, table, kinds)
  _legend(figure, axes, image, is_wide)
  novel = [clusters.name(label) for label in table.index if label in kinds]
  framed = f'{formats.listing(novel)} framed' if novel else 'none framed'
  return figures.Drawn(
    f'cluster_similarity_{person_id}',
    figure,
    _alt(found, person_id, table, kinds),
    f'{person_id}: {framed}.{_left_out(found, person_id, table)}',
  )


def flows(found: clusters.Discovery) -> figures.Drawn | None:
  """Returns arrows of how the face moves in each novel cluster.

  Args:
    found: The discovery.
  """
  shown = []
  novel = clusters.in_order(found)
  for _, row in novel.iterrows():
    cells = clusters.of(found.flows, row)
    if len(cells) == _CELLS**2:
      shown.append((row, _field(cells)))
  if not shown:
    return None
  number, shown = len(shown), shown[:_MAX_FLOWS]
  columns = min(_FLOW_COLUMNS, len(shown))
  lines = -(-len(shown) // columns)
  figure, panels = figures.new(
    figures.FULL_IN if columns > 3 else figures.HALF_IN,
    1.9 * lines,
    rows=lines,
    columns=columns,
  )
  stretch = _stretch(np.stack([field for _, field in shown]))
  for axes, (row, field) in zip(panels, shown, strict=False):
    _draw_flow(axes, field, stretch)
    axes.set_title(
      f'{formats.shorten(row["person_id"], length=12)} '
      f'{clusters.name(row["cluster"])}',
      fontsize=8.5,
      color=figures.INK,
      weight='bold' if clusters.kind(row) == clusters.STRICT else 'normal',
    )
    axes.set_xlabel(f'up to {_largest_percent(field):.1f}%', fontsize=7.5)
  for axes in panels[len(shown) :]:
    axes.remove()
  text = (
    f'How the face moves in {len(shown)} of '
    f'{formats.plural(number, "novel cluster")}'
  )
  largest = [
    f'{row["person_id"]} {clusters.name(row["cluster"])} '
    f'{_largest_percent(field):.1f}%, {_where(field)}'
    for row, field in shown
  ]
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


def _left_out(found, person_id, table: pd.DataFrame) -> str:
  """Returns how many clusters a map shows, if not all."""
  rows = found.similarities[found.similarities['person_id'] == person_id]
  parts = [
    f'{number} of {total} of {source}'
    for number, total, source in (
      (len(table), rows['cluster'].nunique(), found.source),
      (table.shape[1], rows['against_cluster'].nunique(), found.against),
    )
    if number < total
  ]
  if not parts:
    return ''
  return (
    f' Shown are {formats.listing(parts)}: the novel, the largest, and what is '
    'nearest to them; similarities.csv has all.'
  )


def _novel_kinds(found, person_id) -> dict[float, str]:
  """Returns a person's novel clusters and how novel they are, in short."""
  own = found.clusters[found.clusters['person_id'] == person_id]
  kinds = {row['cluster']: clusters.kind(row) for _, row in own.iterrows()}
  return {
    label: kind.split(' by ')[0]
    for label, kind in kinds.items()
    if kind in clusters.NOVEL
  }


def _legend(figure, axes, image, is_wide: bool) -> None:
  """Says what the colours of a map mean."""
  ticks = [0, 0.4, _THRESHOLD, 1]
  bar = figure.colorbar(
    image,
    ax=axes,
    fraction=0.03 if is_wide else 0.06,
    pad=0.02,
    anchor=(0, 1),
    ticks=ticks,
  )
  bar.ax.set_yticklabels([formats.score(tick, places=1) for tick in ticks])
  bar.outline.set_visible(False)
  bar.ax.axhline(_THRESHOLD, color=figures.INK, linewidth=1.2)
  bar.set_label(f'dark: above {formats.score(_THRESHOLD, places=1)}')


def _frame_rows(axes, table: pd.DataFrame, kinds: dict[float, str]) -> None:
  """Draws a frame around the rows of novel clusters."""
  for place, label in enumerate(table.index):
    if label in kinds:
      is_strict = kinds[label] == clusters.STRICT
      axes.add_patch(
        matplotlib.patches.Rectangle(
          (-0.5, place - 0.46),
          table.shape[1],
          0.92,
          fill=False,
          edgecolor=figures.RED if is_strict else figures.ORANGE,
          linewidth=1.6,
          clip_on=False,
        )
      )


def _alt(found, person_id, table: pd.DataFrame, kinds: dict) -> str:
  """Returns the nearest of each row in words."""
  texts = []
  for label, values in table.iterrows():
    nearest = values.idxmax()
    text = f'{clusters.name(label)} {formats.score(values[nearest])}'
    text += f' to {clusters.name(nearest)}'
    texts.append(text + (f' ({kinds[label]})' if label in kinds else ''))
  return (
    f'Similarity of the clusters of {person_id} in {found.source} and in '
    f'{found.against}, the largest of each: {", ".join(texts)}.'
  )


def _field(cells: pd.DataFrame) -> np.ndarray:
  """Returns [8, 8, 2] float64, (dy, dx) in sides of the picture."""
  cells = cells.sort_values(['row', 'column'])
  return cells[['dy', 'dx']].to_numpy(float).reshape(_CELLS, _CELLS, 2)


def _stretch(fields: np.ndarray) -> float:
  """Returns how much longer than the shift arrows are drawn, one digit.

  Long arrows reach somewhat further than the next arrow.
  """
  length = float(np.quantile(np.linalg.norm(fields, axis=-1), 0.98))
  if length == 0:
    return 1.0
  wanted = 1.3 / _CELLS / length
  digit = 10 ** np.floor(np.log10(wanted))
  return float(max(1.0, np.floor(wanted / digit) * digit))


def _draw_flow(
  axes: matplotlib.axes.Axes, field: np.ndarray, stretch: float
) -> None:
  """Draws the arrows of a flow field, in cells."""
  x, y = np.meshgrid(*(np.arange(_CELLS) + 0.5,) * 2)
  axes.scatter(x, y, s=2.5, color=figures.PALE, linewidth=0)
  axes.quiver(
    x,
    y,
    field[..., 1] * stretch * _CELLS,
    field[..., 0] * stretch * _CELLS,
    angles='xy',
    scale_units='xy',
    scale=1,
    color=figures.BLUE,
    width=0.014,
    headwidth=3.5,
    headlength=4,
    headaxislength=3.6,
  )
  axes.set(xlim=(-0.5, _CELLS + 0.5), ylim=(_CELLS + 0.5, -0.5))
  axes.set(xticks=[], yticks=[], aspect='equal')
  axes.grid(visible=False)
  axes.spines[:].set_visible(True)
  axes.spines[:].set_color(figures.PALE)


def _largest_percent(field: np.ndarray) -> float:
  """Returns the largest shift in percent of the side."""
  return float(100 * np.linalg.norm(field, axis=-1).max())


def _where(field: np.ndarray) -> str:
  """Returns where the largest shift is and leads: 'lower left, up'."""
  length = np.linalg.norm(field, axis=-1)
  row, column = np.unravel_index(length.argmax(), length.shape)
  dy, dx = field[row, column]
  if abs(dy) >= abs(dx):
    leads = 'down' if dy > 0 else 'up'
  else:
    leads = 'right' if dx > 0 else 'left'
  height = ('upper', 'middle', 'lower')[3 * row // _CELLS]
  side = ('left', 'centre', 'right')[3 * column // _CELLS]
  return (
    f'{height} {side}, to the {leads}'
    if leads in ('left', 'right')
    else (f'{height} {side}, {leads}')
  )
