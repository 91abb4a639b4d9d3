#!/usr/bin/env bash
# Makes the wheel and the npm packages of the debug build, and runs each as a user does: installed by pip in a fresh
# environment, and by `uvx`, `pipx run` and `npx` from the local files. Each prints its version, runs the services and makes
# a purchase (tests/packages/first_purchase.py). The program that `cargo install --path ecommerce` installs prints its
# version.
#
#   tests/packages.sh            of the debug build
#   tests/packages.sh FOLDER     of existing packages, of docker/packages.sh; without `cargo install`
#
# It needs python3 with venv, and PostgreSQL's programs. Without npm the npm packages are left out: exit code 3.
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "packages: $*"; }
fail() { echo "packages: $*" >&2; exit 1; }

# renovate: pypi uv
UV=0.13.9
# renovate: pypi pipx
PIPX=1.18.4

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
began=$SECONDS
work="$(mktemp -d /tmp/ecommerce-packages.XXXXXX)"
# PostgreSQL may run as another account, which needs access to this folder.
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

venv="$target/uv-$UV-pipx-$PIPX"
if [ ! -x "$venv/bin/uvx" ]; then
  say "installing uv $UV and pipx $PIPX"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "uv==$UV" "pipx==$PIPX"
  # Rename only a complete environment. Its scripts contain the old path, so Python is called instead.
  mv "$venv.new" "$venv"
fi
has_npm=true
command -v node >/dev/null && command -v npm >/dev/null || has_npm=false

packages="${1:-}"
if [ $# -eq 0 ]; then
  packages="$work/packages"
  kinds=(wheel)
  [ $has_npm = false ] || kinds+=(npm)
  docker/packages.sh --profile dev --out "$packages" "${kinds[@]}"
else
  case "$packages" in /*) ;; *) packages="$here/$packages" ;; esac
fi
# The one file of that name in the folder.
one() {
  local files=("$packages"/$1)
  [ ${#files[@]} -eq 1 ] && [ -f "${files[0]}" ] || fail "$packages has no single $1"
  echo "${files[0]}"
}
wheel="$(one "ecommerce_saga-*_$(uname -m).whl")"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
grep -q '^License-Expression: MIT' <(python3 -m zipfile -e "$wheel" "$work/wheel" && cat "$work"/wheel/*.dist-info/METADATA) || fail "the wheel does not state its licence"
cmp --quiet LICENSE "$work"/wheel/*.dist-info/licenses/LICENSE || fail "the wheel has no licence"
! grep -rqF "$PWD" "$work"/wheel/*.dist-info || fail "the wheel names folders of this machine"
rm -rf "$work/wheel"

states_its_version() {
  local said
  said="$(cd / && "$@" --version 2>"$work/log")" || { cat "$work/log" >&2; fail "$* --version"; }
  [[ "$said" == "ecommerce $version ("* ]] || fail "$* --version is $said"
}
first_purchase() {
  local name="$1"
  shift
  states_its_version "$@"
  python3 tests/packages/first_purchase.py "$name" "$work" "$@"
}
# Nothing of this account's caches and tools.
export UV_CACHE_DIR="$work/caches/uv" PIPX_HOME="$work/caches/pipx" npm_config_cache="$work/caches/npm" npm_config_update_notifier=false

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "$wheel"
first_purchase pip "$work/venv/bin/ecommerce"
first_purchase uvx "$venv/bin/uvx" --quiet --from "$wheel" ecommerce
first_purchase pipx "$venv/bin/python3" -m pipx run --spec "$wheel" ecommerce
if [ $has_npm = true ]; then
  case "$(uname -m)" in x86_64) native=x64 ;; aarch64) native=arm64 ;; esac
  main="$(one "ecommerce-saga-$version.tgz")"
  native="$(one "ecommerce-saga-linux-$native-$version.tgz")"
  first_purchase npx npx --yes --package "$native" --package "$main" -- ecommerce
  # Without the package of this processor the command says so.
  mkdir "$work/alone"
  tar --extract --gzip --file "$main" --directory "$work/alone"
  ended=0
  said="$(node "$work/alone/package/ecommerce.js" --version 2>&1)" || ended=$?
  [ "$ended" = 127 ] && [[ "$said" == *"ecommerce-saga-linux-"*" is missing"* ]] || fail "the npm package alone ends with $ended: $said"
fi

if [ $# -eq 0 ]; then
  cargo install --quiet --locked --debug --path ecommerce --root "$work/cargo" --target-dir "$target" --no-track 2>"$work/log" \
    || { cat "$work/log" >&2; fail "cargo install --path ecommerce"; }
  states_its_version "$work/cargo/bin/ecommerce"
  say "cargo install: it prints its version"
fi
say "everything tried in $((SECONDS - began)) s"
[ $has_npm = true ] || { say "NOT CHECKED: the npm packages, because node and npm are not installed"; exit 3; }
