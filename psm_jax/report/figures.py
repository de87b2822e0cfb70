"""Figures of the report: one look, and how they get into the page.

  with figures.style():
    figure, axes = figures.new(4.5, 3)
    ...
    drawn = figures.Drawn('loss', figure, alt='...', caption='...')
    image = figures.render(drawn)

No pyplot, so nothing is kept between figures.
"""

import base64
import dataclasses
import io

import matplotlib
import matplotlib.axes
import matplotlib.axis
import matplotlib.figure
import matplotlib.ticker

from psm_jax.evaluation import features
from psm_jax.report import markup

FULL_IN = 9.4
HALF_IN = 4.6

# Okabe and Ito's palette, told apart with any colour vision and in grey.
BLUE, GREEN, RED, ORANGE = '#0072B2', '#009E73', '#D55E00', '#E69F00'
PURPLE = '#CC79A7'
INK, GREY, PALE = '#24292f', '#6e7781', '#c4cad0'
COLOURS = {
  features.TRAINED: BLUE,
  features.RANDOM_ENCODER: GREY,
  features.PIXEL_PCA: GREEN,
  features.HEAD_POSE: ORANGE,
  features.NEAREST_IN_TIME: PURPLE,
}
MARKERS = {
  features.TRAINED: 'o',
  features.RANDOM_ENCODER: 's',
  features.PIXEL_PCA: 'D',
  features.HEAD_POSE: '^',
  features.NEAREST_IN_TIME: 'v',
}
_OTHER_COLOUR, _OTHER_MARKER = INK, 'P'
_PNG_DPI = 192  # Two pixels for every pixel of the page at 96 dpi.
_SMALLEST = 0.72  # Of its size; a narrower page scrolls the figure instead.
_STYLE = {
  'axes.axisbelow': True,
  'axes.edgecolor': GREY,
  'axes.grid': True,
  'axes.labelcolor': INK,
  'axes.labelsize': 9,
  'axes.linewidth': 0.7,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.titlelocation': 'left',
  'axes.titlesize': 9.5,
  'figure.dpi': 96,
  'figure.facecolor': 'white',
  'font.family': 'sans-serif',
  'font.sans-serif': ['DejaVu Sans'],
  'font.size': 9,
  'grid.color': '#e6e8eb',
  'grid.linewidth': 0.7,
  'legend.fontsize': 8.5,
  'legend.frameon': False,
  'lines.solid_capstyle': 'round',
  'path.simplify': True,
  'svg.fonttype': 'path',
  'svg.hashsalt': 'psm_jax',  # The same run gives the same page.
  'text.color': INK,
  'text.parse_math': False,  # An id may hold a dollar sign.
  'xtick.color': GREY,
  'xtick.labelcolor': INK,
  'xtick.labelsize': 8.5,
  'ytick.color': GREY,
  'ytick.labelcolor': INK,
  'ytick.labelsize': 8.5,
}


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A figure with what has to be said about it.

  Attributes:
    name: Name of its file, without an extension.
    figure: The figure.
    alt: What it shows, for those who cannot see it; with numbers.
    caption: What it shows and how to read it.
  """

  name: str
  figure: matplotlib.figure.Figure
  alt: str
  caption: str

  @property
  def is_wide(self) -> bool:
    """Whether it takes the whole width of the page."""
    return self.figure.get_figwidth() > HALF_IN


@dataclasses.dataclass(frozen=True)
class Image:
  """A figure as bytes.

  Attributes:
    element: A figure element with the image inside.
    png: The file for slides and papers, two pixels per pixel of the page.
    svg: The same to be scaled or edited.
  """

  element: markup.Html
  png: bytes
  svg: bytes


def style():
  """Returns a context in which figures have to be made and rendered."""
  return matplotlib.rc_context(_STYLE)


def new(
  width_in: float, height_in: float, *, rows: int = 1, columns: int = 1, **axes
) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
  """Returns a figure and its panels, row by row.

  Args:
    width_in: FULL_IN or HALF_IN.
    height_in: Height in inches.
    rows: Rows of panels.
    columns: Columns of panels.
    **axes: Passed to Figure.subplots.
  """
  figure = matplotlib.figure.Figure(
    figsize=(width_in, height_in), layout='constrained'
  )
  panels = figure.subplots(rows, columns, squeeze=False, **axes)
  return figure, list(panels.flat)


def colour(source: str) -> str:
  """Returns the colour of a source in every figure."""
  return COLOURS.get(source, _OTHER_COLOUR)


def marker(source: str) -> str:
  """Returns the marker of a source in every figure."""
  return MARKERS.get(source, _OTHER_MARKER)


def log_ticks(axis: matplotlib.axis.Axis) -> None:
  """Labels a logarithmic axis at 1, 2, 5, 10, 20, ..."""
  axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
  axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:g}'))
  axis.set_minor_locator(matplotlib.ticker.NullLocator())


def legend(figure: matplotlib.figure.Figure, handles, *, columns: int) -> None:
  """Puts a legend above the panels."""
  figure.legend(
    handles=handles,
    loc='outside upper left',
    ncols=columns,
    handletextpad=0.4,
    columnspacing=1.4,
    borderaxespad=0.2,
  )


def render(drawn: Drawn) -> Image:
  """Returns a figure as an element that needs no other file.

  The image inside is SVG, or PNG where that takes less room.
  """
  png = _bytes(drawn.figure, 'png', dpi=_PNG_DPI)
  svg = _bytes(drawn.figure, 'svg', metadata={'Date': None})
  if len(svg) <= len(png):
    kind, content = 'svg+xml', svg
  else:
    kind, content = 'png', png
  width, height = (round(96 * side) for side in drawn.figure.get_size_inches())
  image = markup.tag(
    'img',
    src=f'data:image/{kind};base64,{base64.b64encode(content).decode()}',
    alt=drawn.alt,
    width=width,
    height=height,
    style=f'min-width: {round(_SMALLEST * width)}px',
  )
  element = markup.tag(
    'figure',
    markup.tag(
      'div',
      image,
      class_='scroll',
      role='region',
      aria_label=f'Figure: {drawn.name.replace("_", " ")}',
      tabindex=0,
    ),
    markup.tag('figcaption', drawn.caption),
    class_='wide' if drawn.is_wide else None,
  )
  return Image(element, png, svg)


def _bytes(figure: matplotlib.figure.Figure, kind: str, **options) -> bytes:
  """Returns a figure as a file of some kind."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format=kind, **options)
  return buffer.getvalue()
