"""launch/tpu.sh beside a gcloud that only notes what it is asked for."""

import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from absl.testing import absltest, parameterized

from tests.launch import scripts

_GOLDEN = pathlib.Path(__file__).with_name('golden')
_COMMON = (
  '--name=psm',
  '--zone=us-west4-a',
  '--topology=4x4',
  '--bucket=gs://lab/runs/psm',
)
_TRAIN = ('--', '--config=configs/psm_ctl.py', '--config.data.source=store')


def _at_once(call):
  """Whether a call is one of those that are made of all hosts at once."""
  return ' ssh ' in call or ' scp ' in call


def _ordered(calls):
  """Returns calls with those made at once in one order."""
  return [
    call
    for at_once, group in itertools.groupby(calls, key=_at_once)
    for call in (sorted(group) if at_once else group)
  ]


class TpuTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.bin = self.folder / 'bin'
    self.bin.mkdir()
    shutil.copy(
      pathlib.Path(__file__).with_name('fake_gcloud'), self.bin / 'gcloud'
    )
    (self.folder / 'codes').touch()

  def _tpu(self, verb, *options, kind='v5e', train=_TRAIN):
    return scripts.run(
      'tpu.sh',
      verb,
      *_COMMON,
      f'--kind={kind}',
      f'--out={self.folder / "out"}',
      *options,
      *train,
      path=[self.bin],
      FAKE=str(self.folder),
      TMPDIR=str(self.folder),
      POLL_SECONDS='0',
    )

  def _calls(self):
    calls = (self.folder / 'calls').read_text()
    # The folder that the archive lies in is made for the call.
    calls = re.sub(r'FAKE/tmp\.\w+', 'FAKE/TMP', calls)
    return _ordered(calls.splitlines())

  def _check_golden(self, name):
    calls = '\n'.join(self._calls()) + '\n'
    golden = _GOLDEN / f'{name}.txt'
    if os.environ.get('PSM_WRITE_GOLDEN'):
      golden.write_text(calls)
    self.assertEqual(calls, golden.read_text())

  def _is_gone(self):
    kept = ('calls', 'codes', 'bin', 'bucket', 'fail', 'lock', 'out')
    return {p.name for p in self.folder.iterdir()} <= set(kept)

  @parameterized.parameters('v5e', 'v6e')
  def test_a_run_is_made_trained_fetched_and_deleted(self, kind):
    done = self._tpu('all', '--data=gs://lab/store', kind=kind)
    self.assertEqual(done.returncode, 0, done.stderr)
    self._check_golden(f'all_{kind}')
    self.assertTrue(self._is_gone())

  @parameterized.parameters('v5e', 'v6e')
  def test_a_preempted_run_goes_on_on_new_machines(self, kind):
    (self.folder / 'codes').write_text('2 lost\n1 75\n')
    done = self._tpu('all', '--spot', kind=kind)
    self.assertEqual(done.returncode, 0, done.stderr)
    self._check_golden(f'preempted_{kind}')
    self.assertTrue(self._is_gone())

  def test_a_failed_training_is_told_and_leaves_nothing_behind(self):
    (self.folder / 'codes').write_text('3 1\n')
    done = self._tpu('all')
    self.assertEqual(done.returncode, 1)
    self.assertIn('failed with code 1', done.stderr)
    self.assertTrue(self._is_gone())
    trainings = [call for call in self._calls() if 'tpu_worker.sh' in call]
    self.assertLen(trainings, 4)

  @parameterized.product(
    verb=('create', 'all'),
    fails=('resource-policies create', 'templates create', 'managed create'),
  )
  def test_what_was_made_is_deleted_where_the_next_part_fails(
    self, verb, fails
  ):
    (self.folder / 'fail').write_text(fails)
    done = self._tpu(verb, kind='v6e')
    self.assertNotEqual(done.returncode, 0)
    self.assertTrue(self._is_gone(), list(self.folder.iterdir()))

  def test_a_slice_that_cannot_be_installed_on_is_deleted(self):
    (self.folder / 'fail').write_text('--worker=2 --command=tar')
    self.assertNotEqual(self._tpu('all').returncode, 0)
    self.assertTrue(self._is_gone())

  def test_it_gives_up_after_so_many_restarts(self):
    (self.folder / 'codes').write_text('0 75\n' * 5)
    done = self._tpu('all', '--restarts=2')
    self.assertEqual(done.returncode, 75)
    trainings = [call for call in self._calls() if 'tpu_worker.sh 0' in call]
    self.assertLen(trainings, 3)

  def test_a_slice_that_is_ready_is_used_as_it_is(self):
    self.assertEqual(self._tpu('create').returncode, 0)
    done = self._tpu('create')
    self.assertIn('Using psm as it is', done.stdout)
    creations = [call for call in self._calls() if ' create ' in call]
    self.assertLen(creations, 1)
    self.assertFalse(self._is_gone())

  def test_dry_run_calls_nothing(self):
    done = self._tpu('all', '--dry_run', kind='tpu7x')
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertFalse((self.folder / 'calls').exists())
    self.assertIn('tpu7x-standard-4t', done.stdout)

  def test_the_documented_dry_run_is_what_it_prints(self):
    text = (scripts.ROOT / 'docs/cluster.md').read_text()
    command, shown = re.search(
      r'```bash\n(launch/tpu\.sh all [^`]*--dry_run[^`]*)```\n+prints\n+'
      r'```\n(.*?)```',
      text,
      re.DOTALL,
    ).groups()
    words = command.replace('\\\n', ' ').split()[1:]
    done = scripts.run('tpu.sh', *words)
    self.assertEqual(done.returncode, 0, done.stderr)
    printed = done.stdout.replace(str(scripts.ROOT), '.')
    self.assertEqual(printed, shown)

  def test_what_is_not_committed_is_said_not_to_be_installed(self):
    checkout = self.folder / 'checkout'
    (checkout / 'launch').mkdir(parents=True)
    shutil.copy(scripts.ROOT / 'launch/tpu.sh', checkout / 'launch')
    git = ('git', '-C', checkout, '-c', 'user.name=a', '-c', 'user.email=a@b')
    for command in (('init',), ('add', '.'), ('commit', '--message=a')):
      subprocess.run([*git, *command], check=True, capture_output=True)
    start = [checkout / 'launch/tpu.sh', 'install', *_COMMON, '--kind=v5e']

    def said():
      return subprocess.run(
        [*start, '--dry_run'], check=True, capture_output=True, text=True
      ).stderr

    self.assertEqual(said(), '')
    (checkout / 'mine.py').touch()
    self.assertIn('not committed', said())

  @parameterized.parameters(
    (('walk',), 'not .walk.'),
    (('run', '--name=psm'), '--zone is missing'),
    (('run', *_COMMON, '--kind=v9'), '--kind=v9 should be'),
    (('fetch', *_COMMON, '--kind=v5e'), '--out is missing'),
    (('run', *_COMMON, '--kind=v5e', '--fast'), 'Unknown option --fast'),
    (('run', *_COMMON, '--kind=v5e', '--bucket=/lab'), 'gs://BUCKET/FOLDER'),
  )
  def test_wrong_usage_is_named(self, arguments, message):
    done = scripts.run('tpu.sh', *arguments)
    self.assertEqual(done.returncode, 2)
    self.assertRegex(done.stderr, message)


