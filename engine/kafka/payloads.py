"""What a message's value becomes: a payload as the flow reads it, checked.

The Collector's exporter writes what an OTLP request holds, as protobuf or as JSON, one request, or a part of
one, in a message. A request and the data that it holds are the same on the wire.
"""

from collections.abc import Sequence

from engine.columns.accepting import Accepted, Sent, Unreadable, readable_form, readable_traces
from engine.kafka.settings import Encoding
from engine.telemetry.metrics import EngineMetrics

# As the receivers take them: parsing takes far more memory than the bytes.
MOST_BYTES = 64 << 20
MOST_PARSED = 16 << 20


def payload_of(signal: Sent, encoding: Encoding, value: bytes) -> tuple[bytes, Accepted]:
    """A payload as the flow reads it, and what is in it.

    Raises:
        Unreadable: nothing can be counted of it.
    """
    json = encoding == "otlp_json"
    most = MOST_PARSED if json or signal != "traces" else MOST_BYTES
    if len(value) > most:
        raise Unreadable("too_large", f"{len(value)} bytes; at most {most} are read at once")
    return readable_form(signal, value, json=json)


def payloads_of(
    signal: Sent, encoding: Encoding, values: Sequence[bytes]
) -> tuple[list[bytes], Accepted] | None:
    """Many payloads at once, which costs far less where they are small.

    None where that can't be done, or one of them can't be read: ask for each.
    """
    if signal != "traces" or encoding != "otlp_proto" or len(values) < 2:
        return None
    if max(map(len, values)) > MOST_BYTES:
        return None
    try:
        return readable_traces(values)
    except Unreadable:
        return None


class Tally:
    """Counts what one topic's messages held.

    Args:
        metrics: the engine's own.
        signal: of the topic.
    """

    def __init__(self, metrics: EngineMetrics, signal: Sent) -> None:
        labels = (signal, "kafka")
        self._payloads = metrics.received_payloads.labels(*labels)
        self._bytes = metrics.received_bytes.labels(*labels)
        self._items = metrics.received_items.labels(*labels)
        self._rejected = metrics.rejected_items.labels(*labels)
        self._ignored = metrics.ignored_log_records.labels("kafka") if signal == "logs" else None
        self._undecodable = metrics.undecodable.labels(signal)

    def accepted(self, size: int, accepted: Accepted, messages: int = 1) -> None:
        """Messages that are read."""
        self._payloads.inc(messages)
        self._bytes.inc(size)
        self._items.inc(accepted.items)
        self._rejected.inc(accepted.rejected)
        if self._ignored is not None:
            self._ignored.inc(accepted.ignored)

    def undecodable(self) -> None:
        """A message that can't be read."""
        self._undecodable.inc()
