"""Signals that ask a process to stop: SIGTERM, SIGINT and SIGUSR1.

A program runs inside `listening`. A signal then raises `Stopped` in the main
thread, which cleans up on its way out; a loop that would rather end a step and
save runs inside `polled` and looks at the event. Python heeds signals between
two of its own instructions, so a compilation of minutes would hold them up: a
thread hears of them at once, and ends the process after `GRACE_S` unless
something is inside `finishing`. That loses no more than a kill does, for files
appear under their names when they are whole. A second SIGINT ends it at once.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator

SIGNALS = tuple(
  getattr(signal, name)
  for name in ('SIGTERM', 'SIGINT', 'SIGUSR1')
  if hasattr(signal, name)  # Windows has no SIGUSR1.
)
# Of a program that a signal has stopped: the same command goes on.
EXIT_CODE = 75
# Batch systems kill some ten seconds after they asked, or later.
GRACE_S = 8.0
_LOOK_S = 0.05


class Stopped(KeyboardInterrupt):
  """A signal asked the process to stop; its text is the signal's name."""


# What signals have asked of this process; one, as its handlers are.
_PROCESS = types.SimpleNamespace(
  asked=threading.Event(),
  has_handlers=False,
  was_handled=False,
  num_polling=0,
  num_finishing=0,
  lock=threading.Lock(),
)


def is_asked() -> bool:
  """Returns whether a signal has asked this process to stop."""
  return _PROCESS.asked.is_set()


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Has signals stop this program; to be entered in its main thread."""
  receiver, sender = socket.socketpair()
  sender.setblocking(False)
  watcher = threading.Thread(target=_watch, args=(receiver,), daemon=True)
  with _handlers(is_watched=True):
    earlier = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
      yield
    finally:
      if not is_asked():
        signal.set_wakeup_fd(earlier)
        sender.close()
        watcher.join()


@contextlib.contextmanager
def polled() -> Iterator[threading.Event]:
  """Gives an event that signals set meanwhile, instead of raising `Stopped`."""
  _PROCESS.num_polling += 1
  try:
    with _handlers():
      yield _PROCESS.asked
  finally:
    _PROCESS.num_polling -= 1


@contextlib.contextmanager
def finishing() -> Iterator[None]:
  """Lets a save end first, however long it takes."""
  with _PROCESS.lock:
    _PROCESS.num_finishing += 1
  try:
    yield
  finally:
    with _PROCESS.lock:
      _PROCESS.num_finishing -= 1


def leave() -> None:
  """Ends a program that was stopped, past what libraries do at the end.

  Those that were interrupted in the middle may crash Python as it takes them
  down.
  """
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  os._exit(EXIT_CODE)


def begin_worker():
  """Has a process of multiprocessing end with the one that started it.

  To be its first call, such as a pool's initializer. Ctrl-C reaches all
  processes of a terminal; what becomes of this one its parent decides.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()

  def follow():
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(EXIT_CODE)

  threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def _handlers(*, is_watched=False):
  """Sets the handlers of the signals, unless they are set or cannot be.

  Of a watched program that was asked to stop they stay, to its very end.
  """
  is_main = threading.current_thread() is threading.main_thread()
  if _PROCESS.has_handlers or not is_main:
    yield
    return
  _PROCESS.asked.clear()
  _PROCESS.has_handlers, _PROCESS.was_handled = True, False
  earlier = {number: signal.signal(number, _handle) for number in SIGNALS}
  try:
    yield
  finally:
    if not (is_watched and is_asked()):
      for number, handler in earlier.items():
        signal.signal(number, handler)
      _PROCESS.has_handlers = False


def _handle(number, frame):
  del frame
  is_first, _PROCESS.was_handled = not _PROCESS.was_handled, True
  _PROCESS.asked.set()
  if is_first and not _PROCESS.num_polling:
    raise Stopped(signal.Signals(number).name)


def _watch(receiver):
  """Reads the numbers of signals as they come; ends the process in time."""
  deadline, num_interrupts = None, 0
  while True:
    left = None if deadline is None else deadline - time.monotonic()
    receiver.settimeout(left if left is None else max(_LOOK_S, left))
    try:
      received = receiver.recv(64)
    except TimeoutError:
      received = b'\0'
    if not received:
      receiver.close()
      return
    numbers = [number for number in received if number in SIGNALS]
    if numbers and deadline is None:
      _PROCESS.asked.set()
      deadline = time.monotonic() + GRACE_S
      _say(f'{signal.Signals(numbers[0]).name}: stopping within {GRACE_S:g} s.')
    num_interrupts += numbers.count(signal.SIGINT)
    if num_interrupts > 1:
      _say('A second SIGINT: leaving at once.')
      os._exit(EXIT_CODE)
    if deadline is not None and time.monotonic() >= deadline:
      with _PROCESS.lock:
        if not _PROCESS.num_finishing:
          _say('Leaving as a kill would: what is finished is kept.')
          os._exit(EXIT_CODE)


def _say(text):
  """Writes a line as no lock of the logging module can hold up."""
  with contextlib.suppress(OSError):
    os.write(2, f'{text}\n'.encode())
