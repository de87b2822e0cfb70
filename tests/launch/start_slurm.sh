#!/usr/bin/env bash
# Starts a Slurm of one machine, with as many nodes as are named:
#
#   tests/launch/start_slurm.sh FOLDER NUM_NODES
#
# Its files go into FOLDER; FOLDER/slurm.conf is for SLURM_CONF, FOLDER/pids
# names what to end. Needs root and Debian's slurm-wlm.
set -euo pipefail

folder=$1 num_nodes=$2
host=$(hostname -s)
mkdir -p "$folder"/{state,spool,munge}
chmod 755 "$folder"

# A munge of its own, so that none of the machine's is touched.
dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
chmod 700 "$folder/munge"
chmod 400 "$folder/munge/key"
munged --force --foreground --key-file="$folder/munge/key" \
  --socket="$folder/munge.socket" --pid-file="$folder/munge/pid" \
  --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" \
  >"$folder/munged.log" 2>&1 &
echo $! >"$folder/pids"

cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((20000 + $$ % 10000))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ReturnToService=2
KillWait=20
MinJobAge=3600
# Jobs that are queued again may start at once.
SchedulerParameters=sched_interval=1,bf_interval=1
CONF
port=$((30000 + $$ % 10000))
# JAX connects to the first node by its name.
names=("$host")
for ((node = 1; node < num_nodes; node++)); do
  names+=("n$node")
done
for ((node = 0; node < num_nodes; node++)); do
  echo "NodeName=${names[node]} NodeHostname=$host NodeAddr=127.0.0.1" \
    "Port=$((port + node)) CPUs=2 State=UNKNOWN" >>"$folder/slurm.conf"
done
echo "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE" \
  >>"$folder/slurm.conf"

export SLURM_CONF=$folder/slurm.conf
slurmctld -D >"$folder/slurmctld.out" 2>&1 &
echo $! >>"$folder/pids"
for name in "${names[@]}"; do
  slurmd -D -N "$name" >"$folder/slurmd-$name.out" 2>&1 &
  echo $! >>"$folder/pids"
done
for ((second = 0; second < 60; second++)); do
  # All nodes idle.
  if [[ $(sinfo -h -o '%D %t' 2>/dev/null) == "$num_nodes idle" ]]; then
    exit 0
  fi
  sleep 1
done
echo "Slurm did not start: see $folder." >&2
exit 1
