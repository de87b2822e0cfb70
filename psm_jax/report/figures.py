"""Figures of the report: one look, and how they get into the page.

  with figures.style():
    figure, (axes,) = figures.new(figures.HALF_IN, 3)
    ...
    drawn = figures.Drawn('loss', figure, alt='...', caption='...')
    files = {kind: drawn.file(kind) for kind in ('svg', 'png')}

Not by pyplot, so nothing is kept between figures.
"""

import base64
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.axes
import matplotlib.axis
import matplotlib.colors
import matplotlib.figure
import matplotlib.lines
import matplotlib.ticker
import numpy as np
import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import formats

FULL_IN = 9.4
HALF_IN = 4.6

# Okabe and Ito's palette, told apart with any colour vision and in grey.
BLUE, GREEN, RED, ORANGE = '#0072B2', '#009E73', '#D55E00', '#E69F00'
PURPLE = '#CC79A7'
INK, GREY, PALE = '#24292f', '#6e7781', '#c4cad0'
GUESSING = {'color': GREY, 'linestyle': (0, (4, 3)), 'linewidth': 1}
_CONTROLS = {
  features.RANDOM_ENCODER: (GREY, 's'),
  features.PIXEL_PCA: (GREEN, 'D'),
  features.HEAD_POSE: (ORANGE, '^'),
  features.NEAREST_IN_TIME: (PURPLE, 'v'),
}
_APPROACHES = (
  *((BLUE, 'o'), (RED, 'P'), ('#56B4E9', 'X'), (INK, 'd'), ('#7a6a00', '<')),
  *(('#8250df', '>'), ('#a40e26', 'p'), ('#1b7c83', 'h')),
)
MAX_ROWS = 40  # People that get a mark of their own; more become a cloud.
_PNG_DPI = 192  # Two pixels for every pixel of the page at 96 dpi.
_SMALLEST = 0.72  # Of its size.
_MIME = {'svg': 'svg+xml', 'png': 'png', 'jpg': 'jpeg'}
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

  def file(self, kind: str) -> bytes:
    """Returns it as a file: 'svg', or 'png' and 'jpg' of two pixels a pixel."""
    buffer = io.BytesIO()
    more = {'metadata': {'Date': None}} if kind == 'svg' else {'dpi': _PNG_DPI}
    self.figure.savefig(buffer, format=kind, **more)
    return buffer.getvalue()


def image(drawn: Drawn, files: Mapping[str, bytes]) -> dict:
  """Returns the attributes of an image that needs no other file.

  Args:
    drawn: The figure.
    files: It as a file of each kind; the smaller one is taken.
  """
  kind = min(files, key=lambda kind: len(files[kind]))
  content = base64.b64encode(files[kind]).decode()
  width, height = (round(96 * side) for side in drawn.figure.get_size_inches())
  return {
    'src': f'data:image/{_MIME[kind]};base64,{content}',
    'alt': drawn.alt,
    'width': width,
    'height': height,
    # A narrower page scrolls it instead.
    'style': f'min-width: {round(_SMALLEST * width)}px',
  }


def style():
  """Returns a context in which figures have to be made and rendered."""
  return matplotlib.rc_context(_STYLE)


def new(
  width_in: float, height_in: float, *, rows: int = 1, columns: int = 1, **axes
) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
  """Returns a figure of FULL_IN or HALF_IN, and its panels row by row."""
  figure = matplotlib.figure.Figure(
    figsize=(width_in, height_in), layout='constrained'
  )
  panels = figure.subplots(rows, columns, squeeze=False, **axes)
  return figure, list(panels.flat)


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
  """Returns the colour and the marker of sources, the baseline first."""
  approaches = [name for name in names if name not in _CONTROLS]
  cycle = itertools.cycle(_APPROACHES)
  return {**dict(zip(approaches, cycle, strict=False)), **_CONTROLS}


