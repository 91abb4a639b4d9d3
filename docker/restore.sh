#!/usr/bin/env bash
# Puts a backup of docker/backup.sh in the place of the data that docker-compose.prod.yml runs on, and starts everything on
# hold: it answers, and no purchase begins or goes on until `release`.
#
#   docker/restore.sh FOLDER/base-<time>
#
# The data that is there now is kept beside it, as `before-<time>` in the same volume, until somebody removes it.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
backup="$(cd "$1" && pwd)"
[ -f "$backup/backup_manifest" ] && [ -f "$backup/PG_VERSION" ] || { echo "restore: $backup is no backup" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose() { "${compose[@]}" -f docker-compose.prod.yml "$@"; }
say() { echo "restore: $*"; }
services=(orchestrator catalog payments inventory purchases)
data=/var/lib/postgresql/data

say "stopping the services and PostgreSQL"
compose stop "${services[@]}" postgres
before="before-$(date -u +%Y%m%dT%H%M%SZ)"
# In a container of the server's own image, since only it knows who owns the files. A file that is not as the manifest
# says is found before anything is moved.
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
say "everything runs, on hold. Next: ${compose[*]} -f docker-compose.prod.yml run --rm tools release"
