"""What all pages have in common: their frame, their rules, their figures.

A page loads nothing: images are inside, and its content policy forbids the
rest. A script runs only if the policy names its hash.
"""

import base64
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence

import psm_jax
from psm_jax import paths
from psm_jax.report import figures, formats, markup, stylesheet

Embed = Callable[[figures.Drawn | None], markup.Html | None]
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
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
  tag = markup.tag
  header = tag(
    'header',
    tag('a', 'Skip to the summary', href=f'#{contents[0][0]}', class_='skip'),
    tag('h1', title),
    tag('p', ' · '.join(about), class_='about'),
    _navigation(contents),
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
  footer = tag(
    'footer',
    tag(
      'p',
      f'Made by psm_jax {psm_jax.__version__} from '
      f'{formats.listing(made_from) or "an empty directory"}. '
      'The figures are also in the folder report/ beside this page.',
    ),
  )
  last = None if script is None else tag('script', markup.Html(script))
  body = tag('body', header, main, footer, last)
  html = tag('html', _head(title, script), body, lang='en')
  return f'<!doctype html>\n{html}\n'


def _head(title: str, script: str | None) -> markup.Html:
  """Returns the head of a page, with its content policy."""
  tag = markup.tag
  policy = _POLICY
  if script is not None:
    digest = hashlib.sha256(script.encode()).digest()
    policy += f"; script-src 'sha256-{base64.b64encode(digest).decode()}'"
  return tag(
    'head',
    tag('meta', charset='utf-8'),
    tag('meta', http_equiv='Content-Security-Policy', content=policy),
    tag('meta', name='viewport', content='width=device-width, initial-scale=1'),
    tag('meta', name='referrer', content='no-referrer'),
    tag('meta', name='robots', content='noindex'),
    tag('title', title),
    tag('style', markup.Html(stylesheet.CSS)),
  )


def _navigation(
  contents: Sequence[tuple[str, str, markup.Html]],
) -> markup.Html:
  """Returns links to the sections."""
  links = [
    markup.tag('li', markup.tag('a', heading, href=f'#{anchor}'))
    for anchor, heading, _ in contents
  ]
  return markup.tag('nav', markup.tag('ul', links), aria_label='Sections')
