"""The notebooks of the documentation, executed cell by cell."""

import json
import os
import pathlib

import matplotlib
import pytest

_FOLDER = pathlib.Path(__file__).parents[1] / 'docs' / 'notebooks'


@pytest.mark.slow
@pytest.mark.parametrize('name', ['synthetic_people'])
def test_a_notebook_runs(name, tmp_path, monkeypatch):
  content = json.loads((_FOLDER / f'{name}.ipynb').read_text())
  matplotlib.use('Agg')
  tmp_path.chmod(0o700)
  monkeypatch.chdir(tmp_path)
  made = {}
  for number, cell in enumerate(content['cells']):
    if cell['cell_type'] == 'code':
      source = ''.join(cell['source'])
      # Few steps: what is shown is not looked at here.
      source = source.replace("'train.steps': 300", "'train.steps': 3")
      exec(compile(source, f'{name}, cell {number}', 'exec'), made)
  assert len(made['table']) == 900
  assert made['driven'].shape == (150, 32, 32, 3)
  assert os.path.isdir('synthetic_people/checkpoints')
