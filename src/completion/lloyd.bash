# shellcheck shell=bash
# Completion of lloyd's commands, options and their values, for bash. Installed where the package bash-completion looks; without
# it, source this file.

# begin options: written by docs/options.py
_lloyd_commands() {
    echo "fit predict info report export select split wrap synth"
}

# The options of a command; FILES: a file may stand there too.
_lloyd_options() {
    case $1 in
        fit) echo "--input --dataset --raw --dim --rows --sample --sample-per-centroid --label -k -o --output --init --init-trials --init-sample --seed --n-init --max-iters --tol --max-size --metric --weights --empty --skip-bad-rows --backend --comm --filter --prune --chunk-rows --max-host-memory --max-device-memory --no-labels --distances --members --force --checkpoint --checkpoint-every --resume --log --progress --timeout --dry-run --help" ;;
        predict) echo "--model --input --dataset --raw --dim -o --output --distances --second --members --force --skip-bad-rows --backend --filter --progress --timeout --dry-run --help" ;;
        info) echo "--dataset --raw --dim --help FILES" ;;
        report) echo "-o --output --log --force --help FILES" ;;
        export) echo "--to --format --force --help FILES" ;;
        select) echo "--sample --order --nearest --farthest --near-duplicates --keep --compare-with --seed --input --dataset --raw --dim -o --output --force --max-host-memory --progress --timeout --help FILES" ;;
        split) echo "--model --input --dataset --raw --dim --labels -k --total -o --output --init --seed --n-init --max-iters --tol --weights --empty --skip-bad-rows --backend --max-host-memory --distances --members --force --checkpoint --checkpoint-every --resume --progress --timeout --dry-run --help" ;;
        wrap) echo "--raw --dim -o --output --force --help FILES" ;;
        synth) echo "--rows --dim --clusters --type --seed -o --output --force --help" ;;
    esac
}

# What completes the value of an option: words, FILES, or NOTHING where only a person knows; empty: it takes none.
_lloyd_values() {
    case "$1 $2" in
        "split --init") echo "random kmeans++ kmeans-parallel" ; return ;;
        "synth --rows") echo "NOTHING" ; return ;;
    esac
    case $2 in
        --label) echo "all sample" ;;
        --progress) echo "auto bar plain none" ;;
        --backend) echo "auto cuda cpu" ;;
        --filter) echo "auto int8 float16" ;;
        --comm) echo "auto nccl mpi" ;;
        --prune) echo "auto on off" ;;
        --keep) echo "farthest nearest random" ;;
        --type) echo "float32 float16 bfloat16 uint8 int8" ;;
        --raw) echo "float32 float16 bfloat16 uint8 int8 float64" ;;
        --compare-with) echo "kept all" ;;
        --metric) echo "l2 cosine" ;;
        --format) echo "npy fvecs csv" ;;
        --init) echo "random kmeans++ kmeans-parallel FILES" ;;
        --order) echo "random nearest farthest" ;;
        --empty) echo "relocate keep" ;;
        --distances | --dry-run | --force | --help | --members | --no-labels | --resume | --second | --skip-bad-rows) echo "" ;;
        --checkpoint | --input | --labels | --log | --model | --output | --rows | -o) echo "FILES" ;;
        --checkpoint-every | --chunk-rows | --clusters | --dataset | --dim | --farthest | --init-sample | --init-trials | --max-device-memory | --max-host-memory | --max-iters | --max-size | --n-init | --near-duplicates | --nearest | --sample | --sample-per-centroid | --seed | --timeout | --to | --tol | --total | --weights | -k) echo "NOTHING" ;;
    esac
}
# end options

_lloyd() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} words=
    # --metric=l2 is three words here
    if [[ $current == '=' ]]; then
        current=
    elif [[ $before == '=' ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((COMP_CWORD == 1)); then
        words="$(_lloyd_commands) help --help --version"
    elif [[ $command == help || $command == --help ]]; then
        words=$(_lloyd_commands)
    else
        [[ $before == -* ]] && words=$(_lloyd_values "$command" "$before")
        [[ -z $words ]] && words=$(_lloyd_options "$command")
    fi
    words=" $words "
    mapfile -t COMPREPLY < <(
        [[ $words == *" FILES "* ]] && compgen -f -- "$current"
        words=${words/ NOTHING / }
        compgen -W "${words/ FILES / }" -- "$current"
    )
}

complete -o filenames -F _lloyd lloyd
