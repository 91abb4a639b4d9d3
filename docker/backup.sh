#!/usr/bin/env bash
# Backs up the five databases as one: a base backup of their whole cluster, taken while purchases run.
#
#   docker/backup.sh FOLDER                    from the PostgreSQL of docker-compose.prod.yml
#   PGHOST=… PGUSER=… docker/backup.sh FOLDER  from any server, by libpq's variables
#
# FOLDER/base-<time> appears only when it is complete and verified. The newest BACKUP_KEEP (7) are kept.
# Not pg_dump: dumps of single databases are of different moments and contradict each other, for example by a payment
# whose purchase is not in the saga log. A base backup is one moment of all five databases. See docs/operations.md.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
keep="${BACKUP_KEEP:-7}"
name="base-$(date -u +%Y%m%dT%H%M%SZ)"
partial="$folder/.$name.partial"
say() { echo "backup: $*"; }

exec 9>"$folder/.lock"
flock -n 9 || { say "another backup into $folder is under way" >&2; exit 1; }
# Remains of earlier backups that were interrupted.
rm -rf "$folder"/.base-*.partial
trap 'rm -rf "$partial"' EXIT

# The WAL written during the backup is streamed with it, so the backup is complete by itself; the manifest has a
# checksum of every file. `fast` requests an immediate checkpoint instead of waiting for the next one.
options=(--format=plain --wal-method=stream --checkpoint=fast --no-password)
if [ -n "${PGHOST:-}" ]; then
  # Debian's server programs are not in PATH.
  newest="$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)"
  PATH="$PATH:$newest"
  pg_basebackup "${options[@]}" --pgdata="$partial"
  pg_verifybackup --quiet "$partial"
else
  if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
  postgres="$("${compose[@]}" -f docker-compose.prod.yml ps -q postgres)"
  [ -n "$postgres" ] || { say "the PostgreSQL of docker-compose.prod.yml does not run" >&2; exit 1; }
  inside="/tmp/$name"
  trap 'rm -rf "$partial"; docker exec "$postgres" rm -rf "$inside"' EXIT
  # Over the Unix socket as PostgreSQL's own user, which needs no password.
  docker exec --user postgres "$postgres" pg_basebackup "${options[@]}" --pgdata="$inside" --username=postgres
  docker exec --user postgres "$postgres" pg_verifybackup --quiet "$inside"
  docker cp --quiet "$postgres:$inside" "$partial" 2>/dev/null || docker cp "$postgres:$inside" "$partial"
fi
mv "$partial" "$folder/$name"
say "$folder/$name: $(du -sh "$folder/$name" | cut -f1), whole and verified"
find "$folder" -maxdepth 1 -name 'base-*' | sort -r | tail -n "+$((keep + 1))" | while IFS= read -r old; do
  rm -rf "$old"
  say "removed $old"
done

# Read by the node exporter of docker-compose.prod.yml, for the alert BackupTooOld.
metric=ecommerce_backup_last_success_timestamp_seconds
{
  echo "# HELP $metric When the last backup was complete and verified."
  echo "# TYPE $metric gauge"
  echo "$metric $(date +%s)"
} >"$folder/.metrics.partial"
chmod 644 "$folder/.metrics.partial"
mv "$folder/.metrics.partial" "$folder/backup.prom"
