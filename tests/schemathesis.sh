#!/usr/bin/env bash
# Checks the five services against their own API descriptions: schemathesis generates valid and invalid requests from
# /openapi.json and checks every answer against the description.
#
#   tests/schemathesis.sh [SERVICE…]     all five by default
#
# It needs python3 with venv, and PostgreSQL's programs. It makes a virtual environment in target/ and runs a system on
# free ports with fresh data, without simulated failures and latencies, which it stops at the end.
# SCHEMATHESIS_EXAMPLES (20) is the number of generated requests per operation, SCHEMATHESIS_SEED (1) their seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# renovate: pypi schemathesis
VERSION=4.32.5
# Limit of one run of the checks, which takes a tenth of it on an idle machine.
LIMIT_S=120
examples="${SCHEMATHESIS_EXAMPLES:-20}"
seed="${SCHEMATHESIS_SEED:-1}"

say() { echo "schemathesis: $*"; }

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/schemathesis-$VERSION"
if [ ! -x "$venv/bin/schemathesis" ]; then
  say "installing schemathesis $VERSION"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
  # Rename only a complete environment. Its scripts contain the old path, so Python is called instead.
  mv "$venv.new" "$venv"
fi

cargo build --locked --quiet --package ecommerce
# PostgreSQL may run as another account, which needs access to this folder.
work="$(mktemp -d /tmp/ecommerce-schemathesis.XXXXXX)"
chmod 755 "$work"
system=
end() {
  # The first signal requests an orderly stop; wait for it.
  [ -z "$system" ] || { kill -INT "$system" 2>/dev/null && wait "$system"; } || true
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

for service in ORCHESTRATOR CATALOG PAYMENTS INVENTORY PURCHASES; do
  export "ECOMMERCE__SERVICES__${service}__PORT=0"
done
"$target/debug/ecommerce" up --profile bench --data-dir "$work/data" >"$work/up.log" 2>&1 &
system=$!
until grep -q '^Ctrl-C stops' "$work/up.log"; do
  kill -0 "$system" 2>/dev/null || { cat "$work/up.log" >&2; exit 1; }
  sleep 0.2
done

# Runs the checks on a service, except those that need more than a schema: that a valid request is accepted (an amount
# has two decimals, a transaction id is used once), and rules across several requests.
check() {
  local service="$1" url excluded=positive_data_acceptance,use_after_free,ensure_resource_availability,object_level_authorization
  shift
  # A product id may equal a word of a route: GET /inventory/restock/ is that product, so `Allow` lists GET there. The
  # description has that GET under the template of the product.
  [ "$service" != inventory ] || excluded+=,allow_header_conformance
  url="$(awk -v service="$service" '$1 == service && $2 ~ /^http/ { print $2 }' "$work/up.log")"
  timeout --kill-after=10 "$LIMIT_S" "$venv/bin/python3" -m schemathesis.cli run "$url/openapi.json" --url "$url" --seed "$seed" --max-examples "$examples" \
    --phases examples,coverage,fuzzing --suppress-health-check all --warnings off \
    --checks all --exclude-checks "$excluded" \
    "$@" >"$work/$service.log" 2>&1
}
services=("$@")
[ $# -gt 0 ] || services=(catalog payments inventory purchases orchestrator)
failed=()
began=$SECONDS
for service in "${services[@]}"; do
  # Generated failure settings would make other operations fail, so they come last. The event streams never end.
  if check "$service" --exclude-operation-id changeFaults --exclude-operation-id changeAllFaults --exclude-operation-id listen --exclude-operation-id listenToSagas; then
    say "$service: $(grep -E '^  [0-9]+ generated' "$work/$service.log" | sed 's/^ *//')"
  else
    failed+=("$service")
    cat "$work/$service.log"
  fi
done
for service in "${services[@]}"; do
  operation=changeFaults
  [ "$service" != orchestrator ] || operation=changeAllFaults
  check "$service" --include-operation-id "$operation" || { failed+=("$service: $operation"); cat "$work/$service.log"; }
done
if [ ${#failed[@]} -gt 0 ]; then
  say "not as described: ${failed[*]}"
  exit 1
fi
say "${services[*]}: as described, in $((SECONDS - began)) s"
