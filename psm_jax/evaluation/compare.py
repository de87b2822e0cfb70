"""Several approaches side by side: action units, leakage, retrieval, costs.

  comparison = compare.compare([psm, gm], baseline='psm', controls=controls)
  compare.write(comparison, 'runs/comparison')

The results of all approaches and controls on the same frames, in one table with
leakage.py's, retrieval.py's and procrustes.py's; approach_table.py makes a row
an approach of it. docs/comparison.md says what each value means and what must
not be concluded.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import pandas as pd

from psm_jax.evaluation import (
  approach_table,
  approaches,
  coordinates,
  evaluate,
  features,
  leakage,
  probes,
  procrustes,
  results,
  retrieval,
  shared_frames,
  splits,
)

SPLITS = (splits.CROSS_VIDEO, splits.BLOCKED)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The tables of a comparison.

  Attributes:
    approaches: See approach_table.py.
    results: See results.py, likewise the next two.
    summary: Of all sources, and of their differences to baseline and controls.
    skipped: Why there are no results.
    costs: See approaches.py.
    omitted: See shared_frames.py.
  """

  approaches: pd.DataFrame
  results: pd.DataFrame
  summary: pd.DataFrame
  skipped: pd.DataFrame
  costs: pd.DataFrame
  omitted: pd.DataFrame


def compare(
  found: Sequence[approaches.Approach],
  *,
  baseline: str,
  controls: Sequence[features.FeatureTable] = (),
  omitted: pd.DataFrame | None = None,
  config: probes.ProbeConfig | None = None,
  more: tuple[Sequence[Mapping], Sequence[Mapping]] = ((), ()),
  align_to: str | None = None,
  show_progress: bool = True,
) -> Comparison:
  """Scores approaches on the same frames, beside controls.

  Args:
    found: Approaches with equal frames, see shared_frames.take_common.
    baseline: The approach from which differences are taken.
    controls: Features of the same frames, see approaches.controls_of.
    omitted: What take_common left out, to be written along.
    config: How action units are probed; None is the default on SPLITS.
    more: Further rows of results and of skipped, e.g. of discovery's
      agreement.py.
    align_to: An approach of one general model, onto which the embeddings of the
      person-specific approaches are rotated; None is without.
    show_progress: Show a progress bar over the persons.

  Raises:
    ValueError: If baseline or align_to is none of the approaches, or align_to
      has no model of several persons.
  """
  config = config or dataclasses.replace(probes.DEFAULT, splits=SPLITS)
  names = [approach.name for approach in found]
  for what, name in (('baseline', baseline), ('align_to', align_to)):
    if name is not None and name not in names:
      raise ValueError(f'{what} {name!r} is none of {", ".join(names)}.')
  general = _general_tables(found, align_to)
  everything = [table for approach in found for table in approach.tables]
  everything += controls
  aligned, qualities = _align(found, general, config)
  made, skipped = [*more[0]], [*more[1]]
  for rows, reasons in (
    evaluate.evaluate(
      everything, config=config, add_controls=False, show_progress=show_progress
    ),
    leakage.identity(everything, config=leakage.LeakageConfig(probe=config)),
    retrieval.retrieve(
      [*everything, *aligned],
      config=retrieval.RetrievalConfig(threshold=config.threshold),
    ),
    qualities,
  ):
    made += rows
    skipped += reasons
  of_controls = dict.fromkeys(table.source for table in controls)
  pairs = [(name, baseline) for name in names if name != baseline]
  pairs += [(name, control) for name in names for control in of_controls]
  table, reasons = results.table(made), results.skipped(skipped)
  summary = results.summarise(table, pairs=pairs)
  costs = approaches.all_costs([approach.costs for approach in found])
  if omitted is None:
    omitted = pd.DataFrame(columns=shared_frames.OMITTED_COLUMNS)
  return Comparison(
    approaches=approach_table.make(
      found,
      controls,
      {
        'results': table,
        'summary': summary,
        'skipped': reasons,
        'costs': costs,
      },
      baseline=baseline,
      align_to=align_to,
    ),
    results=table,
    summary=summary,
    skipped=reasons,
    costs=costs,
    omitted=omitted,
  )


def write(
  comparison: Comparison, directory: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each table as NAME.csv, and scores.csv as evaluate does.

  Args:
    comparison: The tables.
    directory: See results.write.

  Returns:
    The paths of the files, approaches.csv first.
  """
  named = {**vars(comparison), 'scores': results.wide(comparison.results)}
  return results.write(named, directory)


def _align(found, general, config):
  """Rotates person-specific embeddings into a general model's space.

  Returns:
    The held-out frames in that space, beside them the general model's own
    features of the same frames; and rows of results and of skipped on how well
    that went.
  """
  aligned, made, skipped = [], [], []
  options = procrustes.AlignConfig(
    guard_s=config.guard_s, threshold=config.threshold, seed=config.seed
  )
  for approach in found if general else ():
    if coordinates.shared_models(approach.tables)[approach.name]:
      continue
    persons = {}
    for table in sorted(approach.tables, key=lambda table: table.model_id):
      persons.setdefault(table.person_id, table)
    for person_id in sorted(persons.keys() & general.keys()):
      try:
        rotated = procrustes.align_to_general(
          persons[person_id], general[person_id], config=options
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


def _general_tables(found, align_to) -> dict[str, features.FeatureTable]:
  """Returns person to table of the general model to align to, if any."""
  if align_to is None:
    return {}
  (approach,) = (a for a in found if a.name == align_to)
  models = coordinates.shared_models(approach.tables)[align_to]
  if not models:
    raise ValueError(
      f'align_to {align_to!r} has a model for each person. Name an approach '
      'with one model of everybody.'
    )
  largest = max(models.values(), key=len)
  return {table.person_id: table for table in largest}
