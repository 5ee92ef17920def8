"""The compose file with a log between Collector and engine, laid over the other one."""

from pathlib import Path
from typing import Any

import yaml

from tests.deploy.test_files import COLLECTOR, DEPLOY, SERVICES

OVER: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.kafka.yaml").read_text())
MORE: dict[str, Any] = yaml.safe_load((DEPLOY / "stack" / "collector-kafka.yaml").read_text())
JARS = Path(__file__).parents[1] / "kafka" / "pom.xml"


def test_new_services_are_pinned_and_not_root_and_publish_nothing() -> None:
    new = {name: service for name, service in OVER["services"].items() if name not in SERVICES}
    assert new.keys() == {"kafka", "topics"}
    for service in new.values():
        # The Kafka that the tests run.
        version = service["image"].removeprefix("apache/kafka:")
        assert f"<version>{version}</version>" in JARS.read_text()
        assert service["user"] not in {"0", "root"}
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service


def test_what_is_mounted_and_waited_for_is_there() -> None:
    for service in OVER["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source[0] == "." else source in OVER["volumes"]
        assert set(service.get("depends_on", {})) <= {*SERVICES, *OVER["services"]}


def test_topics_are_those_that_are_written_and_read() -> None:
    made = {
        word.split(":")[0]
        for word in OVER["services"]["topics"]["command"][-1].split()
        if word.startswith(("otlp_", "burnline_"))
    }
    exporter = MORE["exporters"]["kafka/burnline"]
    written = {signal: exporter[signal]["topic"] for signal in ("traces", "logs")}
    told = OVER["services"]["burnline"]["environment"]
    read = {signal: told[f"BURNLINE_KAFKA_{signal.upper()}"] for signal in ("traces", "logs")}
    assert written == read
    assert set(told.values()) - {"kafka:9092"} <= {topic.rstrip(";") for topic in made}


def test_the_collector_writes_there_all_that_went_to_burnline_and_nothing_else_changes() -> None:
    assert OVER["services"]["collector"]["environment"].keys() == {"KAFKA_BROKERS"}
    pipelines = COLLECTOR["service"]["pipelines"]
    for name, over in MORE["service"]["pipelines"].items():
        before = pipelines[name]["exporters"]
        assert over == {
            "exporters": [o.replace("otlp_grpc/burnline", "kafka/burnline") for o in before]
        }
    fed = {name for name, one in pipelines.items() if "otlp_grpc/burnline" in one["exporters"]}
    assert fed == MORE["service"]["pipelines"].keys()
