"""A benchmark's result as a table, JSON and a picture."""

import pathlib
import statistics

from psm_jax import paths

# Heading, key of the row, format, factor.
_COLUMNS = (
  ('models', 'num_models', 'd', 1),
  ('strategy', 'strategy', 's', 1),
  ('lowering', 'lowering', 's', 1),
  ('precision', 'precision', 's', 1),
  ('compile s', 'compile_s', '.1f', 1),
  ('step s', 'step_s', '.4g', 1),
  ('model-step s', 'model_step_s', '.4g', 1),
  ('model-steps/s', 'model_steps_per_s', '.4g', 1),
  ('frames/s', 'frames_per_s', '.4g', 1),
  ('alone s', 'alone_model_step_s', '.4g', 1),
  ('x alone', 'speedup', '.2f', 1),
  ('peak GiB', 'peak_bytes', '.2f', 2**-30),
  ('TFLOP/s', 'tflop_per_s', '.3g', 1),
  ('matmul', 'matmul_tflop_per_s', '.3g', 1),
  ('used %', 'utilisation', '.1f', 100),
  ('input wait %', 'input_wait_share', '.1f', 100),
)


def table(result: dict) -> str:
  """Returns the rows of a benchmark as aligned text.

  Columns: seconds of compiling; median seconds of a step of the population and
  of each of its models; models advanced by a step, and images seen, a second;
  seconds of the same step of one model alone, which a script would repeat for
  each of them, and how many times faster the population is; most memory of a
  device (or, on a CPU, of the process); arithmetic rate, that of a large
  matrix product in the same run, and their ratio; share of the time spent on
  waiting for frames.
  """
  lines = [[heading for heading, *_ in _COLUMNS]]
  for row in result['rows']:
    cells = [_cell(row, *column[1:]) for column in _COLUMNS]
    lines.append([*cells[:4], row['failed']] if 'failed' in row else cells)
  widths = [
    max(map(len, column))
    for column in zip(
      *(line for line in lines if len(line) == len(_COLUMNS)), strict=True
    )
  ]
  text = [
    '  '.join(
      # Names are to the left; a failure's reason is longer than its column.
      cell.ljust(width) if index in (1, 2, 3) else cell.rjust(width)
      for index, (cell, width) in enumerate(zip(line, widths, strict=False))
    ).rstrip()
    for line in lines
  ]
  return '\n'.join([_heading(result), *text, _embedding_line(result['embed'])])


def _cell(row, key, form, factor):
  if key not in row:
    return ''
  return format(row[key] * factor if factor != 1 else row[key], form)


def _measured(result):
  return [row for row in result['rows'] if 'failed' not in row]


def _heading(result):
  """Returns where this was measured, of what."""
  config = result['config']
  size = (
    f'{config["method"]["name"]}, width {config["method"]["width"]:g}, '
    f'{config["data"]["size_px"]} px, {config["train"]["batch_size"]} examples '
    'a step'
  )
  for row in _measured(result):
    return f'{row["num_devices"]} x {row["device"]}, jax {row["jax"]}; {size}'
  return size


def _embedding_line(embed):
  if 'failed' in embed:
    return f'Embedding: {embed["failed"]}'
  return (
    f'Embedding, batches of {embed["batch"]}: {embed["frames_per_s"]:.4g} '
    f'frames/s, {embed["tflop_per_s"]:.3g} TFLOP/s'
  )


def write(result: dict, folder: pathlib.Path) -> list[pathlib.Path]:
  """Writes bench.json and, if anything was measured, bench.png.

  Returns:
    The files written.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  written = [paths.write_json(folder / 'bench.json', result)]
  if _measured(result):
    written.append(draw(result, folder / 'bench.png'))
  return written


def draw(result: dict, path: pathlib.Path) -> pathlib.Path:
  """Draws model-steps a second against the number of models."""
  from matplotlib import figure as mpl_figure  # Heavy, and not always drawn.

  figure = mpl_figure.Figure(figsize=(7, 4.5), layout='constrained')
  axes = figure.subplots()
  lines, alone = {}, {}
  for row in _measured(result):
    name = f'{row["strategy"]}, {row["lowering"]}'
    lines.setdefault(name, []).append(row)
    alone.setdefault(row['num_models'], []).append(row['alone_model_step_s'])
  for name, rows in lines.items():
    axes.plot(
      [row['num_models'] for row in rows],
      [row['model_steps_per_s'] for row in rows],
      marker='o',
      label=name,
    )
  sizes = sorted(alone)
  axes.plot(
    sizes,
    [1 / statistics.median(alone[size]) for size in sizes],
    color='0.4',
    linestyle='--',
    marker='.',
    label='one model after another',
  )
  axes.set_xscale('log', base=2)
  axes.set_xticks(sizes, [str(size) for size in sizes])
  axes.minorticks_off()
  axes.set_ylim(bottom=0)
  axes.set(xlabel='models trained together', ylabel='model-steps a second')
  axes.set_title(_heading(result), fontsize=9)
  axes.spines[['top', 'right']].set_visible(False)
  axes.grid(axis='y', color='0.9')
  axes.legend(frameon=False)
  figure.savefig(path, dpi=150)
  return path
