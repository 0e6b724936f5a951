# shellcheck shell=bash
# How the Slurm scripts of this folder come back after they were stopped with a checkpoint, unless two restarts in a row have made no
# progress. They source it after launch.sh, with CHECKPOINT set.

MAX_RESTARTS=${MAX_RESTARTS:-100}
MAX_STALLS=2

# How far the job is, by its checkpoint: "after iteration 12 of run 1", "after step 2 of run 1" in the seeding, "after 30 of 100
# clusters"; the time when the checkpoint was written, where lloyd cannot read it; nothing if there is none.
reached() {
    local program place
    [[ -e $CHECKPOINT ]] || return 0
    read -ra program <<<"$LLOYD"
    place=$("${program[@]}" info "$CHECKPOINT" 2>/dev/null | sed -n '1s/.* \(after .*\)/\1/p') || true
    echo "${place:-$(stat --format='written %y' "$CHECKPOINT")}"
}

# Before lloyd. How many restarts in a row have ended where they began, a file keeps from one run of this job to the next.
begin_run() {
    local job=0
    STALLS=$CHECKPOINT.stalls
    stalls=0
    [[ ! -e $STALLS ]] || read -r job stalls <"$STALLS" || true
    [[ $job == "$SLURM_JOB_ID" ]] || stalls=0
    rm -f "$STALLS"
    before=$(reached)
}

# end_run STATUS NOTHING ADVICE: after lloyd, ends the script with its status, and queues the job again if a signal has stopped lloyd.
# NOTHING: what was not done if there is no checkpoint; ADVICE: what else helps if the time is too short.
end_run() {
    local status=$1 nothing=$2 advice=$3 after restarts next
    # 75: stopped by a signal. After scancel the job is cancelled by now and must not be requeued.
    [[ $status -eq 75 && $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]] || exit "$status"

    after=$(reached)
    restarts=${SLURM_RESTART_COUNT:-0}
    next="submit it once more, and it resumes from $CHECKPOINT"
    if [[ -z $after ]]; then
        echo "stopped without a checkpoint: in the $SECONDS s of this run $nothing"
        next="submit it once more, and it starts anew"
    elif [[ $after == "$before" ]]; then
        echo "stopped with the checkpoint that this run began with, $after: it finished nothing in its $SECONDS s"
    else
        echo "stopped with a checkpoint, $after"
    fi
    if [[ -n $after && $after != "$before" ]]; then
        stalls=0
    elif [[ $restarts -gt 0 ]]; then # the first run is no restart
        stalls=$((stalls + 1))
    fi

    if [[ $stalls -ge $MAX_STALLS ]]; then
        echo "$stalls restarts in a row made no progress, so the job ends here: its time is too short. Give it more (--time), or more nodes" \
            "(--nodes), and a notice (--signal=B:USR1@SECONDS) that leaves most of the time to the work$advice. Then $next"
    elif [[ $restarts -ge $MAX_RESTARTS ]]; then
        echo "this was restart $restarts of at most $MAX_RESTARTS; $next"
    else
        echo "the job queues itself again"
        [[ $stalls -eq 0 ]] || echo "$SLURM_JOB_ID $stalls" >"$STALLS" || true
        scontrol requeue "$SLURM_JOB_ID" || echo "Slurm refuses; $next"
    fi
    exit "$status"
}
