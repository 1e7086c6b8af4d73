#!/bin/sh
# Run lico in the newest image as you, with nothing to write but the results folder:
#   slurm/container/run.sh study demo
# ENGINE=docker|podman and IMAGE=... choose; NETWORK=host lets it fetch (lico data cifar100).
set -eu
folder=$PWD
cd "$(dirname "$0")/../.."
. slurm/container/engine.sh
choose_engine "${ENGINE:-}" ENGINE docker podman
image=${IMAGE:-lico:latest}
"$engine" image inspect "$image" >/dev/null 2>&1 || {
  echo "$engine has no image $image; build it with make image" >&2
  exit 1
}

mkdir -p "$folder/results" "$folder/data"
weights=${HF_HOME:-${HOME:-}/.cache/huggingface}
set -- "$image" "$@"
if [ -d "$weights" ]; then
  set -- --volume "$weights:/weights" --env HF_HOME=/weights "$@"
fi
if [ "$engine" = podman ]; then
  set -- --security-opt=label=disable "$@"
  if [ "$(id -u)" != 0 ]; then set -- --userns=keep-id "$@"; fi
fi
if [ -t 1 ]; then set -- --tty "$@"; fi
exec "$engine" run --rm --init --user "$(id -u):$(id -g)" --read-only \
  --tmpfs /tmp:rw,exec,mode=1777 --cap-drop=all --security-opt=no-new-privileges \
  --network="${NETWORK:-none}" --volume "$folder/results:/work/results" \
  --volume "$folder/data:/work/data" "$@"
