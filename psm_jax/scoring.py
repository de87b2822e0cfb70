"""Scores of a run's embeddings and of its controls on the same frames."""

import dataclasses
import pathlib

import numpy as np

from psm_jax import embedding
from psm_jax.evaluation import features, probes, tables


def score_run(
  workdir: str | pathlib.Path, *, config: probes.ProbeConfig = probes.DEFAULT
) -> list[pathlib.Path]:
  """Scores a run's embeddings beside both controls and writes the tables.

  Args:
    workdir: A run whose frames have been embedded.
    config: Splits, threshold and classifier.

  Returns:
    The files written, in `workdir`/evaluation.

  Raises:
    ValueError: If the embeddings are missing or unusable, or do not belong to
      the run's frames.
  """
  trained = embedding.Trained(workdir)
  workdir = trained.run.workdir
  index_of = {
    model.model_id: index for index, model in enumerate(trained.run.models)
  }
  learned = features.read_embeddings(workdir)
  sources = list(learned)
  for table in learned:
    rows = _rows(trained, table)
    untrained = trained.embed_untrained(index_of[table.model_id], rows)
    sources.append(
      dataclasses.replace(
        table, source=features.RANDOM_ENCODER, features=untrained
      )
    )
    sources.append(features.pixel_table(table, trained.store))
  results = tables.evaluate(sources, config=config)
  return tables.write(results, workdir / 'evaluation')


def _rows(trained, table):
  """Returns the rows of the store that a table of embeddings describes."""
  rows = np.concatenate(
    [
      np.arange(video.start, video.stop)
      for video in trained.store.videos(table.person_id)
    ]
  )
  keys = ['video_id', 'frame']
  described = trained.store.index.iloc[rows][keys].reset_index(drop=True)
  if not described.equals(table.frames[keys].reset_index(drop=True)):
    raise ValueError(
      f'The embeddings of {table.model_id} and {table.person_id} are not of '
      'the frames that the run uses now. Embed again: python -m launch.embed '
      f'--workdir={trained.run.workdir}'
    )
  return rows
