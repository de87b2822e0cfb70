"""Which lowering of a batch of convolutions is the fastest, layer by layer.

The rows of a TPU are estimates of its compiler (`launch.compile --layers`), the
CPU's are measured (BENCHMARKS.md). For GPUs there is neither: products there
read .45 C bytes' worth of FLOP a byte of memory, which keeps those of many
channels off the matrix units, so many channels take one convolution a model.
"""

import math

LOWERINGS = ('grouped', 'matmul', 'unrolled')
# {platform: ((channels, pixels a side, models), fastest)}; 'default' is any
# platform not named.
TABLE = {
  'cpu': (((32, 16, 8), 'unrolled'),),
  'tpu': (((32, 8, 8), 'grouped'),),  # So are all others that were tried.
  'default': (((16, 16, 8), 'matmul'), ((256, 16, 8), 'unrolled')),
}


def fastest(channels: int, size_px: int, num_models: int) -> dict[str, str]:
  """Returns {platform: lowering} of a layer, 'default' among the platforms.

  That of the nearest row of the table, counting doublings of each number.

  Args:
    channels: Of the image, or of the result's gradient.
    size_px: Height of it in pixels.
    num_models: Models stacked.
  """
  asked = (channels, size_px, num_models)

  def distance(row):
    return sum(
      abs(math.log2(a / b)) for a, b in zip(asked, row[0], strict=True)
    )

  return {
    platform: min(rows, key=distance)[1] for platform, rows in TABLE.items()
  }
