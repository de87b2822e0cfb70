#!/usr/bin/env bash
# Trains a run on a slice of Google Cloud TPUs.
#
#   launch/tpu.sh all --name=psm --zone=us-west4-a --kind=v5e --topology=4x4 \
#       --bucket=gs://lab/runs/psm --data=gs://lab/store --out=runs/psm \
#       -- --config=configs/psm_ctl.py --config.data.source=store
#
# What follows -- are flags of launch.train, but for --workdir. Each host trains
# a shard of the models by itself, embeds their frames, and keeps all in the
# bucket, from which it goes on after a preemption. Verbs: all, or one of its
# steps:
#
#   create   makes the slice; one of that name that is ready is used as it is
#   install  copies the last commit to all hosts and installs constraints.txt
#   run      trains on all hosts until done, on new ones after a preemption
#   fetch    copies the run from the bucket to --out
#   delete   removes everything that create made
#
# all deletes the slice however it ends, create where it fails. Options:
#
#   --name=NAME      names all that is made
#   --zone=ZONE
#   --kind=KIND      v4 or v5e, as queued resources of the TPU API; v5p, v6e or
#                    tpu7x, as instance groups of Compute Engine
#   --topology=AxB   or AxBxC, chips of the slice: 4x4 are 16
#   --bucket=gs://B/RUN  the run; one bucket folder a run
#   --data=gs://B/STORE  a frame store, copied to each host; without it
#                    --config.data.path after -- must name what the hosts see
#   --out=FOLDER     where fetch copies the run to
#   --image=FAMILY   image family (instance groups) or runtime version (queued
#                    resources), where the default is no more
#   --spot           cheaper machines that may be taken away
#   --restarts=N     new machines after a preemption at most N times; default 10
#   --distributed    the hosts make one run together (general models)
#   --dry_run        prints the commands, runs none
set -euo pipefail
umask 077

fail() {
  echo "$*" >&2
  echo 'Its first lines tell the usage: head -40 launch/tpu.sh' >&2
  exit 2
}

verb=${1:-}
case $verb in
  all | create | install | run | fetch | delete) shift ;;
  *) fail "The first argument is a verb, not '$verb'." ;;
esac

name='' zone='' kind='' topology='' bucket='' data=none out='' image=''
spot='' restarts=10 mode=shards dry_run=''
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --kind=*) kind=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --bucket=*) bucket=${1#*=} ;;
    --data=*) data=${1#*=} ;;
    --out=*) out=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --spot) spot=yes ;;
    --distributed) mode=together ;;
    --dry_run) dry_run=yes ;;
    --) shift && break ;;
    *) fail "Unknown option $1." ;;
  esac
  shift
done
train=("$@")

for option in name zone kind topology bucket; do
  [[ -n ${!option} ]] || fail "--$option is missing."
done
[[ $verb != all && $verb != fetch || -n $out ]] || fail '--out is missing.'
[[ $name =~ ^[a-z][a-z0-9-]{0,40}$ ]] ||
  fail "--name=$name should be small letters, digits and hyphens."
[[ $bucket == gs://?*/?* ]] ||
  fail "--bucket=$bucket should be gs://BUCKET/FOLDER."
[[ $topology =~ ^[0-9]+x[0-9]+(x[0-9]+)?$ ]] ||
  fail "--topology=$topology should be like 4x4 or 2x2x4."

region=${zone%-*}
chips=$((${topology//x/*}))
hosts=$(((chips + 3) / 4))
family=ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e
case $kind in
  v4) api=queue type=v4-$((2 * chips)) image=${image:-tpu-ubuntu2204-base} ;;
  v5e)
    api=queue type=v5litepod-$chips image=${image:-v2-alpha-tpuv5-lite}
    ((chips > 8)) || hosts=1
    ;;
  v5p) api=group type=ct5p-hightpu-4t image=${image:-$family} ;;
  v6e) api=group type=ct6e-standard-4t image=${image:-$family} ;;
  tpu7x)
    api=group type=tpu7x-standard-4t
    image=${image:-ubuntu-accel-2404-amd64-tpu-tpu7x}
    ;;
  *) fail "--kind=$kind should be v4, v5e, v5p, v6e or tpu7x." ;;
