"""What can be said of launch/ and the Dockerfile without running them."""

import re
import shutil
import subprocess

import yaml
from absl.testing import absltest

from tests.launch import scripts


class FilesTest(absltest.TestCase):
  def test_shellcheck_has_nothing_to_say(self):
    if not shutil.which('shellcheck'):
      self.skipTest('needs shellcheck (apt install shellcheck)')
    files = [*sorted((scripts.ROOT / 'launch').glob('*.sh'))]
    done = subprocess.run(
      ['shellcheck', *files, scripts.ROOT / '.ci/run'],
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(done.stdout, '')

  def test_the_job_set_has_a_shard_for_each_of_its_pods(self):
    text = (scripts.ROOT / 'launch/jobset.yaml').read_text()
    (job,) = yaml.safe_load(text)['spec']['replicatedJobs']
    spec = job['template']['spec']
    (container,) = spec['template']['spec']['containers']
    self.assertEqual(spec['completionMode'], 'Indexed')
    self.assertEqual(spec['completions'], spec['parallelism'])
    self.assertIn(f'--shard=auto/{spec["completions"]}', container['args'])
    stopped = spec['podFailurePolicy']['rules'][0]['onExitCodes']
    self.assertEqual(stopped['values'], [75])
    self.assertEqual(stopped['containerName'], container['name'])

  def test_the_image_is_given_all_that_a_program_needs(self):
    text = (scripts.ROOT / 'Dockerfile').read_text()
    copied = set(re.findall(r'^COPY (.+) \S+$', text, re.MULTILINE))
    names = {name for line in copied for name in line.split()}
    kept = (scripts.ROOT / '.dockerignore').read_text().splitlines()
    self.assertContainsSubset(names, {line.removeprefix('!') for line in kept})
    for name in names:
      self.assertTrue((scripts.ROOT / name).exists(), name)


if __name__ == '__main__':
  absltest.main()
