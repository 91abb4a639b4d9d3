#!/usr/bin/env bash
# Replaces the data of docker-compose.prod.yml with a backup of docker/backup.sh and starts the system on hold: it
# answers requests, but no purchase begins or continues until `release`.
#
#   docker/restore.sh FOLDER/base-<time>.tar.gz
#   docker/restore.sh FOLDER/base-<time>.tar.gz '2026-01-02 03:04:05+00'
#
# With a time, the archived WAL (WAL_ARCHIVE in .env) brings the backup to that moment: the last one before a mistake.
# The current data is kept as `before-<time>` in the same volume; remove it by hand.
set -euo pipefail
[ $# -eq 1 ] || [ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
say() { echo "restore: $*"; }
fail() { echo "restore: $*" >&2; exit 2; }
[ -f "$1" ] && tar -tzf "$1" backup_manifest >/dev/null 2>&1 || fail "$1 is not a backup"
backup="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
moment="${2:-}"
[ -z "$moment" ] || moment="$(date -u -d "$moment" '+%Y-%m-%d %H:%M:%S.%6N+00')" || fail "$2 is not a time"
target="recovery_target = 'immediate'"
[ -z "$moment" ] || target="recovery_target_time = '$moment'"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose() { "${compose[@]}" -f docker-compose.prod.yml "$@"; }
services=(orchestrator catalog payments inventory purchases)
data=/var/lib/postgresql/data

say "stopping the services and PostgreSQL"
# PostgreSQL archives its last WAL file while it stops.
compose stop "${services[@]}" postgres
before="before-$(date -u +%Y%m%dT%H%M%SZ)"
# In a container of the server's image, because only that image has the account that owns the files. Files are verified
# against the manifest before any data is moved.
compose run --rm --no-deps -T --entrypoint bash -v "$backup:/backup.tar.gz:ro" postgres -euc "
  cd $data
  rm -rf restored && mkdir restored && tar -xzf /backup.tar.gz -C restored && pg_verifybackup --quiet restored
  [ -z '$moment' ] || ls /archive/*.gz >/dev/null 2>&1 || { echo 'restore: there is no archived WAL: see WAL_ARCHIVE in .env' >&2; exit 1; }
  # Recovery ends on a timeline of its own, so that no archived WAL of the former one is written again.
  touch restored/recovery.signal
  sed -i '/^recovery_target/d; /^restore_command/d' restored/postgresql.auto.conf
  cat >>restored/postgresql.auto.conf <<'CONF'
restore_command = 'test -f /archive/%f.gz && gzip -dc /archive/%f.gz >%p'
recovery_target_timeline = 'current'
recovery_target_action = 'promote'
$target
CONF
  chown -R postgres:postgres restored && chmod 700 restored
  [ ! -e cluster ] || mv cluster $before
  mv restored cluster"
say "starting PostgreSQL"
compose up -d postgres
began=$SECONDS
# In recovery it answers before it has reached the moment, and accepts no writes.
until [ "$(compose exec -T --user postgres postgres psql -U postgres -tAc 'select pg_is_in_recovery()' 2>/dev/null)" = f ]; do
  if [ $((SECONDS - began)) -ge "${RESTORE_PATIENCE:-3600}" ] || ! compose ps -q postgres | xargs docker inspect --format '{{.State.Status}}' | grep -q running; then
    compose logs --tail=20 postgres >&2
    fail "PostgreSQL does not come up; its last log lines are above. The data before the restore is in $before"
  fi
  sleep 0.5
done
compose up --no-deps migrate
compose run --rm -T tools hold --reason "restored from $(basename "$backup")${moment:+ to $moment}, not yet audited"
compose up -d "${services[@]}"
say "all services run, on hold. Next: ${compose[*]} -f docker-compose.prod.yml run --rm tools release"
