#!/bin/sh
# Build the image with whichever of docker, podman and buildah is here (BUILDER=... chooses one).
# It is named lico, its tag has the version and the commit; lico:latest is the newest.
# BASE_IMAGE=... replaces the public base.
set -eu
cd "$(dirname "$0")/../.."
. slurm/container/engine.sh
choose_engine "${BUILDER:-}" BUILDER docker podman buildah

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
tag=$version-$(printf %.9s "$commit")
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then
  commit=$commit-modified
  tag=$tag-modified
fi

set -- --build-arg "VERSION=$version" --build-arg "COMMIT=$commit"
set -- "$@" --tag "lico:$tag" --tag lico:latest
if [ -n "${BASE_IMAGE:-}" ]; then set -- "$@" --build-arg "BASE_IMAGE=$BASE_IMAGE"; fi

# A machine behind an inspecting proxy has certificates and package settings of its own. podman and
# buildah lend them to the build; of these only the certificates stay in the image.
if [ "$engine" != docker ]; then
  set -- "$@" --layers --format oci
  for each in /etc/pip.conf /etc/uv/uv.toml /usr/local/share/ca-certificates; do
    if [ -e "$each" ]; then set -- "$@" --volume "$each:$each:ro"; fi
  done
  if [ ! -e /etc/uv/uv.toml ] && ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
    mkdir -p .cache
    echo 'system-certs = true' >.cache/uv.toml
    set -- "$@" --volume "$PWD/.cache/uv.toml:/etc/uv/uv.toml:ro"
  fi
fi

echo "$engine builds lico:$tag; the first time it fetches about 3 GB"
"$engine" build "$@" .
echo "built lico:$tag"
