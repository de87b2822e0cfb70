#!/usr/bin/env bash
# From nothing to a report: installs psm_jax beside itself, trains a population
# of small models on built-in synthetic faces on the CPU, and draws the report.
#
#   launch/quickstart.sh
#
# Environment variables:
#   OUT       where the run goes; default: runs/quickstart in the repository
#   PSM_VENV  virtual environment to make; default: .venv-quickstart there
#   PYTHON    Python from 3.11 to 3.13; default: the first on the PATH
set -euo pipefail

start=$PWD
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
# shellcheck source=launch/venv.sh
source launch/venv.sh

out=$(absolute "$start" "${OUT:-$root/runs/quickstart}")
venv=$(absolute "$start" "${PSM_VENV:-$root/.venv-quickstart}")
make_venv "$venv" -r requirements.txt -c constraints.txt
python="$venv/bin/python"

"$python" -m launch.train --config=configs/quickstart.py --workdir="$out"
"$python" -m launch.embed --workdir="$out" --pictures=12 --driven
"$python" -m launch.evaluate --workdir="$out"
"$python" -m launch.report --workdir="$out" --show_faces
echo "Report: $out/report.html"
