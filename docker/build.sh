#!/usr/bin/env bash
# Builds the image of docker-compose.prod.yml, and gives it the version of these sources, their revision and the time of
# that commit: as labels, in `ecommerce --version`, at /health/ and in /metrics.
#
#   docker/build.sh [FILE]     FILE instead of .env
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
file="${1:-.env}"
case "$file" in /* | .env) ;; *) file="$here/$file" ;; esac
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi

VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
REVISION=unknown CREATED=unknown
# Not the repository of something else around these files.
if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ]; then
  REVISION="$(git rev-parse HEAD)"
  CREATED="$(git log -1 --format=%cI)"
  git diff --quiet HEAD -- || echo "build: the image includes uncommitted changes; its revision is still $REVISION" >&2
else
  echo "build: not a git repository, so the image has no revision" >&2
fi
export VERSION REVISION CREATED
echo "build: version $VERSION, revision $REVISION, created $CREATED"
exec "${compose[@]}" --env-file "$file" -f docker-compose.prod.yml build migrate
