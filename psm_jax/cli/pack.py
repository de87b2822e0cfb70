r"""Packs a frame store into one file, or unpacks one.

  python -m launch.pack --store=runs/lab/data/store-0123456789abcdef \
      --out=lab.pack
  python -m launch.pack --pack=lab.pack --out=/data/cache

Training takes a pack as it is (--config.data.source=store
--config.data.path=lab.pack) and unpacks it once, without TensorFlow. JPEG loses
a little: how much is printed and kept with the frames; --encoding=png loses
nothing. A pack holds faces: treat it as you treat the videos.

Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
"""

import os

from absl import flags, logging

from psm_jax.cli import program
from psm_jax.data import pack, store as store_lib

_STORE = flags.DEFINE(program.PLACE, 'store', None, 'The frame store to pack.')
_PACK = flags.DEFINE(program.PLACE, 'pack', None, 'The pack to unpack.')
_OUT = flags.DEFINE(
  program.PLACE,
  'out',
  None,
  'The pack to make, or the folder to unpack a store into.',
)
_ENCODING = flags.DEFINE_enum(
  'encoding', 'jpeg', pack.ENCODINGS, 'Of the pictures; png loses nothing.'
)
_QUALITY = flags.DEFINE_integer(
  'quality', pack.QUALITY, 'Of JPEG.', lower_bound=1, upper_bound=100
)
flags.mark_flags_as_mutual_exclusive(['store', 'pack'], required=True)
REQUIRED = ('out',)


def main() -> int | None:
  """Does the program's work; returns its exit code, None for 0."""
  if _PACK.value is not None:
    folder = pack.unpack(_PACK.value, directory=_OUT.value)
    logging.info('Unpacked %s into %s.', _PACK.value, folder)
    return
  store = store_lib.open_store(_STORE.value)
  mean_psnr, least_psnr = pack.write(
    store,
    _OUT.value,
    encoding=_ENCODING.value,
    quality=_QUALITY.value,
  )
  logging.info(
    'Packed %d frames into %s: %.1f MB, PSNR %.1f dB, at least %.1f dB.',
    len(store.frames),
    _OUT.value,
    os.path.getsize(_OUT.value) / 1e6,
    mean_psnr,
    least_psnr,
  )
