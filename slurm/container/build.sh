#!/bin/sh
# Build the image with whichever of docker, podman and buildah is here (BUILDER=... chooses one).
# The image is named lico, its tag has the version and the commit; lico:latest is the newest.
# BASE_IMAGE=... replaces the public base.
set -eu
cd "$(dirname "$0")/../.."

usable() { # docker's client alone cannot build: its daemon has to answer
  case $1 in
    docker) docker info >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

builder=${BUILDER:-}
if [ -z "$builder" ]; then
  for each in docker podman buildah; do
    if usable "$each"; then builder=$each; break; fi
  done
fi
case $builder in
  docker | podman | buildah) ;;
  '')
    echo "No program to build images: install podman, buildah or docker (and start its daemon);" >&2
    echo "on Debian and Ubuntu: apt install podman. Without an image the study runs all the same:" >&2
    echo "make study EXP=demo, or on a cluster a profile with container.runtime: bare." >&2
    exit 1 ;;
  *) echo "BUILDER=$builder is not one of docker, podman, buildah" >&2; exit 1 ;;
esac
usable "$builder" || { echo "BUILDER=$builder is not installed or does not answer" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
short=$(printf %.9s "$commit")
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then
  commit=$commit-modified
  short=$short-modified
fi
image=lico:$version-$short

set -- --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" --tag "$image" --tag lico:latest
if [ -n "${BASE_IMAGE:-}" ]; then set -- "$@" --build-arg "BASE_IMAGE=$BASE_IMAGE"; fi

# Machines behind an inspecting proxy have their own certificates and package settings: podman and
# buildah lend them to the build; of this only the certificates stay in the image.
if [ "$builder" != docker ]; then
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

echo "$builder builds $image; the first time it fetches about 3 GB"
"$builder" build "$@" .
echo "built $image"
