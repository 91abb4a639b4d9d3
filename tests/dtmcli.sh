#!/usr/bin/env bash
# Installs dtmcli, the Python client of DTM, into a virtual environment: a client that was not written for this system.
#
#   tests/dtmcli.sh [FOLDER]     FOLDER: target/dtmcli by default; its Python is FOLDER/bin/python3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=1.7.7.0
folder="${1:-${CARGO_TARGET_DIR:-target}/dtmcli}"

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
[ "$(cat "$folder/version" 2>/dev/null)" != "$VERSION" ] || exit 0
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check "dtmcli==$VERSION" "requests==2.32.5"
echo "$VERSION" >"$folder/version"
