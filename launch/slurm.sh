#!/usr/bin/env bash
# A Slurm job that trains or embeds a run, and goes on by itself when it is
# stopped. As an array, each task takes a shard of the models and needs nothing
# of the others:
#
#   sbatch --array=0-7 --gres=gpu:1 --time=12:00:00 launch/slurm.sh train \
#       --config=configs/psm_ctl.py --workdir=runs/lab
#   sbatch --array=0-7 --gres=gpu:1 launch/slurm.sh embed --workdir=runs/lab
#
# As one job of several tasks, one a GPU, these train a general model together
# through jax.distributed:
#
#   sbatch --nodes=2 --ntasks-per-node=4 --gres=gpu:4 launch/slurm.sh train \
#       --config=configs/gm_ctl.py --config.population.data_parallel=True \
#       --workdir=runs/gm
#
# Submit it in the folder that has launch/; the run directory must be on a disk
# that all nodes share. Two minutes before its time is over (USR1), and when it
# is preempted (TERM), the program saves and exits with 75; the job is then
# queued again under its own number and goes on.
#
# Environment variables:
#   PYTHON  the Python that has psm_jax; default: .venv/bin/python, if there is
#           one, else python
#SBATCH --job-name=psm_jax
#SBATCH --requeue
#SBATCH --signal=USR1@120
#SBATCH --open-mode=append
#SBATCH --output=psm_jax-%j.out
set -uo pipefail

if [[ $# -eq 0 || $1 == -* ]]; then
  echo 'Usage: sbatch [OPTIONS] launch/slurm.sh PROGRAM [FLAGS]' >&2
  exit 2
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
  echo 'This is a job of Slurm: submit it with sbatch.' >&2
  exit 2
fi
program=$1
shift
if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python
  [[ -x .venv/bin/python ]] && PYTHON=$PWD/.venv/bin/python
fi

flags=()
job=$SLURM_JOB_ID
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
  flags+=(--shard=auto)
  # One of its tasks has the number of the whole array.
  job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
elif ((${SLURM_NTASKS:-1} > 1)); then
  flags+=(--distributed)
fi

# The signals are for the program, which is told them by Slurm; the shell stays
# to see how it ends.
trap '' TERM USR1
srun --kill-on-bad-exit=0 "$PYTHON" -m "launch.$program" \
  "${flags[@]}" "$@" &
# A signal that srun gets itself would end it before its tasks are done.
code=0
wait $! || code=$?
if ((code == 75)); then
  echo "Stopped; queueing job $job again." >&2
  # Slurm did that itself if it was Slurm that took the node.
  scontrol requeue "$job" || true
fi
exit "$code"
