"""Checks of rendered charts for tests/kubernetes.sh.

check.py schemas FOLDER RELEASE…   validates each object against the schema of the releases, strictly
check.py copy TARGET RELEASE…      writes the package's schemas for kubeconform, which resolves references by path
check.py crds TARGET FILE…         writes the schemas of custom resources for kubeconform, strict ones
check.py sources RENDERING         compares alerts and dashboard with their only source
check.py checkov REPORT ACCEPTED   shows the figures of checkov's report; every failed check needs a reason
"""

import collections
import json
import pathlib
import sys


def documents(file):
    import yaml

    return [one for one in yaml.safe_load_all(pathlib.Path(file).read_text()) if one]


def schemas(folder, *releases):
    import kubernetes_validate

    checked = without = 0
    for file in sorted(pathlib.Path(folder).glob("*.yaml")):
        for one in documents(file):
            # Kinds of Traefik, of the Gateway API and of Prometheus Operator.
            if one["apiVersion"].split("/")[0] in ("traefik.io", "gateway.networking.k8s.io", "monitoring.coreos.com"):
                without += 1
                continue
            for release in releases:
                try:
                    kubernetes_validate.validate(one, release, strict=True)
                except kubernetes_validate.ValidationError as error:
                    place = "/".join(str(step) for step in error.path)
                    sys.exit(f"kubernetes: {file.name}: {one['kind']} {one['metadata']['name']}: {place}: {error.message}")
            checked += 1
    if not checked:
        sys.exit(f"kubernetes: {folder} has no objects")
    print(f"kubernetes: {checked} objects are valid for Kubernetes {' and '.join(releases)}; {without} are of custom kinds")


def copy(target, *releases):
    import kubernetes_validate

    package = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    for release in releases:
        folder = pathlib.Path(target, release)
        folder.mkdir(parents=True)
        for file in (package / f"v{release}.0-local-strict").glob("*.json"):
            schema = json.loads(file.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
            # An address at which there is nothing.
            schema.pop("$id", None)
            (folder / file.name).write_text(json.dumps(schema))


def close(schema):
    """Makes unknown fields errors, as the server does with strict validation."""
    if isinstance(schema, dict):
        keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if "properties" in schema and not keeps:
            schema["additionalProperties"] = False
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)


def crds(target, *files):
    for file in files:
        for crd in documents(file):
            for version in crd["spec"]["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                for known in ("apiVersion", "kind", "metadata"):
                    schema["properties"].setdefault(known, {})
                # An object of any form in a CRD.
                schema["properties"]["metadata"] = {"type": "object"}
                close(schema)
                folder = pathlib.Path(target, crd["spec"]["group"])
                folder.mkdir(parents=True, exist_ok=True)
                name = f"{crd['spec']['names']['kind'].lower()}_{version['name']}.json"
                (folder / name).write_text(json.dumps(schema))


def sources(rendering):
    objects = documents(rendering)
    [rules] = [one for one in objects if one["kind"] == "PrometheusRule"]
    [alerts] = documents("docker/prometheus/alerts.yml")
    expected = [group for group in alerts["groups"] if group["name"] != "server"]
    if rules["spec"]["groups"][1:] != expected or not expected:
        sys.exit("kubernetes: the PrometheusRule has other alerts than docker/prometheus/alerts.yml")
    [dashboard] = [one for one in objects if one["kind"] == "ConfigMap" and "sagas.json" in one["data"]]
    if json.loads(dashboard["data"]["sagas.json"]) != json.loads(pathlib.Path("docker/grafana/dashboards/sagas.json").read_text()):
        sys.exit("kubernetes: the dashboard's ConfigMap is not docker/grafana/dashboards/sagas.json")
    count = sum(len(group["rules"]) for group in expected)
    print(f"kubernetes: {count} alerts and the dashboard are those of their source")


def checkov(report, accepted):
    lines = [line for line in pathlib.Path(accepted).read_text().splitlines() if line and not line.startswith("#")]
    reasons = dict(line.split(" ", 1) for line in lines)
    found = json.loads(pathlib.Path(report).read_text())
    failed = collections.Counter()
    for check in found["results"]["failed_checks"]:
        failed[check["check_id"]] += 1
        if check["check_id"] not in reasons:
            sys.exit(f"kubernetes: checkov: {check['check_id']}: {check['check_name']}: {check['file_path']} {check['resource']}")
    summary = found["summary"]
    if summary["parsing_errors"] or not summary["passed"]:
        sys.exit(f"kubernetes: checkov: {summary}")
    unused = reasons.keys() - failed.keys()
    if unused:
        sys.exit(f"kubernetes: {accepted}: nothing needs {', '.join(sorted(unused))}")
    print(f"kubernetes: checkov: {summary['passed']} checks passed, {summary['failed']} are accepted with a reason: {dict(failed)}")


if __name__ == "__main__":
    {"schemas": schemas, "copy": copy, "crds": crds, "sources": sources, "checkov": checkov}[sys.argv[1]](*sys.argv[2:])
