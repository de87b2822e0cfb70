"""The sections of the page, in the order in which they are read."""

from collections.abc import Mapping

import pandas as pd

from psm_jax.evaluation import features
from psm_jax.report import (
  cluster_views,
  clusters,
  curves,
  document,
  dots,
  findings,
  formats,
  glossary,
  inventory,
  learning_curves,
  markup,
  notices,
  opening,
  people,
  tables,
)
from psm_jax.report import pictures as face_pictures
from psm_jax.report import run as report_run

_TRAIN = 'python -m launch.train --config=... --workdir=...'
_EMBED = 'python -m launch.embed --workdir=...'
_EVALUATE = 'python -m launch.evaluate --workdir=...'
_UNLABELLED = (
  'Nobody labelled these frames, so there are no scores: the page shows what '
  'the models see. A few dozen labelled frames of a person are enough for '
  'more: psm label chooses them and predicts the rest.'
)
_NO_FACES = 'No face is shown, because this page was made without --show_faces.'


def build(
  run: report_run.Run,
  shown: opening.Opening,
  pictures: Mapping[str, face_pictures.Pictures] | None,
  embed: document.Embed,
  *,
  max_pictures: int,
  discovery: clusters.Discovery | None = None,
  curve: pd.DataFrame | None = None,
) -> list[tuple[str, str, markup.Html]]:
  """Returns (anchor, heading, content) of every section.

  Args:
    run: The run.
    shown: What the page opens with.
    pictures: Pictures by model_id, None to show no face.
    embed: Takes a figure, or None for none, and returns its element.
    max_pictures: Models whose pictures are shown.
    discovery: Clusters of the run, None to leave the section out.
    curve: Scores along training, None or no rows to leave the section out.
  """
  curves_found, found = [], []
  if curve is not None and len(curve):
    content = learning_curves.section(curve, embed)
    curves_found.append(('learning-curve', 'Scores along training', content))
  if discovery is not None:
    content = cluster_views.section(discovery, embed)
    found.append(('clusters', 'Clusters of frames', content))
  is_unscored = run.summary.empty and run.scores.empty and bool(shown.tables)
  # Of video that nobody labelled, nobody expects scores.
  is_unlabelled = is_unscored and not opening.has_labels(shown.tables)
  scores = []
  if not is_unscored:
    scores = [
      ('scores', 'Scores', _scores(run, embed)),
      ('differences', 'Against the controls', _differences(run, embed)),
      ('person-by-person', 'Person by person', _persons(run, embed)),
      ('action-units', 'Action units', _action_units(run, embed)),
    ]
  return [
    *(opening.sections(run, shown, embed) if run.models else ()),
    ('summary', 'Summary', _summary(run, is_unlabelled=is_unlabelled)),
    *scores,
    ('training', 'Training', _training(run, embed)),
    *curves_found,
    (
      'embeddings',
      'What the embeddings hold',
      _structure(run, embed, is_unlabelled=is_unlabelled),
    ),
    *found,
    (
      'pictures',
      'Pictures',
      _pictures(pictures, embed, max_pictures=max_pictures),
    ),
    ('models', 'Models', _models(run)),
    ('warnings', 'Warnings', _warnings(run)),
    ('how-to-read', 'How to read this', glossary.words(glossary.RUN)),
    (
      'biometric-data',
      'Biometric data',
      glossary.notice(
        shows_faces=pictures is not None or shown.store is not None
      ),
    ),
  ]


def _summary(run: report_run.Run, *, is_unlabelled: bool) -> markup.Html:
  """Returns what the tables show, in a sentence, in figures and in words."""
  warnings = notices.find(run)
  parts = []
  if verdict := findings.verdict(run):
    parts.append(markup.tag('p', verdict, class_='verdict'))
  parts.append(_facts(run))
  parts += [
    markup.tag('p', text, class_='lead') for text in findings.summarise(run)
  ]
  if is_unlabelled:
    parts.append(markup.tag('p', _UNLABELLED))
  elif run.summary.empty:
    parts.append(
      _missing(run, 'evaluation/summary.csv', 'no scores', _EMBED, _EVALUATE)
    )
  if warnings:
    link = markup.tag(
      'a', formats.plural(len(warnings), 'warning'), href='#warnings'
    )
    parts.append(markup.tag('p', 'Before you use this run, read ', link, '.'))
  return markup.join(parts)


def _facts(run: report_run.Run) -> markup.Html | None:
  """Returns the few numbers that everybody looks for first."""
  facts = []
  if run.models:
    done = formats.count(sum(m.status == 'done' for m in run.models))
    failed = formats.count(len(run.failed)) if run.failed else None
    facts.append(
      (
        'Models finished',
        f'{done} of {formats.count(len(run.models))}',
        failed and markup.tag('span', f'{failed} failed', class_='bad'),
      )
    )
    facts.append(('People', formats.count(len(run.person_ids)), None))
  rows = run.summary[
    (run.summary['metric'] == 'auc')
    & (run.summary['source'] == features.TRAINED)
  ]
  if not rows.empty:
    split = findings.splits(rows)[0]
    row = rows[rows['split'] == split].iloc[0]
    where = formats.within(formats.split(split))
    ends = row['ci_low'], row['ci_high']
    places = formats.digits(row['mean'], *ends)
    facts.append(
      (
        f'AUC, {where}',
        formats.score(row['mean'], places=places),
        findings.interval_text(*ends, places=places),
      )
    )
    for d in findings.against_controls(run, metric='auc', split=split):
      places = formats.digits(d.mean, d.low, d.high)
      facts.append(
        (
          f'AUC minus {formats.within(formats.source(d.other))}',
          formats.score(d.mean, places=places, is_signed=True),
          d.verdict,
        )
      )
  if not facts:
    return None
  return markup.tag(
    'dl',
    [
      markup.tag(
        'div',
        markup.tag('dt', name),
        markup.tag('dd', value, class_='value'),
        detail and markup.tag('dd', detail, class_='detail'),
      )
      for name, value, detail in facts
    ],
    class_='facts',
  )


