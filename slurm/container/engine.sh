# shellcheck shell=sh disable=SC2034
# Sourced: sets `engine` to the first of the given programs that works here.

usable() { # docker's client alone is not enough: its daemon has to answer
  case $1 in
    docker) docker info >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

choose_engine() { # CHOSEN-OR-EMPTY VARIABLE-NAME PROGRAM...
  chosen=$1 variable=$2
  shift 2
  if [ -n "$chosen" ]; then
    case " $* " in
      *" $chosen "*) ;;
      *) echo "$variable=$chosen is not one of: $*" >&2; exit 1 ;;
    esac
    usable "$chosen" || { echo "$variable=$chosen is not installed or does not answer" >&2; exit 1; }
    engine=$chosen
    return
  fi
  for each in "$@"; do
    if usable "$each"; then engine=$each; return; fi
  done
  echo "None of $* works here: install podman (Debian, Ubuntu: apt install podman) or start Docker." >&2
  echo "The study runs without an image, too: make study EXP=demo, or on a cluster a profile with" >&2
  echo "container.runtime=bare." >&2
  exit 1
}
