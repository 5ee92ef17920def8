"""How to read from Kafka, and what to write to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Encoding = Literal["otlp_proto", "otlp_json"]
First = Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to read from Kafka, and what to write to it.

    Attributes:
        brokers: HOST:PORT of some of them.
        traces: topics of traces.
        metrics: topics of metrics.
        logs: topics of logs, of which the events that SLOs can count are read.
        encoding: of all messages, as a Collector's exporter names it.
        first: where a partition is read from that was never read before.
        config: file of librdkafka's settings, `name=value` a line: SASL, TLS and whatever else.
        undecodable: topic for messages that can't be decoded; empty to count and log them only.
        alerts: topic that is told each alert's beginning and end; empty for none.
    """

    brokers: str
    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    encoding: Encoding = "otlp_proto"
    first: First = "earliest"
    config: Path | None = None
    undecodable: str = ""
    alerts: str = ""
