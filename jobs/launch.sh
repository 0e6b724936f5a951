# shellcheck shell=bash
# How the Slurm scripts of this folder start lloyd, and how they forward signals. They source it. Settings come from the environment
# (`LAUNCHER=mpirun sbatch ...`); what sbatch has options for (--nodes, --time, --partition, ...) comes from sbatch.

LLOYD=${LLOYD:-lloyd}          # the program; may have words before it: "apptainer exec --nv lloyd.sif lloyd"
LAUNCHER=${LAUNCHER:-srun}     # srun, or mpirun (of Open MPI) where the site's Slurm and MPI do not work together
SRUN_MPI=${SRUN_MPI:-pmix}     # the interface that both support: `srun --mpi=list` lists those of Slurm
BACKEND=${BACKEND:-auto}       # auto, cuda or cpu
TIMEOUT=${TIMEOUT:-30m}        # the job ends when a rank does not respond for so long
FORWARD_USR1=1                 # set by scripts: "" where lloyd is not to be stopped before the time is up

# One rank per GPU. All ranks of a node see all of its GPUs, and each takes the one of its number on the node. (Ranks that see only
# their own GPU, as with --gpus-per-task, cannot always reach the others' memory directly by NVLink.) Consecutive ranks stay together
# (block:block), so that those of a socket use the GPUs of that socket, if GPUs are numbered in this order (`nvidia-smi topo -m`).
# Since Slurm 22.05 srun does not inherit --cpus-per-task from sbatch.
srun_launch() {
    launch=(srun "--mpi=$SRUN_MPI" --kill-on-bad-exit=1 --gpu-bind=none --cpu-bind=cores --distribution=block:block
        "--cpus-per-task=${SLURM_CPUS_PER_TASK:-1}")
    [[ -z $1 ]] || launch+=("--ntasks=$1" "--nodes=$2" "--ntasks-per-node=$((($1 + $2 - 1) / $2))")
}

# mpirun forwards signals to the ranks and finds the nodes in Slurm's variables. MPIRUN_OPTIONS replaces the binding.
mpirun_launch() {
    local tasks=${1:-$SLURM_NTASKS} nodes=${2:-$SLURM_JOB_NUM_NODES} place
    place="ppr:$(((tasks + nodes - 1) / nodes)):node:PE=${SLURM_CPUS_PER_TASK:-1}"
    read -ra place <<<"${MPIRUN_OPTIONS:---map-by $place --bind-to core}"
    launch=(mpirun -n "$tasks" "${place[@]}")
}

# NCCL sums over GPUs; MPI does everything else. NCCL finds NVLink and InfiniBand by itself. Where it does not, set these variables in
# the environment of sbatch; all ranks get them:
#   NCCL_SOCKET_IFNAME=ib0      the interface by which the ranks find each other, if a node has several
#   NCCL_IB_HCA=mlx5_0,mlx5_1   the InfiniBand adapters to use, if others are for storage or Ethernet
#   NCCL_NET=IB                 an error instead of slow TCP if InfiniBand cannot be used
#   NCCL_DEBUG=INFO             logs what it chose: look for "NET/IB" and "P2P"
# WARN costs nothing and logs the reason of a failure.
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# launch_lloyd TASKS NODES ARGUMENTS...: lloyd on so many tasks and nodes ("": all of the job); returns its exit status. This shell
# forwards SIGUSR1, which Slurm sends to it, to the launcher (unless FORWARD_USR1 is empty), and the launcher to every rank: the same
# with srun and mpirun. SIGTERM (scancel, preemption) is sent by Slurm to the ranks as well, so this shell only waits for them to end.
launch_lloyd() {
    local launch program pid status interrupted=1
    "${LAUNCHER}_launch" "$1" "$2"
    shift 2
    read -ra program <<<"$LLOYD"
    echo "$(date '+%F %T')  ${launch[*]} $LLOYD $*"
    "${launch[@]}" "${program[@]}" "$@" &
    pid=$!
    trap 'interrupted=1; [[ -z $FORWARD_USR1 ]] || { echo "SIGUSR1: stopping lloyd"; kill -USR1 "$pid"; }' USR1
    trap 'interrupted=1' TERM
    while [[ -n $interrupted ]]; do # a signal ends `wait`, not what it waits for
        interrupted=
        status=0
        wait "$pid" || status=$?
    done
    trap - USR1 TERM
    return "$status"
}

case $LAUNCHER in
    srun | mpirun) ;;
    *) echo "LAUNCHER is '$LAUNCHER'; give srun or mpirun" >&2 && exit 2 ;;
esac
