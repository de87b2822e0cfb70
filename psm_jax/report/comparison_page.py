"""The page of a comparison: static but for maps, opens anywhere.

path = comparison_page.write('runs/comparison')
"""

import os
import pathlib
from collections.abc import Sequence

from psm_jax import paths
from psm_jax.report import (
  comparison,
  comparison_sections,
  document,
  figures,
  formats,
  learning_curves,
  maps,
)


def write(
  directory: str | os.PathLike,
  *,
  drawn: Sequence[maps.Maps] = (),
  title: str | None = None,
) -> pathlib.Path:
  """Writes <directory>/report.html and its figures to <directory>/report.

  Args:
    directory: The --out of launch.compare. Tables that it lacks are named in
      the page with the command that makes them.
    drawn: Maps of embeddings to show, of approaches of the comparison.
    title: Heading of the page; None says what was compared.

  Returns:
    The path of the page.

  Raises:
    ValueError: If there is no comparison, a table cannot be read, or a map is
      of no approach.
  """
  found = comparison.read(directory)
  if unknown := sorted({one.name for one in drawn}.difference(found.names)):
    raise ValueError(
      f'There is a map of {formats.listing(unknown)}, which is no approach of '
      f'{pathlib.Path(directory) / comparison.APPROACHES}: '
      f'{formats.listing(found.names)}.'
    )
  images = {}
  with figures.style():
    contents = comparison_sections.build(
      found,
      document.embedder(images),
      drawn=drawn,
      curve=learning_curves.read(directory),
    )
  content = document.render(
    title=title or _title(found),
    about=_about(found),
    contents=contents,
    made_from=[
      f'{name} ({time:%Y-%m-%d %H:%M} UTC)'
      for name, time in found.written.items()
    ],
    script=document.source('page.js') if drawn else None,
  )
  document.write_figures(pathlib.Path(directory), images)
  return paths.write_atomic(pathlib.Path(directory) / 'report.html', content)


def _title(found: comparison.Comparison) -> str:
  """Returns what was compared."""
  number = formats.count(len(found.names))
  people = found.approaches['num_persons'].max()
  noun = 'approach' if len(found.names) == 1 else 'approaches'
  text = f'{number} {noun} to facial movement'
  return f'{text}, {formats.people(int(people))}' if people > 0 else text


def _about(found: comparison.Comparison) -> list[str]:
  """Returns the facts under the title."""
  facts = [
    f'Comparison {found.name}',
    f'baseline {found.baseline}',
    formats.plural(len(found.controls), 'control'),
  ]
  units = found.scores['au'].nunique()
  if units:
    facts.append(formats.plural(units, 'action unit'))
  made = found.written[comparison.APPROACHES]
  return [*facts, f'made {made:%d %B %Y, %H:%M} UTC']
