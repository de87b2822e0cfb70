import os
import signal
import subprocess
import sys
import threading
import time

from absl.testing import absltest, parameterized

from psm_jax import stopping

# As a compilation: in a call that no signal ends, without Python's lock.
_DEAF = """
import ctypes
from psm_jax import stopping
stopping.GRACE_S = 0.5
lock = ctypes.create_string_buffer(64)
with stopping.listening():
  print('ready', flush=True)
  for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(lock)
"""
_POLLING = """
from psm_jax import stopping
import time
with stopping.listening():
  with stopping.polled() as asked:
    print('ready', flush=True)
    assert asked.wait(30)
    assert stopping.is_asked()
  print('done', flush=True)
"""
_RAISED = """
from psm_jax import stopping
import time
with stopping.listening():
  try:
    print('ready', flush=True)
    time.sleep(30)
  except stopping.Stopped as stopped:
    print(stopped, flush=True)
"""
_FINISHING = """
from psm_jax import stopping
import time
stopping.GRACE_S = 0.2
with stopping.listening(), stopping.polled() as asked:
  with stopping.finishing():
    print('ready', flush=True)
    asked.wait(30)
    time.sleep(1)
    print('done', flush=True)
  time.sleep(30)
"""
_PARENT = """
import multiprocessing, os, sys, time
from psm_jax import stopping

def work(sender):
  stopping.begin_worker()
  sender.send(os.getpid())
  time.sleep(60)

if __name__ == '__main__':
  context = multiprocessing.get_context('spawn')
  receiver, sender = context.Pipe()
  context.Process(target=work, args=(sender,)).start()
  print(receiver.recv(), flush=True)
  os._exit(0)
"""


class StoppingTest(parameterized.TestCase):
  def _start(self, program):
    process = subprocess.Popen(
      [sys.executable, '-c', program],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    self.addCleanup(process.kill)
    self.assertEqual(process.stdout.readline(), 'ready\n')
    return process

  @parameterized.parameters(*stopping.SIGNALS)
  def test_a_signal_raises_in_the_main_thread(self, number):
    process = self._start(_RAISED)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    self.assertEqual(output, f'{signal.Signals(number).name}\n')

  def test_a_loop_that_polls_ends_by_itself(self):
    process = self._start(_POLLING)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    self.assertEqual((process.returncode, output), (0, 'done\n'), errors)

  def test_a_process_that_python_cannot_interrupt_ends_in_time(self):
    process = self._start(_DEAF)
    time.sleep(0.5)  # It is on its way into the call.
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    self.assertEqual(process.returncode, stopping.EXIT_CODE)
    self.assertEqual(output, '')
    self.assertIn('SIGTERM: stopping', errors)
    self.assertLess(time.monotonic() - began, 10)

  def test_what_is_being_finished_is_waited_for(self):
    process = self._start(_FINISHING)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=20)
    self.assertEqual((process.returncode, output), (75, 'done\n'))

  def test_a_second_interrupt_leaves_at_once(self):
    process = self._start(
      _FINISHING.replace('sleep(1)', 'sleep(30)').replace('0.2', '25')
    )
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    self.assertEqual((process.returncode, output), (75, ''))

  def test_a_worker_does_not_outlive_its_parent(self):
    folder = self.create_tempdir()
    path = folder.create_file('parent.py', _PARENT).full_path
    # The pipe of its output is open until the worker has ended too.
    ended = subprocess.run(
      [sys.executable, path],
      env={**os.environ, 'PYTHONPATH': os.getcwd()},
      capture_output=True,
      timeout=30,
      text=True,
      check=True,
    )
    self.assertGreater(int(ended.stdout), 0)

  def test_outside_a_program_handlers_come_back(self):
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    for _ in range(2):
      with stopping.polled() as asked:
        self.assertFalse(asked.is_set())
        signal.raise_signal(signal.SIGTERM)
        self.assertTrue(stopping.is_asked())
    after = [signal.getsignal(number) for number in stopping.SIGNALS]
    self.assertEqual(before, after)

  def test_in_another_thread_it_leaves_handlers_alone(self):
    seen = []

    def run():
      with stopping.polled():
        seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    self.assertEqual(seen, [signal.getsignal(signal.SIGTERM)])


if __name__ == '__main__':
  absltest.main()
