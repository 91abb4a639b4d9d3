#!/usr/bin/env bash
# Failover trials: PostgreSQL on three machines with Patroni, etcd and HAProxy, all of Debian 12, while buyers buy.
#
#   tests/ha.sh [KIND…] [--rounds N] [--buyers N] [--ways HAProxy,hosts] [--minutes M]
#               [--synchronous any|quorum|patroni|off] [--patroni PROGRAM]
#
# Kinds: switchover leader-killed machine-gone etcd-gone, five rounds of each by default (25 minutes); by name also
# machine-cut-off, standby-gone and standby-behind. Prints a table and exits with 1 if anything was lost, doubled or not
# reported.
# ECOMMERCE_BIN is the program to try; without it a debug build is made.
#
# It needs root, for network namespaces and the account `postgres`. All processes run in a PID namespace that ends with
# this script, however it ends; the data are in a folder of /var/tmp that is removed (KEEP=1 keeps it, with the logs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "ha: $*"; }
fail() { echo "ha: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "run it as root, for instance with sudo -E: it makes network namespaces"
missing=()
while read -r package program; do
  compgen -G "$program" >/dev/null || missing+=("$package")
done <<'PROGRAMS'
postgresql /usr/lib/postgresql/*/bin/postgres
patroni /usr/bin/patroni
python3-etcd /usr/lib/python3/dist-packages/etcd
etcd-server /usr/bin/etcd
haproxy /usr/sbin/haproxy
iproute2 /usr/sbin/ip
PROGRAMS
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}, and there is no apt-get to install them"
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
export PATH="$PATH:/usr/sbin"

program="${ECOMMERCE_BIN:-}"
if [ -z "$program" ]; then
  say "building"
  cargo build --locked --quiet --workspace
  metadata="$(cargo metadata --locked --format-version 1 --no-deps)"
  program="$(python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])' <<<"$metadata")/debug/ecommerce"
fi
[ -x "$program" ] || fail "$program is no program"
program="$(realpath "$program")"

folder="$(mktemp -d /var/tmp/ecommerce-ha.XXXXXX)"
# PostgreSQL runs as another account.
chmod 755 "$folder"
trial=
# shellcheck disable=SC2317 # called by the trap
end() {
  # The kernel ends every process of the namespace with its first one.
  [ -z "$trial" ] || kill -KILL "$trial" 2>/dev/null || true
  wait 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then
    say "data and logs: $folder"
  else
    # The last processes may still be ending.
    until rm -rf "$folder" 2>/dev/null; do sleep 0.1; done
  fi
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A shell is the first process of the namespace: it reaps orphans. Debian's Python has the driver that Patroni uses.
# shellcheck disable=SC2016
unshare --net --pid --mount --fork --kill-child --mount-proc \
  bash -c '/usr/bin/python3 -B tests/ha "$@"; exit $?' ha --program "$program" --folder "$folder" "$@" &
trial=$!
# `wait` returns early for a signal, so that its trap runs at once.
wait "$trial" && code=0 || code=$?
trial=
exit "$code"
