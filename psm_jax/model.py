"""A trained model as an object.

  model = psm_jax.load('runs/lab', person_id='P01')
  table = model.transform('today.mp4')   # a row for every frame
  model.save('zoo')

n frames, S pixels a side, D features of an embedding.
"""

import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd

from psm_jax import paths
from psm_jax.data import (
  canonical_faces,
  embedded,
  recordings,
  store as store_lib,
)
from psm_jax.data.labels import weak
from psm_jax.engine import feed, programs
from psm_jax.runs import run, zoo

Source = str | os.PathLike | np.ndarray | store_lib.FrameStore


def load(folder: str | os.PathLike, *, person_id: str | None = None) -> 'Model':
  """Returns a trained model.

  Args:
    folder: An exported model, a folder of them, or a run directory.
    person_id: Whose model, or a model_id, where there are several.

  Raises:
    ValueError: If there is no model, or more than one that is meant.
  """
  folder = pathlib.Path(folder)
  if (folder / 'models.json').is_file():
    cohorts = {m.model_id: m.cohort for m in run.open_run(folder).models}
    chosen = _choose(cohorts, person_id, folder)
    models = list(zoo.of_run(folder, model_ids=[chosen]))
    if not models:
      raise ValueError(
        f'{chosen} of {folder} failed; there is nothing to load.'
      )
    return Model(models[0])
  if not folder.is_dir() or not zoo.is_zoo(folder):
    raise ValueError(
      f'{folder} is neither a run of launch.train nor a model of launch.export.'
    )
  folders = zoo.folders_of(folder)
  cohorts = {
    model_id: tuple(zoo.describe(path)['cohort'])
    for model_id, path in folders.items()
  }
  return Model(zoo.load(folders[_choose(cohorts, person_id, folder)]))


def embeddings(
  workdir: str | os.PathLike, *, person_id: str | None = None
) -> pd.DataFrame:
  """Returns the tables of a run's launch.embed as one.

  Args:
    workdir: The run directory.
    person_id: Only this person's frames; None for everybody's, which of many
      people may not fit in memory.

  Raises:
    ValueError: If there are none, or they are not of one step.
  """
  if person_id is not None:
    paths.check_id(person_id, what='person_id')
  root = pathlib.Path(workdir) / embedded.EMBEDDINGS
  files = [
    path
    for path in embedded.files(root)
    if person_id in (None, path.parent.name)
  ]
  if not files:
    raise ValueError(f'{root} holds no tables of {person_id}.')
  return pd.concat(map(embedded.read, files), ignore_index=True)


def _choose(cohorts, wanted, folder):
  """Returns the model_id that a person's id, or its own, or nothing names."""
  if wanted in cohorts:
    return wanted
  chosen = [
    model_id
    for model_id, cohort in cohorts.items()
    if wanted is None or cohort == (wanted,)
  ] or [m for m, cohort in cohorts.items() if wanted in cohort]
  if len(chosen) != 1:
    listed = store_lib.list_some(chosen or list(cohorts))
    raise ValueError(
      f'{folder} has {len(chosen) or "no"} models of {wanted or "people"}. '
      f'Give person_id=, a person with one model or one of {listed}.'
    )
  return chosen[0]


