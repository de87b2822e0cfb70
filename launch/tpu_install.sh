#!/usr/bin/env bash
# Runs on a TPU virtual machine, started by launch/tpu.sh: makes ~/psm_venv with
# the versions of constraints.txt. The machines' own Python is older than 3.11.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
python3 -m pip install --quiet --user uv
python3 -m uv venv --quiet --clear --python=3.11 "$HOME/psm_venv"
python3 -m uv pip install --quiet --python="$HOME/psm_venv/bin/python" \
  -r requirements.txt -c constraints.txt 'jax[tpu]'
