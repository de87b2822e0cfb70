"""What all pages have in common: their frame, their rules, their figures.

A page loads nothing: images are inside, and its content policy forbids the
rest. A script runs only if the policy names its hash.
"""

import base64
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jinja2

import psm_jax
from psm_jax import paths
from psm_jax.report import figures, formats, markup

Embed = Callable[[figures.Drawn | None], markup.Html | None]
_POLICY = (
  "default-src 'none'; img-src data:; media-src data:; style-src "
  "'unsafe-inline'"
)
_TEMPLATES = jinja2.Environment(
  loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / 'templates'),
  autoescape=True,
  undefined=jinja2.StrictUndefined,
)
_KINDS = ('png', 'svg')


def embedder(images: dict[str, figures.Image]) -> Embed:
  """Returns a function that renders a figure, notes it and gives its element.

  Args:
    images: Is given every figure by its name.
  """

  def embed(drawn: figures.Drawn | None) -> markup.Html | None:
    if drawn is None:
      return None
    images[drawn.name] = figures.render(drawn)
    return images[drawn.name].element

  return embed


def write_figures(
  directory: pathlib.Path, images: Mapping[str, figures.Image]
) -> None:
  """Writes figures to <directory>/report and removes those of earlier reports.

  Args:
    directory: What the report is of.
    images: Figures by name; each becomes a PNG and an SVG file.
  """
  folder = paths.make_private_dir(directory / 'report')
  wanted = {
    paths.child(folder, f'{name}.{kind}'): getattr(image, kind)
    for name, image in images.items()
    for kind in _KINDS
  }
  for kind in _KINDS:
    for path in folder.glob(f'*.{kind}'):
      if path not in wanted:
        path.unlink()
  for path, content in wanted.items():
    paths.write_atomic(path, content)


def render(
  *,
  title: str,
  about: Sequence[str],
  contents: Sequence[tuple[str, str, markup.Html]],
  made_from: Sequence[str],
  script: str | None = None,
) -> str:
  """Returns the whole page.

  Args:
    title: Its heading.
    about: Facts under the heading.
    contents: (anchor, heading, content) of every section; the first is where
      the link to skip the navigation leads.
    made_from: The files it was made from, for the footer.
    script: JavaScript of ours without which the page can be read as well; None
      for none.
  """
  policy = _POLICY
  if script is not None:
    digest = hashlib.sha256(script.encode()).digest()
    policy += f"; script-src 'sha256-{base64.b64encode(digest).decode()}'"
  return fill(
    'page.html.j2',
    policy=policy,
    title=title,
    style=markup.Html(source('style.css')),
    about=about,
    contents=contents,
    version=psm_jax.__version__,
    made_from=formats.listing(made_from) or 'an empty directory',
    script=script and markup.Html(script),
  )


def fill(template: str, **values) -> markup.Html:
  """Returns a template with values, escaped unless they are markup of ours.

  Args:
    template: Its file in psm_jax/report/templates.
    **values: What it names.
  """
  return markup.Html(_TEMPLATES.get_template(template).render(values))


def source(name: str) -> str:
  """Returns a file of psm_jax/report/templates as it is."""
  return _TEMPLATES.loader.get_source(_TEMPLATES, name)[0]
