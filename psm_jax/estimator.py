"""An estimator in scikit-learn's manner: train, embed, add people, keep.

  models = psm_jax.PersonSpecificModels(workdir='runs/lab')
  table = models.fit_transform('ingested')
  models.save('zoo')

It trains and embeds as the programs do, and its workdir is a run directory.
"""

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn import base, exceptions

from psm_jax import embedding, model as model_lib, paths, presets, training
from psm_jax.data import frame_files, recordings
from psm_jax.runs import run, zoo

# A folder, or {person_id: {video_id: [n, S, S, 3] uint8}}.
Faces = str | os.PathLike | Mapping[str, Mapping[str, np.ndarray]]


class PersonSpecificModels(base.BaseEstimator):
  """Models of facial movement, one a person or one of everybody."""

  def __init__(
    self,
    *,
    preset: str = 'canonical_narrow',
    workdir: str | os.PathLike | None = None,
    cohorts: str = 'each',
    fields: Mapping[str, Any] | None = None,
  ):
    """Takes what to train; nothing is read or written before `fit`.

    Args:
      preset: Name of a configuration of psm_jax.presets.
      workdir: The run directory; None makes a private temporary one.
      cohorts: 'each', 'all' or 'others', see `population.cohorts`.
      fields: Other fields of the configuration, {'train.steps': 500}.
    """
    self.preset = preset
    self.workdir = workdir
    self.cohorts = cohorts
    self.fields = fields

  def fit(self, X: Faces, y: None = None) -> 'PersonSpecificModels':
    """Trains; goes on where an interrupted fit of the same workdir was.

    Args:
      X: An ingest folder, a folder of aligned frames (PERSON/VIDEO/*.jpg), a
        frame store, or arrays, {person_id: {video_id: [n, S, S, 3] uint8}}.
      y: Ignored: models learn without labels.

    Raises:
      ValueError: As `training.train`.
    """
    del y
    return self._fit(X, {})

  def transform(
    self, X: Mapping[str, model_lib.Source] | model_lib.Source | None = None
  ) -> pd.DataFrame:
    """Returns embeddings, a row a frame.

    Args:
      X: {person_id: source}, each for the person's model; or one source, where
        there is one model; see `model.Model`. None: the frames of `fit`.

    Raises:
      ValueError: If somebody has no model.
      NotFittedError: Before `fit`.
    """
    self._check_fitted()
    if X is None:
      if not (self.workdir_ / 'embeddings').is_dir():
        embedding.write_embeddings(self.workdir_, controls=False)
      return model_lib.embeddings(self.workdir_)
    sources = X if isinstance(X, Mapping) else {None: X}
    return pd.concat(
      [
        model_lib.load(self.workdir_, person_id=person).transform(source)
        for person, source in sources.items()
      ],
      ignore_index=True,
    )

  def fit_transform(self, X: Faces, y: None = None) -> pd.DataFrame:
    """Trains and returns the embeddings of the same frames."""
    return self.fit(X, y).transform()

  def add_people(
    self, X: Faces, *, workdir: str | os.PathLike
  ) -> 'PersonSpecificModels':
    """Returns models of new people, begun from this run's general model.

    Args:
      X: The new people, see `fit`.
      workdir: The new run directory.

    Raises:
      ValueError: If this run has more than one model to begin with.
      NotFittedError: Before `fit`.
    """
    self._check_fitted()
    theirs = base.clone(self).set_params(workdir=workdir, cohorts='each')
    init = {'init.path': str(self.workdir_), 'init.match': 'one'}
    return theirs._fit(X, init)

  def save(self, folder: str | os.PathLike) -> list[pathlib.Path]:
    """Exports all models, a folder each, and returns the folders."""
    self._check_fitted()
    return zoo.export_run(self.workdir_, folder)

  @classmethod
  def load(cls, workdir: str | os.PathLike) -> 'PersonSpecificModels':
    """Returns the estimator of a run directory, fitted.

    Raises:
      ValueError: If it is no run directory.
    """
    cohorts = run.open_run(workdir).config.population.cohorts
    made = cls(workdir=workdir, cohorts=cohorts)
    made.workdir_ = pathlib.Path(workdir)
    return made

  def _fit(self, X, init):
    workdir = self.workdir or tempfile.mkdtemp(prefix='psm_jax-run-')
    workdir = paths.make_private_dir(pathlib.Path(workdir).absolute())
    config = presets.get(self.preset)
    if isinstance(X, Mapping):
      X = frame_files.write(X, workdir / 'frames')
    config.update_from_flattened_dict(
      {
        'data.source': recordings.kind_of(X),
        'data.path': str(X),
        'data.align': 'none',
        'population.cohorts': self.cohorts,
        **init,
        **(self.fields or {}),
      }
    )
    training.train(config, workdir)
    self.workdir_ = workdir
    return self

  def _check_fitted(self):
    if not hasattr(self, 'workdir_'):
      raise exceptions.NotFittedError(
        'These models are not trained yet. Call fit, or load a run.'
      )
