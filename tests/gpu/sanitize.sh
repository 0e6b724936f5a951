#!/usr/bin/env bash
# The small cases of test_cuda under compute-sanitizer: one line per tool (tool, errors, seconds), and what was found. Exit status
# 1 if any tool found an error or did not finish in time, or the test itself failed; 77 without a GPU or compute-sanitizer.
#
#     tests/gpu/sanitize.sh TEST_CUDA [TOOL...]     the tools are memcheck, racecheck, initcheck and synccheck
#
# Environment: COMPUTE_SANITIZER (the program), LLOYD_SANITIZE_LOGS (a folder that keeps the whole reports),
# LLOYD_SANITIZE_SECONDS (what a tool may take, 300), LLOYD_SANITIZE_LINES (of a report that are shown, 80), LLOYD_SANITIZE_JOBS
# (1; with more, every case is a process of its own, so many at a time on the same GPU: racecheck, which is slow, takes 14 minutes and
# more with 16. The other tools take a minute as one process, also beside each other, but not beside racecheck).
set -euo pipefail

binary=${1:?usage: tests/gpu/sanitize.sh TEST_CUDA [TOOL...]}
shift
tools=("$@")
((${#tools[@]} > 0)) || tools=(memcheck racecheck initcheck synccheck)

sanitizer=${COMPUTE_SANITIZER:-}
for candidate in "$(command -v compute-sanitizer || true)" "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" \
    /usr/local/cuda*/bin/compute-sanitizer /usr/local/cuda*/compute-sanitizer/compute-sanitizer; do
    if [[ -z $sanitizer && -x $candidate ]]; then
        sanitizer=$candidate
    fi
done

skip() {
    echo "sanitize: skipped: $1" >&2
    exit 77
}
nvidia-smi -L 2>/dev/null | grep -q '^GPU' || skip "no CUDA device"
[[ -n $sanitizer ]] || skip "compute-sanitizer not found; set COMPUTE_SANITIZER"

if [[ -n ${LLOYD_SANITIZE_LOGS:-} ]]; then
    logs=$LLOYD_SANITIZE_LOGS
    mkdir -p "$logs"
else
    logs=$(mktemp -d)
    trap 'rm -rf "$logs"' EXIT
fi

# What a tool counts as an error, from its last line: "ERROR SUMMARY: 3 errors", or racecheck's
# "RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)", of which a warning is as bad; the sum over all processes. "none" if one
# of them never came to its last line.
errors_in() {
    sed -nE 's/.*(ERROR|RACECHECK) SUMMARY: ([0-9]+) .*/\2/p' "$1" |
        awk -v want="$2" '{ sum += $1 } END { print NR == want ? sum : "none" }'
}

jobs=${LLOYD_SANITIZE_JOBS:-1} cases=1
if ((jobs > 1)); then
    cases=$("$binary" --small | sed -nE 's/^test_cuda: ([0-9]+) cases, .*/\1/p')
fi

# under_tool LOG OPTIONS...: the test under a tool, or all of its cases, each under one.
# shellcheck disable=SC2317 # called by bash -c
under_tool() {
    local log=$1
    shift
    if ((jobs == 1)); then
        "$sanitizer" "$@" "$binary" --small --one-process >"$log" 2>&1
        return
    fi
    seq 0 $((cases - 1)) | xargs -P "$jobs" -I{} "$sanitizer" "$@" --log-file "$log.{}" \
        "$binary" --small --one-process --case {} >"$log.out" 2>&1
}

failed=0
seconds=${LLOYD_SANITIZE_SECONDS:-300}
for tool in "${tools[@]}"; do
    options=(--tool "$tool" --print-limit 20 --destroy-on-device-error kernel)
    case $tool in
        memcheck) options+=(--leak-check full) ;;
        # CUB's sort waits for its own other blocks, which racecheck does not let run in useful time
        racecheck) options+=(--racecheck-report all --kernel-name-exclude kns=RadixSort) ;;
    esac
    log=$logs/$tool.log
    start=$SECONDS
    status=0
    export -f under_tool
    export sanitizer binary jobs cases
    # a tool that is stopped gets ten seconds to end by itself
    timeout --kill-after=10 "$seconds" bash -c 'under_tool "$@"' bash "$log" "${options[@]}" || status=$?
    if ((status == 77)); then
        tail -n 3 "$log"
        exit 77
    fi
    if ((jobs > 1)); then
        cat "$log".out "$log".[0-9]* >"$log"
        rm -f "$log".out "$log".[0-9]*
    fi
    errors=$(errors_in "$log" "$cases")
    printf '%-10s %6s errors %5d s' "$tool" "$errors" $((SECONDS - start))
    if ((SECONDS - start >= seconds && (status == 124 || status == 137))); then
        printf '   not finished in %d s' "$seconds"
    elif ((status != 0)); then
        printf '   the test ends with %d' "$status"
    fi
    printf '\n'
    if [[ $errors != 0 || $status -ne 0 ]]; then
        failed=1
        grep -vE '^\[( RUN| +OK)' "$log" | head -n "${LLOYD_SANITIZE_LINES:-80}" || true
    fi
done
exit "$failed"
