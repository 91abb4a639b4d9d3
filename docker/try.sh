#!/usr/bin/env bash
# Tests the production files on this machine's Docker: builds the image, starts docker-compose.prod.yml, buys, scales,
# kills containers under load and lets `audit` check that no purchase was lost; updates to a newer image and goes back
# under load; takes a backup and restores it, to a moment too; then the same image on a swarm of one node. It uses a
# project, volumes and secrets of its own and no host port, and removes everything, images included. It refuses to run
# beside other containers, since leaving a swarm takes their networks away.
#
#   docker/try.sh                          all of it
#   LTO=off CODEGEN_UNITS=16 docker/try.sh with a faster build, of slower services
#   TRY_IMAGE=NAME docker/try.sh           with an existing image
#   TRY_NEWER_IMAGE=NAME docker/try.sh     with an existing newer image: each database has one more migration
#   TRY_UPDATE=no docker/try.sh            without the update and the rollback
#   TRY_SWARM=no docker/try.sh             without the swarm
#   TRY_BACKUP=no docker/try.sh            without the backup and the restores
#   TRY_SAGAS=1500                         purchases under load (default)
#   TRY_RATE=20                            purchases a second during the update (default)
#
# Traefik is tried if its image is available. Prometheus, Grafana and the collector are not started: they are not part
# of this project, and their images may be unavailable. tests/suites/deployment checks their files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sagas="${TRY_SAGAS:-1500}"
workers=8
patience=120

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

docker info >/dev/null 2>&1 || fail "the Docker engine does not answer"
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
command -v "${compose[0]}" >/dev/null || fail "neither docker compose nor docker-compose is installed"
others="$(docker ps --format '{{.Names}}' | sed -n 1,3p | tr '\n' ' ')"
[ -z "$others" ] || fail "other containers run on this machine: $others…; use another one"
[ "$(docker info --format '{{.Swarm.LocalNodeState}}')" = inactive ] || fail "this machine is in a swarm; use another one"

work="$(mktemp -d)"
project="ecommerce-try"
stack="ecommerce-try-swarm"
image="${TRY_IMAGE:-ecommerce-saga:try}"
newer_image="${TRY_NEWER_IMAGE:-ecommerce-saga:try-newer}"
swarm=no
docker images --all --quiet --no-trunc | sort -u >"$work/images"
docker images --format '{{.Repository}}:{{.Tag}}' | sort -u >"$work/tags"
compose() { "${compose[@]}" --project-directory . --env-file "$work/env" -f docker-compose.prod.yml "$@"; }
end() {
  local code=$?
  if [ $code -ne 0 ] && [ -f "$work/env" ]; then
    compose ps || true
    compose logs --no-color --tail=15 || true
  fi
  docker stack rm "$stack" >/dev/null 2>&1 || true
  [ -f "$work/env" ] && compose --profile tools down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  [ "$swarm" = no ] || docker swarm leave --force >/dev/null 2>&1 || true
  touch "$work/stop"
  # Images that were pulled and built; a layer is removed after the layers above it.
  docker images --format '{{.Repository}}:{{.Tag}}' | sort -u | comm -13 "$work/tags" - | grep -v '<none>' | xargs -r docker rmi >/dev/null 2>&1 || true
  local _
  for _ in 1 2 3; do
    docker images --all --quiet --no-trunc | sort -u | comm -13 "$work/images" - | xargs -r docker rmi >/dev/null 2>&1 || true
  done
  rm -rf "$work" 2>/dev/null || docker run --rm -v "$work:/trial" --entrypoint rm postgres:17-bookworm -rf /trial/wal 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

# --- secrets of this run ---
docker/secrets.sh --initial-stock 1000000 "$work/env" >/dev/null
mkdir -m 1777 "$work/wal"
set_value() { sed -i "s|^$1=.*|$1=$2|" "$work/env"; }
set_value COMPOSE_PROJECT_NAME "$project"
set_value IMAGE "$image"
# Any free ports.
for name in HTTP_PORT HTTPS_PORT DASHBOARD_PORT; do set_value "$name" 0; done
set_value WAL_ARCHIVE_MODE on
set_value WAL_ARCHIVE "$work/wal"
# As a caller of compose would set them.
for name in LTO CODEGEN_UNITS RUST_IMAGE RUNTIME_IMAGE; do
  [ -z "${!name:-}" ] || set_value "$name" "${!name}"
done
# backup.sh, restore.sh and update.sh get these variables as they would get those of .env.
set -a
. "$work/env"
set +a
value() { sed -n "s/^$1=//p" "$work/env"; }

# --- the image ---
if [ -z "${TRY_IMAGE:-}" ]; then
  began=$SECONDS
  docker/build.sh "$work/env" >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; fail "the image does not build"; }
  say "image built in $((SECONDS - began)) s with LTO=$LTO"
