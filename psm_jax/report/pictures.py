"""Pictures of what a model does with example frames. They show faces.

P frames, H W pixels, h w the flow's own resolution.

  sheet = pictures.draw('facecycle-AV003-s0', example)
"""

import dataclasses
import os
import pathlib

import numpy as np

from psm_jax.data import embedded
from psm_jax.models import tensor_files
from psm_jax.report import evidence, figures, formats

_TILE_IN = 1.1
_ARROWS = 9  # Arrows a side: enough for mouth and brows, few enough to see.
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601.
_MAX_FRAMES = 8
_MEANING = {
  'neutral': 'Neutral: the face with the movement taken out, which should look '
  'alike in every column.',
  'target': 'Target: the input as the model sees it.',
  'source': 'Source: the other frame that pixels are taken from; warped: moved '
  'by the flow.',
  'source 1': 'Source: another frame that pixels are taken from; warped: moved '
  'by its flow; mask: how much each of its pixels counts in the '
  'reconstruction.',
  'nearest in others': 'Nearest in others: of all other people, the frame '
  'whose embedding has the largest cosine with that of the input; it should '
  'show the same movement.',
  'driven': 'Driven: the movement of the input on the neutral face of another '
  'column, half of them away.',
  'reconstruction': 'Reconstruction: what the model makes of the input, which '
  'should look like it.',
}


@dataclasses.dataclass(frozen=True)
class Pictures:
  """What one model makes of example frames.

  Attributes:
    input: [P, H, W, 3] uint8 RGB, the frames.
    made: {name: [P, H', W', 3] uint8 RGB}, such as 'neutral' and
      'reconstruction', in the order in which they are shown.
    flow: [P, h, w, 2] float32, (x, y) in units of half a side, x to the right
      and y down: where the picture made takes its pixels from; None if the
      method has none.
    frames: P times (person_id, video_id, frame).
  """

  input: np.ndarray
  made: dict[str, np.ndarray]
  flow: np.ndarray | None
  frames: list[tuple[str, str, int]]


def section(read: evidence.Evidence) -> dict | None:
  """Returns the sheets of the first models; none if no face is shown."""
  if read.run is None:
    return None
  pictures = read.pictures or {}
  shown = list(pictures)[: read.max_people]
  number = max(len(pictures), len(read.run.models))
  return {
    'is_shown': read.pictures is not None,
    'text': f'Pictures of {formats.count(len(shown))} of '
    f'{formats.plural(number, "model")}.',
    'sheets': [draw(model_id, pictures[model_id]) for model_id in shown],
  }


def read(workdir: str | os.PathLike, *, max_models: int) -> dict[str, Pictures]:
  """Reads the pictures that launch.embed --pictures wrote, by model.

  Raises:
    ValueError: If none were written, or a file is none of that kind.
  """
  folder = pathlib.Path(workdir) / embedded.PICTURES
  if not folder.is_dir():
    raise ValueError(
      f'{folder} holds no pictures. Make them: python -m launch.embed '
      f'--workdir={workdir} --pictures={max_models}'
    )
  shown = {}
  for path in sorted(folder.glob('*.npz'))[:max_models]:
    arrays = tensor_files.read_npz(path)
    made = {n[8:]: arrays[n] for n in arrays if n.startswith('made_')}
    try:
      shown[path.stem] = Pictures(
        input=arrays['input'],
        made=made,
        flow=arrays.get('flow'),
        frames=[(p, v, int(n)) for p, v, n in arrays['frames'].tolist()],
      )
    except (TypeError, ValueError, KeyError) as error:
      raise ValueError(f'{path} holds no pictures: {error}') from error
  return shown


def draw(model_id: str, pictures: Pictures) -> figures.Drawn:
  """Returns the sheet of one model: 8 inputs, what it made of them, flow."""
  shown = pictures.frames[:_MAX_FRAMES]
  images = {'input': pictures.input, **pictures.made}
  rows = [*images, *(['flow'] if pictures.flow is not None else [])]
  figure, panels = figures.new(
    0.3 + _TILE_IN * len(shown),
    0.45 + (_TILE_IN + 0.02) * len(rows),
    rows=len(rows),
    columns=len(shown),
  )
  panels = np.array(panels).reshape(len(rows), len(shown))
  for axes in panels.flat:
    figures.frameless(axes)
  for row, name in enumerate(rows):
    panels[row, 0].set_ylabel(name, fontsize=8.5)
  for column, (person_id, video_id, frame) in enumerate(shown):
    for row, image in enumerate(images.values()):
      panels[row, column].imshow(image[column])
    names = [formats.shorten(name, length=15) for name in (person_id, video_id)]
    title = '\n'.join([*names, f'frame {frame}'])
    panels[0, column].set_title(title, fontsize=7, loc='center')
  meaning = [_MEANING[name] for name in pictures.made if name in _MEANING]
  if pictures.flow is not None:
    flow = pictures.flow[: len(shown)]
    stretch = figures.stretch(flow / 2, reach=1.5 / _ARROWS)
    for column, axes in enumerate(panels[-1]):
      _draw_flow(axes, pictures, column, stretch)
      largest = 50 * np.linalg.norm(flow[column], axis=-1).max()
      axes.set_xlabel(f'up to {largest:.1f}%', fontsize=7)
    meaning.append(
      'Flow: an arrow begins at a place of the picture made and points to '
      'where its pixel comes from; arrows are drawn '
      f'{formats.number(stretch)} times as long as the shift, whose largest is '
      'below each picture in percent of the side.'
    )
  people = formats.listing(sorted({f[0] for f in pictures.frames}), limit=3)
  alt = (
    f'Face pictures of {people}: {len(shown)} input frames and, for each, '
    f'{formats.listing(rows[1:]) or "nothing else"}.'
  )
  caption = ' '.join([f'{model_id}.', *meaning])
  return figures.Drawn(f'faces_{model_id}', figure, alt, caption)


def _draw_flow(axes, pictures: Pictures, index: int, stretch: float) -> None:
  """Draws a flow as arrows over the grey input."""
  image, flow = pictures.input[index], pictures.flow[index]
  height, width = image.shape[:2]
  pale = 0.45 * (image @ _LUMA) + 0.55 * 255
  axes.imshow(pale, cmap='gray', vmin=0, vmax=255)
  rows, columns = (
    np.arange((stride - 1) // 2, size, stride)
    for size in flow.shape[:2]
    for stride in [-(-size // _ARROWS)]
  )
  shift = flow[np.ix_(rows, columns)] * stretch / 2
  x = (columns + 0.5) / flow.shape[1] * width - 0.5
  y = (rows + 0.5) / flow.shape[0] * height - 0.5
  figures.draw_arrows(
    axes,
    *np.meshgrid(x, y),
    shift[..., 0] * width,
    shift[..., 1] * height,
    width=0.012,
  )
