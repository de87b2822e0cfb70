#!/usr/bin/env bash
# Runs on a TPU virtual machine, started by launch/tpu.sh:
#
#   launch/tpu_worker.sh HOST NUM_HOSTS MODE BUCKET DATA [FLAGS]
#
# MODE is shards or together; BUCKET is the gs:// folder of the run; DATA a gs://
# folder with a frame store, or none; FLAGS are of launch.train. Fetches what this
# host did so far, goes on with it, embeds the frames, which are here, and keeps
# the bucket up to date: every five minutes, and at the end.
set -uo pipefail

host=$1 num_hosts=$2 mode=$3 bucket=$4 data=$5
shift 5
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
umask 077
workdir=$HOME/psm_run
flags=() part=()

# Of an earlier job of several slices; libtpu would wait for those.
for name in "${!MEGASCALE_@}"; do
  unset "$name"
done
if [[ $mode == together ]]; then
  folder=$bucket/together
  flags+=(--distributed)
else
  # A folder a shard: what hosts write at the same time stays apart.
  folder=$bucket/shard-$host-of-$num_hosts
  flags+=(--shard="$host/$num_hosts") part=(--shard="$host/$num_hosts")
  # A host by itself, not one of its slice: it waits for nobody.
  export TPU_PROCESS_BOUNDS=1,1,1 TPU_CHIPS_PER_PROCESS_BOUNDS=2,2,1
  export TPU_HOST_BOUNDS=1,1,1 TPU_WORKER_ID=0 TPU_WORKER_HOSTNAMES=localhost
fi

# push: makes the bucket like the run, but for saves that are under way.
push() {
  # Together, the first host writes the run.
  [[ $mode == shards || $host == 0 ]] || return 0
  gcloud storage rsync --recursive --delete-unmatched-destination-objects \
    --exclude='.*orbax-checkpoint-tmp.*|(^|.*/)\..*' "$workdir" "$folder"
}

mkdir -p "$workdir"
if gcloud storage ls "$folder/**" >/dev/null 2>&1; then
  gcloud storage rsync --recursive --delete-unmatched-destination-objects \
    "$folder" "$workdir" || exit 1
fi
if [[ $data != none ]]; then
  mkdir -p "$HOME/psm_data"
  gcloud storage rsync --recursive "$data" "$HOME/psm_data" || exit 1
  flags+=(--config.data.path="$HOME/psm_data")
fi

# embed: once all is trained, where the frames are.
embed() {
  [[ $mode == shards || $host == 0 ]] || return 0
  "$HOME/psm_venv/bin/python" -m launch.embed --workdir="$workdir" "${part[@]}"
}

"$HOME/psm_venv/bin/python" -m launch.train --workdir="$workdir" \
  "${flags[@]}" "$@" &
training=$!
# A machine that is taken away is told by a signal: the program saves and ends.
trap 'kill -TERM "$training"' TERM INT HUP
(
  # The sleep ends with it, or ssh would wait for that.
  trap 'kill $!; exit' TERM
  while :; do
    sleep "${PUSH_SECONDS:-300}" &
    wait $!
    push
  done
) &
pushing=$!
code=0
wait "$training" || code=$?
while kill -0 "$training" 2>/dev/null; do # A signal ended the wait.
  wait "$training"
  code=$?
done
((code != 0)) || embed || code=$?
kill "$pushing" 2>/dev/null
wait "$pushing" 2>/dev/null
push || code=1
exit "$code"
