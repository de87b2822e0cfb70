"""Finding a data set's pictures: whose they are, and their frame numbers.

Names decide, never positions: the last integer of a file's stem is its frame
number, and the path names the person and the video.
"""

import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

from psm_jax import paths
from psm_jax.data import sources
from psm_jax.data.ingest import listing

# From a folder's path ('FOLDER/SUBFOLDER') and a file's stem ('' for the folder
# as a whole) to (person_id, video_id); None if they do not tell.
Identify = Callable[[str, str], tuple[str, str] | None]

_DEEPEST = 8


def find(
  root: pathlib.Path,
  pattern: str,
  identify: Identify,
  *,
  report: sources.Report,
  expected: str,
) -> list[sources.Video]:
  """Returns the videos whose pictures lie below a folder, sorted by id.

  Args:
    root: the data set's folder.
    pattern: glob of the folders to search, below root or absolute; '' is root.
    identify: names the person and video of a folder by its path, from the
      searched one's own name on; where the folder does not tell, it is asked
      for each file.
    report: takes (path, reason) of what is left out.
    expected: the pictures' path in words.

  Raises:
    ValueError: If the pattern matches nothing, there are no pictures, or two
      folders hold the pictures of one video.
  """
  anchor, tops = _searched(root, pattern)
  groups, videos_seen = {}, []
  for folder, names in _walk(tops, videos_seen):
    # Told from the folder searched, with forward slashes.
    where = pathlib.PurePath(anchor.name) / folder.relative_to(anchor)
    for key, theirs in _by_video(
      where.as_posix(), names, identify, report
    ).items():
      groups.setdefault(key, []).append((folder, theirs))
  videos = []
  for person_id, video_id in sorted(_usable(groups, report)):
    folders = groups[person_id, video_id]
    if len(folders) > 1:
      raise ValueError(
        f'Two folders hold pictures of {person_id}/{video_id}: '
        f'{folders[0][0]} and {folders[1][0]}. Choose one of them by '
        'data.tree.images, a glob of the folders to read.'
      )
    folder, names = folders[0]
    if numbered := sources.by_frame(names, folder, report):
      videos.append(
        sources.Video(
          person_id=person_id,
          video_id=video_id,
          fps=0.0,  # `trees.scan` finds out.
          folder=folder,
          files=tuple(numbered.values()),
          frames=tuple(numbered),
        )
      )
  if not videos:
    raise ValueError(_explain_none(root, pattern, expected, videos_seen))
  return videos


def _searched(root, pattern):
  """The folder that paths are told from, and the folders to search."""
  if not pattern:
    return root, [root]
  whole = root / pattern  # An absolute pattern stays as it is.
  fixed = [
    *itertools.takewhile(lambda part: not set(part) & set('*?['), whole.parts)
  ]
  anchor = pathlib.Path(*fixed)
  rest = whole.parts[len(fixed) :]
  tops = sorted(anchor.glob('/'.join(rest))) if rest else [anchor]
  tops = [top for top in tops if top.is_dir()]
  if not tops:
    raise ValueError(f'data.tree.images: no folder matches {whole}.')
  return anchor, tops


def _walk(tops, videos_seen) -> Iterator[tuple[pathlib.Path, list[str]]]:
  """Yields every folder that holds pictures, and their names."""

  def fail(error):
    raise error

  for top in tops:
    for place, below, files in os.walk(top, onerror=fail, followlinks=True):
      folder = pathlib.Path(place)
      # Links may form a circle; no data set is this deep.
      is_deep = len(folder.relative_to(top).parts) >= _DEEPEST
      below[:] = [] if is_deep else sorted(filter(_is_shown, below))
      shown = sorted(filter(_is_shown, files))
      videos_seen += [
        str(folder / name)
        for name in shown
        if name.lower().endswith(listing.EXTENSIONS)
      ]
      if names := [n for n in shown if n.lower().endswith(sources.PICTURES)]:
        yield folder, names


def _is_shown(name):
  return not name.startswith('.')


def _by_video(where, names, identify, report):
  """From (person, video) to the names of the pictures in one folder."""
  key = identify(where, '')
  if key is not None:
    return {key: names}
  groups, unknown = {}, 0
  for name in names:
    key = identify(where, pathlib.PurePath(name).stem)
    if key is None:
      unknown += 1
    else:
      groups.setdefault(key, []).append(name)
  if unknown:
    report(where, f'{unknown} pictures of nobody known by their path; not read')
  return groups


def _usable(groups, report):
  """The keys that are safe as names of files; others are reported."""
  usable, seen = [], {}
  for key in sorted(groups):
    try:
      paths.check_id(key[0], what='person_id')
      paths.check_id(key[1], what='video_id')
    except ValueError as error:
      report('/'.join(key), f'left out: {error}')
    else:
      twin = seen.setdefault('/'.join(key).lower(), key)
      if twin == key:
        usable.append(key)
      else:
        report(
          '/'.join(key),
          f'left out: differs from {"/".join(twin)} in case only, which is one '
          'folder on many systems',
        )
  return usable


def _explain_none(root, pattern, expected, videos_seen):
  text = f'No pictures under {root / pattern}. Expected {expected}.'
  if videos_seen:
    text += (
      f' There are {len(videos_seen)} videos (first: {videos_seen[0]}): make '
      'frames of them with launch.ingest, then name their folder in '
      'data.tree.images.'
    )
  return text
