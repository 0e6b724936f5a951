# shellcheck shell=bash
# How the Slurm scripts of this folder start lloyd, and what signals do to it. Sourced by them; the settings come from the
# environment (`LAUNCHER=mpirun sbatch ...`), and those that sbatch knows (--nodes, --time, --partition, ...) from sbatch.

LLOYD=${LLOYD:-lloyd}          # the program; may have words before it: "apptainer exec --nv lloyd.sif lloyd"
LAUNCHER=${LAUNCHER:-srun}     # srun, or mpirun (of Open MPI) where the site's Slurm and MPI do not know each other
SRUN_MPI=${SRUN_MPI:-pmix}     # what they have in common: `srun --mpi=list` shows what Slurm has
BACKEND=${BACKEND:-auto}       # auto, cuda or cpu
TIMEOUT=${TIMEOUT:-30m}        # a rank that has been waited for so long ends the job

# One rank per GPU. All ranks of a node see all of its GPUs, and each takes the one of its number on the node: ranks that see only
# their own cannot always reach the others' memory directly (NVLink), and Slurm binds them so where --gpus-per-task is given.
# Ranks that follow each other stay together (block:block), so that those of a socket use the GPUs of that socket, where they
# are numbered in this order (`nvidia-smi topo -m`). Since Slurm 22.05 srun does not take over --cpus-per-task by itself.
srun_launch() {
    launch=(srun "--mpi=$SRUN_MPI" --kill-on-bad-exit=1 --gpu-bind=none --cpu-bind=cores --distribution=block:block
        "--cpus-per-task=${SLURM_CPUS_PER_TASK:-1}")
    [[ -z $1 ]] || launch+=("--ntasks=$1" "--nodes=$2" "--ntasks-per-node=$((($1 + $2 - 1) / $2))")
}

# mpirun sends the ranks the signal that it gets, and finds the nodes in Slurm's variables. MPIRUN_OPTIONS replaces the binding.
mpirun_launch() {
    local tasks=${1:-$SLURM_NTASKS} nodes=${2:-$SLURM_JOB_NUM_NODES} place
    place="ppr:$(((tasks + nodes - 1) / nodes)):node:PE=${SLURM_CPUS_PER_TASK:-1}"
    read -ra place <<<"${MPIRUN_OPTIONS:---map-by $place --bind-to core}"
    launch=(mpirun -n "$tasks" "${place[@]}")
}

# NCCL sums the centroids over GPUs; MPI does everything else. NCCL finds NVLink and InfiniBand by itself. Where it does not, these
# are set in the environment of sbatch, and reach all ranks:
#   NCCL_SOCKET_IFNAME=ib0      the network by which the ranks find each other, where a node has several
#   NCCL_IB_HCA=mlx5_0,mlx5_1   the InfiniBand adapters to use, where some lead elsewhere (storage, Ethernet)
#   NCCL_NET=IB                 an error instead of slow TCP where InfiniBand cannot be used
#   NCCL_DEBUG=INFO             what it has chosen: look for "NET/IB" and "P2P"
# WARN costs nothing and says why something failed.
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# launch_lloyd TASKS NODES ARGUMENTS...: lloyd on so many tasks and nodes ("": all of the job); returns its exit status. SIGUSR1,
# which Slurm sends to this shell, goes to the launcher, which hands it to every rank: so it is the same with srun and mpirun.
# SIGTERM (scancel, preemption) Slurm sends to the ranks too, so this shell only waits for what they do.
launch_lloyd() {
    local launch program pid status interrupted=1
    "${LAUNCHER}_launch" "$1" "$2"
    shift 2
    read -ra program <<<"$LLOYD"
    echo "$(date '+%F %T')  ${launch[*]} $LLOYD $*"
    "${launch[@]}" "${program[@]}" "$@" &
    pid=$!
    trap 'interrupted=1; echo "SIGUSR1: lloyd is told to stop"; kill -USR1 "$pid"' USR1
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
