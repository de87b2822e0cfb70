"""GFT, the Group Formation Task (Girard et al., 2017): presence codes.

How the copies are laid out is not documented openly, so this reads the plainest
form: pictures in PERSON/FRAME.jpg or PERSON/VIDEO/FRAME.jpg below the folder of
pictures, and a CSV table a video, `PERSON/VIDEO.csv`, `PERSON_VIDEO.csv` or
`PERSON.csv`, with a column `frame` (or `0`) and columns `AU1` or `1`.

Codes become AU06_c (0 or 1); a column named AU6_r is an intensity, AU06.
"""

from psm_jax import paths
from psm_jax.data import sources
from psm_jax.data.datasets import trees

ACTION_UNITS = (1, 2, 4, 6, 10, 12, 14, 15, 23, 24)
_LABEL_FOLDERS = ('AUCoding', 'aucoding', 'labels', 'Labels')
_ONLY_VIDEO = 'video'


def _identify(where, stem):
  parts = where.split('/')[1:]  # The first is the folder of pictures itself.
  if stem or len(parts) not in (1, 2):
    return None
  return parts[0], parts[1] if len(parts) == 2 else _ONLY_VIDEO


def _read_labels(root, options, videos, report):
  folder = trees.label_folder(root, options, _LABEL_FOLDERS, report)
  tables = {}
  for video in videos if folder is not None else ():
    path = _find_table(folder, video)
    if path is None:
      report(video.name, f'no table of labels in {folder}; labels missing')
      continue
    with sources.reporting(path, report):
      codes = trees.read_codes(path, options, report)
      tables[video.key] = trees.as_labels(codes)
  return tables


def _find_table(folder, video):
  """The first table named for a video."""
  names = [
    (video.person_id, f'{video.video_id}.csv'),
    (f'{video.person_id}_{video.video_id}.csv',),
  ]
  if video.video_id == _ONLY_VIDEO:
    names.append((f'{video.person_id}.csv',))
  candidates = (paths.child(folder, *name) for name in names)
  return next((path for path in candidates if path.is_file()), None)


DATASET = trees.Dataset(
  kind='gft',
  columns=tuple(f'AU{unit:02d}_c' for unit in ACTION_UNITS),
  fps=30.0,
  is_fps_known=False,
  expected='PERSON/FRAME.jpg or PERSON/VIDEO/FRAME.jpg',
  identify=_identify,
  read_labels=_read_labels,
  is_shift_possible=True,
)
