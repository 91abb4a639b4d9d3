#!/usr/bin/env bash
# Writes the software bill of materials of the program, CycloneDX 1.5 in JSON: every crate that is compiled into it or
# used to build it, with version, licence, checksum and source. cargo-cyclonedx is built into the target folder first.
#
#   docker/sbom.sh [FILE]      target/ecommerce.cdx.json by default
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# renovate: crate cargo-cyclonedx
VERSION=0.5.9
target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
file="${1:-$target/ecommerce.cdx.json}"
case "$file" in /*) ;; *) file="$here/$file" ;; esac
tools="$target/cargo-cyclonedx-$VERSION"
if [ ! -x "$tools/bin/cargo-cyclonedx" ]; then
  echo "sbom: building cargo-cyclonedx $VERSION"
  # Unoptimised: it builds in a fraction of the time.
  cargo install --quiet --locked --debug --version "$VERSION" --root "$tools.new" --target-dir "$target/tools" cargo-cyclonedx
  rm -rf "$tools"
  mv "$tools.new" "$tools"
  rm -rf "$target/tools"
fi
# It writes beside the manifest of each package of the workspace.
name="sbom-$$"
trap 'find . -name "$name*.json" -not -path "./target/*" -delete' EXIT
trap 'exit 130' INT TERM
"$tools/bin/cargo-cyclonedx" cyclonedx --manifest-path ecommerce/Cargo.toml --format json --spec-version 1.5 --override-filename "$name" -qq
# Without the folder of this machine.
sed "s|path+file://$PWD/|path+file:///src/|g" "ecommerce/$name.json" >"$file"
echo "sbom: $(python3 -c 'import json,sys; print(len(json.load(open(sys.argv[1]))["components"]))' "$file") components in $file"
