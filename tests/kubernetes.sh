#!/usr/bin/env bash
# Checks the chart in docker/kubernetes. It is rendered with each file of tests/data/kubernetes/values and checked against
# the published schemas of Kubernetes, strictly (an unknown field is an error), and against checkov's rules. It needs
# python3 with venv for both checks, and Go 1.21 or newer for Helm and kubeconform. Without Go the renderings that are committed in
# tests/data/kubernetes/rendered are checked, and the checks that could not run are named; with Go they must be current.
#
#   tests/kubernetes.sh            all checks
#   tests/kubernetes.sh --update   renders tests/data/kubernetes/rendered anew
#
# Exit codes: 0 all checks passed; 3 those that ran passed, and Go is missing for the others; else a check failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# renovate: pypi kubernetes-validate
KUBERNETES_VALIDATE=1.37.0
# renovate: pypi checkov
CHECKOV=3.3.30
# renovate: go helm.sh/helm/v4
HELM=v4.3.2
# renovate: go github.com/yannh/kubeconform
KUBECONFORM=v0.8.0
# The Traefik that Compose runs.
TRAEFIK="$(sed -n 's/^ *image: traefik://p' docker-compose.prod.yml)"
# The modules with the custom kinds, and their files.
CRDS=(
  "github.com/traefik/traefik/v3@$TRAEFIK:docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"
  "sigs.k8s.io/gateway-api@v1.4.1:config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
  "github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"
)
# An old release, and a recent one.
RELEASES=(1.30 1.34)
data=tests/data/kubernetes

say() { echo "kubernetes: $*"; }
fail() { echo "kubernetes: $*" >&2; exit 1; }
target="$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/kubernetes"
mkdir -p "$target"
# Renderings are temporary; the tools stay.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Each tool has a venv of its own: checkov pins many versions.
in_venv() {
  local venv="$target/$1-$2"
  [ -x "$venv/bin/python3" ] || {
    say "installing $1 $2"
    rm -rf "$venv.new"
    python3 -m venv "$venv.new"
    "$venv.new/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
    mv "$venv.new" "$venv"
  }
}
# Older versions cannot fetch the one that a module asks for.
has_go() { [[ "$(go version 2>/dev/null)" =~ go1\.(2[1-9]|[3-9][0-9]) ]]; }
with_go() {
  local bin="$target/$1-$2"
  [ -x "$bin/$1" ] || {
    say "building $1 $2"
    GOBIN="$bin" go install "$3@$2"
  }
}
# Helm says that it follows the links to the alerts and the dashboard.
render() {
  local set="$1"
  shift
  "$target/helm-$HELM/helm" template shop docker/kubernetes --namespace ecommerce --values "$data/values/$set.yaml" "$@" 2>"$work/err" ||
    { cat "$work/err" >&2; fail "the chart cannot be rendered with $set.yaml"; }
  grep -v 'msg="found symbolic link in path' "$work/err" >&2 || true
}
# The renderings that are committed: of other ways in, only the routes.
committed() {
  case "$1" in
    default) render default ;;
    gateway | ingress) render "$1" --show-only "templates/$1.yaml" ;;
  esac
}

if has_go; then
  with_go helm "$HELM" helm.sh/helm/v4/cmd/helm
  for set in default gateway ingress; do
    committed "$set" >"$work/committed.yaml"
    [ "${1:-}" != --update ] || cp "$work/committed.yaml" "$data/rendered/$set.yaml"
    diff -u "$data/rendered/$set.yaml" "$work/committed.yaml" >"$work/diff" ||
      { head -40 "$work/diff"; fail "$data/rendered/$set.yaml is not current: tests/kubernetes.sh --update"; }
  done
  [ "${1:-}" != --update ] || exit 0
else
  [ "${1:-}" != --update ] || fail "Helm is needed, and Go to build it"
fi

in_venv kubernetes-validate "$KUBERNETES_VALIDATE"
in_venv checkov "$CHECKOV"
mkdir "$work/rendered"
if has_go; then
  with_go kubeconform "$KUBECONFORM" github.com/yannh/kubeconform/cmd/kubeconform
  for values in "$data"/values/*.yaml; do
    set="$(basename "$values" .yaml)"
    "$target/helm-$HELM/helm" lint --strict --quiet --values "$values" docker/kubernetes >"$work/lint" 2>&1 ||
      { cat "$work/lint"; fail "helm lint: $set.yaml"; }
    render "$set" >"$work/rendered/$set.yaml"
  done
  # Mistakes that the schema of the values or a template rejects.
  for mistake in image.tagg=x initialStock=-1 routes=nginx database.url=postgres://user:secret@db/ settings.ECOMMERCE__AUTH__API_TOKEN=x migrate.evenIncompatible=true; do
    ! "$target/helm-$HELM/helm" template shop docker/kubernetes --values "$data/values/default.yaml" --set "$mistake" >/dev/null 2>&1 ||
      fail "the chart accepts $mistake"
  done
  say "helm: $(find "$work/rendered" -name '*.yaml' | wc -l) sets of values are linted and rendered; the committed renderings are current"
else
  cp "$data"/rendered/*.yaml "$work/rendered/"
fi

python="$target/kubernetes-validate-$KUBERNETES_VALIDATE/bin/python3"
check() { "$python" "$data/check.py" "$@"; }
check schemas "$work/rendered" "${RELEASES[@]}"
if has_go; then
  # The schemas come from the package above and from the modules that define the custom kinds: nothing else is fetched.
  crds=()
  for module in "${CRDS[@]}"; do
    folder="$(go mod download -json "${module%%:*}" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Dir"])')"
    for file in ${module#*:}; do crds+=("$folder/$file"); done
  done
  check crds "$work/crds" "${crds[@]}"
  check copy "$work/schemas" "${RELEASES[@]}"
  for release in "${RELEASES[@]}"; do
    "$target/kubeconform-$KUBECONFORM/kubeconform" -summary \
      -schema-location "$work/schemas/$release/{{.ResourceKind}}{{.KindSuffix}}.json" \
      -schema-location "$work/crds/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" \
      "$work/rendered" >"$work/kubeconform" || { cat "$work/kubeconform"; exit 1; }
    say "kubeconform: Kubernetes $release: $(tail -1 "$work/kubeconform")"
  done
  check sources "$work/rendered/everything.yaml"
fi

# Without a network it would wait for addresses of its vendor.
checkov="$target/checkov-$CHECKOV/bin"
"$checkov/python3" "$checkov/checkov" --framework kubernetes --skip-download --directory "$work/rendered" --output json \
  >"$work/checkov.json" 2>"$work/checkov.log" || [ -s "$work/checkov.json" ] || { cat "$work/checkov.log"; exit 1; }
check checkov "$work/checkov.json" "$data/accepted.txt"

if ! has_go; then
  say "not run, since Go 1.21 or newer is not installed: helm lint, helm template, kubeconform"
  exit 3
fi
