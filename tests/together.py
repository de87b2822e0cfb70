"""A process of a run of toy models that several processes train together.

python -m tests.together CONFIG.json WORKDIR HOST:PORT COUNT INDEX
"""

import json
import pathlib
import sys

from psm_jax import methods, presets, stopping, training
from psm_jax.engine import processes
from tests import tiny


def main():
  """Does what launch.train --distributed does, with toy models."""
  config_path, workdir, coordinator, count, index = sys.argv[1:]
  place = processes.find(
    coordinator=coordinator, count=int(count), index=int(index)
  )
  if not processes.is_child():
    return processes.supervise(sys.orig_argv, place)
  processes.join(place)
  methods.make = tiny.toy_method
  config = presets.config_of(json.loads(pathlib.Path(config_path).read_text()))
  outcome = training.train(config, workdir, data_dir=f'{workdir}-data')
  return stopping.EXIT_CODE if outcome.was_stopped else 0


if __name__ == '__main__':
  with stopping.listening():
    code = main()
  sys.exit(code)
