#!/usr/bin/env bash
# Prepares an example participant to be run: installs its dependencies and builds it, in a folder of its own. The program
# to run is LANGUAGE/run in that folder. Nothing is done again until the example changes.
#
#   tests/examples.sh python|typescript|go [FOLDER]     FOLDER: target/examples by default
#
# Exit codes: 0 prepared; 3 the language is not installed here; else the installation or the build failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NO_TOOLCHAIN=3
missing() { echo "$*" >&2; exit "$NO_TOOLCHAIN"; }

language="${1:?python, typescript or go}"
folder="${2:-${CARGO_TARGET_DIR:-target}/examples}/$language"
source="$PWD/examples/$language-participant"

case "$language" in
  python)
    command -v python3 >/dev/null || missing "python3 is not installed"
    python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || missing "python3 3.10 or newer with venv is not installed"
    ;;
  typescript)
    command -v node >/dev/null && command -v npm >/dev/null || missing "node and npm are not installed"
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || missing "node is older than 20"
    ;;
  go)
    command -v go >/dev/null || missing "go is not installed"
    ;;
  *)
    echo "python, typescript or go, not $language" >&2
    exit 2
    ;;
esac

mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
exec 9>"$folder/lock"
flock 9

# The files that are built; the folders that tools make beside them do not count.
version="$(cd "$source" && find . -type f -not -path './node_modules/*' -not -path './dist/*' -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)"
if [ -x "$folder/run" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
  exit 0
fi
rm -f "$folder/version" "$folder/run"

{
  case "$language" in
    python)
      rm -rf "$folder/venv"
      python3 -m venv "$folder/venv"
      "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$source/requirements.txt"
      printf '#!/bin/sh\nexec "%s" -B "%s"\n' "$folder/venv/bin/python3" "$source/flights.py" >"$folder/run"
      ;;
    typescript)
      cp "$source/package.json" "$source/package-lock.json" "$source/tsconfig.json" "$source/hotels.ts" "$folder/"
      (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build)
      printf '#!/bin/sh\nexec node "%s"\n' "$folder/dist/hotels.js" >"$folder/run"
      ;;
    go)
      (cd "$source" && go build -o "$folder/cars" .)
      printf '#!/bin/sh\nexec "%s"\n' "$folder/cars" >"$folder/run"
      ;;
  esac
} >&2
chmod +x "$folder/run"
echo "$version" >"$folder/version"
