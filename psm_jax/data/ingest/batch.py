"""All videos of a folder or manifest: ingests what is not done yet.

outcome = batch.ingest('/data/videos', '/data/ingested')
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import threading

import numpy as np
from absl import logging
from tqdm import auto as tqdm

from psm_jax import paths, tasks
from psm_jax.data import store
from psm_jax.data.ingest import (
  folder,
  frame_tables,
  jobs,
  layout,
  listing,
  processing,
  summary,
  tracks,
  video,
)

_DEFAULTS = jobs.Options()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of the videos asked for.

  Attributes:
    rows: summary.csv's rows of these videos.
    num_open_tracks: tracks of the folder that nobody is named for.
    num_waiting: videos of one face each, of which nobody said whether they show
      one person or several.
    people: people.csv's rows.
  """

  rows: list[dict]
  num_open_tracks: int
  num_waiting: int
  people: list[dict]

  def count(self, status: str) -> int:
    """Returns how many have a status: ok, no_face, failed or left_out."""
    return sum(row['status'] == status for row in self.rows)


def ingest(
  path: str | os.PathLike,
  output: str | os.PathLike,
  *,
  options: jobs.Options = _DEFAULTS,
  person_from: str = 'ask',
  boxes: str | os.PathLike | None = None,
  num_workers: int = 0,
  in_process: bool = False,
  scheduler: str = '',
  min_person_s: float = 30.0,
) -> Outcome:
  """Ingests videos into a folder; what is done already is not done again.

  Args:
    path: see `listing.list_inputs`.
    output: the ingest folder, see `layout`; made if need be, mode 0700.
    options: how; videos made with other options are made anew, unless their
      tracks were filled in by hand.
    person_from: who is seen where no manifest says so: 'file' somebody else in
      each video, 'folder' one person in all videos of a folder, 'ask' whom the
      user names, unless there is only one video.
    boxes: a table of one video's boxes, or a folder of tables that are called
      as the videos are; None for a detector.
    num_workers: videos at a time; 0 for as many as there are cores.
    in_process: whether to do without processes of their own, which a script
      without a main guard cannot start; a crash of the decoder is then ours.
    scheduler: address or file of a Dask scheduler whose workers do it, see
      `tasks`; '' for processes of this machine.
    min_person_s: people with less material are flagged.

  Raises:
    ValueError: If an option, the list of videos or tracks.csv is wrong, or
      another process ingests into this folder.
    OSError: If output cannot be written.
  """
  options.check()
  if num_workers < 0:
    raise ValueError(f'--num_workers {num_workers} must not be negative.')
  root = pathlib.Path(output)
  inputs = listing.list_inputs(path, person_from=person_from, leave_out=root)
  with _locked(root):
    plan = jobs.make_plan(inputs, root, options, boxes)
    rows = plan.rows
    num_workers = 0 if in_process else num_workers or tasks.num_cores()
    for job, content, error in _run(
      plan.todo, options, root, num_workers, scheduler
    ):
      if content is None:
        reason = summary.reason_of(error)
        rows[job.entry.key] = summary.failed_row(
          job.entry, reason, video_id=job.video_id
        )
        logging.error('%s: %s', layout.shown(job.entry.name), reason)
      else:
        rows[job.entry.key] = summary.video_row(content)
    # In training and test at once copies would spoil scores.
    for key, twin in plan.copies.items():
      remark = f'seems to be a copy of {layout.shown(twin.name)}'
      rows[key]['warnings'] = '; '.join(
        filter(None, [rows[key].get('warnings'), remark])
      )
      logging.warning('%s %s.', rows[key]['name'], remark)
    return _finish(root, rows, plan.remade, person_from == 'ask', min_person_s)


@contextlib.contextmanager
def _locked(root):
  """Makes the folders, keeps others out, and removes what killed ones left."""
  paths.make_private_dir(root)
  for name in (layout.VIDEOS, layout.SHEETS):
    paths.make_private_dir(paths.child(root, name))
  with paths.locked(
    root / '.lock',
    busy=f'Another process is ingesting into {root}. Wait for it.',
  ):
    for leftover in (root / layout.VIDEOS).glob('.new-*'):
      shutil.rmtree(leftover, ignore_errors=True)
    try:
      yield
    finally:
      for leftover in (root / layout.VIDEOS).glob('.new-*'):
        shutil.rmtree(leftover, ignore_errors=True)


