#!/usr/bin/env bash
# Builds and tests everything, from whatever state the machine is in.
#
#     ./tests/run.sh          all: a Debug build with sanitizers and a Release build, every test; a little fuzzing
#     ./tests/run.sh quick    the Debug build and its tests only
#     ./tests/run.sh gpu      the tests that need a GPU, in build/gpu; further arguments go to cmake
#     ./tests/run.sh lint     formatting, static analysis, layering
#
# Installs missing packages (asking sudo where needed), builds in build/debug and build/release, and ends with
# CTest's own summary. Exit status 0 if every test passed. A second run builds only what changed.
set -euo pipefail

cd "$(dirname "$0")/.."

what=${1:-all}
case $what in
    all | quick | lint | gpu) ;;
    *)
        echo "usage: tests/run.sh [all|quick|gpu|lint]" >&2
        exit 2
        ;;
esac

skip_gpu() {
    echo "**********************************************************************"
    echo "gpu: skipped: $1"
    echo "**********************************************************************"
    exit 0
}
if [[ $what == gpu ]]; then
    command -v nvcc >/dev/null || [[ -x ${CUDACXX:-/usr/local/cuda/bin/nvcc} ]] || skip_gpu "no CUDA compiler"
    nvidia-smi -L 2>/dev/null | grep -q '^GPU' || skip_gpu "no CUDA device"
fi

# shellcheck source=jobs/packages.sh
source jobs/packages.sh
install_missing() {
    local use
    for use in build test; do
        if [[ -n $(lloyd_missing_packages "$use") ]]; then
            lloyd_install "$use"
        fi
    done
    # The test that needs it says so loudly where it is missing.
    [[ $what != all ]] || lloyd_install slurm || echo "without Slurm, the job scripts stay untested"
}
# The tests on GPUs need little, and machines with GPUs are often not one's own: there, only if it cannot be done without.
[[ $what == gpu ]] || install_missing

export CMAKE_COLOR_DIAGNOSTICS=OFF CTEST_OUTPUT_ON_FAILURE=1
cores=$(nproc)

# configure FOLDER OPTIONS...: the generator of an existing build folder stays what it is.
configure() {
    local folder=$1 generator=()
    shift
    if [[ ! -f $folder/CMakeCache.txt ]] && command -v ninja >/dev/null; then
        generator=(-G Ninja)
    fi
    echo "== $folder"
    cmake -S . -B "$folder" "${generator[@]}" -DLLOYD_TESTS=ON -DLLOYD_PYTHON=ON "$@"
}

# run_tests FOLDER OPTIONS...: one more at a time than there are cores, since launchers wait a lot; CTest knows which take two. A test
# that fails is run once more, since launchers sometimes fail by themselves on a busy machine; the last lines name such tests.
run_tests() {
    local folder=$1
    shift
    ctest --test-dir "$folder" -j "$((cores + 1))" --no-tests=error --repeat until-pass:2 "$@" | tee "$folder/ctest.log" ||
        failed+=("$folder")
    mapfile -t -O "${#twice[@]}" twice < <(sed -nE 's/.* Test +#[0-9]+: ([^ ]+) .*\*\*\*(Failed|Timeout|Exception).*/\1/p' "$folder/ctest.log" | sort -u)
}

# The Release build, as the last tests take it. Where no GPU runs the kernels, they are compiled to see that they compile: for one
# architecture, and with few optimizations, where nvcc (CUDA 13) has an option for that. Their code is three times as large then, and is
# compressed, or the tests that limit address space would fail.
build_release() {
    local kernels=() help
    if ! nvidia-smi -L >/dev/null 2>&1; then
        kernels=(-DCMAKE_CUDA_ARCHITECTURES=90a-real)
        help=$("${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}" --help 2>/dev/null) || true
        if [[ $help == *--Ofast-compile* && $help == *--compress-mode* ]]; then
            kernels+=("-DCMAKE_CUDA_FLAGS=-Ofc=max --compress-mode=size")
        fi
    fi
    configure build/release -DCMAKE_BUILD_TYPE=Release "${kernels[@]}"
    cmake --build build/release -j "$cores"
}

twice=()
failed=()
if [[ $what == gpu ]]; then
    options=(-DCMAKE_BUILD_TYPE=Release -DLLOYD_CUDA=ON -DLLOYD_TESTS=AUTO "${@:2}")
    if ! { configure build/gpu "${options[@]}" && ctest --test-dir build/gpu -N | grep -q gpu.test_cuda; }; then
        install_missing
        configure build/gpu "${options[@]}"
    fi
    cmake --build build/gpu -j "$cores"
    run_tests build/gpu -L gpu
fi
if [[ $what == all || $what == quick ]]; then
    configure build/debug -DCMAKE_BUILD_TYPE=Debug -DLLOYD_SANITIZE=ON
    cmake --build build/debug -j "$cores"
    if [[ $what == all ]]; then # what tests leave of the processors builds the rest
        echo "== build/release is built meanwhile: build/release.log"
        set -m # in a process group of its own, to be stopped with all its children
        (
            renice -n 19 "$BASHPID" || true
            build_release
        ) >build/release.log 2>&1 &
        release=$!
        set +m
        trap 'kill -- "-$release" 2>/dev/null || true' EXIT
    fi
    run_tests build/debug
fi
# Some distributions pack the runtime of Clang's fuzzer, and not with Clang.
can_fuzz() {
    echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null
}
if [[ $what == all ]]; then
    if can_fuzz; then
        configure build/fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DLLOYD_FUZZ=ON \
            -DLLOYD_SANITIZE=ON -DLLOYD_CUDA=OFF -DLLOYD_TESTS=OFF
        cmake --build build/fuzz --target fuzzers -j "$cores"
        run_tests build/fuzz
    else
        echo "fuzzing skipped: clang or its libFuzzer is missing"
    fi
fi
if [[ $what == all ]]; then
    wait "$release" || {
        cat build/release.log
        echo "build/release could not be built" >&2
        exit 1
    }
    trap - EXIT
    run_tests build/release
fi
if [[ $what == lint ]]; then
    build_release
    run_tests build/release -L lint
fi

if ((${#twice[@]} > 0)); then
    echo "failed at least once: ${twice[*]}" >&2
fi
if ((${#failed[@]} > 0)); then
    echo "tests failed in ${failed[*]}" >&2
    exit 1
fi
