#!/usr/bin/env bash
# A real Slurm on this machine alone, to try job scripts on: munge, slurmctld, and two nodes n1 and n2 with two CPUs and two
# stand-ins for GPUs each. All of it lies in one folder; the machine's own Slurm, if any, is not touched.
#
#     jobs/local-slurm.sh start [FOLDER]      prints the shell command that makes sbatch and srun use it
#     jobs/local-slurm.sh status [FOLDER]     0: all nodes are up
#     jobs/local-slurm.sh stop [FOLDER]       ends its jobs and its processes, and removes the folder
#
# FOLDER is /tmp/lloyd-slurm-UID by default; munge's socket lies in it, so its name must be short. Needs the packages of
# "lloyd_install slurm" (jobs/packages.sh) of Debian 12, no systemd, and a network besides the loopback. Where `unshare --mount --uts`
# is allowed (root), the nodes have names and shared memory of their own, as MPI needs; elsewhere there is one, with four CPUs.
set -euo pipefail

usage="usage: jobs/local-slurm.sh start|status|stop [FOLDER]"
[[ $# -ge 1 && $# -le 2 ]] || { echo "$usage" >&2 && exit 2; }
here=${2:-/tmp/lloyd-slurm-$(id -u)}
[[ $here == /* ]] || here=$PWD/$here
export SLURM_CONF=$here/conf/slurm.conf
PATH=$PATH:/usr/sbin:/sbin # munged, slurmctld, slurmd

fail() {
    echo "local-slurm: $1" >&2
    exit 1
}

# The first of `count` consecutive ports that are free.
free_ports() {
    local count=$1 first port
    for ((first = 26817; first < 32000; first += count)); do
        for ((port = first; port < first + count; port++)); do
            (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
        done
        echo "$first"
        return
    done
    fail "no free ports"
}

# cred_expire: a requeued job waits until its old credential has expired, two minutes by default.
# MinJobAge: finished jobs can be asked for. KillWait: from SIGTERM to SIGKILL. config_overrides: the machine may have fewer cores.
write_configuration() {
    local user port i cpus=2
    user=$(id -un)
    port=$(free_ports 3)
    ((${#nodes[@]} > 1)) || cpus=4
    cat >"$SLURM_CONF" <<END
ClusterName=local
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$here/run/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool/%n
SlurmctldPidFile=$here/run/slurmctld.pid
SlurmdPidFile=$here/run/slurmd.%n.pid
SlurmctldLogFile=$here/log/slurmctld.log
SlurmdLogFile=$here/log/slurmd.%n.log
TmpFS=$here/tmp/%n
ProctrackType=proctrack/linuxproc
MpiDefault=pmix
MailProg=/bin/true
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=1,bf_interval=1
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=3600
SlurmdParameters=config_overrides
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    for ((i = 1; i <= ${#nodes[@]}; i++)); do
        echo "NodeName=n$i NodeAddr=127.0.0.1 NodeHostname=n$i Port=$((port + i)) CPUs=$cpus Gres=gpu:2 State=UNKNOWN"
    done >>"$SLURM_CONF"
    # Without devices behind them, Slurm drains the node.
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero >"$here/conf/gres.conf"
}

ready() {
    [[ $(sinfo --noheader --format=%D --states=idle,mixed,allocated 2>/dev/null | awk '{n += $1} END {print n + 0}') \
        -eq $(grep -c '^NodeName=' "$SLURM_CONF" 2>/dev/null || true) ]]
}

start() {
    local program node
    for program in munged slurmctld slurmd sbatch srun; do
        command -v "$program" >/dev/null || fail "$program is missing; install munge, slurmctld, slurmd and slurm-client"
    done
    [[ ! -e $here ]] || fail "$here is there already; end it first: jobs/local-slurm.sh stop $here"
    ((${#here} < 80)) || fail "$here is too long for the name of a socket; give a shorter folder"
    nodes=(n1)
    ! unshare --mount --uts sh -c 'hostname n1 && mount -t tmpfs tmpfs /dev/shm' 2>/dev/null || nodes=(n1 n2)

    umask 022 # munge refuses folders that others may write to; jobs read the configuration
    mkdir -p "$here"/{conf,run,log,state,spool}
    for node in "${nodes[@]}"; do mkdir -p "$here/tmp/$node" "$here/spool/$node"; done
    (umask 077 && head -c 128 /dev/urandom >"$here/conf/munge.key")
    write_configuration

    munged --force --key-file="$here/conf/munge.key" --socket="$here/run/munge.socket" \
        --pid-file="$here/run/munged.pid" --log-file="$here/log/munged.log" --seed-file="$here/state/munge.seed"
    slurmctld -c -f "$SLURM_CONF"
    for node in "${nodes[@]}"; do
        if ((${#nodes[@]} > 1)); then
            # shellcheck disable=SC2016 # for the inner shell
            unshare --mount --uts sh -c 'hostname "$1" && mount -t tmpfs tmpfs /dev/shm && exec slurmd -f "$2" -N "$1"' \
                sh "$node" "$SLURM_CONF"
        else
            slurmd -f "$SLURM_CONF" -N "$node"
        fi
    done
    local began=$SECONDS
    until ready || ((SECONDS - began > 15)); do sleep 0.1; done
    ready || { tail -n 5 "$here"/log/*.log >&2 && fail "the nodes do not come up; the logs are in $here/log"; }
}

# Ends the process of a pid file, and waits for it.
end() {
    local pid tries
    [[ -f $1 ]] && pid=$(<"$1") && [[ -n $pid ]] || return 0
    kill "$pid" 2>/dev/null || return 0
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

stop() {
    [[ -e $here ]] || return 0
    [[ -f $SLURM_CONF ]] || fail "$here is no folder of jobs/local-slurm.sh; nothing is done"
    local file began=$SECONDS
    if [[ -n $(squeue --noheader 2>/dev/null) ]]; then
        scancel --full --signal=KILL --user="$(id -un)" 2>/dev/null || true
        scancel --user="$(id -un)" 2>/dev/null || true
        while [[ -n $(squeue --noheader 2>/dev/null) ]] && ((SECONDS - began < 15)); do sleep 0.1; done
    fi
    for file in "$here"/run/slurmd.*.pid "$here/run/slurmctld.pid" "$here/run/munged.pid"; do end "$file"; done
    rm -rf "$here"
}

case $1 in
    start)
        start
        echo "export SLURM_CONF=$SLURM_CONF"
        ;;
    status)
        [[ -f $SLURM_CONF ]] || fail "there is none in $here"
        sinfo
        squeue
        ready
        ;;
    stop) stop ;;
    *) echo "$usage" >&2 && exit 2 ;;
esac
