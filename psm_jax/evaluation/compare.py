"""Several approaches side by side: action units, leakage, retrieval, costs.

  comparison = compare.compare([psm, gm], baseline='psm', controls=controls)
  compare.write(comparison, 'runs/comparison')

docs/comparison.md says what each value means and what must not be concluded.
Empty cells are values that do not exist.

approaches.csv, a row per approach, then per control:
  approach,kind,is_baseline,num_persons,num_models,num_seeds,
  has_shared_coordinates: kind is run, table or control.
  METRIC_SPLIT, METRIC auc or f1, SPLIT cross_video, blocked or random: the mean
    over persons of each person's mean over models, directions and action
    units; with the endings _ci_low,_ci_high (95 %, persons drawn),_person_sd,
    _seed_sd, and of the paired difference to the baseline _difference,
    _difference_ci_low,_difference_ci_high,_wins,_losses.
  identity,identity_ci_low,identity_ci_high,identity_chance (linear probe),
  identity_nearest,identity_centred (nearest neighbours, without and with each
    person's mean taken out)
  pose_r2,pose_r2_ci_low,pose_r2_ci_high,pose_mae_deg,pose_mae_mean_deg
  retrieval,retrieval_ci_low,retrieval_ci_high,retrieval_centred
  aligned_r2,aligned_r2_identity,aligned_r2_random,aligned_retrieval (onto the
    approach of align_to)
  ami,ami_ci_low,ami_ci_high,ami_difference,ami_difference_ci_low,
  ami_difference_ci_high
  steps,steps_per_model,examples,images,seconds,note
The tables behind it: scores.csv, summary.csv and the others of tables.py;
identity.csv, identity_persons.csv and pose.csv of leakage.py; retrieval.csv and
retrieval_persons.csv of retrieval.py; alignment.csv of procrustes.py;
agreement.csv and agreement_summary.csv of agreement.py; costs.csv of
approaches.py; omitted.csv of shared_frames.py.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import pandas as pd

from psm_jax.discovery import agreement
from psm_jax.evaluation import (
  approach_table,
  approaches,
  coordinates,
  features,
  leakage,
  probes,
  procrustes,
  retrieval,
  shared_frames,
  splits,
  tables,
)

SPLITS = (splits.CROSS_VIDEO, splits.BLOCKED)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The tables of a comparison; names and columns as in the description."""

  approaches: pd.DataFrame
  results: tables.Results
  identity: pd.DataFrame
  identity_persons: pd.DataFrame
  pose: pd.DataFrame
  retrieval: pd.DataFrame
  retrieval_persons: pd.DataFrame
  alignment: pd.DataFrame
  agreement: pd.DataFrame
  agreement_summary: pd.DataFrame
  costs: pd.DataFrame
  omitted: pd.DataFrame