fi
if [ "${TRY_UPDATE:-yes}" = yes ] && [ -z "${TRY_NEWER_IMAGE:-}" ]; then
  began=$SECONDS
  mkdir "$work/newer"
  tar --exclude=./target --exclude=./.git -c . | tar -x -C "$work/newer"
  for folder in "$work"/newer/sql/*/; do
    newest="$(find "$folder" -name 'V*' | sed 's|.*/V\([0-9]*\)__.*|\1|' | sort -n | tail -n 1)"
    echo "create table of_newer_version (id int);" >"$folder/V$((newest + 1))__of_newer_version.sql"
  done
  docker build -f "$work/newer/docker/Dockerfile" --build-arg LTO="$LTO" --build-arg CODEGEN_UNITS="$CODEGEN_UNITS" \
    --build-arg RUST_IMAGE="$RUST_IMAGE" --build-arg RUNTIME_IMAGE="$RUNTIME_IMAGE" \
    -t "$newer_image" "$work/newer" >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; fail "the newer image does not build"; }
  say "newer image built in $((SECONDS - began)) s"
fi
size="$(docker image inspect --format '{{.Size}}' "$image")"
base="$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.base.name"}}' "$image")"
base="$(docker image inspect --format '{{.Size}}' "$base")"
say "image: $((size / 1000000)) MB, $(((size - base) / 1000000)) MB of it above the base image"
[ "$(docker image inspect --format '{{.Config.User}}' "$image")" = 65532:65532 ] || fail "the image runs as root"
label() { docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"; }
told="$(docker run --rm --read-only --network none --cap-drop ALL "$image" --version)"
say "$told; revision $(label revision), created $(label created)"
[[ "$told" == "ecommerce $(label version) ("* ]] || fail "the label of the version is $(label version)"
# The program shows seven characters of it.
[[ "$told" == *"$(label revision | cut -c 1-7)"* ]] || fail "the label of the revision is $(label revision)"

# --- start ---
services=(orchestrator catalog payments inventory purchases)
containers() { compose ps -q "$1"; }
health() { docker inspect --format '{{.State.Health.Status}}' "$1" 2>/dev/null || echo gone; }
wait_healthy() {
  local service="$1" count="$2" began=$SECONDS healthy id
  while :; do
    healthy=0
    for id in $(containers "$service"); do [ "$(health "$id")" != healthy ] || healthy=$((healthy + 1)); done
    [ "$healthy" -lt "$count" ] || return 0
    [ $((SECONDS - began)) -lt $patience ] || fail "$service: $healthy of $count healthy after $patience s"
    sleep 0.5
  done
}

# --- a wrong password ---
began=$SECONDS
compose up -d postgres >/dev/null 2>&1
wait_healthy postgres 1
# In its variable the password is that of the caller.
if POSTGRES_PASSWORD=mistaken compose up -d --no-recreate migrate payments >"$work/up.log" 2>&1; then
  fail "up -d succeeds with a wrong password"
fi
compose logs --no-color migrate >"$work/logs" 2>&1
grep -q 'password authentication failed' "$work/logs" || { cat "$work/logs"; fail "the log does not name the wrong password"; }
say "with a wrong password up -d fails $((SECONDS - began)) s after its start: $(grep -i migrate "$work/up.log" | tail -n 1 | tr -d '\r')"
compose rm --force --stop migrate payments >/dev/null 2>&1

began=$SECONDS
compose up -d postgres migrate "${services[@]}" >/dev/null 2>"$work/up.log" || { cat "$work/up.log"; fail "compose up"; }
for service in "${services[@]}"; do wait_healthy "$service" 1; done
say "five services healthy $((SECONDS - began)) s after up"
migrate="$(compose ps -q -a migrate 2>/dev/null || compose ps -q migrate)"
[ "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$migrate")" = "exited 0" ] || fail "migrate has not ended"

tools() { compose run --rm -T tools "$@" 2>"$work/tools"; }
tools order --user first --amount 12.50 --target http://orchestrator:8000
address() { docker inspect --format "{{(index .NetworkSettings.Networks \"${project}_edge\").IPAddress}}" "$1"; }

# --- what must not be possible ---
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$@" || true; }
expect() { [ "$2" = "$3" ] || fail "$1: $2 instead of $3"; }
payments="http://$(address "$(containers payments)"):8002"
front="http://$(address "$(containers orchestrator)"):8000"
body='{"user_id":"u","transaction_id":"t-1","amount":5}'
pay=(-X POST -H 'content-type: application/json' -d "$body" "$payments/payments/")
expect "a payment without the service token" "$(status "${pay[@]}")" 401
expect "attention without the operator token" "$(status "$front/saga/attention")" 401
expect "attention with a wrong one" "$(status -H 'authorization: Bearer wrong' "$front/saga/attention")" 403
expect "attention with the right one" "$(status -H "authorization: Bearer $(value OPERATOR_TOKEN)" "$front/saga/attention")" 200
expect "the list of all purchases without a token" "$(status "$front/saga/transactions")" 401
expect "all events without a token" "$(status "$front/saga/events")" 401
expect "a payment by its number with no token" "$(status "$payments/payments/1/")" 401
database() { docker exec -e PGPASSWORD="$(value "$1")" "$(containers postgres)" psql -h 127.0.0.1 -U "$2" -d "$3" -tAc "$4" 2>&1 || true; }
seen="$(database PAYMENTS_DB_PASSWORD ms_payments ms_payments 'select count(*) from app_payment')"
expect "the payments role in its own database" "$seen" 1
for other in ms_purchases ms_orchestrator ms_inventory ms_catalog postgres template1; do
  seen="$(database PAYMENTS_DB_PASSWORD ms_payments "$other" 'select 1')"
  [[ "$seen" == *"permission denied for database"* ]] || fail "the payments role in $other: $seen"
done
user="$(awk '/^Uid:/ { print $2 }' "/proc/$(docker inspect --format '{{.State.Pid}}' "$(containers payments)")/status")"
expect "the user of a container" "$user" 65532
expect "a read-only file system" "$(docker inspect --format '{{.HostConfig.ReadonlyRootfs}}' "$(containers payments)")" true
docker exec "$(containers payments)" sh -c : >/dev/null 2>&1 && fail "the image has a shell"
say "tokens, roles, user and read-only file system: as required"

# --- the routes, on Traefik itself ---
traefik="$(sed -n 's/^ *image: \(traefik:.*\)/\1/p' docker-compose.prod.yml)"
if docker image inspect "$traefik" >/dev/null 2>&1; then
  compose up -d --no-deps traefik >/dev/null 2>&1
  entry="http://$(address "$(containers traefik)")"
  began=$SECONDS
  until [ "$(status "$entry/orchestrator/health/")" = 200 ]; do
    sleep 0.1
    [ $((SECONDS - began)) -lt $patience ] || fail "Traefik does not route"
  done
  for service in "${services[@]}"; do
    expect "$service through Traefik" "$(status "$entry/$service/health/")" 200
    for path in debug/actors metrics %64ebug/actors /metrics; do
      expect "/$service/$path through Traefik" "$(status "$entry/$service/$path")" 404
    done
  done
  empty=(-X POST -H 'content-type: application/json' -d '{}')
  expect "a purchase of nothing through Traefik" "$(status "${empty[@]}" "$entry/orchestrator/saga/transaction")" 422
  compose rm -sf traefik >/dev/null 2>&1
  say "$traefik: five routes, and no way to /debug and /metrics"
else
  say "NOT TRIED: Traefik itself, because $traefik is not among the local images"
fi

# --- replicas, and one killed under load ---
began=$SECONDS
set_value ORCHESTRATOR_REPLICAS 3
set_value PAYMENTS_REPLICAS 2
set -a; . "$work/env"; set +a
compose up -d postgres migrate "${services[@]}" >/dev/null 2>&1
wait_healthy orchestrator 3
wait_healthy payments 2
say "orchestrator=3 payments=2 healthy after $((SECONDS - began)) s"

# Every purchase has a key; the request is repeated with it at the next orchestrator until the answer is final.
round=first
fronts=()
for id in $(containers orchestrator); do fronts+=("http://$(address "$id"):8000/saga/transaction"); done
buy() {
  local worker="$1" number attempt answer
  for ((number = worker; number < sagas; number += workers)); do
    for ((attempt = 0; attempt < 60; attempt++)); do
      answer="$(curl -s --max-time 40 -w ' %{http_code}' -X POST "${fronts[$(((number + attempt) % ${#fronts[@]}))]}" \
        -H 'content-type: application/json' -H "idempotency-key: $round-$number" \
        -d "{\"user_id\":\"user-$((number % 7))\",\"amount\":9.99}" || true)"
      case "$answer" in
        *" 200" | *" 409" | *" 502") echo "$answer"; break ;;
        *) echo "again: $answer" >>"$work/again"; sleep 0.2 ;;
      esac
    done >>"$work/answers.$round.$worker"
  done
}
count() { cat "$work/answers.$round".* 2>/dev/null | grep -c "$1" || true; }
wait_for_buyers() { local job; for job in $(jobs -p); do wait "$job"; done; }
began_ms=$(date +%s%3N)
for ((worker = 0; worker < workers; worker++)); do buy "$worker" & done
victims=()
for service in orchestrator payments; do victims+=("$(containers "$service" | sed -n 1p)"); done
waited=$SECONDS
until [ "$(count .)" -ge $((sagas / 4)) ]; do sleep 0.1; [ $((SECONDS - waited)) -lt $patience ] || fail "the load makes no progress"; done
# As the kernel would kill them; their restart policy starts them again.
for victim in "${victims[@]}"; do
  kill -9 "$(docker inspect --format '{{.State.Pid}}' "$victim")"
  say "killed ${victim:0:12}, $(docker inspect --format '{{index .Config.Cmd 1}}' "$victim"), after $(count .) answers"
done
wait_for_buyers
took_ms=$(($(date +%s%3N) - began_ms))
say "$(count .) of $sagas answered in $((took_ms / 1000)).$((took_ms % 1000 / 100)) s: $(count ' 200$') completed, $(count ' 409$') reverted, $(count ' 502$') failed; $(wc -l <"$work/again" 2>/dev/null || echo 0) repeated requests"
expect "answered purchases" "$(count .)" "$sagas"
for victim in "${victims[@]}"; do
  [ "$(docker inspect --format '{{.RestartCount}}' "$victim")" -ge 1 ] || fail "a killed container was not restarted"
done
wait_healthy orchestrator 3
wait_healthy payments 2
audited() {
  local began=$SECONDS
  until tools audit --settled >"$work/audit" 2>&1; do
    # The sagas of the killed orchestrator are taken over within a lease.
    [ $((SECONDS - began)) -lt 60 ] || { cat "$work/audit"; fail "the audit found violations or unfinished purchases"; }
    sleep 1
  done
  tail -n 2 "$work/audit"
}
audited
completed="$(database ORCHESTRATOR_DB_PASSWORD ms_orchestrator ms_orchestrator "select count(*) from saga where status = 'COMPLETED'")"
expect "completed purchases in the log" "$completed" "$(($(count ' 200$') + 1))"
say "no purchase was lost: $completed completed in the log, as many as were confirmed to clients"

# --- an update and a rollback, under load ---
# Purchases at a steady rate until the file `stop` is there. Each is repeated with its key until it has ended; the
# addresses of the orchestrators are looked up all the time, as a proxy would.
follow_fronts() {
  while [ ! -e "$work/stop" ]; do
    local id
    for id in $(containers orchestrator); do
      [ "$(health "$id")" != healthy ] || echo "http://$(address "$id"):8000/saga/transaction"
    done >"$work/fronts.next" 2>/dev/null
    [ ! -s "$work/fronts.next" ] || mv "$work/fronts.next" "$work/fronts"
    sleep 0.3
  done
}
buy_one() {
  local attempt answer front
  for ((attempt = 0; attempt < 200; attempt++)); do
    front="$(shuf -n 1 "$work/fronts")"
    answer="$(curl -s --connect-timeout 1 --max-time 40 -w ' %{http_code}' -X POST "$front" \
      -H 'content-type: application/json' -H "idempotency-key: $round-$1" \
      -d "{\"user_id\":\"user-$(($1 % 7))\",\"amount\":9.99}" || true)"
    case "$answer" in
      *" 200" | *" 409" | *" 502") echo "$answer"; return ;;
      *) echo "again: $answer" >>"$work/again.$round"; sleep 0.2 ;;
    esac
  done >>"$work/answers.$round.$(($1 % 50))"
}
buy_steadily() {
  local number=0 began_ms due
  began_ms=$(date +%s%3N)
  while [ ! -e "$work/stop" ]; do
    buy_one "$number" &
    number=$((number + 1))
    due=$((began_ms + number * 1000 / rate - $(date +%s%3N)))
    [ $due -le 0 ] || sleep "$(printf '%d.%03d' $((due / 1000)) $((due % 1000)))"
  done
  wait
  echo "$number" >"$work/bought.$round"
}
# Runs update.sh with an image under load, and demands that every purchase completes.
under_load() {
  local target="$1" began=$SECONDS service container
  round="$2"
  rm -f "$work/stop"
  follow_fronts & local follower=$!
  until [ -s "$work/fronts" ]; do sleep 0.1; done
  buy_steadily & local buyers=$!
  until [ "$(count ' 200$')" -ge 50 ]; do sleep 0.2; done
  set_value IMAGE "$target"
  IMAGE="$target" docker/update.sh >"$work/update" 2>&1 || { cat "$work/update"; fail "the update to $target"; }
  grep -E 'accepted|all services run' "$work/update" || true
  touch "$work/stop"
  wait "$follower" "$buyers"
  rm -f "$work/stop" "$work/fronts"
  for service in "${services[@]}"; do
    for container in $(containers "$service"); do
      expect "the image of $service" "$(docker inspect --format '{{.Image}}' "$container")" "$(docker image inspect --format '{{.Id}}' "$target")"
    done
  done
  say "$round to $target in $((SECONDS - began)) s: $(count .) of $(cat "$work/bought.$round") purchases answered at $rate a second: $(count ' 200$') completed, $(count ' 409$') reverted, $(count ' 502$') failed; $(wc -l <"$work/again.$round" 2>/dev/null || echo 0) repeated requests"
  expect "answered purchases" "$(count .)" "$(cat "$work/bought.$round")"
  expect "completed purchases" "$(count ' 200$')" "$(cat "$work/bought.$round")"
}
if [ "${TRY_UPDATE:-yes}" = yes ]; then
  rate="${TRY_RATE:-20}"
  under_load "$newer_image" update
  under_load "$image" rollback
  grep -q 'of a newer program: accepted' "$work/update" || { cat "$work/update"; fail "migrate does not name the newer migrations"; }
  expect "orchestrators after both" "$(containers orchestrator | wc -l)" 3
  audited

  # A schema that states that this image is too old for it.
  history() { docker exec "$(containers postgres)" psql -U postgres -d ms_payments -qtAc "$1"; }
  history "insert into refinery_schema_history values (900, 'drop_something_needs_900', '2026-01-02T03:04:05Z', '1')"
  before="$(containers payments | sort)"
  if IMAGE="$image" docker/update.sh >"$work/update" 2>&1; then fail "an image that is too old is rolled out"; fi
  grep 'is too new for this program' "$work/update" || { cat "$work/update"; fail "the refusal does not name the versions"; }
  expect "replicas after the refusal" "$(containers payments | sort)" "$before"
  history "delete from refinery_schema_history where version = 900"
  say "an image that the schema calls too old is refused, and nothing is replaced"
fi

# --- a backup under load, and a restore ---
if [ "${TRY_BACKUP:-yes}" = yes ]; then
  round=second
  for ((worker = 0; worker < workers; worker++)); do buy "$worker" & done
  until [ "$(count .)" -ge $((sagas / 10)) ]; do sleep 0.1; done
  docker/backup.sh "$work/backups" | while IFS= read -r line; do say "$line"; done
  say "$(count .) of $sagas purchases of this round answered when the backup was done"
  wait_for_buyers
  after="$(database ORCHESTRATOR_DB_PASSWORD ms_orchestrator ms_orchestrator 'select count(*) from saga')"
  began=$SECONDS
  moment="$(database ORCHESTRATOR_DB_PASSWORD ms_orchestrator ms_orchestrator 'select clock_timestamp()')"
  at_moment="$after"
  tools order --user later --amount 1 --target http://orchestrator:8000 >/dev/null
  docker/restore.sh "$work"/backups/base-* >"$work/restore.log" 2>&1 || { cat "$work/restore.log"; fail "the restore"; }
  for service in "${services[@]}"; do wait_healthy "$service" 1; done
  restored="$(database ORCHESTRATOR_DB_PASSWORD ms_orchestrator ms_orchestrator 'select count(*) from saga')"
  say "restored in $((SECONDS - began)) s: $restored of $after purchases are present"
  [ "$restored" -lt "$after" ] && [ "$restored" -gt "$completed" ] || fail "the restored data is not from the moment of the backup"
  # On a timeline of its own the server writes no WAL again that is archived already.
  wal="$(docker exec "$(containers postgres)" psql -U postgres -tAc 'select pg_walfile_name(pg_current_wal_lsn())')"
  expect "the timeline after a restore" "${wal:0:8}" 00000002
  tools order --user held --amount 1 --target http://orchestrator:8000 && fail "a purchase began on hold"
  grep -q 'on hold' "$work/tools" || { cat "$work/tools"; fail "the refusal does not name the hold"; }
  tools release | tail -n 2
  until tools order --user released --amount 1 --target http://orchestrator:8000 >"$work/released"; do sleep 0.5; done
  audited
  say "released: purchases begin, and the unfinished ones have ended"
  expect "orchestrators after the restore" "$(containers orchestrator | wc -l)" 3

  # The same backup, brought to the moment after the last purchase of the round.
  began=$SECONDS
  docker/restore.sh "$work"/backups/base-* "$moment" >"$work/restore.log" 2>&1 || { cat "$work/restore.log"; fail "the restore to a moment"; }
  for service in "${services[@]}"; do wait_healthy "$service" 1; done
  restored="$(database ORCHESTRATOR_DB_PASSWORD ms_orchestrator ms_orchestrator 'select count(*) from saga')"
  say "restored to $moment in $((SECONDS - began)) s: $restored purchases"
  expect "purchases at the moment" "$restored" "$at_moment"
  tools release | tail -n 2
  audited
fi

# --- a swarm of one node ---
if [ "${TRY_SWARM:-yes}" = yes ]; then
  compose stop --timeout 30 "${services[@]}" >/dev/null 2>&1
  docker swarm init --advertise-addr 127.0.0.1 >/dev/null
  swarm=yes
  # The PostgreSQL of the first part is the external server.
  export TRAEFIK_REPLICAS=0 DATABASE_HOST=external-postgres IMAGE="$image"
  began=$SECONDS
  docker stack deploy --detach=true -c docker/swarm.yml "$stack" >/dev/null
  until docker network inspect "${stack}_backend" >/dev/null 2>&1; do sleep 0.2; done
  docker network connect --alias external-postgres "${stack}_backend" "$(containers postgres)"
  ready() { docker stack services --format '{{.Name}} {{.Replicas}}' "$stack" | grep -E "_($(IFS='|'; echo "${services[*]}")) " | grep -c ' 2/2' || true; }
  until [ "$(ready)" -eq 5 ]; do
    sleep 1
    [ $((SECONDS - began)) -lt $((2 * patience)) ] || { docker stack ps --no-trunc "$stack"; fail "the stack does not start"; }
  done
  say "swarm: five services of two replicas each, $((SECONDS - began)) s after deploy"
  beside() { docker run --rm --read-only --network "${stack}_backend" "$image" "$@"; }
  beside order --user swarm --amount 7.25 --target http://orchestrator:8000
  docker service scale --detach=false "${stack}_orchestrator=3" >/dev/null
  beside order --user swarm --amount 7.25 --target http://orchestrator:8000
  audited
  say "swarm: purchases run through the stack, also after a scale to three"
fi
say "all checks passed"