esac

# do_it COMMAND...: runs a command, after printing it; only prints it, dry.
do_it() {
  local word line=+
  for word in "$@"; do
    [[ $word =~ ^[[:alnum:]_=:/.,@*-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  echo "$line"
  [[ -n $dry_run ]] || "$@"
}

# state: prints ready, coming, none or lost.
state() {
  local seen
  [[ -z $dry_run ]] || { echo "$dry_state" && return; }
  if [[ $api == queue ]]; then
    seen=$(gcloud compute tpus queued-resources describe "$name" \
      --zone="$zone" --format='value(state.state)' 2>/dev/null) || seen=none
  else
    seen=$(gcloud compute instance-groups managed describe "$name" \
      --zone="$zone" --format='value(status.isStable)' 2>/dev/null) || seen=none
    if [[ $seen != none ]] && (($(num_running) < hosts)); then
      # A spot machine that was taken away stays behind, stopped.
      [[ $seen == True ]] && seen=lost
    fi
  fi
  case $seen in
    ACTIVE | True) echo ready ;;
    none) echo none ;;
    FAILED | SUSPENDED | SUSPENDING | DELETING | lost) echo lost ;;
    *) echo coming ;;
  esac
}

# instances: prints the machines of an instance group, a line each.
instances() {
  if [[ -n $dry_run ]]; then
    seq -f "$name-%04g" 0 $((hosts - 1))
    return
  fi
  gcloud compute instance-groups managed list-instances "$name" \
    --zone="$zone" --format='value(instance.basename())' | sort
}

num_running() {
  gcloud compute instance-groups managed list-instances "$name" \
    --zone="$zone" --filter=instanceStatus=RUNNING --format='value(instance)' |
    wc -l
}

# on HOST COMMAND: runs a command line on a host, counted from 0.
on() {
  if [[ $api == queue ]]; then
    do_it gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" \
      --worker="$1" --command="$2"
  else
    do_it gcloud compute ssh "${machines[$1]}" --zone="$zone" --command="$2"
  fi
}

# copy HOST FILE: copies a file to a host's home.
copy() {
  if [[ $api == queue ]]; then
    do_it gcloud compute tpus tpu-vm scp "$2" "$name:" --zone="$zone" \
      --worker="$1"
  else
    do_it gcloud compute scp "$2" "${machines[$1]}:" --zone="$zone"
  fi
}

# on_all FUNCTION: calls it with each host at once; the first code that is not 0.
on_all() {
  local host code=0 each=() failed
  machines=()
  [[ $api == queue ]] || mapfile -t machines < <(instances)
  for ((host = 0; host < hosts; host++)); do
    if [[ -n $dry_run ]]; then
      "$1" "$host"
    else
      "$1" "$host" &
      each+=($!)
    fi
  done
  for host in "${each[@]}"; do
    failed=0
    wait "$host" || failed=$?
    # Of a stop and an error, the error counts.
    ((failed == 0 || (code != 0 && code != 75))) || code=$failed
  done
  return "$code"
}

make_queue() {
  do_it gcloud compute tpus queued-resources create "$name" \
    --node-id="$name" --zone="$zone" --accelerator-type="$type" \
    --runtime-version="$image" ${spot:+--spot}
}

make_group() {
  do_it gcloud compute resource-policies create workload-policy "$name" \
    --region="$region" --type=HIGH_THROUGHPUT \
    --accelerator-topology="$topology"
  do_it gcloud compute instance-templates create "$name" \
    --instance-template-region="$region" --machine-type="$type" \
    --maintenance-policy=TERMINATE --image-family="$image" \
    --image-project=ubuntu-os-accelerator-images --boot-disk-size=200GB \
    --scopes=cloud-platform \
    ${spot:+--provisioning-model=SPOT --instance-termination-action=STOP}
  do_it gcloud compute instance-groups managed create "$name" \
    --zone="$zone" --size="$hosts" --target-size-policy-mode=bulk \
    --template="regions/$region/instanceTemplates/$name" \
    --workload-policy="regions/$region/resourcePolicies/$name" \
    --default-action-on-vm-failure=do-nothing
}

