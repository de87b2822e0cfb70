"""Weights & Biases, for whoever asks for it: scalars alone, never a picture.

  log = wandb_log.WandbLog(workdir, config, mode='offline', wave=0)
  log.write(10, {'loss/facecycle-P01-s0': 0.5})

Offline it writes to WORKDIR/wandb and no more; online it also sends that away:
the numbers, the configuration without paths, and the models' ids, which hold
the people's. Nothing of the machine, its user or its code is written.
"""

import pathlib
import secrets
from collections.abc import Mapping

import ml_collections

from psm_jax import paths
from psm_jax.runs import zoo

OFF, OFFLINE, ONLINE = 'off', 'offline', 'online'
MODES = (OFF, OFFLINE, ONLINE)
FOLDER = 'wandb'


class WandbLog:
  """A run of Weights & Biases; a resumed one goes on with it."""

  def __init__(
    self,
    workdir: pathlib.Path,
    config: ml_collections.ConfigDict,
    *,
    mode: str,
    wave: int,
  ):
    """Begins a run, or goes on with it.

    Args:
      workdir: The run directory.
      config: The experiment.
      mode: 'offline' or 'online'.
      wave: Number of the models that train together, a run of their own.

    Raises:
      ValueError: If wandb is not installed or cannot begin.
    """
    wandb = _package()
    folder = paths.make_private_dir(workdir / FOLDER)
    place = folder / f'wave{wave:03d}.txt'
    if not place.is_file():
      paths.write_atomic(place, secrets.token_hex(8))
    settings = wandb.Settings(
      console='off',
      disable_code=True,
      disable_git=True,
      disable_job_creation=True,
      host='',
      program='psm_jax',
      save_code=False,
      username='',
      x_disable_meta=True,
      x_disable_machine_info=True,
      x_disable_stats=True,
      x_save_requirements=False,
    )
    try:
      self._run = wandb.init(
        project='psm_jax',
        id=place.read_text(),
        name=f'{workdir.name}-{place.stem}',
        dir=str(workdir),
        mode=mode,
        resume='allow',
        config=zoo.without_paths(config),
        settings=settings,
      )
    except wandb.errors.Error as error:
      raise ValueError(f'--wandb={mode}: {error}') from error

  def write(self, step: int, scalars: Mapping[str, float]):
    """Writes scalars of a step, by tag."""
    self._run.log({t: float(v) for t, v in scalars.items()}, step=step)

  def close(self):
    """Ends the run; online, what is not sent yet is."""
    self._run.finish()


def check(mode: str):
  """Raises ValueError unless a mode is one of `MODES` that can be."""
  if mode not in MODES:
    raise ValueError(f'--wandb is {mode!r}; expected one of {MODES}.')
  if mode != OFF:
    _package()


def _package():
  """Returns the package wandb, which few want."""
  try:
    import wandb
  except ImportError as error:
    raise ValueError(
      '--wandb needs the package wandb: pip install "psm_jax[wandb]".'
    ) from error
  return wandb
