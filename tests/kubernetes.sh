#!/usr/bin/env bash
# Checks docker/kubernetes against the published schemas of Kubernetes, strictly: an unknown field is an error. It needs
# python3 with venv. Files without a schema (Traefik's kinds, the kustomizations) are checked by
# tests/suites/deployment. Where kubectl is installed, what it renders is checked too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=1.37.0
# An old release, and a recent one.
RELEASES=(1.30 1.34)

target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')"
venv="$target/kubernetes-validate-$VERSION"
if [ ! -x "$venv/bin/kubernetes-validate" ]; then
  echo "kubernetes: installing kubernetes-validate $VERSION"
  rm -rf "$venv" "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$VERSION"
  mv "$venv.new" "$venv"
fi
files=()
for file in docker/kubernetes/*.yaml docker/kubernetes/service/*.yaml; do
  case "$file" in */kustomization.yaml | */ingress.yaml) ;; *) files+=("$file") ;; esac
done
if command -v kubectl >/dev/null; then
  rendered="$venv/rendered.yaml"
  # Traefik's kinds come last.
  kubectl kustomize docker/kubernetes | sed '/^apiVersion: traefik/,$d' >"$rendered"
  files+=("$rendered")
else
  echo "kubernetes: kubectl is not installed, so the kustomization is not rendered"
fi
for release in "${RELEASES[@]}"; do
  "$venv/bin/python3" -m kubernetes_validate --strict --kubernetes-version "$release" "${files[@]}" >"$venv/log" 2>&1 || { cat "$venv/log"; exit 1; }
  echo "kubernetes: ${#files[@]} files are valid for Kubernetes $release"
done
