"""Figures of a comparison: scores, differences, leakage; a row an approach."""

import matplotlib.axes
import matplotlib.lines
import matplotlib.ticker
import numpy as np
import pandas as pd

from psm_jax.report import (
  comparison,
  comparison_findings,
  dots,
  figures,
  findings,
  formats,
)

BASELINE_COLOUR, OTHER_COLOUR = figures.BLUE, figures.GREEN
CONTROL_COLOUR = figures.GREY
OWN_MARKER, SHARED_MARKER, CONTROL_MARKER = 'o', 'D', 's'
_ROW_IN = 0.3
_METRICS = ('auc', 'f1')
_MAX_DOTS = 60  # People that get a dot.
_FLOOR = -1.0  # Scores below are written, or they would hide all others.
# Column, title, what its interval and chance are called.
_LEAKS = (
  ('identity', 'Identity (share right)', 'identity_chance'),
  ('pose_r2', 'Head pose (R²)', None),
  ('retrieval', 'Retrieval in others', None),
)


def scores(found: comparison.Comparison) -> figures.Drawn | None:
  """Returns AUC and F1 of every approach: interval, and a dot a person."""
  columns = [f'{metric}_{found.split}' for metric in _METRICS]
  if not found.has(columns[0]):
    return None
  figure, panels = _panels(found, 2)
  for axes, metric, column in zip(panels, _METRICS, columns, strict=True):
    persons = _person_means(found, metric)
    for place, name in enumerate(found.approaches.index):
      row = found.approaches.loc[name]
      _draw(axes, found, name, place, row[column], _ends(row, column))
      if name in persons:
        _scatter(axes, found, name, place, persons[name])
    base = found.approaches.loc[found.baseline, column]
    axes.axvline(base, color=BASELINE_COLOUR, linewidth=0.8, alpha=0.6)
    axes.set_xlabel(f'{formats.METRICS[metric]}, {_where(found)}')
    dots.score_ticks(axes)
  panels[0].axvline(0.5, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
  _legend(figure, found, has_dots=len(found.scores) > 0)
  texts = [
    f'{_label(name)} {formats.score(row[columns[0]])}'
    for name, row in found.approaches.iterrows()
  ]
  return figures.Drawn(
    'approaches',
    figure,
    f'Mean AUC, {_where(found)}: {"; ".join(texts)}.',
    'Mean over people with its 95% interval for other people, and a dot for '
    'each person. The line is the baseline, the dashed one guessing. Whether '
    'two approaches differ is for the next figure to say: intervals of means '
    'may overlap where the differences of the same people do not.',
  )


def differences(found: comparison.Comparison) -> figures.Drawn | None:
  """Returns differences to the baseline in AUC and F1, a dot a person."""
  keys = found.differences
  names = [n for n in found.approaches.index if n != found.baseline]
  names = [n for n in names if (n, 'auc', found.split) in keys]
  if not names:
    return None
  figure, panels = _panels(found, 2, names=names)
  for axes, metric in zip(panels, _METRICS, strict=True):
    paired = person_differences(found, metric)
    for place, name in enumerate(names):
      d = keys.get((name, metric, found.split))
      if d is None:
        continue
      _draw(
        axes,
        found,
        name,
        place,
        d.mean,
        (d.low, d.high),
        is_hollow=d.verdict == findings.NOT_ESTABLISHED,
      )
      if name in paired:
        _scatter(axes, found, name, place, paired[name])
    axes.axvline(0, color=figures.GREY, linewidth=1)
    axes.set_xlabel(
      f'{formats.METRICS[metric]} − {formats.METRICS[metric]} of '
      f'{formats.shorten(found.baseline)}'
    )
    dots.score_ticks(axes, is_signed=True)
  _legend(figure, found, has_dots=len(found.scores) > 0, has_hollow=True)
  texts = [
    f'{_label(d.first)} {formats.score(d.mean, is_signed=True)} ({d.verdict})'
    for d in (keys[name, 'auc', found.split] for name in names)
  ]
  return figures.Drawn(
    'approach_differences',
    figure,
    f'Difference in AUC to {found.baseline}, {_where(found)}: '
    f'{"; ".join(texts)}.',
    f'Each approach and control less the baseline {found.baseline} on the same '
    'people, with the 95% interval, and a dot for each person. An interval '
    'that crosses zero does not establish a difference.',
  )


def leakage(found: comparison.Comparison) -> figures.Drawn | None:
  """Returns identity, head pose and retrieval of every approach."""
  shown = [leak for leak in _LEAKS if found.has(leak[0])]
  if not shown:
    return None
  figure, panels = _panels(found, len(shown))
  texts = []
  for axes, (column, title, chance) in zip(panels, shown, strict=True):
    for place, name in enumerate(found.approaches.index):
      row = found.approaches.loc[name]
      _draw_leak(axes, found, name, place, column)
      if np.isfinite(row[column]):
        texts.append(
          f'{title.split(" (")[0].lower()} of {_label(name)} '
          f'{formats.score(row[column])}'
        )
    zero = 0.0
    if chance is not None:
      zero = found.approaches[chance].dropna().mean()
    if np.isfinite(zero):
      axes.axvline(zero, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1)
    axes.set_title(title)
    axes.set_xlim(max(axes.get_xlim()[0], _FLOOR), None)
    dots.score_ticks(axes)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
  _legend(figure, found, has_dots=False)
  return figures.Drawn(
    'leakage',
    figure,
    f'Means: {"; ".join(texts)}.',
    'What can be read off besides movement, and how well the same movement is '
    'found in other people, with 95% intervals over people. Dashed: chance '
    '(identity, retrieval), the mean angle alone (head pose). A model of one '
    'person has no identity or retrieval: there is nobody else in its space.',
  )


def person_differences(
  found: comparison.Comparison, metric: str
) -> dict[str, pd.Series]:
  """Returns each person's mean difference to the baseline, by approach.

  Over the probes that both have, as the summary pairs them.

  Args:
    found: The comparison.
    metric: 'auc' or 'f1'.
  """
  rows = found.scores[found.scores['split'] == found.split]
  keys = ['person_id', 'direction', 'au', 'source']
  wide = rows.groupby(keys)[_column(metric)].mean().unstack('source')
  if found.baseline not in wide:
    return {}
  less = wide.drop(columns=found.baseline).sub(wide[found.baseline], axis=0)
  return {
    name: less[name].groupby('person_id').mean().dropna() for name in less
  }


def colour(found: comparison.Comparison, name: str) -> str:
  """Returns the colour of a row: baseline, another approach, a control."""
  if name == found.baseline:
    return BASELINE_COLOUR
  is_control = found.approaches.loc[name, 'kind'] == comparison.CONTROL
  return CONTROL_COLOUR if is_control else OTHER_COLOUR


def marker(found: comparison.Comparison, name: str) -> str:
  """Returns the marker of a row: who shares its model."""
  row = found.approaches.loc[name]
  if row['kind'] == comparison.CONTROL:
    return CONTROL_MARKER
  is_shared = row['has_shared_coordinates'] == 'True'
  return SHARED_MARKER if is_shared else OWN_MARKER


def legend_entry(
  look: str, mark: str, text: str, **options
) -> matplotlib.lines.Line2D:
  """Returns a legend entry.

  Args:
    look: Colour.
    mark: Marker.
    text: Label.
    **options: Of the line.
  """
  return matplotlib.lines.Line2D(
    [], [], color=look, marker=mark, linestyle='', label=text, **options
  )


def _panels(found, number, *, names=None):
  """Returns a figure with a row for each name and its panels."""
  names = list(found.approaches.index) if names is None else names
  figure, panels = figures.new(
    figures.FULL_IN,
    1.0 + _ROW_IN * max(3, len(names)),
    columns=number,
    sharey=True,
  )
  labels = [
    _label(n) + (' (baseline)' if n == found.baseline else '') for n in names
  ]
  num_approaches = sum(name in found.names for name in names)
  for axes in panels:
    dots.name_rows(axes, labels)
    if 0 < num_approaches < len(names):
      axes.axhline(num_approaches - 0.5, color=figures.PALE, linewidth=1)
  return figure, panels


def _draw(axes, found, name, place, mean, ends, *, is_hollow=False) -> None:
  """Draws one mean with its interval."""
  dots.draw_intervals(
    axes,
    pd.Series([mean]),
    pd.DataFrame([ends]),
    np.array([place]),
    colour=colour(found, name),
    marker=marker(found, name),
    is_hollow=is_hollow,
  )


def _draw_leak(axes, found, name, place, column) -> None:
  """Draws one value, or writes why it is not drawn."""
  row = found.approaches.loc[name]
  if row[column] >= _FLOOR:
    _draw(axes, found, name, place, row[column], _ends(row, column))
    return
  text = 'no such value'
  if np.isfinite(row[column]):
    text = f'◂ {formats.score(row[column])}'
  axes.text(
    0.02,
    place,
    text,
    transform=axes.get_yaxis_transform(),
    va='center',
    fontsize=7.5,
    color=figures.GREY,
    bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 0.5},
  )


