"""Classes of expression: how well a linear probe tells them apart.

The column `expression` holds a class a frame, as text or as whole numbers;
empty is unknown. n frames, D features, K classes.
"""

import numpy as np
import pandas as pd
from sklearn import linear_model
from sklearn import metrics as sklearn_metrics

from psm_jax.evaluation import controls, features, probes, splits

COLUMN = 'expression'
METRICS = ('accuracy', 'balanced_accuracy', 'macro_f1')
COLUMNS = (
  'n_train',
  'n_test',
  'num_classes',
  'num_test_classes',
  'largest_share',
  *METRICS,
)
_MAX_ITERATIONS = 2000


def classes(frames: pd.DataFrame) -> np.ndarray:
  """Returns the class of every frame as text, '' where it is unknown.

  Whole numbers lose their decimals, so that 3 and 3.0 are one class.

  Args:
    frames: n rows; without a column expression all are unknown.

  Returns:
    [n] str.
  """
  if COLUMN not in frames:
    return np.full(len(frames), '', object)
  return names(frames[COLUMN])


def names(values: pd.Series) -> np.ndarray:
  """Returns values as text, '' for a missing one and 3 for 3.0.

  Args:
    values: [n] text or numbers.

  Returns:
    [n] str.
  """
  return np.array([_name(value) for value in values], object)


def as_labels(found: np.ndarray) -> pd.DataFrame:
  """Returns classes as labels for splits.make_splits, a column a class.

  Args:
    found: [n] str from classes.

  Returns:
    [n, K] float64: 1 of the class, 0 of another, NaN unknown.
  """
  known = sorted(set(found) - {''})
  labels = pd.DataFrame({name: (found == name) * 1.0 for name in known})
  labels.index = range(len(found))
  return labels.where(pd.Series(found != ''), np.nan)


def probe(
  table: features.FeatureTable,
  found: np.ndarray,
  split: splits.Split,
  *,
  config: probes.ProbeConfig,
) -> dict | None:
  """Fits and scores one probe of the classes of one person.

  Args:
    table: The features of one person.
    found: [n] str from classes.
    split: Training and test frames; unknown ones take no part.
    config: How features are prepared, and C of the regression.

  Returns:
    A dict with COLUMNS, see score; None if the training part has one class,
    the test part none, or 'nearest_in_time' no neighbour.
  """
  train_rows = np.flatnonzero(split.train & (found != ''))
  test_rows = np.flatnonzero(split.test & (found != ''))
  if not len(test_rows) or len(set(found[train_rows])) < 2:
    return None
  if table.source == features.NEAREST_IN_TIME:
    near = controls.nearest(table.frames, train_rows, test_rows)
    if (near < 0).all():
      return None
    known, counts = np.unique(found[train_rows], return_counts=True)
    predicted = np.where(
      near < 0, known[counts.argmax()], found[train_rows][near]
    )
  else:
    train, test = probes.prepare(
      table.features[train_rows],
      table.features[test_rows],
      source=table.source,
      config=config,
    )
    model = fit(
      train, found[train_rows], inverse_penalty=config.inverse_penalty
    )
    predicted = model.predict(test).astype(object)
  return score(found[train_rows], found[test_rows], predicted)


def fit(
  train: np.ndarray, found: np.ndarray, *, inverse_penalty: float
) -> linear_model.LogisticRegression:
  """Returns a multinomial logistic regression, fitted.

  L2 penalty, classes weighted alike.

  Args:
    train: [n_train, D] float, prepared.
    found: [n_train] str, two classes or more.
    inverse_penalty: C.
  """
  model = linear_model.LogisticRegression(
    C=inverse_penalty,
    class_weight='balanced',
    tol=1e-5,
    max_iter=_MAX_ITERATIONS,
  )
  return model.fit(train, found.astype(str))


def score(
  train: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> dict[str, float]:
  """Returns COLUMNS of predicted classes.

  Args:
    train: [n_train] str, classes of the training part.
    truth: [n_test] str; a class the training part lacks counts as missed.
    predicted: [n_test] str.

  Returns:
    n_train, n_test, num_classes of the training part, num_test_classes,
    largest_share (the accuracy of always guessing the commonest test class),
    accuracy, balanced_accuracy (mean recall of the classes of the test part)
    and macro_f1 (mean F1 of the classes true or predicted there).
  """
  present, counts = np.unique(truth.astype(str), return_counts=True)
  hits = predicted == truth
  truth, predicted = truth.astype(str), predicted.astype(str)
  recalls = [hits[truth == name].mean() for name in present]
  return {
    'n_train': len(train),
    'n_test': len(truth),
    'num_classes': len(set(train)),
    'num_test_classes': len(present),
    'largest_share': float(counts.max() / len(truth)),
    'accuracy': float(hits.mean()),
    'balanced_accuracy': float(np.mean(recalls)),
    'macro_f1': float(
      sklearn_metrics.f1_score(
        truth, predicted, average='macro', zero_division=0
      )
    ),
  }


def _name(value) -> str:
  """Returns a class as text, '' for a missing one."""
  if value is None or value is pd.NA or value != value:
    return ''
  if isinstance(value, str):
    return value.strip()
  return str(int(value)) if float(value).is_integer() else str(float(value))