class WorkerTest(absltest.TestCase):
  """launch/tpu_worker.sh with a program that writes down what it is given."""

  def setUp(self):
    super().setUp()
    self.home = pathlib.Path(self.create_tempdir().full_path)
    (self.home / 'codes').touch()
    scripts.write_program(
      self.home / 'bin/gcloud',
      pathlib.Path(__file__).with_name('fake_gcloud').read_text(),
    )

  def _program(self, text):
    scripts.write_program(
      self.home / 'psm_venv/bin/python', f'#!/usr/bin/env bash\n{text}'
    )

  def _environment(self):
    return {
      'HOME': str(self.home),
      'FAKE': str(self.home),
      'MEGASCALE_NUM_SLICES': '2',
    }

  def _work(self, mode='shards'):
    arguments = ('2', '4', mode, 'gs://lab/run', 'none', '--config=c')
    return scripts.run(
      'tpu_worker.sh',
      *arguments,
      path=[self.home / 'bin'],
      **self._environment(),
    )

  def test_it_brings_what_it_did_to_the_bucket_and_goes_on_from_there(self):
    self._program(
      'echo "$@ ${MEGASCALE_NUM_SLICES-none}" >>"$HOME/psm_run/said"; exit 75'
    )
    for _ in range(2):
      self.assertEqual(self._work().returncode, 75)
      shutil.rmtree(self.home / 'psm_run')  # The machine was taken away.
    said = (self.home / 'bucket/lab/run/shard-2-of-4/said').read_text()
    line = (
      f'-m launch.train --workdir={self.home}/psm_run --shard=2/4 --config=c '
      'none\n'
    )
    self.assertEqual(said, 2 * line)

  def test_what_is_trained_is_embedded_where_the_frames_are(self):
    self._program('echo "$2 $3 $4" >>"$HOME/psm_run/said"')
    self.assertEqual(self._work().returncode, 0)
    said = (self.home / 'bucket/lab/run/shard-2-of-4/said').read_text()
    flags = f'--workdir={self.home}/psm_run --shard=2/4'
    self.assertEqual(said, f'launch.train {flags}\nlaunch.embed {flags}\n')

  def test_together_only_the_first_host_writes(self):
    self._program('touch "$HOME/psm_run/$2"')
    self.assertEqual(self._work(mode='together').returncode, 0)
    self.assertFalse((self.home / 'bucket').exists())

  def test_a_signal_reaches_the_program_which_ends_by_itself(self):
    self._program(
      'trap "echo saved >$HOME/psm_run/said; exit 75" TERM\n'
      'touch "$HOME/psm_run/started"; while :; do sleep 0.1; done'
    )
    process = subprocess.Popen(
      [
        scripts.ROOT / 'launch/tpu_worker.sh',
        *('2', '4', 'shards', 'gs://lab/run', 'none'),
      ],
      env={
        **os.environ,
        'PATH': f'{self.home}/bin:{os.environ["PATH"]}',
        **self._environment(),
      },
    )
    while not (self.home / 'psm_run/started').exists():
      time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    self.assertEqual(process.wait(timeout=30), 75)
    said = self.home / 'bucket/lab/run/shard-2-of-4/said'
    self.assertEqual(said.read_text(), 'saved\n')


if __name__ == '__main__':
  absltest.main()
