"""What a user sees while a wave trains: compiling first, then the time left.

  with progress.Progress(first, last, what="...", waves_left=1) as bar:
    bar.update(metrics_of_the_step)

The rate is that of settled steps: the first one compiles, which takes longer
than many of them.
"""

import datetime
import json
import pathlib
import time

import jax
import tqdm
from absl import logging

from psm_jax import paths
from psm_jax.engine import compilation

# So many seconds of steps after the first say how long the others take.
_SETTLED_S = 20.0


class Progress:
  """The bar of a wave; a context."""

  def __init__(
    self, first_step: int, last_step: int, *, what: str, waves_left: int
  ):
    """Says what is compiled, and how long it took last time on such devices.

    Args:
      first_step: Steps taken before.
      last_step: Where the wave ends.
      what: Names the program: what makes another one has another text.
      waves_left: Waves to train, this one too.
    """
    self._first, self._last, self._what = first_step, last_step, what
    self._waves_left = waves_left
    self._started = time.monotonic()
    self._bar = self._settled = None
    before = _read().get(what)
    logging.info(
      'Compiling the step of %s%s.',
      what,
      '' if before is None else f'; last time it took {in_words(before)}',
    )

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_):
    if self._bar is not None:
      self._bar.close()

  def update(self, step_metrics):
    """Counts a step, of which metrics are given; the first one is awaited."""
    if self._bar is None:
      jax.block_until_ready(step_metrics)
      compiled_s = time.monotonic() - self._started
      logging.info('The first step took %s.', in_words(compiled_s))
      _note(self._what, compiled_s)
      self._started = time.monotonic()
      self._bar = tqdm.tqdm(
        total=self._last,
        initial=self._first + 1,
        unit='step',
        smoothing=0.05,
      )
      return
    self._bar.update()
    if self._settled is None:
      self._tell_time_left()

  def show(self, **values: str):
    """Writes values behind the bar."""
    if self._bar is not None:
      self._bar.set_postfix(values)

  def _tell_time_left(self):
    """Logs the rate and the time left, once it has settled."""
    passed = time.monotonic() - self._started
    done = self._bar.n - self._first - 1
    if passed < _SETTLED_S:
      return
    self._settled = done / passed
    left_s = (self._last - self._bar.n) / self._settled
    logging.info(
      '%.3g steps a second: this %s %s, until about %s.',
      self._settled,
      'takes' if self._waves_left == 1 else 'wave takes',
      in_words(left_s),
      (datetime.datetime.now() + datetime.timedelta(seconds=left_s)).strftime(
        '%a %H:%M'
      ),
    )
    if self._waves_left > 1:
      whole_s = left_s + (self._waves_left - 1) * self._last / self._settled
      logging.info(
        'All %d waves take about %s.', self._waves_left, in_words(whole_s)
      )


def in_words(seconds: float) -> str:
  """Returns a duration as one says it."""
  for unit, length in (('d', 86400), ('h', 3600), ('min', 60)):
    if seconds >= 1.5 * length:
      return f'{seconds / length:.1f} {unit}'.replace('.0 ', ' ')
  return f'{seconds:.0f} s'


def _file() -> pathlib.Path:
  return compilation.user_cache() / 'psm_jax' / 'first_steps.json'


def _read():
  """Returns how long first steps took, by what they compile."""
  try:
    return json.loads(_file().read_text())
  except (OSError, ValueError):
    return {}


def _note(what, seconds):
  """Keeps how long a first step took; a help alone, so failures are none."""
  try:
    paths.make_private_dir(_file().parent)
    paths.write_json(_file(), {**_read(), what: round(seconds, 1)})
  except OSError as error:
    logging.debug('%s is not written: %s', _file(), error)
