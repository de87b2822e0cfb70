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
from psm_jax.report import figures, formats

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

  Raises:
    ValueError: If shapes, types or numbers of frames do not fit together.
  """

  input: np.ndarray
  made: dict[str, np.ndarray]
  flow: np.ndarray | None
  frames: list[tuple[str, str, int]]

  def __post_init__(self):
    shape = self.input.shape
    if len(shape) != 4 or shape[3] != 3 or shape[0] < 1:
      raise ValueError(
        f'input has shape {shape}; expected [P, H, W, 3] with P of 1 or more.'
      )
    for name, image in (('input', self.input), *self.made.items()):
      fits = image.ndim == 4 and (image.shape[0], image.shape[3]) == (
        shape[0],
        3,
      )
      if image.dtype != np.uint8 or not fits:
        raise ValueError(
          f'{name} is {image.dtype} of shape {image.shape}; expected uint8 '
          f'[{shape[0]}, H, W, 3].'
        )
    flow = self.flow
    if flow is not None and (
      flow.ndim != 4 or flow.shape[0] != shape[0] or flow.shape[3] != 2
    ):
      raise ValueError(
        f'flow has shape {flow.shape}; expected [{shape[0]}, h, w, 2].'
      )
    if len(self.frames) != shape[0]:
      raise ValueError(
        f'frames names {len(self.frames)} frames, the pictures are {shape[0]}.'
      )


def read(workdir: str | os.PathLike, *, max_models: int) -> dict[str, Pictures]:
  """Reads the pictures that launch.embed --pictures wrote, by model.

  Args:
    workdir: The run directory.
    max_models: The first so many, in order of their names.

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
  """Returns the sheet of one model: input, what it made of it, flow.

  Args:
    model_id: The model.
    pictures: Its pictures; the first 8 frames are shown.
  """
  num_frames = min(_MAX_FRAMES, len(pictures.frames))
  images = {'input': pictures.input, **pictures.made}
  rows = [*images, *(['flow'] if pictures.flow is not None else [])]
  figure, panels = figures.new(
    0.3 + _TILE_IN * num_frames,
    0.45 + (_TILE_IN + 0.02) * len(rows),
    rows=len(rows),
    columns=num_frames,
  )
  panels = np.array(panels).reshape(len(rows), num_frames)
  for column, (person_id, video_id, frame) in enumerate(
    pictures.frames[:num_frames]
  ):
    for row, image in enumerate(images.values()):
      panels[row, column].imshow(image[column])
    panels[0, column].set_title(
      '\n'.join(
        [
          formats.shorten(person_id, length=15),
          formats.shorten(video_id, length=15),
          f'frame {frame}',
        ]
      ),
      fontsize=7,
      loc='center',
    )
  meaning = [_MEANING[name] for name in pictures.made if name in _MEANING]
  if pictures.flow is not None:
    stretch = _stretch(pictures.flow[:num_frames])
    for column in range(num_frames):
      _draw_flow(panels[-1, column], pictures, column, stretch)
      panels[-1, column].set_xlabel(
        f'up to {_largest_percent(pictures.flow[column]):.1f}%', fontsize=7
      )
    meaning.append(
      'Flow: an arrow begins at a place of the picture made and points to '
      'where its pixel comes from; arrows are drawn '
      f'{formats.number(stretch)} times as long as the shift, whose largest is '
      'below each picture in percent of the side.'
    )
  for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
  for row, name in enumerate(rows):
    panels[row, 0].set_ylabel(name, fontsize=8.5)
  people = formats.listing(sorted({f[0] for f in pictures.frames}), limit=3)
  return figures.Drawn(
    f'faces_{model_id}',
    figure,
    f'Face pictures of {people}: {num_frames} input frames and, for each, '
    f'{formats.listing(rows[1:]) or "nothing else"}.',
    ' '.join([f'{model_id}.', *meaning]),
  )


def _draw_flow(axes, pictures: Pictures, index: int, stretch: float) -> None:
  """Draws a flow as arrows over the grey input."""
  image, flow = pictures.input[index], pictures.flow[index]
  height, width = image.shape[:2]
  axes.imshow(
    0.45 * (image @ _LUMA) + 0.55 * 255, cmap='gray', vmin=0, vmax=255
  )
  strides = (-(-n // _ARROWS) for n in flow.shape[:2])
  rows, columns = (
    np.arange((s - 1) // 2, n, s)
    for n, s in zip(flow.shape[:2], strides, strict=True)
  )
  shift = flow[np.ix_(rows, columns)] * stretch / 2
  x = (columns + 0.5) / flow.shape[1] * width - 0.5
  y = (rows + 0.5) / flow.shape[0] * height - 0.5
  axes.quiver(
    *np.meshgrid(x, y),
    shift[..., 0] * width,
    shift[..., 1] * height,
    angles='xy',
    scale_units='xy',
    scale=1,
    color=figures.BLUE,
    width=0.012,
    headwidth=3.5,
    headlength=4,
    headaxislength=3.6,
  )


def _largest_percent(flow: np.ndarray) -> float:
  """Returns the largest shift in percent of the side."""
  return float(50 * np.linalg.norm(flow, axis=-1).max())


def _stretch(flow: np.ndarray) -> float:
  """Returns how much longer than the shift arrows are drawn, one digit.

  Long arrows reach about one and a half times to the next arrow.
  """
  length = float(np.quantile(np.linalg.norm(flow, axis=-1) / 2, 0.98))
  if length == 0:
    return 1.0
  wanted = 1.5 / _ARROWS / length
  digit = 10 ** np.floor(np.log10(wanted))
  return float(max(1.0, np.floor(wanted / digit) * digit))
