"""How well blendshapes tell action units that are known.

  python -m benchmarks.blendshapes --frames=/data/avatars --every=5

--frames is a folder as `--config.data.source=frame_folder` reads it, whose
labels.csv have au1, au2, ... from 0 to 5 and, if the lids are known, blink from
0 to 1. Nothing is fitted: a row a unit says how often a frame with the unit has
a larger blendshape than one without, over all frames and, as what is neutral
differs, within a person (mean over those of whom there are both); and the mean
of the blendshape with the unit and without it. The detector is given each
picture with its border repeated all around, as faces seldom fill a video.
"""

import pathlib

import av
import cv2
import numpy as np
import pandas as pd
from absl import app, flags
from tqdm import auto as tqdm

from psm_jax.data import folders, sources
from psm_jax.data.ingest import detection, landmarker, video
from psm_jax.data.labels import weak
from psm_jax.evaluation import scores

_FRAMES = flags.DEFINE_string('frames', None, 'The folder.', required=True)
_EVERY = flags.DEFINE_integer('every', 5, 'Only each so manieth frame.')
_MODEL = flags.DEFINE_string('model', '', 'Model file, if elsewhere.')
_BORDER = 0.25  # Of the picture's longer side.

# Unit: columns of labels, from where on it is there, blendshapes (their mean).
_UNITS = {
  'AU1': (['AU01'], 2, ['browInnerUp']),
  'AU2': (['AU02'], 2, ['browOuterUpLeft', 'browOuterUpRight']),
  'AU12': (['AU12'], 2, ['mouthSmileLeft', 'mouthSmileRight']),
  'AU25': (['AU25'], 2, ['jawOpen']),
  'AU26': (['AU26'], 2, ['jawOpen']),
  'AU25 or AU26': (['AU25', 'AU26'], 2, ['jawOpen']),
  'AU45': (['blink'], 0.5, ['eyeBlinkLeft', 'eyeBlinkRight']),
}


def measured(
  source: sources.Source, detector: landmarker.LandmarkerDetector, *, every: int
) -> pd.DataFrame:
  """Returns a row a picture: labels, and blendshapes, NaN without a face.

  Args:
    source: pictures with labels.
    detector: a landmarker.
    every: of how many pictures one is looked at.
  """
  tables = []
  for entry in tqdm.tqdm(source.videos, unit='video'):
    shots = source.shots(entry, print)
    rows = np.arange(0, len(shots.names), every)
    values = [
      _blendshapes(detector, shots.read(row), index)
      for index, row in enumerate(rows)
    ]
    table = pd.DataFrame(np.stack(values), columns=list(weak.NAMES))
    labels = shots.labels.iloc[rows].reset_index(drop=True)
    tables.append(
      pd.concat([labels, table], axis=1).assign(person_id=entry.person_id)
    )
  return pd.concat(tables, ignore_index=True)


def _blendshapes(detector, encoded, index):
  """[52] of the likeliest face."""
  pixels = cv2.cvtColor(
    cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR),
    cv2.COLOR_BGR2RGB,
  )
  border = [round(_BORDER * max(pixels.shape))] * 4
  pixels = cv2.copyMakeBorder(pixels, *border, cv2.BORDER_REPLICATE)
  image = av.VideoFrame.from_ndarray(pixels, format='rgb24')
  frame = video.Frame(index, False, (image.width, image.height), image)
  faces = detector.detect(frame)
  if not len(faces):
    return np.full(len(weak.NAMES), np.nan)
  return faces.details.blendshapes[faces.scores.argmax()]


def told(frames: pd.DataFrame) -> pd.DataFrame:
  """Returns how well blendshapes tell units: a row a unit that is labelled.

  Args:
    frames: of `measured`; rows without a face are left out.
  """
  frames, rows = frames.dropna(subset=list(weak.NAMES)), []
  for unit, (columns, least, names) in _UNITS.items():
    if not set(columns) <= set(frames):
      continue
    truth = (frames[columns] >= least).any(axis=1).to_numpy()
    value = frames[names].mean(axis=1).to_numpy()
    within = [
      scores.auc(truth[rows_of], value[rows_of])
      for rows_of in frames.groupby('person_id').indices.values()
    ]
    rows.append(
      {
        'unit': unit,
        'by': ' '.join(names),
        'frames with it': truth.sum(),
        'AUC': scores.auc(truth, value),
        'AUC within': np.nanmean(within),
        'least': np.nanmin(within),
        'people': np.isfinite(within).sum(),
        'mean with it': value[truth].mean(),
        'without': value[~truth].mean(),
        '99 %': np.quantile(value, 0.99),
      }
    )
  return pd.DataFrame(rows)


def main(argv: list[str]) -> None:
  """Prints the table."""
  del argv
  root = pathlib.Path(_FRAMES.value)
  options = detection.DetectorOptions(name='landmarker', model=_MODEL.value)
  options.check()
  frames = measured(
    folders.scan(root, align='none'),
    detection.make(options),
    every=_EVERY.value,
  )
  num_faces = int(frames[weak.NAMES[0]].notna().sum())
  print(f'{len(frames)} pictures, a face in {num_faces}')
  print(told(frames).round(3).to_string(index=False))


if __name__ == '__main__':
  app.run(main)
