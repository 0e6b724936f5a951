#!/usr/bin/env bash
# A first run, on a fresh Debian 12 or Ubuntu 24.04: installs missing packages, builds in build/demo, and clusters the 20,000 SIFT
# descriptors of tests/data with two ranks on CPUs (there may not be two GPUs). The model and the log are in build/demo/out.
set -euo pipefail

[[ $# -eq 0 ]] || { echo "usage: jobs/demo.sh" >&2 && exit 2; }

called_from=$PWD
cd "$(dirname "$0")/.."
prefix=
[[ $called_from -ef $PWD ]] || prefix=$PWD/ # so that the printed names are valid in the caller's directory
data=tests/data/sift-20k.h5
out=build/demo/out

# shellcheck source=jobs/packages.sh
source jobs/packages.sh
lloyd_install build

mkdir -p "$out"
log=build/demo/build.log
echo "Building in build/demo"
if ! {
    cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLOYD_TESTS=OFF -DLLOYD_CUDA=OFF &&
        cmake --build build/demo
} >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "The build failed; all of its output is in $prefix$log" >&2
    exit 1
fi

# Two ranks share the cores, also where MPI sees a single one or the user is root.
launch=(mpirun -n 2)
if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
    launch=(mpirun --bind-to none -n 2)
    [[ $(id -u) -ne 0 ]] || launch+=(--allow-run-as-root)
    "${launch[@]}" true >/dev/null 2>&1 || launch+=(--oversubscribe)
    # Containers forbid the system call with which Open MPI reads another rank's memory.
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
fi
cores=$(nproc)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > 1 ? cores / 2 : 1))}

# The ranks write to mpirun and cannot see that its output is a terminal.
progress=plain
if [[ -t 2 && ${TERM:-dumb} != dumb ]]; then
    progress=bar
    COLUMNS=$(tput cols 2>/dev/null || echo 80)
    export COLUMNS
fi

"${launch[@]}" "${prefix}build/demo/lloyd" fit --input "$prefix$data" -k 256 --init kmeans++ --seed 7 --max-iters 25 \
    --output "$prefix$out/model.h5" --log "$prefix$out/fit.jsonl" --progress "$progress"

echo
echo "Files:"
echo "  $prefix$out/model.h5   centroids, counts, labels and history"
echo "  $prefix$out/fit.jsonl  what each iteration did, one line of JSON each"
