#!/usr/bin/env bash
# Damages the files of every reader, 200,000 times in all (OUT/fuzz/fuzz.csv has
# a row a reader), and sends signals to every program at every phase and compares
# what they end in (OUT/signals/table.csv has a row a phase). Takes hours.
#
#   launch/soak.sh OUT [--per_phase=12] [--kill_share=0.7] [--phases=save,embed]
#
# Environment variables:
#   PSM_VENV  virtual environment to make; default: .venv-test in the repository
#   PYTHON    Python from 3.11 to 3.13; default: the first on the PATH
set -euo pipefail

start=$PWD
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
# shellcheck source=launch/venv.sh
source launch/venv.sh

out=$(absolute "$start" "${1:?Where the table goes is missing.}")
shift
venv=$(absolute "$start" "${PSM_VENV:-$root/.venv-test}")
make_venv "$venv" -r requirements.txt -r requirements-test.txt \
  -c constraints.txt -e .
"$venv/bin/python" -m tests.faults.fuzz --out="$out/fuzz"
exec "$venv/bin/python" -m tests.faults.soak --out="$out/signals" "$@"
