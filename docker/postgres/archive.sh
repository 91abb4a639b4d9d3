#!/bin/sh
# archive_command of PostgreSQL: compresses a finished WAL file into /archive. A file appears there only when it is whole
# and on disk. It may be asked for the same file again, for instance after a crash; another file of that name is an error.
set -eu
target="/archive/$2.gz"
if [ -f "$target" ]; then
  gzip -dc "$target" | cmp -s - "$1" && exit 0
  echo "archive: $target exists with other contents" >&2
  exit 1
fi
gzip -1 <"$1" >"/archive/.$2.partial"
sync "/archive/.$2.partial"
mv "/archive/.$2.partial" "$target"
sync /archive
