"""What a real Collector wrote, kept for tests that have no broker; `python -m tests.kafka.captures` takes it.

`collector.json` beside this file holds each message with topic, key and headers as the Collector's exporter
made them; the value is text for `otlp_json`, and base64 for `otlp_proto`.
"""

import json
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from confluent_kafka import Message

from tests.kafka import collector
from tests.kafka.broker import Broker, broker
from tests.kafka.collector import SIGNALS
from tests.kafka.jars import UnavailableError, fetch
from tests.kafka.said import say
from tests.kafka.topics import Headers, Topics

KEPT = Path(__file__).with_name("collector.json")
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
ENCODINGS: tuple[Literal["otlp_proto", "otlp_json"], ...] = ("otlp_proto", "otlp_json")
PARTITIONS = 2
# Every option of the exporter that changes what is written, but for compression.
SPLIT = {
    "partition_traces_by_id": True,
    "partition_metrics_by_resource_attributes": True,
    "partition_logs_by_resource_attributes": True,
}


class Captured(NamedTuple):
    """A message of the Collector's.

    Attributes:
        exporter: which options it was written with, as `exporters` names them.
    """

    exporter: str
    signal: str
    encoding: str
    topic: str
    key: bytes | None
    headers: Headers
    value: bytes


def captured() -> Iterator[Captured]:
    """What is kept."""
    for one in json.loads(KEPT.read_text())["messages"]:
        text, proto = one["value"], one["encoding"] == "otlp_proto"
        yield Captured(
            one["exporter"],
            one["signal"],
            one["encoding"],
            one["topic"],
            None if one["key"] is None else b64decode(one["key"]),
            tuple((name, b64decode(value)) for name, value in one["headers"]),
            b64decode(text) if proto else text.encode(),
        )


def exporters(running: Broker, prefix: str) -> dict[str, dict[str, Any]]:
    """An exporter's configuration for each encoding with each compression, and for each that splits."""
    told = [
        (encoding, f"{prefix}{encoding}-{each}", each, {})
        for encoding in ENCODINGS
        for each in COMPRESSIONS
    ]
    told += [(encoding, f"{prefix}{encoding}-split", "zstd", SPLIT) for encoding in ENCODINGS]
    return {
        name: {
            "brokers": [running.address],
            "producer": {"compression": compression},
            **{signal: {"topic": f"{name}-{signal}", "encoding": encoding} for signal in SIGNALS},
            **split,
        }
        for encoding, name, compression, split in told
    }


def written(
    running: Broker, directory: Path, prefix: str = ""
) -> dict[tuple[str, str], list[Message]]:
    """Have a Collector write what `said.py` says in all these ways; messages by (exporter, signal)."""
    topics, configs = Topics(running), exporters(running, prefix)
    for name in configs:
        for signal in SIGNALS:
            topics.create(f"{name}-{signal}", PARTITIONS)
    with collector.collector(directory, collector.all_signals(configs)) as url:
        say(url)
    places = {f"{name}-{signal}": (name, signal) for name in configs for signal in SIGNALS}
    found: dict[tuple[str, str], list[Message]] = {place: [] for place in places.values()}
    for message in topics.read(*places):
        found[places[message.topic()]].append(message)
    return found


def _kept(name: str, signal: str, message: Message) -> dict[str, Any]:
    encoding = "otlp_proto" if name.startswith("otlp_proto") else "otlp_json"
    value, key = message.value(), message.key()
    return {
        "exporter": name,
        "signal": signal,
        "encoding": encoding,
        "topic": message.topic(),
        "key": None if key is None else b64encode(key).decode(),
        "headers": [(name, b64encode(value).decode()) for name, value in message.headers() or ()],
        "value": b64encode(value).decode() if encoding == "otlp_proto" else value.decode(),
    }


def main() -> None:
    """Write `collector.json` anew; of the compressions one is enough, for they change nothing here."""
    try:
        fetch()
    except UnavailableError as why:
        sys.exit(f"burnline: {why}")
    collector.build()
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as running:
        found = written(running, Path(folder))
    kept = [
        _kept(name, signal, message)
        for (name, signal), messages in found.items()
        if name.endswith(("none", "split"))
        for message in messages
    ]
    told = {"written_by": "kafkaexporter of OpenTelemetry Collector 0.148.0", "messages": kept}
    KEPT.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
