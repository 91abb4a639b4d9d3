#!/bin/sh
# Starts Prometheus with the numbers of replicas that .env has, as a rule file: Prometheus reads no variables, and the
# alert ReplicaDown compares these numbers with the replicas that answer.
set -eu
rules="${RULES:-/prometheus/replicas.yml}"
{
  echo 'groups:'
  echo '  - name: replicas'
  echo '    rules:'
  for service in orchestrator catalog payments inventory purchases; do
    variable="$(echo "$service" | tr a-z A-Z)_REPLICAS"
    eval "count=\${$variable:-1}"
    case "$count" in
      *[!0-9]*) echo "$variable must be a number, not '$count'" >&2; exit 1 ;;
    esac
    echo "      - {record: ecommerce_replicas_expected, labels: {job: $service}, expr: vector($count)}"
  done
} >"$rules"
exec "${PROMETHEUS:-/bin/prometheus}" "$@"
