"""The page: one for a run and for a comparison of any number of approaches.

  path = page.write('runs/first')

A section is a module with a function of that name: from what was read to the
figures, tables and sentences that templates/sections.html.j2 puts into words;
None leaves it out. Nothing in the page loads anything: images and films are
inside, the only script is ours, and its content policy forbids the rest.
"""

import base64
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

import psm_jax
from psm_jax import paths
from psm_jax.discovery import maps as maps_lib
from psm_jax.report import (
  cluster_views,
  embeddings,
  evidence,
  figures,
  formats,
  map_views,
  models,
  notices,
  people,
  persons,
  pictures,
  progress,
  scores,
  sources,
  strips,
  summary,
  training,
  units,
)

MAX_PICTURES = 12
_SECTIONS = {
  'people': ('People', people.section),
  'maps': ('Maps of embeddings', map_views.section),
  'groups': ('Groups of frames', strips.section),
  'summary': ('Summary', summary.section),
  'scores': ('Scores', scores.section),
  'persons': ('Person by person', persons.section),
  'units': ('Unit by unit', units.section),
  'few_labels': ('How many labelled frames', progress.few_labels),
  'learning_curve': ('Scores along training', progress.learning_curve),
  'training': ('Training', training.section),
  'embeddings': ('What the embeddings hold', embeddings.section),
  'clusters': ('Clusters of frames', cluster_views.section),
  'pictures': ('Pictures', pictures.section),
  'costs': ('Costs', models.costs),
  'models': ('Models', models.section),
  'warnings': ('Warnings', notices.section),
  'words': ('How to read this', lambda read: {'read': read}),
  'care': ('Biometric data', lambda read: {'read': read}),
}
_POLICY = (
  "default-src 'none'; img-src data:; media-src data:; style-src "
  "'unsafe-inline'; script-src 'sha256-{}'"
)
TEMPLATES = jinja2.Environment(
  loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / 'templates'),
  autoescape=True,
  trim_blocks=True,
  lstrip_blocks=True,
  undefined=jinja2.StrictUndefined,
)
_KINDS = ('png', 'svg')


def write(
  folder: str | os.PathLike,
  *,
  maps: Sequence[maps_lib.Maps] = (),
  pictures: Mapping[str, pictures.Pictures] | None = None,
  store: Any = None,
  title: str | None = None,
  max_pictures: int = MAX_PICTURES,
) -> pathlib.Path:
  """Writes <folder>/report.html and its figures to <folder>/report.

  What is missing there is named in the page with the command that makes it.
  Figures of an earlier report that this one does not have, faces above all, are
  deleted.

  Args:
    folder: A run directory, or the --out of launch.compare.
    maps: Maps of embeddings, of approaches of a comparison.
    pictures: Pictures by model_id; None shows no face anywhere.
    store: The run's frames, which are shown with its films; None shows none.
    title: Heading of the page; None says what was trained or compared.
    max_pictures: Models whose pictures, films, maps and strips are shown.

  Returns:
    The path of the page.

  Raises:
    ValueError: See evidence.read.
  """
  read = evidence.read(
    folder, maps=maps, pictures=pictures, store=store, max_people=max_pictures
  )
  files = {}

  def image(drawn: figures.Drawn) -> dict:
    drawn.figure.draw_without_rendering()
    drawn.figure.set_layout_engine('none')  # Found once for all files.
    kinds = _KINDS + ('jpg',) * drawn.name.startswith('faces')  # Smaller.
    made = {kind: drawn.file(kind) for kind in kinds}
    files.update({f'{drawn.name}.{kind}': made[kind] for kind in _KINDS})
    return figures.image(drawn, made)

  with figures.style():
    contents = [
      (name, heading, content)
      for name, (heading, section) in _SECTIONS.items()
      if (content := section(read)) is not None
    ]
    script = _source('page.js')
    digest = hashlib.sha256(script.encode()).digest()
    content = TEMPLATES.get_template('page.html.j2').render(
      title=title or _title(read),
      about=_about(read),
      contents=contents,
      made_from=formats.listing(
        [
          f'{name} ({at:%Y-%m-%d %H:%M} UTC)'
          for name, at in read.written.items()
        ]
      ),
      version=psm_jax.__version__,
      style=_source('style.css'),
      script=script,
      policy=_POLICY.format(base64.b64encode(digest).decode()),
      image=image,
    )
  _write_figures(read.folder, files)
  return paths.write_atomic(read.folder / 'report.html', content)


def _source(name: str) -> markupsafe.Markup:
  """Returns a file of psm_jax/report/templates as it is."""
  return markupsafe.Markup(TEMPLATES.loader.get_source(TEMPLATES, name)[0])


def _write_figures(folder: pathlib.Path, files: Mapping[str, bytes]) -> None:
  """Writes figures to <folder>/report and removes those of earlier pages."""
  folder = paths.make_private_dir(folder / 'report')
  wanted = {paths.child(folder, name): files[name] for name in files}
  for kind in _KINDS:
    for path in set(folder.glob(f'*.{kind}')).difference(wanted):
      path.unlink()
  for path, content in wanted.items():
    paths.write_atomic(path, content)


def _title(read: evidence.Evidence) -> str:
  """Returns what was trained or compared."""
  models = read.run.models if read.run else ()
  people = read.sources['num_persons'].max()
  if models:
    people = len(read.run.person_ids)
    if all(len(model.cohort) == 1 for model in models):
      number = formats.plural(len(models), 'person-specific model')
      return f'{number} of facial movement'
    number = formats.plural(len(models), 'model')
    return f'{number} of facial movement, {formats.people(people)}'
  if read.run:
    return f'Run {read.folder.resolve().name}'
  number = formats.plural(len(read.approaches), 'approach')
  text = f'{number} to facial movement'
  return f'{text}, {formats.people(int(people))}' if people > 0 else text


def _about(read: evidence.Evidence) -> list[str]:
  """Returns the facts under the title."""
  kind = 'Run' if read.run else 'Comparison'
  facts = [f'{kind} {read.folder.resolve().name}']
  last = read.written.get(sources.APPROACHES)
  if read.run is None:
    facts += [f'baseline {read.baseline}']
    facts += [formats.plural(len(read.controls), 'control')]
  else:
    last = read.written.get('metrics.csv') or read.written.get('models.json')
    facts += [f'method {read.run.method}'] if read.run.method else []
    if steps := sorted({model.total_steps for model in read.run.models}):
      ends = dict.fromkeys(formats.count(steps[at]) for at in (0, -1))
      facts.append(f'{" to ".join(ends)} steps a model')
    if starts := sorted(filter(None, {m.init_from for m in read.run.models})):
      facts.append(f'begun from {formats.listing(starts, limit=2)}')
  if read.units:
    facts.append(formats.plural(len(read.units), read.unit))
  if last is not None:
    facts.append(f'made {last:%d %B %Y, %H:%M} UTC')
  versions = read.run.config.get('versions') if read.run else None
  if isinstance(versions, dict):
    facts += [f'{package} {versions[package]}' for package in versions]
  return facts
