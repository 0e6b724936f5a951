#!/usr/bin/env bash
# A curated set of rows by hierarchical k-means, as jobs that wait for each other: fit, split, resampling rounds, further levels, select.
#
#     INPUT='corpus/part-*.h5' LEVELS='1000000 50000 2000' SAMPLE=10000000 jobs/curate.sh results
#
# LEVELS are the numbers of clusters, of the rows first, then of the centroids of the level before. Each level is a fit; with COARSE, the
# first is a fit of so many clusters, which `lloyd split` makes into as many as LEVELS say. ROUNDS times the NEAREST rows of each cluster
# are clustered again, into as many clusters, and all rows labelled again: the clusters become more even. Finally `lloyd select` chooses
# SAMPLE rows, evenly over the last level's clusters, then over those in each of them, and so on; with NEAR_DUPLICATES, after it has left
# out rows whose cosine similarity to another one of their cluster is above that. results/rows.npy has the numbers of the rows.
#
# Started again with the same settings, once none of its jobs is queued or running, it submits the steps whose results are missing.
# Fits and splits continue from their checkpoints (fit.sbatch, lloyd.sbatch). Use a new folder for other settings. SBATCH_OPTIONS apply to all jobs, such as
# SBATCH_OPTIONS='--nodes=4 --time=8:00:00'; the settings of jobs/launch.sh apply too.
set -euo pipefail

usage="usage: INPUT=ROWS LEVELS='K1 K2 ...' SAMPLE=N jobs/curate.sh RESULTS"
[[ $# -eq 1 && -n ${INPUT:-} && -n ${LEVELS:-} && -n ${SAMPLE:-} ]] || { echo "$usage" >&2 && exit 2; }
results=$1
[[ $results != *[[:space:]%]* ]] || { echo "'$results' has blanks or a percent sign; give a folder without" >&2 && exit 2; }
COARSE=${COARSE:-}                                 # clusters of a first fit, to be split
ROUNDS=${ROUNDS:-0}                                # of resampling, at each level
NEAREST=${NEAREST:-32}                             # rows of each cluster that a round fits
NEAR_DUPLICATES=${NEAR_DUPLICATES:-}               # such as 0.95
SEED=${SEED:-0}
FIT_OPTIONS=${FIT_OPTIONS:-}                       # of all fits, such as --metric cosine
INPUT_OPTIONS=${INPUT_OPTIONS:-}                   # of fits and splits of INPUT, such as --skip-bad-rows or --dataset rows
FIRST_OPTIONS=${FIRST_OPTIONS---sample-per-centroid 256} # of the first fit, which looks at a sample and labels all rows
SELECT_OPTIONS=${SELECT_OPTIONS:-}                 # of the last step, such as --order nearest or --compare-with all
SBATCH_OPTIONS=${SBATCH_OPTIONS:-}
jobs=$(cd "$(dirname "$0")" && pwd)
export JOBS=$jobs
read -ra levels <<<"${LEVELS//$'\n'/ }"
[[ ${#levels[@]} -gt 0 ]] || { echo "LEVELS has no number; $usage" >&2 && exit 2; }
mkdir -p "$results"

# ---- Steps -----------------------------------------------------------------------------------------------------------

last=    # the job that the next one waits for
submitted=0

# step RESULT SCRIPT ARGUMENTS...: submits a job unless its result is there.
step() {
    local result=$1 script=$2 options job
    shift 2
    [[ ! -e $results/$result ]] || return 0
    read -ra options <<<"$SBATCH_OPTIONS"
    [[ -z $last ]] || options+=("--dependency=afterok:$last" --kill-on-invalid-dep=yes)
    job=$(sbatch --parsable --job-name="lloyd-${result%.*}" --output="$results/%x-%j.out" "${options[@]}" "$jobs/$script" "$@")
    last=${job%%;*}
    submitted=$((submitted + 1))
    echo "$last  $result"
}

# fit RESULT ROWS CLUSTERS SEED OPTIONS...
fit() {
    local result=$1 rows=$2 clusters=$3 seed=$4
    shift 4
    INPUT=$rows K=$clusters SEED=$seed OUTPUT=$results/$result FIT_OPTIONS="$FIT_OPTIONS $*" step "$result" fit.sbatch
}

# ---- The levels ------------------------------------------------------------------------------------------------------

models=()
rows=$INPUT
for ((level = 1; level <= ${#levels[@]}; level++)); do
    clusters=${levels[level - 1]}
    model=level$level-0.h5
    of_input=
    [[ $level -gt 1 ]] || of_input=$INPUT_OPTIONS
    if [[ $level -eq 1 && -n $COARSE ]]; then
        fit coarse.h5 "$rows" "$COARSE" "$SEED" "$of_input" "$FIRST_OPTIONS"
        read -ra more <<<"$of_input"
        step "$model" lloyd.sbatch split --model "$results/coarse.h5" --input "$rows" --total "$clusters" --seed "$SEED" --members \
            --output "$results/$model" --checkpoint "$results/$model.ck" --progress plain "${more[@]}"
    elif [[ $level -eq 1 ]]; then
        fit "$model" "$rows" "$clusters" "$SEED" --members "$of_input" "$FIRST_OPTIONS"
    else
        fit "$model" "$rows" "$clusters" "$SEED" --members
    fi
    for ((round = 1; round <= ROUNDS; round++)); do
        nearest=level$level-$round-rows.npy
        step "$nearest" lloyd.sbatch select "$results/$model" --nearest "$NEAREST" --output "$results/$nearest"
        model=level$level-$round.h5
        fit "$model" "$rows" "$clusters" "$((SEED + round))" --members "$of_input" --rows "$results/$nearest"
    done
    models+=("$results/$model")
    rows=$results/$model:/centroids
done

# ---- The rows --------------------------------------------------------------------------------------------------------

read -ra more <<<"$SELECT_OPTIONS"
[[ -z $NEAR_DUPLICATES ]] || more+=(--near-duplicates "$NEAR_DUPLICATES" --input "$INPUT")
step rows.npy lloyd.sbatch select "${models[@]}" --sample "$SAMPLE" --seed "$SEED" --output "$results/rows.npy" --progress plain "${more[@]}"
[[ $submitted -gt 0 ]] || echo "$results has all results already"