@dataclasses.dataclass(frozen=True)
class Model:
  """A trained model, to be used on recordings.

  Wherever a method takes a source it may be a video, a folder of videos, a
  manifest, an ingest folder, a frame store, or frames [n, S, S, 3] uint8 R, G,
  B that are aligned as those the model learned from. Faces are found, followed
  and cut out of videos as it was done for the training, in a private folder
  that is deleted again.

  Attributes:
    exported: Its parameters and how it was trained.
  """

  exported: zoo.Model

  def __repr__(self):
    size = self.exported.config.data.size_px
    return f'<psm_jax model {self.model_id}, {size} px>'

  @property
  def model_id(self) -> str:
    """The model's id, unique in its run."""
    return self.exported.model_id

  @property
  def person_id(self) -> str:
    """Whose model it is; '' if it learned from several people."""
    cohort = self.exported.cohort
    return cohort[0] if len(cohort) == 1 else ''

  def transform(
    self,
    source: Source,
    *,
    person_id: str | None = None,
    boxes: str | os.PathLike | None = None,
    errors: bool = True,
    weak_labels: bool = False,
  ) -> pd.DataFrame:
    """Returns a table with a row for every frame of a recording.

    Args:
      source: See the class.
      person_id: Who is seen; by default the person whose model it is, else the
        video's name.
      boxes: Boxes of the faces instead of a detector, as launch.ingest takes.
      errors: Whether to tell how well the model draws each frame, which takes
        longer than to embed it.
      weak_labels: Whether to add the blendshapes and the head pose that the
        landmarker saw, see `data.labels.weak`: of recordings that were
        ingested with --detector=landmarker, or are cut by it as the training's
        were.

    Returns:
      model_id, person_id, video_id, frame (from 0), time_s (by the file's own
      clock), success (whether the face was found), confidence (of the
      detector), e000, e001, ... and, where the method draws faces,
      reconstruction_error: the mean difference to the frame in grey levels of
      255. Then weak_pose_yaw, ..., weak_jawOpen, ..., if asked for. Without
      success all from confidence on are NaN.

    Raises:
      ValueError: If weak labels are asked for and the recording has none.
    """
    with self._opened(source, person_id, boxes) as recording:
      keys, place = recording.rows, recording.rows['row'].to_numpy()
      seen = _weak_labels(recording) if weak_labels else None
      store, used = recording.store, place >= 0
      faces = feed.canonical_of(self._programs.method, store)
      values = self._on(
        store, place[used], self._programs.embed, canonical=faces
      )
      found = pd.DataFrame(values, np.flatnonzero(used))
      found = found.rename(columns='e{:03d}'.format)
      if errors and 'reconstruction' in self._programs.drawn:
        found['reconstruction_error'] = self._on(
          store, place[used], self._programs.error, canonical=faces
        )
    table = keys.drop(columns='row').reset_index(drop=True)
    table.insert(0, 'model_id', self.model_id)
    table = table.join(found)
    return table if seen is None else table.join(seen)

  def pictures(
    self, source: Source, *names: str, **options
  ) -> dict[str, np.ndarray]:
    """Returns what the method draws of each frame with a face, in their order.

    Args:
      source: See the class.
      *names: Such as 'neutral', 'reconstruction' and 'flow'; 'input' is the
        frames as the model sees them.
      **options: person_id and boxes, see `transform`.

    Returns:
      name -> [n, S, S, 3] uint8; for flows [n, h, w, 2] float32, (x, y) in
      pixels of a frame: where what the neutral face shows in a place is in the
      frame, less that place.

    Raises:
      ValueError: If the method draws no such picture.
    """
    size_px = self.exported.config.data.size_px
    with self._opened(source, **options) as recording:
      rows = np.arange(len(recording.store.frames))
      made = {}
      for name in names:
        if name == 'input':
          made[name] = recording.store.images(rows)
          continue
        drawn = self._pictures(name, recording.store, rows)
        is_flow = drawn.shape[-1] == 2
        made[name] = drawn * (size_px / 2) if is_flow else _as_pictures(drawn)
    return made

  def neutral(self, source: Source, **options) -> np.ndarray:
    """Returns the person's face with the movement taken out of it.

    Args:
      source: See the class: frames of the person.
      **options: person_id and boxes, see `transform`.

    Returns:
      [S, S, 3] uint8, the median of what is made of frames all over the source.
    """
    with self._opened(source, **options) as recording:
      rows = canonical_faces.spread(len(recording.store.frames))
      made = self._pictures('neutral', recording.store, rows)
    return canonical_faces.neutral(made)

  def reconstruct(self, source: Source, **options) -> np.ndarray:
    """Returns `pictures` called 'reconstruction', [n, S, S, 3] uint8."""
    return self.pictures(source, 'reconstruction', **options)['reconstruction']

  def flow(self, source: Source, **options) -> np.ndarray:
    """Returns `pictures` called 'flow', [n, h, w, 2] float32 pixels (x, y)."""
    return self.pictures(source, 'flow', **options)['flow']

  def drive(
    self, source: Source, *, face: Source | np.ndarray, **options
  ) -> np.ndarray:
    """Returns a neutral face with the movement of somebody else, or of a day.

    This model reads the movement and draws it, so both are in its own
    coordinates; of another person's face it was never shown, it reads what it
    can.

    Args:
      source: See the class: whose movement.
      face: What is moved: [S, S, 3] uint8, as `neutral` returns it, or a source
        of which the neutral face is taken.
      **options: person_id and boxes, see `transform`.

    Returns:
      [n, S, S, 3] uint8, a picture for each frame of the source with a face.
    """
    computed = self._programs
    if computed.method.draw is None:
      raise ValueError(
        f'{self.model_id} ({computed.method.name}) draws no face.'
      )
    if not (isinstance(face, np.ndarray) and face.ndim == 3):
      face = self.neutral(face, **options)
    state = self.exported.method_state, np.float32(face) / 255
    with self._opened(source, **options) as recording:
      rows = np.arange(len(recording.store.frames))
      made = self._on(recording.store, rows, computed.drive, state=state)
    return _as_pictures(made)

  def save(self, zoo_folder: str | os.PathLike) -> pathlib.Path:
    """Writes the model to a folder of its own below a zoo, see `runs.zoo`.

    Returns:
      The model's folder.
    """
    return zoo.save(self.exported, zoo_folder)

  def _opened(self, source, person_id=None, boxes=None):
    """Returns a context that gives the `recordings.Recording` of a source."""
    config = self.exported.config
    if isinstance(source, np.ndarray):
      return recordings.given(
        source,
        size_px=config.data.size_px,
        person_id=person_id or self.person_id,
      )
    crops = self.exported.crops
    if not crops and config.data.align == 'eyes':
      from psm_jax.data.ingest import jobs  # Needs OpenCV and PyAV.

      # A table of landmarks aligned the frames that it learned from.
      options = jobs.Options(eye_distance=config.data.eye_distance)
      crops = dataclasses.asdict(options)
    return recordings.opened(
      source,
      config.data,
      crops=crops,
      person_id=person_id or self.person_id,
      boxes=boxes,
    )

  def _on(
    self, store, rows, function, *, state=None, canonical=None
  ) -> np.ndarray:
    """Returns what a compiled function makes of rows of a store.

    Args:
      store: The frames.
      rows: [n] int.
      function: Of (params, method_state, frames), and of the canonical faces
        behind them if the method uses them.
      state: Given for the method's state; None: the model's own.
      canonical: The store's, where they are at hand.
    """
    method = self._programs.method
    if store.size_px != method.size_px:
      raise ValueError(
        f'{self.model_id} sees frames of {method.size_px} px, those of '
        f'{store.path} have {store.size_px}.'
      )
    return programs.in_batches(
      function,
      self.exported.params,
      self.exported.method_state if state is None else state,
      store.frames,
      rows,
      canonical=canonical or feed.canonical_of(method, store),
    )

  def _pictures(self, name, store, rows) -> np.ndarray:
    """Returns [n, ...] float32 of one kind of picture."""
    if name not in self._programs.drawn:
      raise ValueError(
        f'{self.model_id} ({self._programs.method.name}) draws no {name}; it '
        f'draws {store_lib.list_some(list(self._programs.drawn))}.'
      )
    return self._on(store, rows, self._programs.picture(name))

  @property
  def _programs(self) -> programs.Programs:
    return programs.of(self.exported.config)


def _as_pictures(drawn):
  """Returns pictures in [0, 1] as uint8."""
  return np.rint(255 * drawn).astype(np.uint8)


def _weak_labels(recording):
  """Returns the weak labels of a recording's rows, NaN where no face was."""
  index, place = recording.store.index, recording.rows['row'].to_numpy()
  columns = [column for column in weak.COLUMNS if column in index]
  if not columns:
    raise ValueError(
      f'{recording.store.path} has no weak labels. Ingest the recording with '
      '--detector=landmarker and give that folder.'
    )
  seen = index[columns].iloc[place].reset_index(drop=True)
  return seen[place >= 0].reindex(seen.index)
