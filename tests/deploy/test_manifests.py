"""What the chart renders is what Kubernetes, the Prometheus operator and the engine itself take.

Manifests of the chart's examples, in `rendered/`; `test_chart.py` sees that helm makes the same.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import kubernetes_validate
import pytest
import yaml

from dataflows.cli import main
from dataflows.options import SECRETS, settings_of
from engine import price_files
from slo import load
from tests.deploy.operator_schemas import POD_MONITOR, PROMETHEUS_RULE

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "burnline"
EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))
RENDERED = sorted((Path(__file__).parent / "rendered").glob("*.yaml"))
OPERATOR = {"PodMonitor": POD_MONITOR, "PrometheusRule": PROMETHEUS_RULE}
# The oldest that Chart.yaml allows, and the newest whose schemas are here.
VERSIONS = ("1.27", "1.32", kubernetes_validate.latest_version())
BYTEWAX = {"BYTEWAX_POD_NAME", "BYTEWAX_STATEFULSET_NAME", "BYTEWAX_ADDRESSES"}
RUN = main.commands["run"]


class Example(NamedTuple):
    """The values of an example, and what is made of them."""

    values: dict[str, Any]
    manifests: list[Manifest]

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    @property
    def cluster(self) -> bool:
        return self.values.get("mode") == "cluster"

    @property
    def stateful(self) -> Manifest:
        (found,) = self.of("StatefulSet")
        return found

    @property
    def pod(self) -> Manifest:
        return self.stateful["spec"]["template"]["spec"]

    @property
    def engine(self) -> Manifest:
        (found,) = self.pod["containers"]
        return found


def _examples() -> Iterator[Example]:
    for path in RENDERED:
        values = yaml.safe_load((CHART.parent / "examples" / path.name).read_text())
        yield Example(values, list(yaml.safe_load_all(path.read_text())))


ALL = dict(zip([path.stem for path in RENDERED], _examples(), strict=True))


@pytest.fixture(params=ALL)
def example(request: pytest.FixtureRequest) -> Example:
    return ALL[request.param]


def test_every_example_is_rendered() -> None:
    assert [path.name for path in RENDERED] == [path.name for path in EXAMPLES]
    assert {each.cluster for each in ALL.values()} == {True, False}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(example: Example, version: str) -> None:
    for manifest in example.manifests:
        if manifest["kind"] not in OPERATOR:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_that_moves_a_process_fits_the_chart(version: str) -> None:
    job = yaml.safe_load((CHART.parent / "move-process.yaml").read_text())
    kubernetes_validate.validate(job, version, strict=True)
    pod = job["spec"]["template"]["spec"]
    example = ALL["cluster"]
    (claim,) = example.stateful["spec"]["volumeClaimTemplates"]
    name = example.stateful["metadata"]["name"]
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]]
    assert claims == [f"{claim['metadata']['name']}-{name}-{number}" for number in (2, 0)]
    theirs = example.pod["securityContext"]
    assert pod["securityContext"].items() <= theirs.items()


def test_the_job_moves_what_process_0_takes_over(tmp_path: Path) -> None:
    """Killed after any of its steps and run again, there is one whole copy and no second one."""
    job = yaml.safe_load((CHART.parent / "move-process.yaml").read_text())
    script = job["spec"]["template"]["spec"]["containers"][0]["command"][2]
    lines = script.replace("/from/", "from/").replace("/to/", "to/")
    done = "\n".join(line for line in lines.splitlines() if line.startswith("  "))
    for steps in range(1, 4):
        volumes = tmp_path / str(steps)
        (volumes / "from/data/process-2/recovery").mkdir(parents=True)
        (volumes / "from/data/process-2/recovery/part-2.sqlite3").write_text("state")
        (volumes / "to/data/recovery").mkdir(parents=True)
        first = "\n".join(done.splitlines()[:steps])
        subprocess.run(["sh", "-ec", first], cwd=volumes, check=True)
        subprocess.run(["sh", "-ec", lines], cwd=volumes, check=True)
        files = sorted(str(f.relative_to(volumes)) for f in volumes.rglob("*") if f.is_file())
        assert files == [
            "from/data/moved-process-2/recovery/part-2.sqlite3",
            "to/data/process-2/recovery/part-2.sqlite3",
        ]


def test_the_schemas_would_notice() -> None:
    wrong = json.loads(json.dumps(ALL["single"].stateful))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_the_operator_knows_every_field() -> None:
    found = set()
    for example in ALL.values():
        for manifest in example.manifests:
            if schema := OPERATOR.get(manifest["kind"]):
                jsonschema.validate(manifest, schema)
                found.add(manifest["kind"])
    assert found == set(OPERATOR)


def test_rules_about_the_engine_are_those_of_deploy() -> None:
    """Which promtool has checked. One file: the chart holds a link to it."""
    link = CHART / "files" / "prometheus-rules.yml"
    assert link.is_symlink()
    assert link.samefile(ROOT / "deploy" / "prometheus-rules.yml")
    (rule,) = ALL["single-closed"].of("PrometheusRule")
    assert rule["spec"] == yaml.safe_load(link.read_text())


def test_rules_find_the_job_that_pods_are_scraped_as() -> None:
    jobs = re.findall(r'job="(\w+)"', (ROOT / "deploy" / "prometheus-rules.yml").read_text())
    for example in ALL.values():
        for monitor in example.of("PodMonitor"):
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            (named,) = [r for r in endpoint["relabelings"] if r["targetLabel"] == "job"]
            assert set(jobs) == {named["replacement"]}


def test_the_engine_takes_the_arguments(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, with the environment of the first pod."""
    monkeypatch.delenv("BURNLINE_SLOS", raising=False)
    pod = f"{example.stateful['metadata']['name']}-0"
    for variable in example.engine["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", pod))
    if "BURNLINE_ALERTMANAGER" in {variable["name"] for variable in example.engine["env"]}:
        monkeypatch.setenv("BURNLINE_ALERTMANAGER", "http://user:secret@alertmanager")
    name, *arguments = example.engine["args"]
    assert name == "run"
    settings = settings_of(RUN.make_context(name, list(arguments)).params)
    assert (settings.kafka is not None) is (settings.cluster is not None) is example.cluster
    assert settings.watch is not example.cluster


