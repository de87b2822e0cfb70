"""Pages of tables that the evaluation itself wrote of small, partial data."""

import dataclasses
import pathlib
import tempfile

import pytest
from absl.testing import absltest, parameterized

from psm_jax.evaluation import evaluate, features
from psm_jax.report import page
from tests.evaluation import people
from tests.report import checker


def _written(people_frames):
  """Returns the page of what the evaluation says of people's frames."""
  workdir = pathlib.Path(tempfile.mkdtemp())
  evaluate.score(
    None,
    others=[
      _features(frames, person) for person, frames in people_frames.items()
    ],
    folder=workdir / 'evaluation',
    num_workers=1,
  )
  return page.write(workdir)


def _features(frames, person):
  """Returns features of a person's frames, which may lack labels."""
  made = people.table(people.frames(person), features.TRAINED)
  return dataclasses.replace(
    made, features=made.features[: len(frames)], frames=frames
  )


def _without(*names, **options):
  return lambda person: people.frames(person, **options).drop(columns=[*names])


_POSE = ('pose_yaw', 'pose_pitch', 'pose_roll')


class ScoredTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('no_pose', _without(*_POSE), 2),
    ('pose_alone', _without(*people.UNITS), 2),
    ('one_person_in_one_video', _without(*_POSE, num_videos=1), 1),
    (
      'one_person_in_one_video_without_labels',
      _without(*_POSE, *people.UNITS, num_videos=1),
      1,
    ),
  )
  @pytest.mark.thorough
  def test_a_page_is_drawn_of(self, frames, num_people):
    path = _written({f'P{i}': frames(f'P{i}') for i in range(num_people)})
    self.assertNotRegex(checker.text(path), r'\bnan\b')
    self.assertIn('>Rank<', checker.section(path, 'embeddings'))


if __name__ == '__main__':
  absltest.main()
