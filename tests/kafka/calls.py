"""Messages of model calls, and what they add up to."""

import json
import random
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.kafka.topics import Sent, Topics

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99
    sli:
      spans:
        total: '{ span.gen_ai.operation.name = "chat" }'
        bad: '{ status = error }'
    by: [span.gen_ai.request.model, span.tenant.id]
  - name: every
    objective: 90
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
"""
MODELS, TENANTS = ("gpt-4o", "o3", "claude-sonnet-4-5"), ("acme", "zen")
LATE = (0, 0, 0, 3, 70, 4000, 90_000)
POISON = Sent(b"\xff\xfenot OTLP", b"key")
NS = 1_000_000_000

Key = tuple[str, ...]


class Calls:
    """What was written to a topic: `expected` events, by the keys that `Engine.counts` has."""

    def __init__(self, topics: Topics, topic: str, seed: int = 1) -> None:
        self.topics = topics
        self.topic = topic
        self.expected: Counter[Key] = Counter()
        self._random = random.Random(seed)

    def write(
        self,
        messages: int,
        partitions: Iterable[int] = (0,),
        *,
        spans: int = 5,
        failing: float = 0.1,
        compression: str = "none",
    ) -> None:
        """Write so many messages to each partition; returns once the broker has them."""
        made = [
            Sent(self.message(spans, failing=failing), partition=partition)
            for _ in range(messages)
            for partition in partitions
        ]
        self.topics.write(self.topic, made, compression)

    def message(self, spans: int = 5, *, failing: float = 0.1, as_json: bool = False) -> bytes:
        """One that is expected to be counted."""
        request, events = self._request(spans, failing)
        self.expected.update(events)
        return _json(request) if as_json else request.SerializeToString()

    def forget(self, message: bytes) -> None:
        """It is not to be counted after all."""
        self.expected -= _events(ExportTraceServiceRequest.FromString(message))

    def _request(
        self, spans: int, failing: float
    ) -> tuple[ExportTraceServiceRequest, Counter[Key]]:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "chat-api"
        scope = resource.scope_spans.add()
        for _ in range(spans):
            ended = time.time_ns() - self._random.choice(LATE) * NS
            span = scope.spans.add(
                trace_id=self._random.randbytes(16),
                span_id=self._random.randbytes(8),
                name="chat",
                kind=3,
                start_time_unix_nano=ended - NS,
                end_time_unix_nano=ended,
            )
            for key, value in (
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.request.model", self._random.choice(MODELS)),
                ("tenant.id", self._random.choice(TENANTS)),
            ):
                span.attributes.add(key=key).value.string_value = value
            if self._random.random() < failing:
                span.status.code = 2
        return request, _events(request)


@contextmanager
def slowly(calls: Calls, messages: int, partitions: Iterable[int] = (0,)) -> Iterator[None]:
    """Write so many messages to each partition from the block's start on; all of them by its end."""
    partitions = tuple(partitions)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(0, messages, 5):
                calls.write(5, partitions, compression="lz4")
                time.sleep(0.1)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield
    writer.join(120)
    assert not writer.is_alive()
    if failed:
        raise failed[0]


def _json(request: ExportTraceServiceRequest) -> bytes:
    """OTLP's JSON: enums are numbers and ids are hexadecimal, not as protobuf's JSON has them."""
    whole = MessageToDict(request, use_integers_for_enums=True)
    for resource in whole["resourceSpans"]:
        for span in resource["scopeSpans"][0]["spans"]:
            span |= {key: b64decode(span[key]).hex() for key in ("traceId", "spanId")}
    return json.dumps(whole).encode()


def _events(request: ExportTraceServiceRequest) -> Counter[Key]:
    events: Counter[Key] = Counter()
    for resource in request.resource_spans:
        for span in resource.scope_spans[0].spans:
            told = {attribute.key: attribute.value.string_value for attribute in span.attributes}
            result = "bad" if span.status.code == 2 else "good"
            events["every", result] += 1
            key = ("availability", result, told["gen_ai.request.model"], told["tenant.id"])
            events[key] += 1
    return events
