"""What every word of the page means, and how to treat the page."""

from psm_jax.report import markup

_WORDS = (
  (
    'Person-specific model (PSM)',
    'A small network that learns the facial movements of one person from '
    'unlabelled video of that person. A model whose cohort is several people '
    'learns from all of them.',
  ),
  (
    'Embedding',
    'The numbers that a model’s encoder gives for one frame. The '
    'embeddings of two models do not share coordinates: number 17 of one '
    'person and number 17 of another mean different things, and distances '
    'between people mean nothing. Compare people by what is read off their '
    'embeddings, such as scores, not by the embeddings themselves.',
  ),
  (
    'Action unit (AU)',
    'A visible movement of the face in the Facial Action Coding System, such '
    'as AU12, the lip corner puller. Its labels are used to test embeddings, '
    'never to train the models.',
  ),
  (
    'Score',
    'How well a simple classifier (a probe: logistic regression, fitted anew '
    'for each person and action unit) tells active from inactive frames. '
    'Scores are about the labels of the frames that were tested, nothing '
    'else.',
  ),
  (
    'Trained encoder',
    'The embeddings of the trained models (psm in the tables of evaluation/).',
  ),
  (
    'Control',
    'What any method must beat before a score says something about learning. '
    'Random encoder: the same network before training. Pixel PCA: the grey '
    'pixels of the face, reduced to 64 principal components. If a control '
    'scores as high, the score is not the merit of the training.',
  ),
  (
    'Across videos',
    'The probe is fitted on one video of the person and tested on another, in '
    'both directions. The test that counts for new recordings.',
  ),
  (
    'Blocked in time',
    'Fitted and tested on separate stretches of the same videos, with a '
    'pause between them.',
  ),
  (
    'Random frames',
    'A random fifth of the frames is tested. Nearly every test frame has a '
    'neighbour among the training frames, so this measures interpolation; it '
    'is here because published results use it.',
  ),
  (
    'AUC',
    'The chance that a frame with the action unit scores above a frame '
    'without it. .5 is guessing, 1 is perfect. It does not depend on how '
    'often the action unit occurs.',
  ),
  (
    'F1',
    'The harmonic mean of precision and recall of the active frames. It '
    'depends on the base rate: compare F1 only between sources on the same '
    'frames. As published, it is averaged over resampled test frames. '
    '“F1” averages people, “F1, all rows” all '
    'pairs of person and action unit alike.',
  ),
  (
    'AP, balanced accuracy, MCC',
    'Average precision (guessing gives the base rate), the mean of the hit '
    'rates of active and inactive frames (guessing gives .5), and '
    'Matthews’ correlation (guessing gives 0).',
  ),
  (
    'Base rate',
    'The share of tested frames on which the action unit is active.',
  ),
  (
    '95% interval',
    'How far the mean would move if other people of the same kind had been '
    'recorded, found by resampling the people (percentile bootstrap). It does '
    'not cover other seeds, labels or cameras. With fewer than about 20 '
    'people it is somewhat too narrow.',
  ),
  (
    'Higher, lower, not established',
    'A difference is called higher or lower only if its 95% interval leaves '
    'out zero. “Not established” is not “equal”. Many '
    'differences are shown, so one in twenty may look established by chance.',
  ),
  (
    'Loss',
    'What training makes small: how far reconstructions are from the frames, '
    'plus terms that keep the neutral face symmetric. A low loss does not '
    'prove a useful embedding; look at scores, controls and pictures.',
  ),
  (
    'Gap',
    'The distance in frames between the two frames of a training pair. The '
    'curriculum widens it as training goes on. A gap cap is the widest gap '
    'that leaves a batch of pairs in a model’s videos.',
  ),
  (
    'Step, epoch',
    'A step is one update of a model’s weights, an epoch one pass over '
    'its training pairs.',
  ),
  (
    'Effective rank',
    'How many directions an embedding really uses: 1 if everything moves '
    'along one line. Std of a unit: how much one number of the embedding '
    'moves over the frames.',
  ),
  (
    'Pose correlation',
    'How well a linear regression tells head yaw, pitch or roll in a video '
    'it was not fitted on. High values mean that the embedding follows the '
    'head, not only the face.',
  ),
  (
    'Neutral face, flow',
    'The person’s face with the movement taken out, and the shift of '
    'every pixel between it and the frame.',
  ),
  (
    'Skipped',
    'A person whom a test does not suit: no labels, a single video, or no '
    'action unit that is active often enough.',
  ),
)
_NOTICE = (
  'Videos of faces, and embeddings and models made from them, are biometric '
  'data: they can identify people and tell about their health and feelings. '
  'Many laws protect them. This page holds ids of people and measurements '
  'about them. Share it with those only who may see the recordings, keep ids '
  'pseudonymous, and delete it together with the run when consent ends.'
)
_WITHOUT_FACES = 'It shows no face and holds no embedding or weight.'
_WITH_FACES = (
  'It shows faces, because it was made with --show_faces: treat it like the '
  'recordings themselves.'
)


def words() -> markup.Html:
  """Returns the definitions of all words that the page uses."""
  return markup.tag(
    'dl',
    [
      markup.tag('div', markup.tag('dt', word), markup.tag('dd', meaning))
      for word, meaning in _WORDS
    ],
    class_='words',
  )


def notice(*, shows_faces: bool) -> markup.Html:
  """Returns how to treat the page.

  Args:
    shows_faces: Whether face pictures are on it.
  """
  return markup.tag(
    'p',
    f'{_NOTICE} {_WITH_FACES if shows_faces else _WITHOUT_FACES}',
    class_='notice',
  )