def _scatter(axes, found, name, place, values: pd.Series) -> None:
  """Draws a dot for each person around a row."""
  values = values.dropna()
  if len(values) > _MAX_DOTS:
    return
  offsets = 0.3 * np.linspace(-1, 1, len(values)) if len(values) > 1 else 0.3
  axes.scatter(
    values,
    place + np.broadcast_to(offsets, len(values)),
    s=11,
    color=colour(found, name),
    alpha=0.4,
    linewidth=0,
    zorder=2,
  )


def _person_means(found, metric) -> dict[str, pd.Series]:
  """Returns each person's mean, by approach."""
  means = findings.person_means(found.scores, found.split, metric)
  return {name: means[name] for name in means}


def _legend(figure, found, *, has_dots, has_hollow=False) -> None:
  """Says what colours and markers mean, those that are there."""
  names = list(found.approaches.index)
  looks = dict.fromkeys((colour(found, n), marker(found, n)) for n in names)
  roles = {
    BASELINE_COLOUR: 'baseline',
    OTHER_COLOUR: 'approach',
    CONTROL_COLOUR: 'control',
  }
  sharing = {
    OWN_MARKER: ', person-specific',
    SHARED_MARKER: ', one model of everybody',
    CONTROL_MARKER: '',
  }
  handles = [
    legend_entry(look, mark, f'{roles[look]}{sharing[mark]}')
    for look, mark in sorted(looks, key=lambda x: list(roles).index(x[0]))
  ]
  if has_dots:
    dot = legend_entry(figures.INK, 'o', 'one person')
    dot.set(alpha=0.4, markersize=4)
    handles.append(dot)
  if has_hollow:
    handles.append(
      legend_entry(figures.INK, 'o', 'not established', markerfacecolor='white')
    )
  figures.legend(figure, handles, columns=min(4, len(handles)))


def _ends(row: pd.Series, column: str) -> tuple[float, float]:
  """Returns both ends of an interval."""
  return row[f'{column}_ci_low'], row[f'{column}_ci_high']


def _column(metric: str) -> str:
  """Returns the column of scores behind a metric of the summary."""
  return 'f1_bootstrap' if metric == 'f1' else metric


def _label(name: str) -> str:
  """Returns the label of a row."""
  return formats.shorten(comparison_findings.label(name))


def _where(found: comparison.Comparison) -> str:
  """Returns the split as a part of a sentence."""
  return formats.within(formats.split(found.split))
