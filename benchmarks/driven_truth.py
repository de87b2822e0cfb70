"""How near driven faces come to renders of that movement on that person.

  python -m launch.train --config=configs/quickstart.py --workdir=runs/quick
  python -m launch.train --config=configs/quickstart.py --workdir=runs/gm \
      --config.population.cohorts=all
  python -m benchmarks.driven_truth --run=own=runs/quick --run=general=runs/gm

Synthetic people can be rendered as they would look with somebody else's
movement. Of every model and person it learned from, the neutral face of the
first video is moved as the person moves in another video ("same"), and as each
other person moves ("another"). The truth is the person rendered with those
action units, that gaze and head pose, in the light of the neutral face's video.
R2 is 1 - SS(driven - truth) / SS(still face - truth): 0 is a face left still.

A row a run, kind of movement and region: R2, root mean squared errors in grey
levels of 255 (driven and still), how many people are above 0. Means over
people; 95 % intervals by Student's t over them.

n frames, S pixels a side.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd
import scipy.stats
from absl import app, flags

import psm_jax
from psm_jax.data import driven_squares, synthetic
from psm_jax.runs import run

_PLACE = ['run', 'movement', 'region', 'person']


class Videos:
  """The synthetic videos of a run's configuration, to be rendered again."""

  def __init__(self, data, *, stride: int):
    """Takes `config.data` of a run whose source is synthetic_faces."""
    if data.source != 'synthetic_faces':
      raise ValueError(
        f'data.source is {data.source!r}; no render is the truth.'
      )
    self._data, self._stride = data, stride

  @functools.cache  # noqa: B019 (lives as long as the program)
  def acts(self, person_id: str, number: int) -> synthetic.Performance:
    """Returns what a person does in a video, numbered from 0."""
    options = self._data.synthetic
    return synthetic.sample_performance(
      self._who(person_id),
      options.seed,
      number,
      options.num_frames,
      options.fps,
    )

  def render(
    self, person_id: str, performance: synthetic.Performance
  ) -> np.ndarray:
    """Returns [n, S, S, 3] uint8, every so manyth frame."""
    return np.stack(
      [
        synthetic.render(
          self._who(person_id), performance, frame, size_px=self._data.size_px
        )
        for frame in range(0, performance.num_frames, self._stride)
      ]
    )

  def _who(self, person_id):
    number = int(person_id.removeprefix('P')) - 1
    return synthetic.sample_person(self._data.synthetic.seed, number)


def moved_as(
  performance: synthetic.Performance, there: synthetic.Performance
) -> synthetic.Performance:
  """Returns a performance in the light and before the ground of another."""
  light = np.median(there.light, axis=0)
  return dataclasses.replace(
    performance,
    light=np.broadcast_to(light, performance.light.shape),
    background=there.background,
  )


def errors(
  driven: np.ndarray, truth: np.ndarray, face: np.ndarray
) -> pd.DataFrame:
  """Returns sums of squares a region, `rest` of driven, `still` of the face.

  Args:
    driven: [n, S, S, 3] uint8.
    truth: [n, S, S, 3] uint8.
    face: [S, S, 3] uint8, which was driven.
  """
  driven, truth, face = (x.astype(np.float64) for x in (driven, truth, face))
  # Of one face there are no colours to match.
  sums = driven_squares.squares(driven, truth, canonical=face, target=face)
  made = pd.DataFrame(sums).sum().rename_axis('name').reset_index(name='sum')
  made[['kind', 'region']] = made['name'].str.split('_', expand=True)
  return made.pivot(index='region', columns='kind', values='sum')


def of_run(name: str, workdir: str, *, stride: int) -> pd.DataFrame:
  """Returns errors by run, movement, region and person, whose face it is."""
  opened = run.open_run(workdir)
  videos = Videos(opened.config.data, stride=stride)
  people = sorted({who for model in opened.models for who in model.cohort})
  made = []
  for described in opened.models:
    model = psm_jax.load(workdir, person_id=described.model_id)
    for person in described.cohort:
      there = videos.acts(person, 0)
      face = model.neutral(videos.render(person, there))
      for other in people:
        # Of oneself another video, so that nothing has been seen as it is.
        acts = videos.acts(other, 1)
        driven = model.drive(videos.render(other, acts), face=face)
        truth = videos.render(person, moved_as(acts, there))
        sums = errors(driven, truth, face).reset_index()
        sums['num'] = len(truth)
        sums['run'], sums['person'] = name, person
        sums['movement'] = 'same' if other == person else 'another'
        made.append(sums)
  return pd.concat(made).groupby(_PLACE).sum(numeric_only=True)


def table(sums: pd.DataFrame, *, size_px: int) -> str:
  """Returns a Markdown table of what `of_run` returned."""
  sums = sums.assign(r2=1 - sums['rest'] / sums['still'])
  lines = [
    '| run | movement | region | R2 (95 %) | error driven | still | above 0 |',
    '|---|---|---|---|---|---|---|',
  ]
  for (name, movement, region), rows in sums.groupby(_PLACE[:3], sort=False):
    pixels = driven_squares.num_values(region, size_px) * rows['num']
    driven, still = (
      np.sqrt(rows[kind] / pixels).mean() for kind in ('rest', 'still')
    )
    mean, half = rows['r2'].mean(), _half(rows['r2'])
    lines.append(
      f'| {name} | {movement} | {region} | {mean:.2f} [{mean - half:.2f}, '
      f'{mean + half:.2f}] | {driven:.1f} | {still:.1f} | '
      f'{(rows["r2"] > 0).sum()} of {len(rows)} |'
    )
  return '\n'.join(lines)


def _half(values):
  """Returns half the width of the 95 % interval of a mean."""
  error = values.std() / len(values) ** 0.5
  return scipy.stats.t.ppf(0.975, len(values) - 1) * error


def main(argv):
  """Prints the table."""
  del argv
  values = flags.FLAGS
  named = dict(text.split('=', 1) for text in values.run)
  made = [of_run(n, w, stride=values.stride) for n, w in named.items()]
  size_px = run.open_run(next(iter(named.values()))).config.data.size_px
  print(table(pd.concat(made), size_px=size_px))


def _define_flags():
  flags.DEFINE_multi_string(
    'run', [], 'NAME=WORKDIR, a run on synthetic faces; once for each.'
  )
  flags.DEFINE_integer('stride', 3, 'Every so many frames are used.')


if __name__ == '__main__':
  _define_flags()
  app.run(main)
