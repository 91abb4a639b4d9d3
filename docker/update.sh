#!/usr/bin/env bash
# Replaces the running services of docker-compose.prod.yml with those of the image IMAGE, one replica after the other:
# a new replica is healthy before an old one stops, and no purchase is reverted. Also the way back to an earlier image.
#
#   docker/build.sh && docker/update.sh
#   IMAGE=ecommerce-saga:previous docker/update.sh
#
# IMAGE is that of .env, unless the variable is set. The image that ran before stays as <name>:previous. Nothing is
# replaced if the schema and the image exclude each other; the message then says how to go on. See docs/operations.md.
set -euo pipefail
[ $# -eq 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "update: $*"; }
fail() { echo "update: $*" >&2; exit 1; }

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose() { "${compose[@]}" -f docker-compose.prod.yml "$@"; }
exec 9<docker/update.sh
flock -n 9 || fail "another update is under way"

# Participants first: the new orchestrator may need what they learned.
services=(catalog payments inventory purchases orchestrator)
# Longer than any stop takes: a replica ends by itself within its grace periods.
stop_limit=90
patience="${UPDATE_PATIENCE:-120}"
# Callers notice a new replica within this time: orchestrators by resolving its name, Traefik by its health check.
noticed_after="${UPDATE_PAUSE:-6}"

containers() { compose ps -q "$1"; }
health() { docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1" 2>/dev/null || echo gone; }

# The value of IMAGE after compose has read .env.
# All of compose's output is read: a closed pipe would be an error of compose.
image="$(compose config | awk '$1 == "migrate:" { inside = 1 } inside && $1 == "image:" && !found++ { print $2 }')"
new="$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null)" || fail "there is no image $image: build or pull it first"
running="$(containers orchestrator | sed -n 1p)"
[ -n "$running" ] || fail "no orchestrator runs: there is nothing to update, use ${compose[*]} -f docker-compose.prod.yml up -d"
old="$(docker inspect --format '{{.Image}}' "$running")"
previous="${image%:*}:previous"
if [ "$old" != "$new" ] && [ "$image" != "$previous" ]; then
  docker tag "$old" "$previous" && say "the image that runs now stays as $previous"
fi

say "migrating the databases with $image"
code=0
compose run --rm --no-deps -T migrate || code=$?
[ $code -eq 0 ] || fail "migrate ended with exit code $code for the reason above; no service was replaced"

for service in "${services[@]}"; do
  for before in $(containers "$service"); do
    known=" $(containers "$service" | tr '\n' ' ')"
    compose up -d --no-deps --no-recreate --scale "$service=$(($(wc -w <<<"$known") + 1))" "$service" >/dev/null 2>&1 \
      || fail "$service: a new replica cannot be started"
    fresh=""
    for container in $(containers "$service"); do
      [[ "$known" == *" $container "* ]] || fresh="$container"
    done
    began=$SECONDS
    until [ "$(health "$fresh")" = healthy ]; do
      if [ $((SECONDS - began)) -ge "$patience" ]; then
        docker logs --tail 20 "$fresh" >&2 || true
        docker rm -f "$fresh" >/dev/null
        fail "$service: the new replica is not healthy after $patience s and was removed; the old one still runs. Its last log lines are above"
      fi
      sleep 0.5
    done
    sleep "$noticed_after"
    docker stop --time "$stop_limit" "$before" >/dev/null
    docker rm "$before" >/dev/null
    say "$service: ${before:0:12} replaced by ${fresh:0:12} in $((SECONDS - began)) s"
  done
  # The number of .env, if it was changed.
  compose up -d --no-deps --no-recreate "$service" >/dev/null 2>&1
done
say "all services run $image; the way back: IMAGE=$previous docker/update.sh, and the same IMAGE in .env"
