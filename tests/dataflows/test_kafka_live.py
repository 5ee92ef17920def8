"""A live engine in this process that reads from (a mock of) Kafka: pages, restarts, reload, what is shown."""

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from dataflows.data_dir import StartError
from dataflows.live import Engine
from dataflows.settings import Settings
from engine.kafka import topics as topics_module
from engine.kafka.settings import KafkaSettings
from tests.kafka_mock import MockKafka, mock_kafka
from tests.servers import eventually, free_port

SLO = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
"""


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockKafka]:
    monkeypatch.setattr(topics_module, "REFRESH_SECONDS", 0.3)
    with mock_kafka() as cluster:
        yield cluster


def _settings(directory: Path, kafka: KafkaSettings) -> Settings:
    (directory / "slo.yaml").write_text(SLO)
    return Settings(
        slos=(directory / "slo.yaml",),
        data_dir=directory / "data",
        http="127.0.0.1:0",
        shards=4,
        snapshot_seconds=0.2,
        watchdog=False,
        kafka=kafka,
    )


def _spans(count: int, *, failed: bool = False) -> bytes:
    found = ExportTraceServiceRequest()
    spans = found.resource_spans.add().scope_spans.add().spans
    for _ in range(count):
        span = spans.add()
        span.name, span.trace_id, span.span_id = "chat", b"t" * 16, b"s" * 8
        span.start_time_unix_nano = span.end_time_unix_nano = int((time.time() - 200) * 1e9)
        span.status.code = 2 if failed else 1
    return bytes(found.SerializeToString())


def _shown(engine: Engine, name: str, **labels: str) -> float:
    with urllib.request.urlopen(f"{engine.addresses.http}/metrics") as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _told(kafka: MockKafka, topic: str) -> list[tuple[bytes | None, dict[str, str]]]:
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    until = time.monotonic() + 1
    while time.monotonic() < until:
        found += [(m.key(), json.loads(m.value() or b"")) for m in consumer.consume(10, 0.2)]
    consumer.close()
    return found


def test_a_page_from_kafka_and_exact_counts_over_restart_and_reload(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic, told = kafka.topic("otlp_spans", 2), kafka.topic("alerts")
    settings = _settings(tmp_path, KafkaSettings(kafka.brokers, (topic,), alerts=told))
    kafka.write(topic, _spans(400))
    kafka.write(topic, _spans(100, failed=True), partition=1)
    engine = Engine(settings)
    engine.start()
    assert engine.addresses.otlp_grpc == ""  # no receiver listens
    eventually(lambda: _shown(engine, "burnline_slo_events_total") == 500, 30)
    eventually(engine.board.active_alerts, 30)
    eventually(engine.caught_up, 30)
    with urllib.request.urlopen(f"{engine.addresses.http}/readyz") as answer:
        assert answer.status == 200
    assert _shown(engine, "burnline_received_items_total", protocol="kafka") == 500
    assert _shown(engine, "burnline_replaying") == 0
    assert _shown(engine, "burnline_lag_seconds") < 5
    engine.supervisor.restart()  # as a reload does
    kafka.write(topic, _spans(10))
    eventually(lambda: _shown(engine, "burnline_slo_events_total") == 510, 30)
    engine.stop()
    kafka.write(topic, _spans(7), partition=1)
    again = Engine(settings)
    again.start()
    eventually(lambda: _shown(again, "burnline_slo_events_total") == 517, 30)
    eventually(lambda: _shown(again, "burnline_kafka_alerts_total", outcome="delivered"), 30)
    again.stop()
    messages = _told(kafka, told)
    assert {message["status"] for _, message in messages} == {"firing"}
    assert len({key for key, _ in messages}) == len({str(m["labels"]) for _, m in messages}) > 0


def test_from_receivers_to_kafka_and_back_on_one_data_directory(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic = kafka.topic("otlp_spans")
    kafka.write(topic, _spans(5))
    from_kafka = _settings(tmp_path, KafkaSettings(kafka.brokers, (topic,)))
    receivers = replace(from_kafka, kafka=None, otlp_grpc="127.0.0.1:0", otlp_http="127.0.0.1:0")
    for turn, settings in enumerate((receivers, from_kafka, receivers), 1):
        engine = Engine(settings)
        engine.start()
        if engine.spool is not None:
            engine.spool.append("traces", _spans(100)).result(20)
        wanted = 100 * ((turn + 1) // 2) + 5 * (turn > 1)
        eventually(lambda e=engine, n=wanted: _shown(e, "burnline_slo_events_total") == n, 30)
        engine.stop()


def test_what_cannot_be_used_is_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module.Topics.open, "__defaults__", (0.3,))
    address = f"127.0.0.1:{free_port()}"
    engine = Engine(_settings(tmp_path, KafkaSettings(address, ("spans",))))
    with pytest.raises(StartError, match="no Kafka broker answers"):
        engine.start()
    engine.close()
    config = tmp_path / "kafka.conf"
    config.write_text("security.protocol=TELEPATHY\n")
    with pytest.raises(StartError, match=r"kafka\.conf.*security\.protocol"):
        Engine(_settings(tmp_path, KafkaSettings(address, ("spans",), config=config)))
