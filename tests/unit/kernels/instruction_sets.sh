#!/usr/bin/env bash
# instruction_sets.sh PROGRAM PROGRAM...: the checksums that the same test prints in builds for different instruction sets
# must be equal. The first program is the ordinary build; one that this processor cannot run is left out.
set -euo pipefail

expected=
compared=0
for program in "$@"; do
    isa=${program##*test_kernels}
    case $isa in
        *v3) needs=avx2 ;;
        *v4) needs=avx512dq ;;
        *) needs=sse2 ;;
    esac
    if ! grep -qw "$needs" /proc/cpuinfo; then
        echo "no $needs here: ${program##*/} is left out"
        continue
    fi
    sum=$("$program" 2>/dev/null | sed -n 's/^checksum //p')
    echo "${sum:-none} ${program##*/}"
    expected=${expected:-$sum}
    if [[ -z $sum || $sum != "$expected" ]]; then
        echo "${program##*/} computed something else" >&2
        exit 1
    fi
    compared=$((compared + 1))
done
echo "$compared builds agree"