def compare(
  found: Sequence[approaches.Approach],
  *,
  baseline: str,
  controls: Sequence[features.FeatureTable] = (),
  omitted: pd.DataFrame | None = None,
  config: probes.ProbeConfig | None = None,
  movements: pd.DataFrame | None = None,
  align_to: str | None = None,
  num_person_resamples: int = 2000,
  show_progress: bool = True,
) -> Comparison:
  """Scores approaches on the same frames, beside controls.

  Args:
    found: Approaches with equal frames, see shared_frames.take_common.
    baseline: The approach from which differences are taken.
    controls: Features of the same frames, see approaches.controls_of.
    omitted: What take_common left out, to be written along.
    config: How action units are probed; None is the default on SPLITS.
    movements: Named movements of frames, see named_movements.py; None is
      without.
    align_to: An approach of one general model, onto which the embeddings of the
      person-specific approaches are rotated; None is without.
    num_person_resamples: Draws of persons behind the intervals.
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
  of_controls = list(dict.fromkeys(table.source for table in controls))
  pairs = [(name, baseline) for name in names if name != baseline]
  pairs += [(name, control) for name in names for control in of_controls]
  resampling = {'num_person_resamples': num_person_resamples}
  results = tables.evaluate(
    everything,
    config=config,
    pairs=pairs,
    show_progress=show_progress,
    **resampling,
  )
  leaks = leakage.LeakageConfig(probe=config)
  identity = leakage.identity(everything, config=leaks, **resampling)
  alignment, aligned = _align(found, general, config)
  searched = retrieval.retrieve(
    [*everything, *aligned],
    config=retrieval.RetrievalConfig(
      threshold=config.threshold, seed=config.seed
    ),
    **resampling,
  )
  grouped = pd.DataFrame(columns=agreement.COLUMNS)
  if movements is not None:
    grouped = agreement.agreement(everything, movements)
  if omitted is None:
    omitted = pd.DataFrame(columns=shared_frames.OMITTED_COLUMNS)
  named = {
    'identity': identity.summary,
    'identity_persons': identity.persons,
    'pose': leakage.pose(everything, config=leaks),
    'retrieval': searched.summary,
    'retrieval_persons': searched.persons,
    'alignment': alignment,
    'agreement': grouped,
    'agreement_summary': agreement.summarise(
      grouped, pairs=pairs, seed=config.seed, **resampling
    ),
    'costs': approaches.all_costs([approach.costs for approach in found]),
    'omitted': omitted,
  }
  table = approach_table.make(
    found,
    controls,
    {**named, 'scores': results.scores, 'summary': results.summary},
    baseline=baseline,
    align_to=align_to,
    seed=config.seed,
    **resampling,
  )
  return Comparison(approaches=table, results=results, **named)


def write(
  comparison: Comparison, directory: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each table as NAME.csv, approaches.csv first.

  Args:
    comparison: The tables.
    directory: Made, for its owner alone, if it does not exist. A file of the
      same name is replaced at once or not at all.

  Returns:
    The paths of the files.
  """
  named = dict(vars(comparison))
  results = named.pop('results')
  return tables.write_named({**named, **vars(results)}, directory)


def _align(
  found, general, config
) -> tuple[pd.DataFrame, list[features.FeatureTable]]:
  """Rotates person-specific embeddings into a general model's space.

  Returns the quality of the maps and the held-out frames in that space; beside
  them the general model's own features of the same frames.
  """
  qualities, made = [], []
  options = procrustes.AlignConfig(
    guard_s=config.guard_s, threshold=config.threshold, seed=config.seed
  )
  for approach in found if general else ():
    own = {}
    for table in sorted(approach.tables, key=lambda table: table.model_id):
      own.setdefault(table.person_id, table)
    if coordinates.shared_models(approach.tables)[approach.name]:
      continue
    for person_id in sorted(own.keys() & general.keys()):
      table, target = own[person_id], general[person_id]
      try:
        aligned = procrustes.align_to_general(table, target, config=options)
      except (ValueError, splits.Impossible) as reason:
        row = {
          **table.ids,
          'target': target.source,
          'reason': str(reason),
        }
        qualities.append(
          pd.DataFrame([row], columns=procrustes.QUALITY_COLUMNS)
        )
        continue
      qualities.append(aligned.quality)
      made.append(aligned.table)
  held_out = {table.person_id: table for table in made}
  made += [
    _held_out(general[person_id], table)
    for person_id, table in held_out.items()
  ]
  rows = [row for table in qualities for row in table.to_dict('records')]
  return pd.DataFrame(rows, columns=procrustes.QUALITY_COLUMNS), made


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


def _held_out(general, aligned) -> features.FeatureTable:
  """Returns a general model's features of the frames of an aligned table."""
  keys = ['video_id', 'frame']
  rows = pd.MultiIndex.from_frame(general.frames[keys]).get_indexer(
    pd.MultiIndex.from_frame(aligned.frames[keys])
  )
  return dataclasses.replace(
    general,
    source=f'{general.source}_held_out',
    features=general.features[rows],
    frames=aligned.frames,
  )
