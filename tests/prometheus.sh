#!/usr/bin/env bash
# Checks the configuration of Prometheus and Alertmanager, and runs the tests of the alerts (docker/prometheus/tests.yml).
# promtool and amtool come from Debian's packages, unpacked into the target folder: an installation would start daemons.
#
#   tests/prometheus.sh          all checks
#   tests/prometheus.sh --path   only unpacks, and prints the folder of the programs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PACKAGES=(prometheus prometheus-alertmanager prometheus-node-exporter prometheus-postgres-exporter)
target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
folder="$target/prometheus"
if [ ! -x "$folder/usr/bin/promtool" ]; then
  command -v apt-get >/dev/null || { echo "prometheus: there is no apt-get to get promtool with" >&2; exit 1; }
  echo "prometheus: unpacking ${PACKAGES[*]}" >&2
  rm -rf "$folder" "$folder.new"
  mkdir -p "$folder.new/packages"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq >&2
  (cd "$folder.new/packages" && apt-get download -qq "${PACKAGES[@]}" >&2)
  for package in "$folder.new"/packages/*.deb; do dpkg-deb -x "$package" "$folder.new"; done
  rm -rf "$folder.new/packages"
  mv "$folder.new" "$folder"
fi
PATH="$folder/usr/bin:$PATH"
if [ "${1:-}" = --path ]; then
  echo "$folder/usr/bin"
  exit
fi
promtool check config docker/prometheus/prometheus.yml >/dev/null || { promtool check config docker/prometheus/prometheus.yml; exit 1; }
amtool check-config docker/alertmanager/alertmanager.yml >/dev/null || { amtool check-config docker/alertmanager/alertmanager.yml; exit 1; }
promtool test rules docker/prometheus/tests.yml >/dev/null || { promtool test rules docker/prometheus/tests.yml; exit 1; }
echo "prometheus: $(grep -c 'alert:' docker/prometheus/alerts.yml) alerts, $(grep -c 'name: ' docker/prometheus/tests.yml) tests of them passed"