def handle(colour: str, marker: str, label: str, **look):
  """Returns a legend entry; `look` is of its line."""
  look = {'linestyle': '', 'color': colour, 'marker': marker, **look}
  return matplotlib.lines.Line2D([], [], label=label, **look)


def frameless(axes: matplotlib.axes.Axes) -> None:
  """Takes scales, grid and frame away."""
  axes.set(xticks=[], yticks=[])
  axes.grid(visible=False)
  axes.spines[:].set_visible(False)


def name_rows(axes: matplotlib.axes.Axes, names: Sequence[str]) -> None:
  """Labels the rows of a figure, the first at the top."""
  axes.set_yticks(np.arange(len(names)), [formats.shorten(n) for n in names])
  axes.set_ylim(len(names) - 0.4, -0.6)
  axes.grid(axis='y', visible=False)
  axes.tick_params(axis='y', length=0)


def score_ticks(axis: matplotlib.axis.Axis, *, is_signed: bool = False) -> None:
  """Writes scores on an axis as the text does: .70, +.05."""
  axis.set_major_locator(matplotlib.ticker.MaxNLocator(5, steps=(1, 2, 5, 10)))

  def say(value, _):
    low, high = sorted(axis.get_view_interval())
    places = 2 if high - low > 0.05 else 3
    return formats.score(round(value, 6), places=places, is_signed=is_signed)

  axis.set_major_formatter(matplotlib.ticker.FuncFormatter(say))


def count_ticks(axis: matplotlib.axis.Axis) -> None:
  """Writes whole numbers with commas and few enough to read."""
  axis.set_major_locator(
    matplotlib.ticker.MaxNLocator(4, integer=True, steps=(1, 2, 5, 10))
  )
  axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter('{x:,.0f}'))


def draw_cells(
  axes: matplotlib.axes.Axes,
  table: pd.DataFrame,
  *,
  colours: matplotlib.colors.Colormap,
  ends: tuple[float, float],
  dark: float,
  is_signed: bool = False,
):
  """Draws scores as a map of colours with a number in each cell.

  Args:
    axes: The panel.
    table: Its index and columns name rows and columns.
    colours: From the lowest to the highest value.
    ends: The lowest and the highest value.
    dark: The size from which a colour is dark, so that numbers are white.
    is_signed: Write a plus.
  """
  low, high = ends
  image = axes.imshow(table, cmap=colours, vmin=low, vmax=high, aspect='auto')
  look = {'ha': 'center', 'va': 'center', 'fontsize': 7}
  for (row, column), value in np.ndenumerate(table.to_numpy(float)):
    if np.isfinite(value):
      text = axes.text(column, row, formats.score(value, is_signed=is_signed))
      text.set(**look, color='white' if abs(value) > dark else INK)
      text.set_in_layout(False)  # Measuring each would take seconds.
  frameless(axes)
  axes.set_xticks(np.arange(table.shape[1]), list(table.columns))
  axes.set_yticks(np.arange(len(table)), list(table.index))
  axes.tick_params(length=0)
  return image


def draw_arrows(axes, x, y, right, down, *, width: float) -> None:
  """Draws arrows of given lengths in the units of the axes."""
  units = {'angles': 'xy', 'scale_units': 'xy', 'scale': 1, 'width': width}
  head = {'headwidth': 3.5, 'headlength': 4, 'headaxislength': 3.6}
  axes.quiver(x, y, right, down, color=BLUE, **units, **head)


def stretch(shifts: np.ndarray, *, reach: float) -> float:
  """Returns how much longer than shifts [..., 2] arrows are drawn, one digit.

  A long arrow is then as long as `reach`, in the same unit.
  """
  length = float(np.quantile(np.linalg.norm(shifts, axis=-1), 0.98))
  if length == 0:
    return 1.0
  wanted = reach / length
  digit = 10 ** np.floor(np.log10(wanted))
  return float(max(1.0, np.floor(wanted / digit) * digit))


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
