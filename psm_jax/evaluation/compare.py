"""Several approaches side by side: action units, leakage, retrieval, costs.

  tables = compare.compare([psm, gm], baseline='psm', controls=controls)
  results.write(tables, 'runs/comparison')

The results of all approaches and controls on the same frames, in one table with
leakage.py's, retrieval.py's and procrustes.py's; approach_table.py makes a row
an approach of it. docs/comparison.md says what each value means and what must
not be concluded.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import pandas as pd

from psm_jax.evaluation import (
  approach_table,
  approaches,
  coordinates,
  driven,
  evaluate,
  features,
  leakage,
  probes,
  procrustes,
  results,
  retrieval,
  splits,
)

SPLITS = (splits.CROSS_VIDEO, splits.BLOCKED)


def compare(
  compared: Sequence[approaches.Approach],
  *,
  baseline: str,
  controls: Sequence[features.FeatureTable] = (),
  omitted: pd.DataFrame | None = None,
  config: probes.ProbeConfig | None = None,
  more: tuple[Sequence[Mapping], Sequence[Mapping]] = ((), ()),
  align_to: str | None = None,
  show_progress: bool = True,
) -> dict[str, pd.DataFrame]:
  """Scores approaches on the same frames, beside controls.

  Args:
    compared: Approaches with equal frames, see approaches.take_common.
    baseline: The approach from which differences are taken.
    controls: Features of the same frames, see approaches.controls_of.
    omitted: What take_common left out, to be written along.
    config: How action units are probed; None is the default on SPLITS.
    more: Further rows of results and of skipped, e.g. of discovery's
      named_movements.py.
    align_to: An approach of one general model, onto which the embeddings of the
      person-specific approaches are rotated; None is without.
    show_progress: Show a progress bar over the persons.

  Returns:
    approaches (see approach_table.py); results, summary and skipped of all
    sources (see results.py), with differences to the baseline and the
    controls; scores, as evaluate.py writes them; costs (see approaches.py); and
    omitted (see approaches.py).

  Raises:
    ValueError: If baseline or align_to is none of the approaches, or align_to
      has no model of several persons.
  """
  config = config or dataclasses.replace(probes.DEFAULT, splits=SPLITS)
  names = [approach.name for approach in compared]
  for what, name in (('baseline', baseline), ('align_to', align_to)):
    if name not in (None, *names):
      raise ValueError(f'{what} {name!r} is none of {", ".join(names)}.')
  general = _general_tables(compared, align_to)
  everything = [table for a in compared for table in a.tables] + [*controls]
  aligned, qualities = _align(compared, general, config)
  made, skipped = [], []
  for rows, reasons in (
    more,
    (_driven(compared, controls, config), ()),
    evaluate.evaluate(
      everything, config=config, add_controls=False, show_progress=show_progress
    ),
    leakage.identity(everything, config=config),
    retrieval.retrieve([*everything, *aligned], config=config),
    qualities,
  ):
    made += rows
    skipped += reasons
  of_controls = dict.fromkeys(table.source for table in controls)
  pairs = [(name, baseline) for name in names if name != baseline]
  pairs += itertools.product(names, of_controls)
  table = results.table(made)
  named = {
    'results': table,
    'summary': results.summarise(table, pairs=pairs),
    'skipped': results.skipped(skipped),
    'costs': approaches.all_costs([approach.costs for approach in compared]),
  }
  return {
    'approaches': approach_table.make(
      compared, controls, named, baseline=baseline, align_to=align_to
    ),
    **named,
    'scores': results.wide(table),
    'omitted': pd.DataFrame(omitted, columns=approaches.OMITTED_COLUMNS),
  }


def _driven(compared, controls, config) -> list[dict]:
  """Returns the rows of what launch.embed --driven drew of the runs."""
  pixels = {t.person_id: t for t in controls if t.source == features.PIXEL_PCA}
  made = []
  for approach in compared:
    for table in approach.tables:
      if table.model_id in approach.origins:
        workdir, model_id = approach.origins[table.model_id]
        made += driven.score(
          workdir,
          table,
          pixels.get(table.person_id),
          config=config,
          model_id=model_id,
        )
  return made


def _align(compared, general, config):
  """Rotates person-specific embeddings into a general model's space.

  Returns:
    The held-out frames in that space, beside them the general model's own
    features of the same frames; and rows of results and of skipped on how well
    that went.
  """
  aligned, made, skipped = [], [], []
  for approach in compared if general else ():
    if coordinates.shared_models(approach.tables)[approach.name]:
      continue
    persons = features.one_a_person(
      sorted(approach.tables, key=lambda table: table.model_id)
    )
    for person_id in sorted(persons.keys() & general.keys()):
      try:
        rotated = procrustes.align_to_general(
          persons[person_id], general[person_id], config=config
        )
      except (ValueError, splits.Impossible) as reason:
        skipped.append(
          {
            'source': approach.name,
            'person_id': person_id,
            'target': procrustes.PROCRUSTES,
            'reason': str(reason),
          }
        )
        continue
      made += rotated.quality
      aligned.append(rotated.table)
  beside = {table.person_id: table for table in aligned}
  for person_id, table in beside.items():
    held_out = features.at(general[person_id], table.frames)
    source = f'{held_out.source}_held_out'
    aligned.append(dataclasses.replace(held_out, source=source))
  return aligned, (made, skipped)


def _general_tables(compared, align_to) -> dict[str, features.FeatureTable]:
  """Returns person to table of the general model to align to, if any."""
  if align_to is None:
    return {}
  (approach,) = (a for a in compared if a.name == align_to)
  models = coordinates.shared_models(approach.tables)[align_to]
  if not models:
    raise ValueError(
      f'align_to {align_to!r} has a model for each person. Name an approach '
      'with one model of everybody.'
    )
  return features.one_a_person(max(models.values(), key=len))
