#!/usr/bin/env bash
# Installs what the tests need and runs all of them. For a fresh Debian with Rust; elsewhere PostgreSQL 14 or newer
# must be installed already.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
  echo "tests: installing PostgreSQL"
  as_root=""; [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq
  # Only its programs: the tests start servers of their own.
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
fi
for tool in flock setpriv; do
  command -v "$tool" >/dev/null || { echo "tests: $tool is missing; install util-linux" >&2; exit 1; }
done
echo "tests: all crates"
exec cargo test --locked --workspace
