#!/usr/bin/env bash
# Checks .github/workflows: actionlint (syntax, expressions, the scripts by shellcheck where it is installed) and zizmor
# (permissions, pinned actions, injections). zizmor comes from PyPI and asks nobody, actionlint is built with Go. Without Go
# it is left out: exit code 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "workflows: $*"; }

# renovate: go github.com/rhysd/actionlint
ACTIONLINT=v1.7.12
# renovate: pypi zizmor
ZIZMOR=1.32.0

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/zizmor-$ZIZMOR"
if [ ! -x "$venv/bin/zizmor" ]; then
  say "installing zizmor $ZIZMOR"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "zizmor==$ZIZMOR"
  mv "$venv.new" "$venv"
fi
"$venv/bin/zizmor" --offline --no-progress --quiet .github/workflows >"$target/zizmor.log" || { cat "$target/zizmor.log" >&2; exit 1; }

tools="$target/actionlint-$ACTIONLINT"
if [ ! -x "$tools/actionlint" ]; then
  command -v go >/dev/null || { say "zizmor finds nothing; NOT CHECKED: actionlint, because Go is not installed"; exit 3; }
  say "building actionlint $ACTIONLINT"
  GOBIN="$tools" go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT"
fi
"$tools/actionlint" .github/workflows/*.yml
say "actionlint and zizmor find nothing in $(find .github/workflows -name '*.yml' | wc -l) workflows"
