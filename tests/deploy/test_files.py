"""What the stack is configured with, by the strictest checker of each format that is here."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from slo import load

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COLLECTOR: dict[str, Any] = yaml.safe_load((DEPLOY / "stack" / "collector.yaml").read_text())
SOURCES = yaml.safe_load((DEPLOY / "stack/grafana/datasources/burnline.yaml").read_text())[
    "datasources"
]


@pytest.mark.servers
def test_prometheus_takes_the_stacks_configuration() -> None:
    """And the rules that it names. What lies in deploy/ itself is checked with the docs."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    ran = subprocess.run(
        ["promtool", "check", "config", DEPLOY / "stack" / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_service_levels_of_the_sample_are_valid() -> None:
    texts = {str(path): path.read_text() for path in (DEPLOY / "slos").glob("*.yaml")}
    loaded = load(texts)
    assert loaded.objectives
    assert not loaded.problems


def test_images_are_pinned_and_none_runs_as_root() -> None:
    for name, service in SERVICES.items():
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert tag[0].isdigit() or tag[0] == "v", name
        if "build" in service:
            file = DEPLOY.parent / service["build"]["dockerfile"]
            assert "\nUSER 10001\n" in file.read_text()
        else:
            assert service["user"] not in ("0", "root"), name
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_ports_are_published_on_loopback_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), volume
            else:
                assert source in COMPOSE["volumes"]
            assert target.startswith("/")


def test_every_address_is_a_service_or_a_place_on_this_machine() -> None:
    """In compose file, Prometheus, Grafana and the Collector's environment."""
    texts = [
        path.read_text() for path in [DEPLOY / "compose.yaml", *(DEPLOY / "stack").rglob("*.y*ml")]
    ]
    hosts = {
        word.split("//")[1].split(":")[0].strip("\"'")
        for text in texts
        for word in text.split()
        if "http://" in word and not word.startswith("#")
    }
    assert hosts - {"localhost", "127.0.0.1"} <= set(SERVICES)
    scraped = yaml.safe_load((DEPLOY / "stack" / "prometheus.yml").read_text())["scrape_configs"]
    targets = [t for job in scraped for static in job["static_configs"] for t in static["targets"]]
    assert {target.split(":")[0] for target in targets} - {"localhost"} <= set(SERVICES)


def test_the_collector_names_what_it_has() -> None:
    """What a pipeline names is configured, what is configured is used; Burnline's spans are not sampled."""
    kinds = ("receivers", "processors", "exporters")
    pipelines = COLLECTOR["service"]["pipelines"]
    for kind in kinds:
        used = {name for pipeline in pipelines.values() for name in pipeline[kind]}
        assert used == set(COLLECTOR[kind])
    assert COLLECTOR["service"]["extensions"] == list(COLLECTOR["extensions"])
    for pipeline in pipelines.values():
        assert pipeline["processors"][0] == "memory_limiter"
    fed = [p for p in pipelines.values() if "otlp_grpc/burnline" in p["exporters"]]
    assert fed
    assert all("tail_sampling" not in pipeline["processors"] for pipeline in fed)


def test_the_collector_gets_every_variable_that_it_asks_for() -> None:
    text = (DEPLOY / "stack" / "collector.yaml").read_text()
    asked = {part.split("}")[0] for part in text.split("${env:")[1:]}
    required = {name for name in asked if ":-" not in name}
    assert required <= set(SERVICES["collector"]["environment"])


def test_what_grafana_links_to_is_a_data_source() -> None:
    uids = {source["uid"] for source in SOURCES}
    assert len(uids) == len(SOURCES)
    named = set()
    for source in SOURCES:
        assert {"name", "uid", "type", "access", "url"} <= set(source)
        data = source["jsonData"]
        named |= {link["datasourceUid"] for link in data.get("exemplarTraceIdDestinations", [])}
        named |= {field["datasourceUid"] for field in data.get("derivedFields", [])}
        for link in ("tracesToLogsV2", "tracesToMetrics"):
            named |= {data[link]["datasourceUid"]} if link in data else set()
    assert named == {"tempo", "loki", "prometheus"}
    assert named <= uids


def test_grafana_finds_the_dashboards() -> None:
    (provider,) = yaml.safe_load((DEPLOY / "stack/grafana/dashboards/burnline.yaml").read_text())[
        "providers"
    ]
    mounted = {v.split(":")[1]: v.split(":")[0] for v in SERVICES["grafana"]["volumes"]}
    assert (DEPLOY / mounted[provider["options"]["path"]]).resolve() == DEPLOY / "grafana"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana" / Path(home).name).exists()


def test_ready_tells_what_does_not_answer(tmp_path: Path) -> None:
    code = (DEPLOY / "stack" / "ready.py").read_text().replace("PATIENCE = 300.0", "PATIENCE = 0.0")
    brief = tmp_path / "ready.py"
    brief.write_text(code)
    ran = subprocess.run(
        [sys.executable, brief, "Loki=http://127.0.0.1:1/ready"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "not ready: Loki at http://127.0.0.1:1/ready: " in ran.stderr