def _run(todo, options, root, num_workers, scheduler):
  """Yields (job, video.json or None, error) as videos are done, with a bar."""
  if not todo:
    return
  lock, searched = threading.Lock(), 0
  total = sum(video.length_s(job.entry.path) for job in todo)
  with tqdm.tqdm(
    total=total or None,
    desc='ingesting',
    unit='s',
    bar_format='{l_bar}{bar}| {n:.0f} of {total:.0f} s of video '
    '[{elapsed}<{remaining}{postfix}]'
    if total
    else None,
  ) as bar:

    def report(num_frames, seconds):
      nonlocal searched
      with lock:
        searched += num_frames
        rate = searched / max(bar.format_dict['elapsed'], 1e-3)
        bar.set_postfix_str(f'{searched} frames, {rate:.1f}/s', refresh=False)
        bar.update(min(seconds, (bar.total or np.inf) - bar.n))

    # Long videos first, so that none is left over at the end.
    todo = sorted(todo, key=lambda job: -job.entry.path.stat().st_size)
    num_workers = min(num_workers, len(todo))
    num_threads = 1 if scheduler else tasks.num_cores() // max(num_workers, 1)
    function = functools.partial(
      processing.ingest_video,
      options=options,
      root=root.absolute(),
      num_threads=max(1, num_threads),
    )
    for place, content, error in tasks.run(
      function,
      todo,
      num_workers=num_workers,
      scheduler=scheduler,
      report=report,
    ):
      yield todo[place], content, error


def _finish(root, rows, remade, asks, min_person_s):
  """Writes the tables and says what there is to do."""
  contents, _ = layout.list_videos(root)
  # Read again: somebody may have filled it in meanwhile.
  table, num_waiting = tracks.merge(
    tracks.read(root), contents, remade=remade, asks=asks
  )
  text = table.text()
  path = root / layout.TRACKS
  if not path.exists() or path.read_text(encoding='utf-8-sig') != text:
    paths.write_atomic(path, text)
  people, confirmed = _read_people(root, contents, min_person_s)
  listed = {row['video_id'] for row in rows.values()}
  every = [
    *rows.values(),
    *(summary.video_row(contents[v]) for v in contents if v not in listed),
  ]
  every.sort(key=lambda row: row['name'])
  for row in every:
    row['confirmed'] = confirmed.get(row['video_id'], 0)
  for name, columns, lines in (
    (layout.SUMMARY, summary.SUMMARY_COLUMNS, every),
    (layout.PEOPLE, summary.PEOPLE_COLUMNS, people),
  ):
    paths.write_atomic(root / name, layout.table(columns, lines))
  if people:
    logging.info('Per person:\n%s', summary.people_text(people))
  if short := [row['person_id'] for row in people if row['note']]:
    logging.warning(
      'Too little material of %d of %d people (people.csv): %s.',
      len(short),
      len(people),
      store.list_some(short),
    )
  num_tracks = sum(len(content['tracks']) for content in contents.values())
  return Outcome(
    list(rows.values()),
    num_tracks - sum(confirmed.values()),
    num_waiting,
    people,
  )


def _read_people(root, contents, min_person_s):
  """(people.csv's rows, number of confirmed tracks by video_id)."""
  try:
    parts = tracks.assignments(root, tracks.read(root), contents)
    for video_id, people in parts.items():
      frame_tables.write_persons(root, video_id, people)
    if not any(parts.values()):
      return [], {}
    rows = summary.people(root, folder.scan(root), min_seconds=min_person_s)
  except ValueError as error:
    logging.error('%s people.csv is empty until that is mended.', error)
    return [], {}
  return rows, {
    video_id: len({track for of in people.values() for track, *_ in of})
    for video_id, people in parts.items()
  }
