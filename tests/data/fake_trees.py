"""Tiny copies of the published data sets' trees, made of grey pictures."""

import functools

import cv2
import numpy as np


@functools.cache
def _encoded(value, extension, side):
  picture = np.full((side, side, 3), value, np.uint8)
  return cv2.imencode(extension, picture)[1].tobytes()


def picture(path, value=100, *, side=8):
  """Writes a plain grey picture; its folders are made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(_encoded(value, path.suffix, side))


def text(path, content):
  """Writes a text file; its folders are made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(content)


def disfa(root, *, persons=('SN001', 'SN002'), num_frames=6, first=1):
  """Pictures numbered from `first`, labels from 1; AU12 counts frames mod 6."""
  for person in persons:
    for frame in range(num_frames):
      name = f'{frame + first:05d}.jpg'
      picture(root / 'frames' / f'LeftVideo{person}' / name, 10 * frame)
    for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
      lines = [
        f'{f + 1},{f % 6 if unit == 12 else 0}' for f in range(num_frames)
      ]
      path = root / 'ActionUnit_Labels' / person / f'{person}_au{unit}.txt'
      text(path, '\n'.join(lines) + '\n')


def bp4d(root, *, persons=('F001', 'M002'), tasks=('T1', 'T2'), num_frames=4):
  """Frames from 2438, of which 2440 and 2441 are coded."""
  for person in persons:
    for task in tasks:
      for frame in range(2438, 2438 + num_frames):
        picture(root / person / task / f'{frame}.jpg')
      name = f'{person}_{task}'
      text(
        root / 'AUCoding' / 'AU_OCC' / f'{name}.csv',
        '0,1,2,6,12,27\n2440,1,0,1,9,0\n2441,0,999,1,1,-1\n',
      )
      text(
        root / 'AU-Intensity-Codes3.0' / 'AU06' / f'{name}_AU06.csv',
        '2440,3\n2441,9\n',
      )


def gft(root, *, num_frames=4):
  """Two people, one with a table by person, one by person and video."""
  for person, video in (('001A', None), ('002B', 'v1')):
    folder = root / 'images' / person
    for frame in range(1, num_frames + 1):
      picture((folder / video if video else folder) / f'{frame:04d}.png')
  text(
    root / 'labels' / '001A.csv',
    'frame,AU1,12,AU6_r\n1,0,1,2\n2,-1,9,5\n3,1,,\n',
  )
  text(root / 'labels' / '002B' / 'v1.csv', '0,1,12\n1,1,0\n4,0,999\n')


def ckplus(root, *, num_people=2, num_frames=3):
  """Two sequences a person; the first has an emotion and FACS codes."""
  for index in range(num_people):
    person = f'S{10 + index:03d}'
    for sequence in ('001', '002'):
      name = f'{person}/{sequence}/{person}_{sequence}_'
      for frame in range(1, num_frames + 1):
        picture(root / 'cohn-kanade-images' / f'{name}{frame:08d}.png', side=64)
        points = [f'  {20 + 20 * (i >= 42)}.0  30.0' for i in range(68)]
        text(
          root / 'Landmarks' / f'{name}{frame:08d}_landmarks.txt',
          '\n'.join(points) + '\n',
        )
      if sequence == '001':
        text(
          root / 'Emotion' / f'{name}00000003_emotion.txt', '   7.0000000e+00\n'
        )
        text(
          root / 'FACS' / f'{name}00000003_facs.txt',
          '   1.0e+00   0.0e+00\n   2.50e+01   4.0e+00\n',
        )


def voxceleb1(root, *, num_frames=3):
  """A track by name and one by number, and the table of people."""
  for frame in range(num_frames):
    dense = root / 'unzippedIntervalFaces' / 'data' / 'A.J._Buckley' / '1.6'
    picture(dense / '-0xYz_9' / '2' / f'{frame:07d}.jpg')
    picture(root / 'id10002' / 'abc' / '00001' / f'frame{frame:04d}.jpg')
  text(
    root / 'vox1_meta.csv',
    'VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n'
    'id10001\tA.J._Buckley\tm\tIreland\tdev\n'
    'id10002\tSomebody\tf\tUSA\ttest\n',
  )


def voxceleb2(root, *, num_frames=3):
  """A track each of dev and test, and folders that are none."""
  for frame in range(num_frames):
    picture(root / 'dev' / 'id00012' / '21Uxsk56VDQ' / '00001' / f'{frame}.jpg')
    folder = root / 'test' / 'id09238' / 'VqEJCd7pbgQ' / '0_folder'
    picture(folder / f'img_0_{frame:03d}.jpg')
  picture(root / 'dev' / 'id00012' / 'VISITED' / '1.jpg')
