#!/bin/sh
# Starts or stops a Slurm of two nodes with one core each on this machine, as root and without
# systemd; everything is below DIR. It takes Debian's packages slurm-wlm and munge.
# usage: slurm.sh start|stop DIR      then: export SLURM_CONF=DIR/slurm.conf
set -eu
DIR=$2 HOST=$(hostname -s)
export SLURM_CONF="$DIR/slurm.conf"

if [ "$1" = stop ]; then
  for pid in $(cat "$DIR"/*.pid); do kill "$pid" 2>/dev/null || true; done
  for pid in $(cat "$DIR"/*.pid); do while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; done
  exit
fi

umask 022
mkdir -p "$DIR/state"
[ -s "$DIR/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$DIR/key")
munged --force --key-file="$DIR/key" --socket="$DIR/munge.socket" --pid-file="$DIR/munged.pid" \
  --log-file="$DIR/munged.log" --seed-file="$DIR/munge.seed" --num-threads=2
cat >"$SLURM_CONF" <<END
ClusterName=epochal
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=$DIR/munge.socket
SlurmctldPort=26817
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmctldLogFile=$DIR/slurmctld.log
StateSaveLocation=$DIR/state
SlurmdPidFile=$DIR/%n.pid
SlurmdLogFile=$DIR/%n.log
SlurmdSpoolDir=$DIR/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
ReturnToService=2
MailProg=/bin/true
MaxArraySize=${MAX_ARRAY_SIZE:-1001}
KillWait=5
SlurmdTimeout=10
NodeName=node[1-2] NodeAddr=127.0.0.1 NodeHostname=$HOST Port=[26821-26822] CPUs=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
END
slurmctld
slurmd -N node1
slurmd -N node2
for _ in $(seq 120); do
  if [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; then exit; fi
  sleep 0.5
done
echo "slurm did not come up" >&2
tail -n 20 "$DIR"/*.log >&2
exit 1
