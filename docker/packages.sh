#!/usr/bin/env bash
# Makes the packages of the program for the processor of this machine. Nothing is published.
#
#   docker/packages.sh [--profile PROFILE] [--out FOLDER] [KIND…]
#
#   archive   the program and its licence: ecommerce-VERSION-linux-x86_64.tar.gz
#   deb       the Debian package, with units for systemd
#   wheel     the Python wheel, for uvx, pipx and pip
#   npm       the npm package `ecommerce-saga`, and the one with the program for this processor
#   sbom      the bill of materials
#
# By default all kinds, of the profile `dist`, in target/packages. They demand the C library of this machine or a newer one.
# It needs python3 with venv (wheel) and npm (npm); cargo-deb and maturin are installed into the target folder.
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "packages: $*"; }
fail() { echo "packages: $*" >&2; exit 1; }

# renovate: pypi maturin
MATURIN=1.16.0
# renovate: crate cargo-deb
CARGO_DEB=3.8.0

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
profile=dist out="$target/packages" kinds=()
while [ $# -gt 0 ]; do
  case "$1" in
    --profile) profile="${2:?the name of a profile}"; shift ;;
    --out) out="${2:?a folder}"; case "$out" in /*) ;; *) out="$here/$out" ;; esac; shift ;;
    archive | deb | wheel | npm | sbom) kinds+=("$1") ;;
    *) fail "$1 is neither an option nor one of archive, deb, wheel, npm, sbom" ;;
  esac
  shift
done
[ ${#kinds[@]} -gt 0 ] || kinds=(archive deb wheel npm sbom)
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
processor="$(uname -m)"
case "$processor" in
  x86_64) node_processor=x64 ;;
  aarch64) node_processor=arm64 ;;
  *) fail "there are no packages for $processor" ;;
esac
# Other profiles are for tests: time counts, size does not.
compression=1 fast=(--fast)
[ "$profile" != dist ] || { compression=9 fast=(); }
program="$target/$profile/ecommerce"
[ "$profile" != dev ] || program="$target/debug/ecommerce"

mkdir -p "$out"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

archive() {
  local name="ecommerce-$version-linux-$processor"
  mkdir "$work/$name"
  install -m 755 "$program" "$work/$name/ecommerce"
  install -m 644 LICENSE ecommerce/README.md "$work/$name/"
  tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="$(git log -1 --format=@%ct 2>/dev/null || echo @0)" "$name" \
    | gzip -n "-$compression" >"$out/$name.tar.gz"
}

deb() {
  local tools="$target/cargo-deb-$CARGO_DEB"
  if [ ! -x "$tools/bin/cargo-deb" ]; then
    say "building cargo-deb $CARGO_DEB"
    # Unoptimised: it builds in a fraction of the time.
    cargo install --quiet --locked --debug --no-default-features --version "$CARGO_DEB" --root "$tools.new" --target-dir "$target/tools" cargo-deb
    rm -rf "$tools"
    mv "$tools.new" "$tools"
    rm -rf "$target/tools"
  fi
  "$tools/bin/cargo-deb" --no-build --locked "${fast[@]}" --profile "$profile" --package ecommerce --output "$out" >/dev/null 2>"$work/log" \
    || { cat "$work/log" >&2; fail "the Debian package cannot be made"; }
}

wheel() {
  local venv="$target/maturin-$MATURIN"
  if [ ! -x "$venv/bin/maturin" ]; then
    say "installing maturin $MATURIN"
    rm -rf "$venv" "$venv.new"
    python3 -m venv "$venv.new"
    "$venv.new/bin/pip" install --quiet --disable-pip-version-check "maturin==$MATURIN"
    mv "$venv.new" "$venv"
  fi
  # The same build as above: Cargo has nothing to do.
  "$venv/bin/maturin" build --quiet --locked --profile "$profile" --manifest-path ecommerce/Cargo.toml --out "$out" --compression-level "$compression" >"$work/log" 2>&1 \
    || { cat "$work/log" >&2; fail "the wheel cannot be made"; }
}

npm() {
  local main=ecommerce-saga native="ecommerce-saga-linux-$node_processor"
  mkdir "$work/$main" "$work/$native"
  install -m 755 ecommerce/npm/ecommerce.js "$work/$main/"
  install -m 755 "$program" "$work/$native/ecommerce"
  install -m 644 LICENSE ecommerce/README.md "$work/$main/"
  install -m 644 LICENSE "$work/$native/"
  python3 - "$version" "$work/$main" "$work/$native" "$node_processor" <<'PYTHON'
import json
import os
import sys

version, main, native, processor = sys.argv[1:]
package = json.load(open("ecommerce/npm/package.json", encoding="utf-8"))
package["version"] = version
package["optionalDependencies"] = {name: version for name in package["optionalDependencies"]}
name = os.path.basename(native)
if name not in package["optionalDependencies"]:
    sys.exit(f"packages: {package['name']} has no dependency {name}")
for folder, contents in [
    (main, package),
    (native, {
        **{key: package[key] for key in ("version", "description", "license")},
        "name": name, "os": ["linux"], "cpu": [processor], "libc": ["glibc"], "files": ["ecommerce"],
    }),
]:
    with open(f"{folder}/package.json", "w", encoding="utf-8") as file:
        json.dump(contents, file, indent=2)
PYTHON
  (cd "$work" && command npm pack --silent --pack-destination "$out" "./$main" "./$native" >/dev/null)
}

sbom() { docker/sbom.sh "$out/ecommerce-$version.cdx.json"; }

say "building with the profile $profile"
cargo build --locked --quiet --profile "$profile" --package ecommerce
for kind in "${kinds[@]}"; do
  "$kind"
done
say "$(du -h "$out"/* | awk '{ n = split($2, path, "/"); print path[n] " " $1 }' | paste -sd ' ')"