def test_the_engine_knows_the_variables(example: Example) -> None:
    known = {str(parameter.envvar) for parameter in RUN.params} | set(SECRETS.values())
    names = [variable["name"] for variable in example.engine["env"]]
    assert len(names) == len(set(names))
    ours = set(names) - {"NUMBA_CACHE_DIR"} - (BYTEWAX if example.cluster else set())
    assert ours <= known
    assert set(names) >= (BYTEWAX if example.cluster else set())


def test_every_volume_is_mounted_and_every_mount_has_one(example: Example) -> None:
    claims = {
        claim["metadata"]["name"] for claim in example.stateful["spec"]["volumeClaimTemplates"]
    }
    volumes = {volume["name"] for volume in example.pod["volumes"]}
    containers = [example.engine, *example.pod["initContainers"]]
    mounted = [mount for container in containers for mount in container["volumeMounts"]]
    assert claims.isdisjoint(volumes)
    assert {mount["name"] for mount in mounted} == claims | volumes
    for container in containers:
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))


def test_what_the_engine_writes_lies_on_a_volume(example: Example) -> None:
    """All else is read-only; state lies on the claim, and what can be made anew does not."""
    mounts = {m["mountPath"]: m for m in example.engine["volumeMounts"]}
    data = _argument(example, "--data-dir")
    assert Path(data).parent == Path("/var/lib/burnline")
    assert mounts["/var/lib/burnline"]["name"] == "data"
    (cache,) = [v["value"] for v in example.engine["env"] if v["name"] == "NUMBA_CACHE_DIR"]
    kernels = mounts[cache]["name"]
    (empty,) = [v for v in example.pod["volumes"] if v["name"] == kernels]
    assert "emptyDir" in empty
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"/var/lib/burnline", cache, "/tmp"}  # noqa: S108  the pod's own


