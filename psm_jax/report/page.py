"""The report of one run: a static page that opens anywhere.

  path = page.write(workdir)

Nothing in the page loads anything: images are inside, there is no script, and
its content policy forbids the rest.
"""

import os
import pathlib
from collections.abc import Mapping

import psm_jax
from psm_jax import paths
from psm_jax.report import (
  figures,
  formats,
  markup,
  sections,
  stylesheet,
)
from psm_jax.report import pictures as face_pictures
from psm_jax.report import run as report_run

MAX_PICTURES = 12
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(
  workdir: str | os.PathLike,
  *,
  pictures: Mapping[str, face_pictures.Pictures] | None = None,
  title: str | None = None,
  max_pictures: int = MAX_PICTURES,
) -> pathlib.Path:
  """Writes <workdir>/report.html and its figures as <workdir>/report/*.png.

  Reads the run directory alone; what is missing there is named in the page
  with the command that makes it. Figures of an earlier report that this one
  does not have, faces above all, are deleted.

  Args:
    workdir: The run directory.
    pictures: Pictures by model_id; None shows no face anywhere.
    title: Heading of the page; None says what was trained.
    max_pictures: Models whose pictures are shown, the first ones of pictures.

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

  def embed(drawn: figures.Drawn | None) -> markup.Html | None:
    if drawn is None:
      return None
    image = figures.render(drawn)
    images[drawn.name] = image.png
    return image.element

  with figures.style():
    contents = sections.build(run, pictures, embed, max_pictures=max_pictures)
  document = _document(run, title or _title(run), contents)
  _write_figures(pathlib.Path(workdir), images)
  return paths.write_atomic(pathlib.Path(workdir) / 'report.html', document)


def _write_figures(workdir: pathlib.Path, images: Mapping[str, bytes]) -> None:
  """Writes figures and removes those of an earlier report."""
  folder = paths.make_private_dir(workdir / 'report')
  wanted = {paths.child(folder, f'{name}.png'): images[name] for name in images}
  for path in folder.glob('*.png'):
    if path not in wanted:
      path.unlink()
  for path, content in wanted.items():
    paths.write_atomic(path, content)


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


def _document(
  run: report_run.Run,
  title: str,
  contents: list[tuple[str, str, markup.Html]],
) -> str:
  """Returns the whole page."""
  tag = markup.tag
  head = tag(
    'head',
    tag('meta', charset='utf-8'),
    tag('meta', http_equiv='Content-Security-Policy', content=_POLICY),
    tag('meta', name='viewport', content='width=device-width, initial-scale=1'),
    tag('meta', name='referrer', content='no-referrer'),
    tag('meta', name='robots', content='noindex'),
    tag('title', title),
    tag('style', markup.Html(stylesheet.CSS)),
  )
  navigation = tag(
    'nav',
    tag(
      'ul',
      [
        tag('li', tag('a', heading, href=f'#{anchor}'))
        for anchor, heading, _ in contents
      ],
    ),
    aria_label='Sections',
  )
  header = tag(
    'header',
    tag('a', 'Skip to the summary', href='#summary', class_='skip'),
    tag('h1', title),
    tag('p', ' · '.join(_about(run)), class_='about'),
    navigation,
  )
  main = tag(
    'main',
    [
      tag(
        'section',
        tag('h2', heading, id=f'{anchor}-heading'),
        content,
        id=anchor,
        aria_labelledby=f'{anchor}-heading',
      )
      for anchor, heading, content in contents
    ],
  )
  files = [
    f'{name} ({run.written[name]:%Y-%m-%d %H:%M} UTC)' for name in run.written
  ]
  footer = tag(
    'footer',
    tag(
      'p',
      f'Made by psm_jax {psm_jax.__version__} from '
      f'{formats.listing(files) or "an empty run directory"}. '
      'The figures are also in the folder report/ beside this page.',
    ),
  )
  body = tag('body', header, main, footer)
  return f'<!doctype html>\n{tag("html", head, body, lang="en")}\n'
