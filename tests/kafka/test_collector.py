"""What a real Collector's Kafka exporter writes, in every encoding and compression, is what was told it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message as Proto
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.kafka import captures, collector
from tests.kafka.broker import Broker
from tests.kafka.captures import COMPRESSIONS, SIGNALS
from tests.kafka.readers import Readers, ended
from tests.kafka.said import EVENTS, MESSAGES, SLOS, say
from tests.kafka.test_captures import TO_PROTOBUF
from tests.sample import DEPLOY

pytestmark = pytest.mark.timeout(300)
PREFIX = "collector-"
OVER = DEPLOY / "stack" / "collector-kafka.yaml"
REQUESTS: dict[str, Callable[[], Proto]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
# Of a batch of records, after offset, length, epoch, magic and checksum; the codec is in its lowest bits.
ATTRIBUTES = 22

Written = dict[tuple[str, str], list[Message]]


@pytest.fixture(scope="module")
def written(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Written:
    if why := collector.missing():
        pytest.skip(why)
    return captures.written(kafka, tmp_path_factory.mktemp("collector"), PREFIX)


def _decoded(written: Written, name: str, signal: str) -> list[str]:
    """What a topic's messages say, without order."""
    found = []
    for message in written[PREFIX + name, signal]:
        value = message.value()
        request = REQUESTS[signal]()
        request.ParseFromString(TO_PROTOBUF[signal](value) if "json" in name else value)
        found.append(MessageToJson(request, sort_keys=True))
    return sorted(found)


@pytest.mark.parametrize("signal", SIGNALS)
def test_encodings_and_compressions_say_the_same(written, signal):
    first = _decoded(written, "otlp_proto-none", signal)
    assert len(first) == MESSAGES[signal]
    for compression in COMPRESSIONS:
        for encoding in ("otlp_proto", "otlp_json"):
            assert _decoded(written, f"{encoding}-{compression}", signal) == first


@pytest.mark.usefixtures("written")
def test_the_broker_keeps_them_compressed(kafka):
    """So that what is read is unpacked by the client, and by nobody before."""
    for number, compression in enumerate(COMPRESSIONS):
        topic = f"{PREFIX}otlp_proto-{compression}-traces"
        logs = kafka.directory.glob(f"data/{topic}-*/*.log")
        assert {log.read_bytes()[ATTRIBUTES] & 7 for log in logs if log.stat().st_size} == {number}


def test_keys_headers_and_timestamps(written):
    for (name, signal), messages in written.items():
        split = name.endswith("split")
        assert len(messages) == (2 if split and signal == "traces" else MESSAGES[signal])
        for message in messages:
            assert message.timestamp()[0] == TIMESTAMP_CREATE_TIME
            assert not message.headers()
            key = message.key()
            assert (key is not None) == split
            # A trace's id as text, of 32 characters; a hash of the resource, of 16 bytes.
            assert key is None or len(key) == (32 if signal == "traces" else 16)


def test_the_stacks_configuration_writes_what_the_engine_is_sent(tmp_path, kafka, topics):
    """`deploy/stack/collector-kafka.yaml`, over pipelines that are named as those of the stack."""
    if why := collector.missing():
        pytest.skip(why)
    for name in ("otlp_spans", "otlp_logs"):
        topics.create(name, 2)
    nowhere = {"endpoint": "http://127.0.0.1:1", "retry_on_failure": {"enabled": False}}
    parts = {
        "exporters": {"otlp_http/loki": nowhere},
        "pipelines": {key: ["otlp_http/loki"] for key in ("traces/burnline", "logs")},
    }
    with collector.collector(tmp_path, parts, OVER, KAFKA_BROKERS=kafka.address) as url:
        say(url, "traces", "logs")
    assert len(topics.read("otlp_spans")) == MESSAGES["traces"]
    assert len(topics.read("otlp_logs")) == MESSAGES["logs"]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("encoding", captures.ENCODINGS)
def test_the_engine_counts_what_was_told(tmp_path, kafka, encoding):
    names = [f"{PREFIX}{encoding}-{how}" for how in (*COMPRESSIONS, "split")]
    topics = {
        f"KAFKA_{signal.upper()}": " ".join(f"{name}-{signal}" for name in names)
        for signal in SIGNALS
    }
    expected: Counter[Any] = Counter()
    for slo, pair in EVENTS.items():
        # Points are sums: told twelve times, they count once.
        times = len(names) if slo in {"calls", "evaluations"} else 1
        expected.update(
            {(slo, result): n * times for result, n in zip(("good", "bad"), pair, strict=True) if n}
        )
    told = topics | {"KAFKA_ENCODING": encoding}
    with ended(Readers(tmp_path, kafka, "", slos=SLOS, **told)) as readers:
        readers.start()
        readers.settled(expected)