def test_every_file_that_is_named_is_mounted(example: Example) -> None:
    mounts = {m["mountPath"]: m["name"] for m in example.engine["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in example.pod["volumes"]}
    for argument in example.engine["args"]:
        _, _, path = argument.partition("=/")
        if not path or argument.startswith(("--slos", "--data-dir")):
            continue
        file = Path("/", path)
        volume = volumes[mounts[str(file.parent)]]
        sources = volume.get("projected", {}).get("sources", [volume])
        items = [i for s in sources for i in (s.get("secret") or s["configMap"])["items"]]
        assert [i["path"] for i in items].count(file.name) == 1, argument
    assert _argument(example, "--slos") in mounts


def test_config_maps_are_there_or_the_users(example: Example) -> None:
    made = {manifest["metadata"]["name"] for manifest in example.of("ConfigMap")}
    named = {v["configMap"]["name"] for v in example.pod["volumes"] if "configMap" in v}
    assert made <= named
    assert named - made <= set(re.findall(r"our-\w+", json.dumps(example.values)))


def test_secrets_are_those_of_the_values(example: Example) -> None:
    text = json.dumps(example.values)
    for volume in example.pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            assert f'"{source["secret"]["name"]}"' in text
    assert not example.of("Secret")


def test_ports_have_the_names_by_which_they_are_called(example: Example) -> None:
    ports = {port["name"]: port["containerPort"] for port in example.engine["ports"]}
    called = {port["targetPort"] for s in example.of("Service") for port in s["spec"]["ports"]}
    assert called == set(ports)
    for service in example.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert example.engine[probe]["httpGet"]["port"] == "http"
    for monitor in example.of("PodMonitor"):
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
    (policy,) = example.of("NetworkPolicy")
    allowed = {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
    assert allowed == set(ports)


def test_the_engine_listens_at_the_ports(example: Example) -> None:
    ports = {port["name"]: port["containerPort"] for port in example.engine["ports"]}
    listens = {"http": "--http", "otlp-grpc": "--otlp-grpc", "otlp-http": "--otlp-http"}
    for name, option in listens.items():
        if name in ports:
            assert _argument(example, option) == f"0.0.0.0:{ports[name]}"
    peers = {int(address.rpartition(":")[2]) for address in _addresses(example)}
    assert peers == ({ports["peers"]} if example.cluster else set())


def test_probes_ask_as_the_pages_answer(example: Example) -> None:
    closed = "tls" in example.values
    for probe, path in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]:
        get = example.engine[probe]["httpGet"]
        assert (get["path"], get["scheme"]) == (path, "HTTPS" if closed else "HTTP")
    for monitor in example.of("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["scheme"] == ("https" if closed else "http")


def test_selectors_meet_the_pods(example: Example) -> None:
    labels = example.stateful["spec"]["template"]["metadata"]["labels"]
    selectors = [
        example.stateful["spec"]["selector"]["matchLabels"],
        *(s["spec"]["selector"] for s in example.of("Service")),
        *(s["spec"]["podSelector"]["matchLabels"] for s in example.of("NetworkPolicy")),
        *(s["spec"]["selector"]["matchLabels"] for s in example.of("PodMonitor")),
        *(s["spec"]["selector"]["matchLabels"] for s in example.of("PodDisruptionBudget")),
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in example.pod.get("topologySpreadConstraints", [])
        ),
    ]
    for selector in selectors:
        assert len(selector) == 2
        assert selector.items() <= labels.items()


def test_what_can_never_change_names_no_version(example: Example) -> None:
    """Else no later version of the chart could be rolled out over this one."""
    spec = example.stateful["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    fixed = [spec["selector"], claim, spec["serviceName"]]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version not in json.dumps(fixed)
    assert "version" not in json.dumps(spec["selector"])


def test_processes_find_each_other(example: Example) -> None:
    addresses = _addresses(example)
    if not example.cluster:
        assert not addresses
        return
    name, spec = example.stateful["metadata"]["name"], example.stateful["spec"]
    (service,) = [s for s in example.of("Service") if s["spec"].get("clusterIP") == "None"]
    assert service["metadata"]["name"] == spec["serviceName"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert len(addresses) == spec["replicas"]
    for number, address in enumerate(addresses):
        assert address.startswith(f"{name}-{number}.{spec['serviceName']}.slo.svc.")
    variables = {v["name"]: v for v in example.engine["env"]}
    assert variables["BYTEWAX_STATEFULSET_NAME"]["value"] == name
    from_pod = variables["BYTEWAX_POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert from_pod == "metadata.name"


def test_a_cluster_is_started_and_stopped_as_a_whole(example: Example) -> None:
    spec = example.stateful["spec"]
    if not example.cluster:
        assert spec["replicas"] == 1
        assert not example.of("PodDisruptionBudget")
        return
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"
    annotations = spec["template"]["metadata"]["annotations"]
    assert {"burnline/slos", "burnline/prices"} <= set(annotations)
    (budget,) = example.of("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    workers = int(_argument(example, "--workers")) * spec["replicas"]
    assert workers <= int(_argument(example, "--shards"))
    assert spec["replicas"] <= int(_argument(example, "--recovery-partitions"))


def test_a_pod_may_do_little(example: Example) -> None:
    pod = example.pod["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert example.pod["automountServiceAccountToken"] is False
    for account in example.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
        assert account["metadata"]["name"] == example.pod["serviceAccountName"]
    for container in [example.engine, *example.pod["initContainers"]]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_files_in_the_examples_are_right(tmp_path: Path, example: Example) -> None:
    for made in example.of("ConfigMap"):
        texts = made["data"]
        if made["metadata"]["name"].endswith("-slos"):
            assert texts == example.values["slos"]["files"]
            loaded = load(texts)
            assert loaded.objectives
            assert not loaded.problems
        else:
            (tmp_path / "prices.yaml").write_text(texts["prices.yaml"])
            price_files.load(tmp_path / "prices.yaml")


def test_the_image_is_what_the_pods_expect() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    last = dockerfile.rpartition("\nFROM ")[2]
    example = ALL["single"]
    ports = [str(port["containerPort"]) for port in example.engine["ports"]]
    (exposed,) = re.findall(r"^EXPOSE (.*)$", last, re.MULTILINE)
    assert set(exposed.split()) == set(ports)
    assert f"\nUSER {example.pod['securityContext']['runAsUser']}\n" in last
    (kernels,) = example.pod["initContainers"]
    (cache,) = re.findall(r"NUMBA_CACHE_DIR=(\S+)", last)
    assert kernels["command"][2] == f"{cache}/."
    assert re.findall(r'^ENTRYPOINT \["(.*)"\]$', last, re.MULTILINE) == ["burnline"]
    known = {str(parameter.envvar) for parameter in RUN.params}
    assert set(re.findall(r"BURNLINE_\w+", last)) <= known


def test_the_images_dependencies_are_the_locks() -> None:
    """A part of it: without what only developers need, and with the same versions."""
    whole = _pins(ROOT / "requirements.lock")
    image = _pins(ROOT / "deploy" / "requirements.lock")
    assert image.items() < whole.items()
    assert {"bytewax", "numba", "setuptools"} <= set(image)
    assert {"pytest", "mypy"}.isdisjoint(image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", name)[0] for name in project["dependencies"]}
    assert needed - {"burnline-llm"} <= set(image)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == version


def test_every_value_has_a_default_and_a_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert list(_without_default(schema, values)) == ["global"]


def _without_default(schema: Manifest, values: Manifest, prefix: str = "") -> Iterator[str]:
    for name, inner in schema["properties"].items():
        if name not in values:
            yield f"{prefix}{name}"
        elif "properties" in inner and values[name]:
            yield from _without_default(inner, values[name], f"{prefix}{name}.")


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def _argument(example: Example, option: str) -> str:
    (found,) = [a for a in example.engine["args"] if a.startswith(f"{option}=")]
    return str(found.partition("=")[2])


def _addresses(example: Example) -> list[str]:
    found = [v["value"] for v in example.engine["env"] if v["name"] == "BYTEWAX_ADDRESSES"]
    return [address for value in found for address in value.split(";")]
