"""The report of one run: a static page that opens anywhere.

  path = page.write(workdir)

Nothing in the page loads anything: images and films are inside, the only script
is that of the maps, and its content policy forbids the rest.
"""

import os
import pathlib
from collections.abc import Mapping

from psm_jax import paths
from psm_jax.data import store as store_lib
from psm_jax.report import (
  clusters,
  document,
  figures,
  formats,
  learning_curves,
  opening,
  sections,
)
from psm_jax.report import pictures as face_pictures
from psm_jax.report import run as report_run

MAX_PICTURES = 12


def write(
  workdir: str | os.PathLike,
  *,
  pictures: Mapping[str, face_pictures.Pictures] | None = None,
  store: store_lib.FrameStore | None = None,
  title: str | None = None,
  max_pictures: int = MAX_PICTURES,
) -> pathlib.Path:
  """Writes <workdir>/report.html and its figures to <workdir>/report.

  Reads the run directory alone; what is missing there is named in the page
  with the command that makes it. Figures of an earlier report that this one
  does not have, faces above all, are deleted.

  Args:
    workdir: The run directory.
    pictures: Pictures by model_id; None shows no face anywhere.
    store: The run's frames, which are shown and make films; None shows none.
    title: Heading of the page; None says what was trained.
    max_pictures: Models whose pictures, films, maps and strips are shown, the
      first ones.

  Returns:
    The path of the page.

  Raises:
    ValueError: If workdir is not a directory, a file in it cannot be read, or
      pictures are of a model that the run does not have.
  """
  run = report_run.read(workdir)
  known = {model.model_id for model in run.models}
  if unknown := sorted(set(pictures or ()) - known):
    raise ValueError(
      f'There are pictures of {formats.listing(unknown)}, which '
      f'{pathlib.Path(workdir) / "models.json"} does not name.'
    )
  images = {}
  embed = document.embedder(images)
  shown = opening.read(workdir, store=store, max_people=max_pictures)
  with figures.style():
    contents = sections.build(
      run,
      shown,
      pictures,
      embed,
      max_pictures=max_pictures,
      discovery=clusters.read(workdir),
      curve=learning_curves.read(pathlib.Path(workdir) / 'evaluation'),
    )
  content = document.render(
    title=title or _title(run),
    about=_about(run),
    contents=contents,
    made_from=[
      f'{name} ({time:%Y-%m-%d %H:%M} UTC)'
      for name, time in run.written.items()
    ],
    script=document.source('page.js') if shown.tables else None,
  )
  document.write_figures(pathlib.Path(workdir), images)
  return paths.write_atomic(pathlib.Path(workdir) / 'report.html', content)


def _title(run: report_run.Run) -> str:
  """Returns what was trained."""
  if not run.models:
    return f'Run {run.name}'
  number = len(run.models)
  if all(len(model.cohort) == 1 for model in run.models):
    what = formats.plural(number, 'person-specific model')
  else:
    what = formats.plural(number, 'model')
    what += f' of {formats.people(len(run.person_ids))}'
  return f'{what} of facial movement'


def _about(run: report_run.Run) -> list[str]:
  """Returns the facts under the title."""
  facts = []
  if run.method:
    facts.append(f'Method {run.method}')
  if steps := sorted({model.total_steps for model in run.models}):
    few, many = formats.count(steps[0]), formats.count(steps[-1])
    span = few if few == many else f'{few} to {many}'
    facts.append(f'{span} steps a model')
  if run.models:
    facts.append(f'run {run.name}')
  last = run.written.get('metrics.csv') or run.written.get('models.json')
  if last is not None:
    facts.append(f'trained until {last:%d %B %Y, %H:%M} UTC')
  versions = run.config.get('versions')
  if isinstance(versions, dict):
    facts += [f'{name} {versions[name]}' for name in versions]
  return facts
