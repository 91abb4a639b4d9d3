#!/usr/bin/env bash
# Installs the programs that the tests need and runs all tests. For a fresh Debian 12 with cargo; elsewhere PostgreSQL
# 14 or newer must be installed already. Arguments go to `cargo test`; without arguments, the checks of schemathesis, the
# Helm chart, the alerts, the packages, the workflows and the dependencies follow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "tests: $*"; }
fail() { echo "tests: $*" >&2; exit 1; }

# The tests start their own servers, so only the programs must be installed.
has_postgres() {
  command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || [ -n "${ECOMMERCE_PG_BIN:-}" ]
}

install() {
  command -v apt-get >/dev/null || fail "$1 is missing, and there is no apt-get to install it"
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  say "installing $1"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

not_run=()
# Runs a script that ends with 3 if it could not run a part, which is named again at the end.
check() {
  local part="$1" ended=0
  shift
  "$@" || ended=$?
  case $ended in
    0) ;;
    3) not_run+=("$part") ;;
    *) fail "$* failed" ;;
  esac
}

command -v cargo >/dev/null || fail "cargo is missing: see https://rustup.rs"
command -v cc >/dev/null || install build-essential
command -v flock >/dev/null || install util-linux
has_postgres || install postgresql
# For tests/package.sh and others, which run only without arguments.
[ $# -gt 0 ] || {
  command -v systemd-analyze >/dev/null || install systemd
  command -v lintian >/dev/null || install lintian
}
# Debian installs pgbouncer in /usr/sbin, which is not in the PATH of an ordinary account.
export PATH="$PATH:/usr/sbin"
command -v pgbouncer >/dev/null || install pgbouncer
# The browser suite drives a real browser.
command -v chromedriver >/dev/null || { install chromium; install chromium-driver; }
case "$*" in
  '' | *conformance*)
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    # Prepared here, so that the suite does not wait for downloads. Without arguments the languages that are missing are
    # named again at the end.
    for language in python typescript go; do
      check "examples/$language-participant, since $language is not installed" tests/examples.sh "$language"
    done
    ;;
esac

case "$*" in
  '' | *dtm*)
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    tests/dtmcli.sh || fail "dtmcli cannot be installed"
    ;;
esac

# A test runs a whole system of five services: with more threads than this the tests only wait for each other.
cores=$(nproc 2>/dev/null || echo 2)
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((cores < 6 ? cores : 6))}"
say "PostgreSQL is started by the first test and stopped after the last; $RUST_TEST_THREADS tests at a time"
say "cargo test --locked --workspace $*"
[ $# -eq 0 ] || exec cargo test --locked --workspace "$@"
cargo test --locked --workspace --no-run
# These build tools and wait for downloads, which takes minutes, and the tests leave the processors idle for half of their
# time.
beside=(kubernetes workflows dependencies prometheus)
logs="$(mktemp -d)"
# For the tests alone, which leave nothing there. A short name, since the paths of sockets are limited; PostgreSQL runs as
# another account.
temporary="$(mktemp -d /tmp/t.XXXX)"
chmod 755 "$temporary"
shopt -s dotglob nullglob
# A group of its own, so that an interrupted run ends the builds too.
setsid nice -n 19 bash -c 'logs="$1"; shift
  for name in "$@"; do ended=0; "tests/$name.sh" >"$logs/$name" 2>&1 || ended=$?; echo $ended >"$logs/$name.ended"; done
' beside "$logs" "${beside[@]}" &
background=$!
trap 'kill -- -"$background" 2>/dev/null || true; rm -rf "$logs" "$temporary"' EXIT
trap 'exit 130' INT TERM
# Prints what a script printed, and returns its exit code; 1 if it did not end by itself.
ended_beside() {
  wait "$background" || true
  cat "$logs/$1"
  return "$(cat "$logs/$1.ended" 2>/dev/null || echo 1)"
}
tested=0
TMPDIR="$temporary" cargo test --locked --workspace --no-fail-fast || tested=$?
left=("$temporary"/*)
check "helm and kubeconform on docker/kubernetes, since Go is not installed" ended_beside kubernetes
check "actionlint on .github/workflows, since Go is not installed" ended_beside workflows
check "the check of advisories, since their database cannot be reached" ended_beside dependencies
check "the alerts" ended_beside prometheus
[ "$tested" = 0 ] || exit "$tested"
[ ${#left[@]} = 0 ] || fail "the tests leave files behind: ${left[*]##*/}"
tests/schemathesis.sh
tests/package.sh
check "the npm packages, since npm is not installed" tests/packages.sh
for what in "${not_run[@]}"; do
  say "not run: $what"
done
