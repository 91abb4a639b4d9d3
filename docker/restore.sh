#!/usr/bin/env bash
# Replaces the data of docker-compose.prod.yml with a backup of docker/backup.sh and starts the system on hold: it
# answers requests, but no purchase begins or continues until `release`.
#
#   docker/restore.sh FOLDER/base-<time>
#
# The current data is kept as `before-<time>` in the same volume; remove it by hand.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
backup="$(cd "$1" && pwd)"
[ -f "$backup/backup_manifest" ] && [ -f "$backup/PG_VERSION" ] || { echo "restore: $backup is not a backup" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose() { "${compose[@]}" -f docker-compose.prod.yml "$@"; }
say() { echo "restore: $*"; }
services=(orchestrator catalog payments inventory purchases)
data=/var/lib/postgresql/data

say "stopping the services and PostgreSQL"
compose stop "${services[@]}" postgres
before="before-$(date -u +%Y%m%dT%H%M%SZ)"
# In a container of the server's image, because only that image has the account that owns the files. Files are verified
# against the manifest before any data is moved.
compose run --rm --no-deps -T --entrypoint bash -v "$backup:/backup:ro" postgres -euc "
  cd $data
  rm -rf restored && cp -a /backup restored && pg_verifybackup --quiet restored
  chown -R postgres:postgres restored && chmod 700 restored
  [ ! -e cluster ] || mv cluster $before
  mv restored cluster"
say "starting PostgreSQL"
compose up -d postgres
until compose exec -T postgres pg_isready --host=127.0.0.1 --quiet; do sleep 0.5; done
compose up --no-deps migrate
compose run --rm -T tools hold --reason "restored from $(basename "$backup"), not yet audited"
compose up -d "${services[@]}"
say "all services run, on hold. Next: ${compose[*]} -f docker-compose.prod.yml run --rm tools release"
