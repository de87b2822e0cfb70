"""The notebooks of the documentation, executed cell by cell."""

import json
import pathlib
import re

import matplotlib
import pytest

_FOLDER = pathlib.Path(__file__).parents[1] / 'docs' / 'notebooks'


def _synthetic_people(made, folder):
  assert len(made['table']) == 900
  assert made['driven'].shape == (150, 32, 32, 3)
  assert (folder / 'synthetic_people/checkpoints').is_dir()


def _unlabelled_video(made, folder):
  assert made['outcome'].page.absolute() == folder / 'LAB/run/report.html'
  assert 'Nobody labelled these frames' in made['outcome'].page.read_text()
  # Nobody's face is found in every frame of a drawing.
  assert len(made['table']) == 240
  assert len(made['seen']) == len(made['shown']) > 200
  assert len(set(made['groups'])) == 5


@pytest.mark.slow
@pytest.mark.parametrize('check', [_synthetic_people, _unlabelled_video])
def test_a_notebook_runs(check, tmp_path, monkeypatch):
  name = check.__name__[1:]
  content = json.loads((_FOLDER / f'{name}.ipynb').read_text())
  matplotlib.use('Agg')
  tmp_path.chmod(0o700)
  monkeypatch.chdir(tmp_path)
  made = {}
  for number, cell in enumerate(content['cells']):
    if cell['cell_type'] == 'code':
      source = ''.join(cell['source'])
      # Few steps: what is shown is not looked at here.
      source = re.sub(r"(train\.steps'?(:| =)) 300", r'\1 3', source)
      exec(compile(source, f'{name}, cell {number}', 'exec'), made)
  check(made, tmp_path)


def test_every_notebook_is_run():
  names = {path.stem for path in _FOLDER.glob('*.ipynb')}
  assert names == {'synthetic_people', 'unlabelled_video'}
