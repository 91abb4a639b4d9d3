#!/usr/bin/env bash
# Runs a command of `ecommerce` as a job in the cluster, with the passwords of the services' roles and the operator token,
# shows what it prints, and ends with its exit code. The job is deleted after an hour.
#
#   NAMESPACE=ecommerce docker/kubernetes/tools.sh audit
#   docker/kubernetes/tools.sh release --anyway
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
kube() { kubectl --namespace "${NAMESPACE:-ecommerce}" "$@"; }

arguments=""
for argument; do
  argument="${argument//\\/\\\\}"
  arguments+="${arguments:+, }\"${argument//\"/\\\"}\""
done
job="tools-$(date -u +%Y%m%d-%H%M%S)-$$"
kube create job "$job" --from=cronjob/tools --dry-run=client -o json |
  kube patch --local -f - --type=json -o json \
    -p "[{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": [$arguments]}]" |
  kube create -f - >&2

pods=(pods --selector "job-name=$job")
state() { kube get "${pods[@]}" -o "jsonpath={.items[0].status.containerStatuses[0].state.$1}" 2>/dev/null || true; }
# Up to ten minutes for the image and a free node; the command itself has no limit.
for _ in $(seq 600); do
  [ -z "$(state running)$(state terminated)" ] || break
  sleep 1
done
kube logs --follow "job/$job"
until code="$(state terminated.exitCode)" && [ -n "$code" ]; do
  [ -n "$(kube get "${pods[@]}" -o name)" ] || { echo "tools: the pod of $job is gone; its exit code is unknown" >&2; exit 1; }
  sleep 1
done
exit "$code"