def _scores(run: report_run.Run, embed: document.Embed) -> markup.Html:
  """Returns the means of every source on every split."""
  if run.summary.empty:
    return _missing(
      run, 'evaluation/summary.csv', 'no scores', _EMBED, _EVALUATE
    )
  return markup.join(
    [
      _grid(embed(dots.scores(run)), embed(dots.differences(run))),
      tables.scores(run),
    ]
  )


def _differences(run: report_run.Run, embed: document.Embed) -> markup.Html:
  """Returns the paired differences."""
  del embed
  if not findings.differences(run.summary):
    return markup.tag(
      'p',
      'evaluation/summary.csv holds no paired difference, so nothing can be '
      'said about what the training adds.'
      if not run.summary.empty
      else 'There are no scores to compare.',
    )
  return tables.differences(run)


def _persons(run: report_run.Run, embed: document.Embed) -> markup.Html:
  """Returns every person's scores."""
  if run.scores.empty:
    return _missing(
      run, 'evaluation/scores.csv', 'no scores', _EMBED, _EVALUATE
    )
  return markup.join(
    [
      _grid(
        embed(people.persons(run, 'auc')), embed(people.persons(run, 'f1'))
      ),
      tables.persons(run),
    ]
  )


def _action_units(run: report_run.Run, embed: document.Embed) -> markup.Html:
  """Returns the scores of every action unit."""
  if run.scores.empty:
    return _missing(
      run, 'evaluation/scores.csv', 'no scores', _EMBED, _EVALUATE
    )
  return markup.join(
    [embed(people.action_units(run)), tables.action_units(run)]
  )


def _training(run: report_run.Run, embed: document.Embed) -> markup.Html:
  """Returns losses and schedule over steps."""
  if run.metrics.empty:
    return _missing(run, 'metrics.csv', 'no logged step', _TRAIN)
  gap = curves.gap(run)
  return markup.join(
    [
      _grid(embed(curves.loss(run)), embed(gap)),
      None
      if gap
      else markup.tag(
        'p', 'Pairs were drawn at random from each video: there is no gap.'
      ),
      embed(curves.terms(run)),
    ]
  )


def _structure(
  run: report_run.Run, embed: document.Embed, *, is_unlabelled: bool
) -> markup.Html:
  """Returns what the embeddings hold."""
  warning = markup.tag(
    'p',
    'Embeddings of two models do not share coordinates. Do not average them '
    'over people, cluster people together, or measure distances between '
    'people in them.',
    class_='notice',
  )
  if run.structure.empty and is_unlabelled:
    rest = None
  elif run.structure.empty:
    rest = _missing(
      run,
      'evaluation/scores.csv',
      'no measure of the embeddings',
      _EMBED,
      _EVALUATE,
    )
  else:
    rest = markup.join([embed(dots.structure(run)), tables.structure(run)])
  return markup.join([warning, rest])


def _pictures(
  pictures: Mapping[str, face_pictures.Pictures] | None,
  embed: document.Embed,
  *,
  max_pictures: int,
) -> markup.Html:
  """Returns the sheets of the first models, or that no face is shown."""
  if pictures is None:
    return markup.tag('p', _NO_FACES)
  if not pictures:
    return markup.tag('p', 'This method draws no pictures.')
  shown = list(pictures)[:max_pictures]
  text = (
    f'Pictures of {formats.count(len(shown))} of '
    f'{formats.plural(len(pictures), "model")}.'
  )
  return markup.join(
    [
      markup.tag('p', text),
      *(
        embed(face_pictures.draw(model_id, pictures[model_id]))
        for model_id in shown
      ),
    ]
  )


def _models(run: report_run.Run) -> markup.Html:
  """Returns the table of models and the configuration."""
  parts = [
    inventory.models(run)
    if run.models
    else _missing(run, 'models.json', 'no model', _TRAIN),
    inventory.config(run)
    if run.config
    else _missing(run, 'config.json', 'no field', _TRAIN),
  ]
  return markup.join(parts)


def _warnings(run: report_run.Run) -> markup.Html:
  """Returns all warnings and who was skipped."""
  warnings = notices.find(run)
  parts = [markup.tag('p', text, class_='warning') for text in warnings]
  if not parts:
    none = 'None in the files that are there.' if run.missing else 'None.'
    parts = [markup.tag('p', none)]
  if not run.skipped.empty:
    parts.append(tables.skipped(run.skipped))
  return markup.join(parts)


def _missing(
  run: report_run.Run, name: str, holds: str, *commands: str
) -> markup.Html:
  """Returns that a file is missing or empty and which commands make it."""
  state = 'is missing' if name in run.missing else f'holds {holds}'
  codes = [markup.tag('code', command) for command in commands]
  return markup.tag(
    'p',
    markup.tag('code', name),
    f' {state}. Make it with ',
    markup.join(codes, separator=' and then '),
    '.',
    class_='notice',
  )


def _grid(*elements: markup.Html | None) -> markup.Html | None:
  """Returns figures side by side where the page is wide enough."""
  elements = [element for element in elements if element is not None]
  return markup.tag('div', elements, class_='figures') if elements else None
