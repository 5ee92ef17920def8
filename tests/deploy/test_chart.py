"""The chart, rendered by the real helm: `make helm` builds it where Go is."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "burnline"
EXAMPLES = CHART.parent / "examples"
RENDERED = Path(__file__).parent / "rendered"
HELM = ROOT / ".helm" / "helm"
pytestmark = pytest.mark.skipif(
    not HELM.exists(), reason="helm is not in .helm/: make helm (the manifests are checked without)"
)
WHERE = ("--namespace", "slo", "--kube-version", "v1.34.0")
SLOS = ["--set", "slos.existingConfigMap=ours"]
CLUSTER = [*SLOS, "--set", "mode=cluster,kafka.brokers={a:9092},kafka.traces={spans}"]


def _helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def _template(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return _helm("template", "burnline", CHART, *WHERE, *arguments)


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.yaml"))])
def test_examples_are_rendered_as_committed(name: str) -> None:
    ran = _template("--values", EXAMPLES / name)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == (RENDERED / name).read_text(), "make chart renders them anew"


def test_helm_has_nothing_to_say_against_it() -> None:
    examples = sorted(EXAMPLES.glob("*.yaml"))
    for values in examples:
        ran = _helm("lint", CHART, "--strict", "--kube-version", "v1.34.0", "--values", values)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "no SLOs: give slos.files, or the name of a ConfigMap in slos.existingConfigMap"),
        ([*SLOS, "--set", "modus=cluster"], "'modus' not allowed"),
        ([*SLOS, "--set", "kafka.topics={a}"], "'topics' not allowed"),
        ([*SLOS, "--set", "mode=twin"], "at '/mode': value must be one of 'single', 'cluster'"),
        (
            [*SLOS, "--set", "snapshotInterval=10"],
            "at '/snapshotInterval': got number, want string",
        ),
        ([*SLOS, "--set", "spoolSize=4Gi"], "at '/spoolSize'"),
        ([*SLOS, "--set", "alertmanagers={am:9093}"], "at '/alertmanagers/0'"),
        ([*SLOS, "--set", "workers=0"], "at '/workers': minimum: got 0, want 1"),
        ([*SLOS, "--set", "image.digest=latest"], "at '/image/digest'"),
        ([*SLOS, "--set", "slos.files.a\\.yaml=x"], "are both given; give one of them"),
        (["--set", "slos.files.readme\\.md=x"], '"readme.md" is no name of an SLO file'),
        ([*SLOS, "--set", "prices.file=x,prices.existingConfigMap.name=y"], "are both given"),
        ([*SLOS, "--set", "tls.clientCa.name=ca"], "tls.clientCa needs tls.existingSecret"),
        (
            [
                *SLOS,
                "--set",
                "tls.existingSecret=t,tls.clientCa.name=ca,podMonitor.enabled=true",
            ],
            "tls.clientCa keeps Prometheus out; give podMonitor.clientCert",
        ),
        ([*SLOS, "--set", "workers=17"], "shards is 16, fewer than the 17 workers"),
        ([*SLOS, "--set", "kafka.brokers={a:1}"], "take mode: cluster"),
        ([*SLOS, "--set", "mode=cluster"], "give kafka.brokers, or take mode: single"),
        ([*SLOS, "--set", "mode=cluster,kafka.brokers={a:1}"], "nothing to read: give topics"),
        ([*CLUSTER, "--set", "kafka.brokers={a}"], "at '/kafka/brokers/0'"),
        ([*CLUSTER, "--set", "kafka.metrics={spans}"], "a topic is named twice"),
        ([*CLUSTER, "--set", "kafka.alerts=spans"], "a topic is named twice"),
        (
            [*CLUSTER, "--set", "cluster.replicas=9,workers=2"],
            "shards is 16, fewer than the 18 workers",
        ),
        ([*CLUSTER, "--set", "cluster.replicas=17"], "fewer than the 17 of cluster.replicas"),
        ([*CLUSTER, "--set", "auth.otlpTokens.name=t"], "a cluster reads from Kafka"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else None,
)
def test_a_mistake_is_named(given: list[str], told: str) -> None:
    ran = _template(*given)
    assert ran.returncode != 0
    assert told in ran.stderr


def test_slo_files_arrive_as_they_are(tmp_path: Path) -> None:
    """Whatever stands in them: braces of templates, edges of YAML, one file or many."""
    files = {
        "braces.yaml": "summary: '{{ $labels.instance }} {{ .Values.mode }}'\n",
        "indented.yaml": "   three blanks first\nthen none\n",
        "open.yaml": "no end of line",
        "blank.yml": "\n\n# ends with blank lines\n\n\n",
        "other.yaml": "ü € \U0001f525 \\ \" ' : - # \ttab\n--- \n...\n",
        "empty.yaml": "",
    }
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"slos": {"files": files}, "prices": {"file": " a\nb"}}))
    ran = _template("--values", values)
    assert ran.returncode == 0, ran.stderr
    maps = [m for m in yaml.safe_load_all(ran.stdout) if m and m["kind"] == "ConfigMap"]
    assert [m["data"] for m in maps] == [files, {"prices.yaml": " a\nb"}]


def test_what_a_cluster_reads_marks_its_pods(tmp_path: Path) -> None:
    """Another file, another template, so that it can be seen which pods are older."""
    marks = set()
    for text in ("a: 1", "a: 2", "a: 1"):
        values = tmp_path / "values.yaml"
        values.write_text(yaml.safe_dump({"slos": {"files": {"a.yaml": text}}}))
        ran = _template("--values", values, *CLUSTER[2:])
        (stateful,) = [
            m for m in yaml.safe_load_all(ran.stdout) if m and m["kind"] == "StatefulSet"
        ]
        marks.add(stateful["spec"]["template"]["metadata"]["annotations"]["burnline/slos"])
    assert len(marks) == 2


def test_long_names_stay_names_of_services() -> None:
    ran = _template(*CLUSTER, "--set", f"fullnameOverride={'long-' * 20}")
    made = [m for m in yaml.safe_load_all(ran.stdout) if m]
    pods = [m["metadata"]["name"] + "-1023" for m in made if m["kind"] == "StatefulSet"]
    names = [m["metadata"]["name"] for m in made] + pods
    assert all(len(name) <= 63 and not name.endswith("-") for name in names)


def test_notes_name_what_is_open_and_what_to_do(tmp_path: Path) -> None:
    """As a manifest of a copy of the chart: helm itself shows notes only where it reaches a Kubernetes."""
    chart = tmp_path / "burnline"
    shutil.copytree(CHART, chart)
    notes = chart / "templates" / "NOTES.txt"
    text = f'{{{{ define "notes" }}}}{notes.read_text()}{{{{ end }}}}'
    (chart / "templates" / "_notes.tpl").write_text(text)
    wrapped = 'kind: Notes\ntext: {{ include "notes" . | toJson }}\n'
    (chart / "templates" / "notes.yaml").write_text(wrapped)

    def shown(*given: str) -> str:
        ran = _helm("template", "x", chart, *WHERE, "--show-only", "templates/notes.yaml", *given)
        assert ran.returncode == 0, ran.stderr
        return str(yaml.safe_load(ran.stdout)["text"])

    single = shown(*SLOS)
    assert "gRPC  x-burnline.slo:4317" in single
    assert "Whoever reaches it may send" in single
    assert "Alerts reach nobody yet" in single
    labels = "app.kubernetes.io/name=burnline,app.kubernetes.io/instance=x"
    assert f"kubectl -n slo delete pod -l {labels}" in shown(*CLUSTER)


def test_a_package_holds_the_rules(tmp_path: Path) -> None:
    """Which are a link in the repository."""
    ran = _helm("package", CHART, "--destination", tmp_path)
    assert ran.returncode == 0, ran.stderr
    (package,) = tmp_path.glob("burnline-*.tgz")
    with tarfile.open(package) as files:
        rules = files.extractfile("burnline/files/prometheus-rules.yml")
        assert rules is not None
        assert rules.read() == (ROOT / "deploy" / "prometheus-rules.yml").read_bytes()
