"""What every word of the page means, and how to treat the page."""

from psm_jax.report import markup

RUN, COMPARISON = 'run', 'comparison'
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
    'The embeddings of the trained models (trained in the tables of '
    'evaluation/).',
  ),
  (
    'Control',
    'What any method must beat before a score says something about learning. '
    'Random encoder: the same network before training. Pixel PCA: the grey '
    'pixels of the face, reduced to 64 principal components. Head pose: yaw, '
    'pitch and roll. Nearest in time: the labels of the training frame that '
    'is closest in time. If a control scores as high, the score is not the '
    'merit of the training.',
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
    'recorded: Student’s t on the values of the people, not shown of fewer '
    'than five. It does not cover other seeds, labels or cameras.',
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
# Words of _WORDS that a run's page alone needs.
_RUN_ONLY = frozenset(
  (
    'Trained encoder',
    'AP, balanced accuracy, MCC',
    'Loss',
    'Gap',
    'Step, epoch',
    'Effective rank',
    'Pose correlation',
    'Neutral face, flow',
  )
)
_COMPARISON_WORDS = (
  (
    'Approach, baseline',
    'A way to come to an embedding: person-specific models, one general '
    'model, a model that began from another’s weights, another method, '
    'another program. Differences are taken to one of them, the baseline.',
  ),
  (
    'General model',
    'One model of several people. Its embeddings share coordinates, so frames '
    'of different people may be compared in them.',
  ),
  (
    'Identity',
    'The share of frames that a probe gives to the right person; chance is '
    'one over the number of people. “Nearest” asks the five nearest frames, '
    '“centred” does so after each person’s mean was taken out. People also '
    'move differently, so a value above chance is not looks alone.',
  ),
  (
    'R² of head pose',
    'How much of the squared error of the mean angle a ridge regression from '
    'the embedding takes away, on frames it was not fitted on: 1 is all of '
    'it, 0 nothing, below 0 is worse than the mean.',
  ),
  (
    'Retrieval in others',
    'Each frame with an active action unit asks for its five nearest frames of '
    'other people; the answer is good if it shows the same action units. 0 is '
    'what random frames reach, 1 the best that any embedding can do.',
  ),
  (
    'Rotation onto a general model',
    'Person-specific embeddings turned to fit a general model’s on a part of '
    'the frames (orthogonal Procrustes) and judged on the rest.',
  ),
  (
    'AMI',
    'Adjusted mutual information of groups of frames and named movements: 0 is '
    'chance, 1 equal.',
  ),
  (
    'Step, example, image',
    'A step is one update of a model’s weights, an example what a method '
    'draws for it (a pair, a clip), an image one frame of these.',
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
_WITH_MAPS = (
  'It shows no face, but holds two numbers for each of the drawn frames, taken '
  'from its embedding, with the person, the video and the time.'
)
_WITH_FACES = (
  'It shows faces, because it was made with --show_faces: treat it like the '
  'recordings themselves.'
)


def words(page: str) -> markup.Html:
  """Returns the definitions of the words that a page uses.

  Args:
    page: RUN or COMPARISON.
  """
  shown = _WORDS
  if page == COMPARISON:
    common = [entry for entry in _WORDS if entry[0] not in _RUN_ONLY]
    shown = [*_COMPARISON_WORDS[:2], *common, *_COMPARISON_WORDS[2:]]
  return markup.tag(
    'dl',
    [
      markup.tag('div', markup.tag('dt', word), markup.tag('dd', meaning))
      for word, meaning in shown
    ],
    class_='words',
  )


def notice(
  *, shows_faces: bool = False, holds_maps: bool = False
) -> markup.Html:
  """Returns how to treat the page.

  Args:
    shows_faces: Whether face pictures are on it.
    holds_maps: Whether maps of embeddings are on it.
  """
  without = _WITH_MAPS if holds_maps else _WITHOUT_FACES
  return markup.tag(
    'p',
    f'{_NOTICE} {_WITH_FACES if shows_faces else without}',
    class_='notice',
  )
