"""Figures of a comparison, action unit by action unit."""

import matplotlib.colors
import numpy as np
import pandas as pd

from psm_jax.report import (
  comparison,
  comparison_figures,
  comparison_findings,
  dots,
  figures,
  formats,
)

_CELL_IN = 0.31
_MAX_UNITS = 30
# Blue where better than the baseline, orange where worse; white is no
# difference. Both ends are dark enough for white text.
_DIVERGING = matplotlib.colors.LinearSegmentedColormap.from_list(
  'difference', ['#a34700', '#f3c9a8', '#ffffff', '#a9cfe8', '#005a94']
)
_DARK = 0.72  # Of the range, from which text is white.


def means(found: comparison.Comparison) -> pd.DataFrame:
  """Returns the mean AUC over people of each action unit.

  Args:
    found: The comparison.

  Returns:
    Index: action units; a column for each approach and control with scores.
  """
  rows = found.scores[found.scores['split'] == found.split]
  by_person = rows.groupby(['source', 'au', 'person_id'])['auc'].mean()
  table = by_person.groupby(['au', 'source']).mean().unstack('source')
  names = [n for n in found.approaches.index if n in table]
  return table.reindex(columns=names).dropna(how='all')


def profile(found: comparison.Comparison) -> figures.Drawn | None:
  """Returns the baseline, the other approaches and the controls by unit."""
  table = means(found)
  if table.empty or found.baseline not in table:
    return None
  units = list(table.index)[:_MAX_UNITS]
  table = table.loc[units]
  rows = np.arange(len(units))
  figure, (axes,) = figures.new(figures.FULL_IN, 1.1 + 0.36 * len(units))
  axes.axvline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
  controls = [n for n in table if n in found.controls]
  others = [n for n in table if n in found.names and n != found.baseline]
  for name in others:
    axes.scatter(
      table[name],
      rows,
      s=26,
      marker=comparison_figures.marker(found, name),
      color=comparison_figures.OTHER_COLOUR,
      alpha=0.55,
      linewidth=0,
      zorder=3,
    )
  for name in controls:
    axes.plot(
      table[name],
      rows,
      figures.marker(name),
      color=comparison_figures.CONTROL_COLOUR,
      markeredgecolor='white',
      markersize=6,
      zorder=2.5,
    )
  axes.plot(
    table[found.baseline],
    rows,
    'o',
    color=figures.BLUE,
    markeredgecolor='white',
    markersize=9,
    zorder=4,
  )
  dots.name_rows(
    axes, [f'{u} {formats.ACTION_UNITS.get(u, "")}'.strip() for u in units]
  )
  axes.set_xlabel(
    f'Mean AUC, {formats.within(formats.split(found.split))} (dashed: guessing)'
  )
  dots.score_ticks(axes)
  _profile_legend(figure, found, others, controls)
  base = table[found.baseline]
  texts = [f'{unit} {formats.score(base[unit])}' for unit in units]
  beaten = int((table[controls].max(axis=1) >= base).sum()) if controls else 0
  alt = f'Mean AUC of {found.baseline} by action unit: {", ".join(texts)}.'
  caption = 'Means over the people who show the unit.'
  if controls:
    caption += (
      f' On {formats.count(beaten)} of {formats.plural(len(units), "unit")} '
      f'some control does as well as {found.baseline} or better.'
    )
  return figures.Drawn('approach_units', figure, alt, caption)


def heat(found: comparison.Comparison) -> figures.Drawn | None:
  """Returns the differences to the baseline as a map of unit and approach."""
  table = means(found)
  if found.baseline not in table or table.shape[1] < 2:
    return None
  table = table.loc[list(table.index)[:_MAX_UNITS]]
  less = table.drop(columns=found.baseline).sub(table[found.baseline], axis=0)
  less = less.T
  reach = max(0.05, float(np.nanmax(np.abs(less.to_numpy()))))
  figure, (axes,) = figures.new(
    figures.FULL_IN, 1.0 + _CELL_IN * (len(less) + 1)
  )
  image = axes.imshow(
    less, cmap=_DIVERGING, vmin=-reach, vmax=reach, aspect='auto'
  )
  write_cells(axes, less, reach, is_signed=True)
  axes.set_xticks(np.arange(less.shape[1]), list(less.columns))
  axes.set_yticks(
    np.arange(len(less)),
    [formats.shorten(comparison_findings.label(n)) for n in less.index],
  )
  axes.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
  axes.grid(visible=False)
  axes.spines[:].set_visible(False)
  bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.015)
  bar.outline.set_visible(False)
  bar.set_label(f'AUC − AUC of {formats.shorten(found.baseline)}')
  best, worst = _extremes(less)
  return figures.Drawn(
    'approach_unit_differences',
    figure,
    f'Differences in mean AUC to {found.baseline} for '
    f'{formats.plural(less.shape[1], "action unit")} and {len(less)} '
    f'approaches and controls: from {worst} to {best}.',
    f'Mean AUC less that of {found.baseline}, hundredths written as in .05; '
    'blue is better, orange worse. No interval stands behind a single cell.',
  )


def write_cells(
  axes, table: pd.DataFrame, reach: float, *, is_signed: bool = False
) -> None:
  """Writes the values of a heat map into its cells.

  Args:
    axes: The panel.
    table: What is shown.
    reach: The value of the darkest colour.
    is_signed: Write a plus.
  """
  for row, values in enumerate(table.to_numpy()):
    for column, value in enumerate(values):
      if np.isfinite(value):
        axes.text(
          column,
          row,
          formats.score(value, is_signed=is_signed),
          ha='center',
          va='center',
          fontsize=7,
          color='white' if abs(value) > _DARK * reach else figures.INK,
        )


def _extremes(less: pd.DataFrame) -> tuple[str, str]:
  """Returns the largest and the smallest cell in words."""
  flat = less.stack().dropna()
  return tuple(
    f'{formats.score(flat[at], is_signed=True)} '
    f'({comparison_findings.label(at[0])}, {at[1]})'
    for at in (flat.idxmax(), flat.idxmin())
  )


def _profile_legend(figure, found, others, controls) -> None:
  """Says what the marks of the profile mean."""
  handles = [
    comparison_figures.legend_entry(
      figures.BLUE, 'o', f'{formats.shorten(found.baseline)} (baseline)'
    )
  ]
  if others:
    handles.append(
      comparison_figures.legend_entry(
        comparison_figures.OTHER_COLOUR, 'D', 'another approach'
      )
    )
  handles += [
    comparison_figures.legend_entry(
      comparison_figures.CONTROL_COLOUR,
      figures.marker(name),
      comparison_findings.label(name),
    )
    for name in controls
  ]
  figures.legend(figure, handles, columns=3)
