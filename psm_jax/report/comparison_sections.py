"""The sections of a comparison's page, in the order in which they are read."""

from collections.abc import Sequence

import pandas as pd

from psm_jax.evaluation import coordinates
from psm_jax.report import (
  comparison,
  comparison_figures,
  comparison_findings,
  comparison_notices,
  comparison_tables,
  comparison_units,
  document,
  formats,
  glossary,
  learning_curves,
  map_views,
  maps,
  markup,
)

_COMPARE = 'python -m launch.compare --run=NAME=WORKDIR ... --out=...'


def build(
  found: comparison.Comparison,
  embed: document.Embed,
  *,
  drawn: Sequence[maps.Maps] = (),
  curve: pd.DataFrame | None = None,
) -> list[tuple[str, str, markup.Html]]:
  """Returns (anchor, heading, content) of every section.

  Args:
    found: The comparison.
    embed: Takes a figure, or None for none, and returns its element.
    drawn: Maps of embeddings.
    curve: Scores along training, None or no rows to leave the section out.
  """
  curves = []
  if curve is not None and len(curve):
    content = learning_curves.section(curve, embed)
    curves.append(('learning-curve', 'Scores along training', content))
  return [
    ('summary', 'What it says', _summary(found)),
    ('approaches', 'Approaches', _approaches(found, embed)),
    ('differences', 'Against the baseline', _differences(found, embed)),
    ('action-units', 'Action units', _action_units(found, embed)),
    *curves,
    ('leakage', 'What else can be read off', _leakage(found, embed)),
    ('maps', 'Maps of embeddings', _maps(drawn, embed)),
    ('costs', 'Costs', _costs(found)),
    ('warnings', 'Warnings', _warnings(found)),
    ('how-to-read', 'How to read this', glossary.words(glossary.COMPARISON)),
    (
      'biometric-data',
      'Biometric data',
      glossary.notice(holds_maps=bool(drawn)),
    ),
  ]


def _summary(found: comparison.Comparison) -> markup.Html:
  """Returns what the tables show, in words."""
  parts = [
    markup.tag('p', text, class_='lead')
    for text in comparison_findings.summarise(found)
  ]
  if warnings := comparison_notices.find(found):
    link = markup.tag(
      'a', formats.plural(len(warnings), 'warning'), href='#warnings'
    )
    parts.append(markup.tag('p', 'Before you quote a number, read ', link, '.'))
  return markup.join(parts)


def _approaches(
  found: comparison.Comparison, embed: document.Embed
) -> markup.Html:
  """Returns the scores of every approach."""
  if not found.splits:
    return missing(found, comparison.APPROACHES, 'no score')
  parts = [
    markup.tag('p', *_split_text(found)),
    embed(comparison_figures.scores(found)),
    comparison_tables.approaches(found),
    markup.tag(
      'p',
      'Every column, with standard deviations over people and seeds, is in ',
      markup.tag('code', comparison.APPROACHES),
      '.',
    ),
  ]
  if found.scores.empty:
    parts.append(missing(found, 'scores.csv', 'no score of a person'))
  return markup.join(parts)


def _split_text(found: comparison.Comparison) -> list[str]:
  """Returns how the frames of a test are chosen, in a sentence."""
  return [
    {
      'cross_video': 'Probes are fitted on one video of a person and tested on '
      'another, in both directions: the test that counts for new recordings.',
      'blocked': 'Probes are fitted and tested on separate stretches of the '
      'same videos. No test on another video was made.',
    }.get(
      found.split,
      'Test frames have neighbours among the training frames, so these scores '
      'measure interpolation. No test on another video was made.',
    )
  ]


def _differences(
  found: comparison.Comparison, embed: document.Embed
) -> markup.Html:
  """Returns the differences to the baseline."""
  drawn = comparison_figures.differences(found)
  if drawn is not None:
    return embed(drawn)
  if len(found.approaches) == 1:
    return markup.tag('p', 'There is nothing beside the baseline.')
  return missing(found, 'summary.csv', 'no difference to the baseline')


def _action_units(
  found: comparison.Comparison, embed: document.Embed
) -> markup.Html:
  """Returns the scores of every action unit."""
  profile = embed(comparison_units.profile(found))
  if profile is None:
    return missing(found, 'scores.csv', 'no score of an action unit')
  return markup.join([profile, embed(comparison_units.heat(found))])


def _leakage(
  found: comparison.Comparison, embed: document.Embed
) -> markup.Html:
  """Returns identity, head pose, retrieval and alignment."""
  parts = [markup.tag('p', coordinates.WARNING, class_='notice')]
  if not found.has('identity', 'pose_r2', 'retrieval'):
    parts.append(
      markup.tag(
        'p',
        'No approach has a value here: identity and retrieval need one model '
        'of several people, head pose the columns pose_yaw, pose_pitch and '
        'pose_roll.',
      )
    )
  else:
    parts += [
      embed(comparison_figures.leakage(found)),
      comparison_tables.leakage(found),
    ]
  aligned = comparison_tables.alignment(found)
  if aligned is None:
    parts.append(
      markup.tag(
        'p',
        'No embedding was rotated onto that of a general model. Add ',
        markup.tag('code', '--align_to=NAME'),
        ' to launch.compare for that.',
      )
    )
  else:
    parts += [
      markup.tag('h3', 'Rotated onto a general model'),
      markup.tag(
        'p',
        'A rotated embedding may be used only where R² on held-out frames is '
        'clearly above that without a rotation and that of a random one.',
      ),
      aligned,
    ]
  if notes := comparison_tables.notes(found):
    parts += [markup.tag('h3', 'Why cells are empty'), notes]
  return markup.join(parts)


def _maps(drawn: Sequence[maps.Maps], embed: document.Embed) -> markup.Html:
  """Returns embeddings in two dimensions."""
  if not drawn:
    return markup.tag(
      'p',
      'None was asked for. Draw them with ',
      markup.tag('code', '--maps=NAME=WORKDIR'),
      ' of launch.report.',
    )
  parts = []
  for one in drawn:
    parts.append(markup.tag('h3', one.name))
    parts += map_views.views(one, embed)
  return markup.join(parts)


def _costs(found: comparison.Comparison) -> markup.Html:
  """Returns what the approaches cost."""
  if not found.has('steps', 'images', 'seconds'):
    return missing(found, 'costs.csv', 'no cost of a run')
  return markup.join(
    [
      markup.tag(
        'p',
        'Compare approaches at equal steps a model or equal images, not at '
        'equal epochs: their epochs differ in length. One model of everybody '
        'takes its steps once, person-specific models once for each person.',
      ),
      comparison_tables.costs(found),
    ]
  )


def _warnings(found: comparison.Comparison) -> markup.Html:
  """Returns all warnings, and who was left out."""
  parts = [
    markup.tag('p', text, class_='warning')
    for text in comparison_notices.find(found)
  ]
  parts = parts or [markup.tag('p', 'None.')]
  return markup.join([*parts, comparison_tables.left_out(found)])


def missing(found: comparison.Comparison, name: str, holds: str) -> markup.Html:
  """Returns that a table is missing or empty and which command makes it."""
  state = f'holds {holds}' if name in found.written else 'is missing'
  return markup.tag(
    'p',
    markup.tag('code', name),
    f' {state}. Make it with ',
    markup.tag('code', _COMPARE),
    '.',
    class_='notice',
  )
