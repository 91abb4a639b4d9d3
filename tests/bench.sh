#!/usr/bin/env bash
# Benchmarks the build of the profile `dist`, with PostgreSQL's fsync on, and compares it with pgbench on the same machine and server.
#
#   tests/bench.sh [MODE…] [--seconds N] [--runs N] [--pairs N] [--connections 1,16,…] [--data-dir DIR] [--quick]
#   tests/bench.sh --against PROGRAM [--pairs N] [--connections 1,64,…]
#
# The second form compares the build with another one: both run at once, are loaded in turns, and the ratios of each pair
# count; pairs during which other programs used more than 6 % of the machine are dropped. Results: target/bench/compare.json.
#
# Modes (all by default): throughput layouts in-flight finished products replicas recovery failures. The mode layouts
# compares one process with five in the same way. The script starts its own
# PostgreSQL with fresh data and services on free ports, and makes a virtual environment in target/. Results go to
# target/bench/ (JSON) and docs/images/bench-*.svg; --quick only checks that it works and writes no plots to docs.
# It needs wrk, python3 with venv, and PostgreSQL's programs including pgbench; on Debian it installs the missing ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

MATPLOTLIB=3.10.7

say() { echo "bench: $*"; }

install() {
  command -v apt-get >/dev/null || { say "$1 is missing, and there is no apt-get to install it" >&2; exit 1; }
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  say "installing $1"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

command -v wrk >/dev/null || install wrk
command -v pgbench >/dev/null || install postgresql
python3 -c 'import ensurepip' 2>/dev/null || install python3-venv

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/bench-matplotlib-$MATPLOTLIB"
if [ ! -x "$venv/bin/python3" ]; then
  say "installing matplotlib $MATPLOTLIB"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "matplotlib==$MATPLOTLIB"
  # Rename only a complete environment; its interpreter works after the move.
  mv "$venv.new" "$venv"
fi

say "building as the image does"
cargo build --locked --quiet --profile dist --package ecommerce
exec "$venv/bin/python3" -B tests/bench --program "$target/dist/ecommerce" --results "$target/bench" "$@"
