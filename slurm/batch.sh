# shellcheck shell=bash
# What every batch script does around its task, outside any container. The script sets before:
#   LICO_STUDY       folder of the study's results
#   LICO_SUBMISSION  folder of this submission, below it
#   LICO_OFFSET      line of runs.txt for array task 0, from 0
#   LICO_CRASHES     failures in the same way after which a run is given up
# The task's exit status (lico: slurm/exits.py): 0 finished, 80 taken over, 81 given up,
# 85 saved and to go on, 86 failed and to be tried again; anything else is a crash.

lico_note() { printf '%s %s\n' "$(date '+%F %T') batch script on $(hostname):" "$*"; }

lico_begin() {
  trap ':' TERM USR2 CONT # warnings are for the task; this shell has to outlive it
  LICO_TASK=$((LICO_OFFSET + ${SLURM_ARRAY_TASK_ID:-0}))
  LICO_JOB=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
  export LICO_JOB_STARTED
  LICO_JOB_STARTED=$(date +%s)
  if [ ! -r "$LICO_SUBMISSION/runs.txt" ]; then
    lico_note "cannot see $LICO_SUBMISSION; put the results on a file system that the nodes share" \
      "(run.results=FOLDER)"
    exit 1
  fi
  read -r -a LICO_RUNS < <(sed -n "$((LICO_TASK + 1))p" "$LICO_SUBMISSION/runs.txt")
  local run left=0
  for run in "${LICO_RUNS[@]}"; do lico_ended "$run" || left=1; done
  if [ "$left" = 0 ]; then
    lico_note "nothing left to do of ${LICO_RUNS[*]}"
    exit 0
  fi
}

# Whether a run has finished or been given up since the submission.
lico_ended() {
  [ "$LICO_STUDY/runs/$1.h5" -nt "$LICO_SUBMISSION/runs.txt" ] || [ -e "$(lico_stop_file "$1")" ]
}

lico_stop_file() { printf '%s' "$LICO_STUDY/work/$1/stopped-$(basename "$LICO_SUBMISSION").txt"; }

lico_give_up() {
  local run
  lico_note "given up: $*"
  for run in "${LICO_RUNS[@]}"; do
    lico_ended "$run" && continue
    mkdir -p "$LICO_STUDY/work/$run"
    printf '%s\n' "$*" >"$(lico_stop_file "$run")"
  done
  exit 1
}

lico_end() {
  local code=$1 times
  printf '%s %s %s %s\n' "$LICO_TASK" "$LICO_JOB" "${SLURM_RESTART_COUNT:-0}" "$code" \
    >>"$LICO_SUBMISSION/exits.txt"
  case $code in
    0 | 80) exit 0 ;;
    81) exit 1 ;;
    85 | 86) ;;
    125 | 126 | 127)
      lico_give_up "the task could not be started (exit status $code); is the image, or Python at" \
        "the same path, there on $(hostname)?"
      ;;
    *)
      times=$(grep -c "^$LICO_TASK .* $code\$" "$LICO_SUBMISSION/exits.txt")
      lico_note "the task ended with exit status $code, the ${times}. time"
      if [ "$times" -ge "$LICO_CRASHES" ] && [ "$code" != 140 ] && [ "$code" != 143 ]; then
        lico_give_up "$times times ended with exit status $code$(lico_meaning "$code")"
      fi
      ;;
  esac
  lico_requeue "$code"
  exit "$code"
}

lico_meaning() {
  case $1 in
    137) printf ' (killed; too little memory is the usual reason: raise memory_gb in the profile)' ;;
    139) printf ' (segmentation fault)' ;;
    *) [ "$1" -le 128 ] || printf ' (signal %s)' "$(($1 - 128))" ;;
  esac
}

# Put this task alone back into the queue, unless Slurm has done so, or somebody cancelled it.
# Without scontrol an interrupted task waits for Slurm to end it: what exits by itself is done,
# and Slurm would not requeue it.
lico_requeue() {
  local code=$1 info restarts
  if ! command -v scontrol >/dev/null; then
    lico_note "no scontrol here: if Slurm does not requeue this task, the follow-up array goes on"
    case $code in 85 | 140 | 143) sleep "${LICO_PATIENCE:-600}" ;; esac
    return
  fi
  if ! info=$(timeout 60 scontrol show job --oneliner "$LICO_JOB"); then
    lico_note "scontrol does not answer; make submit goes on from the last checkpoint"
    return
  fi
  restarts=$(sed -n 's/.* Restarts=\([0-9]*\) .*/\1/p' <<<"$info")
  if [ "$restarts" != "${SLURM_RESTART_COUNT:-0}" ]; then
    lico_note "Slurm has started or queued this task again already"
    return
  fi
  case $info in
    *' JobState=RUNNING '* | *' Reason=TimeLimit '* | *' PreemptTime=2'*) ;;
    *)
      lico_note "not requeued: the job was cancelled"
      return
      ;;
  esac
  lico_note "requeues $LICO_JOB"
  timeout 60 scontrol requeue "$LICO_JOB" && sleep 300
}
