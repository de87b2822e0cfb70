"""Which kinds of video this machine can read."""

import av

KINDS = ('h264', 'hevc', 'mpeg4', 'mjpeg', 'vp9', 'av1')


def readable() -> list[str]:
  """Returns those of `KINDS` for which there is a decoder."""
  return [kind for kind in KINDS if kind in av.codecs_available]