create() {
  case $(state) in
    ready) echo "Using $name as it is." && return ;;
    coming) echo "Waiting for $name." ;;
    *)
      # What is left of machines that were taken away.
      [[ -n $dry_run ]] || delete
      made=yes
      "make_$api"
      ;;
  esac
  dry_state=ready
  until [[ $(state) == ready ]]; do
    if [[ $(state) == @(lost|none) ]]; then
      echo "$name was not made." >&2
      return 1
    fi
    sleep "${POLL_SECONDS:-30}"
  done
}

install_on() {
  copy "$1" "$archive" &&
    on "$1" \
      'tar -xzf psm_jax.tar.gz --one-top-level && psm_jax/launch/tpu_install.sh'
}

install() {
  local root folder
  root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
  folder=$(mktemp -d)
  archive=$folder/psm_jax.tar.gz
  [[ -z $dry_run ]] || archive=psm_jax.tar.gz
  if [[ -n $(git -C "$root" status --porcelain) ]]; then
    echo 'Changes that are not committed do not reach the hosts: git status.' >&2
  fi
  do_it git -C "$root" archive --format=tar.gz --output="$archive" HEAD
  local code=0
  on_all install_on || code=$?
  rm -rf "$folder"
  return "$code"
}

run_on() {
  local command
  printf -v command ' %q' "$1" "$hosts" "$mode" "$bucket" "$data" "${train[@]}"
  on "$1" "psm_jax/launch/tpu_worker.sh$command"
}

run() {
  local left=$restarts code
  while :; do
    code=0
    on_all run_on || code=$?
    ((code)) || return 0
    # 75: stopped, 255: ssh lost it. Machines that were taken away are made
    # anew; what failed on machines that are all there would fail again.
    if [[ $code != @(75|255) && $(state) == ready ]]; then
      echo "Training failed with code $code; its messages are above." >&2
      return "$code"
    fi
    ((left-- > 0)) || { echo "Stopped $restarts times." >&2 && return 75; }
    echo "Stopped; going on from the bucket ($left restarts left)."
    create
    install
  done
}

fetch() {
  local host folders=()
  if [[ $mode == together ]]; then
    folders=(together)
  else
    for ((host = 0; host < hosts; host++)); do
      folders+=("shard-$host-of-$hosts")
    done
  fi
  do_it mkdir -p "$out"
  for host in "${folders[@]}"; do
    do_it gcloud storage rsync --recursive "$bucket/$host" "$out"
  done
}

# remove KIND...: deletes a part if it is there.
remove() {
  if [[ -n $dry_run ]] || gcloud compute "${@:1:$#-1}" describe "$name" \
    "${@: -1}" >/dev/null 2>&1; then
    do_it gcloud compute "${@:1:$#-1}" delete "$name" "${@: -1}" --quiet \
      ${force:+--force}
  fi
}

# delete: removes all parts that are there; the last failure is its code.
delete() {
  local code=0 force=''
  if [[ $api == queue ]]; then
    force=yes
    remove tpus queued-resources --zone="$zone" || code=$?
  else
    remove instance-groups managed --zone="$zone" || code=$?
    remove instance-templates --region="$region" || code=$?
    remove resource-policies --region="$region" || code=$?
  fi
  dry_state=none
  return "$code"
}

clean_up() {
  local code=$?
  trap - EXIT
  # shellcheck disable=SC2046 # A word each.
  kill $(jobs -p) 2>/dev/null || true
  if [[ $verb == all || ($code != 0 && -n $made) ]]; then
    delete || echo "Not all of $name is deleted: launch/tpu.sh delete." >&2
  fi
  exit "$code"
}

made='' dry_state=none
trap clean_up EXIT
trap 'exit 130' INT TERM
if [[ $verb == all ]]; then
  create
  install
  run
  fetch
else
  [[ $verb == create ]] || dry_state=ready
  "$verb"
fi
