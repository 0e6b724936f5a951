# shellcheck shell=bash
# Completion of lloyd's commands, options and their values, for bash. Installed where the package bash-completion looks; without
# it, source this file. tests/e2e/test_options.py compares it with the program.

# The options of a command.
_lloyd_options() {
    case $1 in
        fit)
            echo "--input --dataset -k -o --output --init --init-trials --init-sample --seed --n-init --max-iters --tol --metric --weights --skip-bad-rows --empty" \
                "--backend --comm --chunk-rows --max-host-memory --max-device-memory --no-labels --force --checkpoint" \
                "--checkpoint-every --resume --log --progress --timeout --dry-run --help"
            ;;
        predict) echo "--model --input --dataset -o --output --distances --force --skip-bad-rows --backend --timeout --help" ;;
        info) echo "--dataset --help" ;;
        report) echo "-o --output --log --force --help" ;;
        wrap) echo "-o --output --force --help" ;;
        synth) echo "--rows --dim --clusters --type --seed -o --output --force --help" ;;
    esac
}

# What completes the value of an option: words, FILES, or NOTHING where only a person knows; empty: it takes none.
_lloyd_values() {
    case $1 in
        --init) echo "random kmeans++ kmeans-parallel FILES" ;;
        --metric) echo "l2 cosine" ;;
        --empty) echo "relocate keep" ;;
        --backend) echo "auto cuda cpu" ;;
        --comm) echo "auto nccl mpi" ;;
        --progress) echo "auto bar plain none" ;;
        --type) echo "float32 float16 bfloat16 uint8 int8" ;;
        --input | -o | --output | --model | --checkpoint | --log) echo "FILES" ;;
        --no-labels | --skip-bad-rows | --force | --resume | --dry-run | --distances | --help) ;;
        *) echo "NOTHING" ;;
    esac
}

_lloyd() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} words=
    # --metric=l2 is three words here
    if [[ $current == '=' ]]; then
        current=
    elif [[ $before == '=' ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((COMP_CWORD == 1)); then
        words="fit predict info report wrap synth help --help --version"
    elif [[ $command == help || $command == --help ]]; then
        words="fit predict info report wrap synth"
    else
        [[ $before == -* ]] && words=$(_lloyd_values "$before")
        if [[ -z $words ]]; then
            words=$(_lloyd_options "$command")
            [[ $command == info || $command == report || $command == wrap ]] && words+=" FILES"
        fi
    fi
    words=" $words "
    mapfile -t COMPREPLY < <(
        [[ $words == *" FILES "* ]] && compgen -f -- "$current"
        words=${words/ NOTHING / }
        compgen -W "${words/ FILES / }" -- "$current"
    )
}

complete -o filenames -F _lloyd lloyd
