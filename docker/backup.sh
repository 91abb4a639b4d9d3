#!/usr/bin/env bash
# Backs up the five databases as one: a base backup of their whole cluster, taken while purchases run and streamed into
# a compressed file.
#
#   docker/backup.sh FOLDER                    from the PostgreSQL of docker-compose.prod.yml
#   PGHOST=… PGUSER=… docker/backup.sh FOLDER  from any server, by libpq's variables
#
# FOLDER/base-<time>.tar.gz appears only when it is complete and verified. The newest BACKUP_KEEP (7) are kept.
# Not pg_dump: dumps of single databases are of different moments and contradict each other, for example by a payment
# whose purchase is not in the saga log. A base backup is one moment of all five databases. See docs/operations.md.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
keep="${BACKUP_KEEP:-7}"
name="base-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
partial="$folder/.$name.partial"
say() { echo "backup: $*"; }

exec 9>"$folder/.lock"
flock -n 9 || { say "another backup into $folder is under way" >&2; exit 1; }
# Remains of earlier backups that were interrupted.
rm -rf "$folder"/.base-*.partial
trap 'rm -f "$partial" "$partial".*' EXIT

# To standard output, so that no second copy of the data is written beside the server. The WAL of the time of the backup
# follows the data, so the backup is complete by itself; the server keeps it (wal_keep_size), or the backup fails. The
# manifest has a checksum of every file. `fast` requests an immediate checkpoint instead of waiting for the next one.
options=(--pgdata=- --format=tar --wal-method=fetch --checkpoint=fast --compress=gzip:5 --manifest-checksums=SHA256 --no-password)
postgres=""
if [ -n "${PGHOST:-}" ]; then
  # Debian's server programs are not in PATH.
  newest="$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)"
  PATH="$PATH:$newest"
  pg_basebackup "${options[@]}" >"$partial"
else
  if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
  postgres="$("${compose[@]}" -f docker-compose.prod.yml ps -q postgres)"
  [ -n "$postgres" ] || { say "the PostgreSQL of docker-compose.prod.yml does not run" >&2; exit 1; }
  # Over the Unix socket as PostgreSQL's own user, which needs no password.
  docker exec --user postgres "$postgres" pg_basebackup "${options[@]}" --username=postgres >"$partial"
fi

# The checksum of every file in the archive against the manifest. A restore verifies the WAL too.
tar -xzf "$partial" -O backup_manifest \
  | sed -n 's/^{ "Path": "\([^"]*\)".*"Checksum": "\([0-9a-f]*\)" }.*/\2 \1/p' | sort >"$partial.expected"
# shellcheck disable=SC2016 # tar's shell sets the variable
tar -xzf "$partial" --to-command='echo "$(sha256sum | cut -d" " -f1) $TAR_FILENAME"' | sort >"$partial.found"
lacking="$(comm -23 "$partial.expected" "$partial.found" | sed -n 1,3p)"
[ -s "$partial.expected" ] && [ -z "$lacking" ] || { say "the archive does not match its manifest: $lacking" >&2; exit 1; }
mv "$partial" "$folder/$name"
say "$folder/$name: $(du -h "$folder/$name" | cut -f1), whole and verified"
find "$folder" -maxdepth 1 -name 'base-*' | sort -r | tail -n "+$((keep + 1))" | while IFS= read -r old; do
  rm -rf "$old"
  say "removed $old"
done

# Archived WAL from before the oldest kept backup is of no use.
if [ -n "$postgres" ] && docker exec "$postgres" test -d /archive; then
  oldest="$(find "$folder" -maxdepth 1 -name 'base-*.tar.gz' | sort | sed -n 1p)"
  begins="$(tar -xzf "$oldest" -O backup_label | sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\)).*/\1/p')"
  docker exec --user postgres "$postgres" pg_archivecleanup -x .gz /archive "$begins"
fi

# Read by the node exporter of docker-compose.prod.yml, for the alert BackupTooOld.
metric=ecommerce_backup_last_success_timestamp_seconds
{
  echo "# HELP $metric When the last backup was complete and verified."
  echo "# TYPE $metric gauge"
  echo "$metric $(date +%s)"
} >"$folder/.metrics.partial"
chmod 644 "$folder/.metrics.partial"
mv "$folder/.metrics.partial" "$folder/backup.prom"
