"""Embeddings drawn in two dimensions: which frames lie where.

n frames, D features.

  drawn = maps.of_tables('gm', features.read_run('runs/gm', source='gm'))

One model of several people gives one map. Models of one person give a map each,
which must not be laid over another's: they do not share coordinates.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import sklearn.decomposition
import sklearn.manifold

from psm_jax.data import labels
from psm_jax.evaluation import features, probes, splits

PCA, TSNE = 'pca', 'tsne'
PROJECTIONS = (PCA, TSNE)
_MAX_SHARED = 1500  # Frames of a map of several people.
_MAX_SINGLE = 250  # Frames of a map of one person.
_MAX_MODELS = 12  # Of one person, that get a map.
_TSNE_DIMENSIONS = 50
_PERPLEXITY = 30.0


@dataclasses.dataclass(frozen=True)
class Map:
  """Frames of one model in two dimensions.

  Attributes:
    model_id: The model.
    places: [n, 2] float64.
    frames: n rows: person_id, video_id, frame, time_s and landmarks, if there
      are any; by person and time.
    active: [n, A] float, 1 where an action unit is active, NaN if unlabelled.
    explained: Share of the variance that both axes show; NaN for t-SNE.
    num_frames: Frames that there are, n of which are drawn.
  """

  model_id: str
  places: np.ndarray
  frames: pd.DataFrame
  active: pd.DataFrame
  explained: float
  num_frames: int

  @property
  def person_ids(self) -> list[str]:
    """Whose frames they are."""
    return list(dict.fromkeys(self.frames['person_id']))


@dataclasses.dataclass(frozen=True)
class Maps:
  """The maps of one approach.

  Attributes:
    name: The approach.
    projection: PCA or TSNE.
    shared: Maps of models of several people.
    single: Maps of the first models of one person.
    num_single: How many models of one person there are.
  """

  name: str
  projection: str
  shared: tuple[Map, ...]
  single: tuple[Map, ...]
  num_single: int


def of_tables(
  name: str,
  tables: Sequence[features.FeatureTable],
  *,
  projection: str = PCA,
) -> Maps:
  """Draws the embeddings of an approach in two dimensions.

  Args:
    name: The approach.
    tables: Its features.
    projection: PCA keeps straight lines and large distances, TSNE neighbours.
  """
  by_model = collections.defaultdict(list)
  for table in tables:
    by_model[table.model_id].append(table)
  models = list(by_model.values())
  single = [theirs for theirs in models if len(theirs) == 1]
  return Maps(
    name,
    projection,
    tuple(
      draw(theirs, projection, max_frames=_MAX_SHARED)
      for theirs in models
      if len(theirs) > 1
    ),
    tuple(
      draw(theirs, projection, max_frames=_MAX_SINGLE)
      for theirs in single[:_MAX_MODELS]
    ),
    len(single),
  )


def draw(
  tables: list[features.FeatureTable], projection: str, *, max_frames: int
) -> Map:
  """Returns the map of one model.

  Args:
    tables: Its features, a table for each person.
    projection: PCA or TSNE.
    max_frames: Frames to draw, as many of everybody and evenly in time.
  """
  each = max(1, max_frames // len(tables))
  embedded, frames = [], []
  for table in sorted(tables, key=lambda table: table.person_id):
    order = table.frames.sort_values(['video_id', 'time_s']).index.to_numpy()
    spread = np.linspace(0, len(order) - 1, min(each, len(order)))
    rows = order[spread.round().astype(int)]
    embedded.append(table.features[rows])
    frames.append(table.frames.loc[rows])
  joined = pd.concat(frames, ignore_index=True)
  places, explained = project(np.concatenate(embedded), projection)
  points = [c for c in labels.LANDMARK_COLUMNS if c in joined]
  return Map(
    tables[0].model_id,
    places,
    joined[[*features.FRAME_COLUMNS, *points]],
    splits.action_unit_labels(joined, threshold=probes.DEFAULT.threshold),
    explained,
    sum(len(table.frames) for table in tables),
  )


def project(data: np.ndarray, projection: str) -> tuple[np.ndarray, float]:
  """Returns features in two dimensions.

  Args:
    data: [n, D] float32, finite.
    projection: PCA or TSNE (van der Maaten and Hinton, 2008), which starts from
      the former and sees its first 50 components.

  Returns:
    [n, 2] float64 and the share of the variance they show, NaN for t-SNE; zeros
    if there are too few frames or all are alike.
  """
  data = np.asarray(data, np.float64)
  size = min(data.shape[0] - 1, data.shape[1], _TSNE_DIMENSIONS)
  if size < 2 or not np.ptp(data, axis=0).any():
    return np.zeros((len(data), 2)), float('nan')
  pca = sklearn.decomposition.PCA(size, svd_solver='full')
  places = pca.fit_transform(data)
  if projection == PCA:
    return places[:, :2], float(pca.explained_variance_ratio_[:2].sum())
  tsne = sklearn.manifold.TSNE(
    perplexity=min(_PERPLEXITY, (len(data) - 1) / 3),
    init='pca',
    random_state=0,
  )
  return tsne.fit_transform(places).astype(np.float64), float('nan')
