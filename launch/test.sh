#!/usr/bin/env bash
# Checks style and types, builds the documentation's site and runs the tests in a
# virtual environment of its own; then, without arguments, some of the tests on
# Python 3.13, where installed.
#
#   launch/test.sh [ARGUMENT_OF_PYTEST...]
#
# Environment variables:
#   PSM_VENV       virtual environment to make; default: .venv-test in the
#                  repository. That of Python 3.13 is called the same and -3.13
#   PYTHON         Python from 3.11 to 3.13; default: the first on the PATH
#   JAX_PLATFORMS  default: cpu, where the tests pretend to have four devices
set -euo pipefail

start=$PWD
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
# shellcheck source=launch/venv.sh
source launch/venv.sh

# smoke VENV: installs what programs need that read no videos, and runs tests
# that take half a minute together.
smoke() {
  local packages
  mapfile -t packages < <(
    grep -vE '^(#|$|av>|mtcnn|opencv|standard-imghdr|tensorflow)' \
      requirements.txt | sed 's/[;#].*//'
  )
  make_venv "$1" "${packages[@]}" beartype pytest -c constraints-3.13.txt
  "$1/bin/python" -W error -c 'import psm_jax.training, psm_jax.cli.psm'
  "$1/bin/python" -m pytest -p no:cacheprovider tests/config_check_test.py \
    tests/models/layers_test.py tests/paths_test.py tests/runs/run_test.py \
    tests/runs/planning_test.py tests/evaluation/results_test.py
}

venv=$(absolute "$start" "${PSM_VENV:-$root/.venv-test}")
make_venv "$venv" -r requirements.txt -r requirements-test.txt \
  -r requirements-docs.txt -c constraints.txt -e .
python="$venv/bin/python"

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --quiet --site-dir build/site
# A file stays with one worker: its tests share what they compile.
"$python" -m pytest -n 2 --dist loadfile -m 'not slow' "$@"

if (($#)); then # Only a part was asked for.
  exit
fi
for newest in "$HOME"/.pyenv/versions/3.13.*/bin/python python3.13; do
  if "$newest" -c '' 2>/dev/null; then
    PYTHON=$newest smoke "$venv-3.13"
    break
  fi
done
