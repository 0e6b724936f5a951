#!/usr/bin/env bash
# From raw files to labels, as three jobs that wait for each other: wrap (here, at once) -> fit -> predict -> check.
#
#     K=65536 jobs/pipeline.sh results base.00.u8bin base.01.u8bin
#
# results/rows gets an HDF5 file of some kilobytes for each raw file (.fbin, .u8bin, .i8bin, .npy), which must stay where it is;
# results/model.h5 and results/labels.h5 have the rows in the order of the files given. The check: the labels of predict and
# those of the model are bit-identical, since both are exact. (It needs h5diff, one of HDF5's tools.)
#
# The settings of fit.sbatch and predict.sbatch apply, except INPUT, MODEL, OUTPUT and the names derived from it. SBATCH_OPTIONS apply to
# both, such as SBATCH_OPTIONS='--nodes=4 --time=8:00:00'; Slurm takes account and partition from SBATCH_ACCOUNT and SBATCH_PARTITION.
set -euo pipefail

[[ $# -ge 2 && -n ${K:-} ]] || { echo "usage: K=CLUSTERS jobs/pipeline.sh RESULTS RAW..." >&2 && exit 2; }
results=$1
shift
jobs=$(dirname "$0")
read -ra program <<<"${LLOYD:-lloyd}"
read -ra options <<<"${SBATCH_OPTIONS:-}"

mkdir -p "$results/rows"
shard=0
for raw in "$@"; do
    "${program[@]}" wrap "$raw" --output "$(printf '%s/rows/%05d.h5' "$results" "$shard")"
    shard=$((shard + 1))
done

# submit NAME OPTIONS...: prints the number of the job.
submit() {
    local name=$1 job
    shift
    job=$(sbatch --parsable --job-name="$name" "$@") || return
    echo "${job%%;*}"
}

export INPUT="$results/rows/*.h5"
fit=$(OUTPUT=$results/model.h5 submit lloyd-fit --output="$results/%x-%j.out" "${options[@]}" "$jobs/fit.sbatch")
predict=$(MODEL=$results/model.h5 OUTPUT=$results/labels.h5 submit lloyd-predict --output="$results/%x-%j.out" \
    --dependency="afterok:$fit" --kill-on-invalid-dep=yes "${options[@]}" "$jobs/predict.sbatch")
compare="h5diff $(printf %q "$results/model.h5") $(printf %q "$results/labels.h5") /labels && echo 'the labels are equal'"
check=$(submit lloyd-check --output="$results/%x-%j.out" --dependency="afterok:$predict" --kill-on-invalid-dep=yes \
    --ntasks=1 --time=30 --wrap="$compare")
echo "submitted: fit $fit, predict $predict, check $check; squeue --jobs=$fit,$predict,$check shows them"
