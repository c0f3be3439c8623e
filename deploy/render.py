"""Renders the chart by Helm's own engine, and checks what comes out. deploy/render.sh and tests/deploy.rs call it.

In:  render [VALUES.json]   values over the chart's and deploy/manifest.values.yaml, from the file or none
     render-json [VALUES.json]  the same as JSON: the text, and its objects
     lint                   `helm lint --strict` with the default values
     json FILE              the objects of a manifest as a JSON array
     values                 the chart's default values as JSON
     validate FILE VERSION  every object of the file, strictly, against the schemas of that Kubernetes version, or `newest`
Out: the manifest (YAML, in the order in which it is to be applied) or findings on standard output; exit code 1 with the
     reason on standard error when something is wrong. It needs no network and no cluster.
"""

import functools
import json
import pathlib
import sys

import helm_python
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent
CHART = DEPLOY / "helm" / "ringside"
NAMESPACE = "ringside"

# Who must be there before whom. The APIServices come last: from then on the API server asks the aggregator.
ORDER = [
    "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "NetworkPolicy",
    "PodDisruptionBudget", "Service", "DaemonSet", "Deployment", "ServiceMonitor", "PodMonitor",
    "APIService",
]

HEADER = """\
# ringside: the whole of it for one cluster. kubectl apply -f deploy/daemonset.yaml
# Rendered from deploy/helm/ringside by deploy/render.sh; change the chart, not this file.
# docs/deploy.md says what each permission is for, and docs/metrics-server.md what to do where a metrics-server runs.
"""


def objects(values):
    """The documents of the chart: (kind, name, text)."""
    with helm_python.Chart.load(CHART) as chart:
        # Rendering alone does not check the schema; an install does.
        chart.validate_schema(chart.merge_values(values))
        files = chart.render(values, name="ringside", namespace=NAMESPACE)
    for path in sorted(files):
        if not path.endswith(".yaml"):
            continue
        for text in ("\n" + files[path]).split("\n---"):
            parsed = yaml.safe_load(text)
            if parsed:
                yield parsed["kind"], parsed["metadata"]["name"], text.strip("\n")


def manifest(values_file):
    values = yaml.safe_load((DEPLOY / "manifest.values.yaml").read_text())
    if values_file:
        values.update(json.loads(pathlib.Path(values_file).read_text()))
    found = list(objects(values))
    unknown = sorted({kind for kind, _, _ in found} - set(ORDER))
    if unknown:
        sys.exit(f"render.py: say in ORDER when {', '.join(unknown)} is to be applied")
    found.sort(key=lambda each: ORDER.index(each[0]))
    return HEADER + "".join(f"---\n{text}\n" for _, _, text in found)


def render(values_file=None):
    sys.stdout.write(manifest(values_file))


def parse(text):
    return [parsed for parsed in yaml.safe_load_all(text) if parsed]


def render_json(values_file=None):
    text = manifest(values_file)
    json.dump({"manifest": text, "objects": parse(text)}, sys.stdout)


def lint():
    report = helm_python.lint(CHART, {}, strict=True)
    bad = [message for message in report["messages"] if message["severity"] >= 2]
    if bad or report["errors"]:
        sys.exit(json.dumps(report, indent=2))


def as_json(file):
    json.dump(parse(pathlib.Path(file).read_text()), sys.stdout)


def values():
    with helm_python.Chart.load(CHART) as chart:
        json.dump(chart.values, sys.stdout)


def validate(file, version):
    if version == "newest":
        version = kubernetes_validate.latest_version()
    # Otherwise the definitions, some megabytes, are read again for every object.
    kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
    checked = 0
    # Of the Prometheus operator, not of Kubernetes.
    without_schema = {"ServiceMonitor", "PodMonitor"}
    for parsed in parse(pathlib.Path(file).read_text()):
        if parsed["kind"] in without_schema:
            continue
        try:
            kubernetes_validate.validate(parsed, version, strict=True)
        except Exception as error:  # its kinds of error have no common class
            where = f"{parsed.get('kind')}/{parsed.get('metadata', {}).get('name')}"
            sys.exit(f"{where} is not valid in Kubernetes {version}: {getattr(error, 'message', error)}")
        checked += 1
    print(f"{checked} objects are valid in Kubernetes {version}")


if __name__ == "__main__":
    commands = {"render": render, "render-json": render_json, "lint": lint, "json": as_json, "values": values, "validate": validate}
    command = commands.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if command is None:
        sys.exit(__doc__)
    try:
        command(*sys.argv[2:])
    except helm_python.HelmError as error:
        sys.exit(f"render.py: {error}")
