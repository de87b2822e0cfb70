#!/usr/bin/env bash
# Checks style and runs the tests in a virtual environment of its own.
#
#   launch/test.sh [ARGUMENT_OF_PYTEST...]
#
# Environment variables:
#   PSM_VENV       virtual environment to make; default: .venv-test in the
#                  repository
#   PYTHON         Python from 3.11 to 3.13; default: the first on the PATH
#   JAX_PLATFORMS  default: cpu, where the tests pretend to have four devices
set -euo pipefail

start=$PWD
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
# shellcheck source=launch/venv.sh
source launch/venv.sh

venv=$(absolute "$start" "${PSM_VENV:-$root/.venv-test}")
make_venv "$venv" -r requirements.txt -r requirements-test.txt \
  -c constraints.txt -e .
python="$venv/bin/python"

"$python" -m ruff check .
"$python" -m ruff format --check .
# A file stays with one worker: its tests share what they compile.
"$python" -m pytest -n 2 --dist loadfile "$@"
