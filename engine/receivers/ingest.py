"""Accepting a payload, whatever protocol brought it: check, store, then acknowledge."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from itertools import product
from typing import Literal, get_args

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from engine.columns.accepting import MOST_ITEMS, Accepted, Sent, Unreadable, readable_form
from engine.columns.content import Redacted, Redactor
from engine.columns.spans import Refused
from engine.receivers.holding import Memory, Reason, Refusal
from engine.receivers.limits import Limits
from engine.spool.spool import Signal, Spool, SpoolError, SpoolFull
from engine.telemetry import tracing
from engine.telemetry.metrics import EngineMetrics

Protocol = Literal["grpc", "http"]

MAX_PAYLOAD = 64 << 20
MAX_IN_FLIGHT = 512 << 20
_NO_HEADERS: Mapping[str, str] = {}


class Ingest:
    """What the receivers share.

    Args:
        spool: where payloads go.
        metrics: counts what comes and what is refused.
        executor: payloads are checked there, off the event loop.
        max_payload: bytes of a payload, decompressed.
        max_in_flight: bytes of all payloads that are being accepted at a time.
        limits: on clients.
        redactor: blanks content before a payload is stored; None to store payloads as they come.

    Attributes:
        memory: of the payloads that are being accepted.
        stopping: nothing is read any more of what comes.
    """

    def __init__(
        self,
        spool: Spool,
        metrics: EngineMetrics,
        executor: Executor,
        max_payload: int = MAX_PAYLOAD,
        max_in_flight: int = MAX_IN_FLIGHT,
        limits: Limits | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self.spool = spool
        self.metrics = metrics
        self.executor = executor
        self.max_payload = max_payload
        self.limits = limits or Limits()
        self.memory = Memory(max_in_flight, self.limits)
        self.redactor = redactor
        self.stopping = False
        # A series that only appears with its first event hides that event from `increase`.
        for labels in product(get_args(Sent), get_args(Protocol), get_args(Reason)):
            metrics.refused_payloads.labels(*labels)
        metrics.in_flight_bytes.set_function(lambda: self.memory.held)

    def longest(self, signal: Sent, *, json: bool = False) -> int:
        """Bytes that such a payload may have, decompressed."""
        if json or signal != "traces":
            return min(self.max_payload, self.limits.parsed)
        return self.max_payload

    async def accept(
        self,
        signal: Sent,
        protocol: Protocol,
        body: bytes,
        *,
        json: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Accepted:
        """Check a payload and store it.

        Args:
            signal: what it is.
            protocol: what brought it.
            body: the payload, decompressed.
            json: it is OTLP JSON.
            headers: of the request; the sender's trace is gone on with.

        Raises:
            Refusal: it was not stored.
        """
        with tracing.receiving(signal, protocol, body, headers) as span:
            try:
                accepted = await self._accept(signal, protocol, body, json=json)
            except Refusal as refusal:
                tracing.failed(span, refusal.reason)
                raise
            span.set_attribute("burnline.items", accepted.items)
            return accepted

    async def _accept(
        self, signal: Sent, protocol: Protocol, body: bytes, *, json: bool
    ) -> Accepted:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        size = len(body)
        try:
            with tracing.span("check"):
                (body, redacted), accepted = await loop.run_in_executor(
                    self.executor, self._storable, signal, body, json
                )
            if accepted.items:
                with tracing.span("store"):
                    # Shielded: what the spool was given is stored, whether or not the client waits.
                    await asyncio.shield(
                        asyncio.wrap_future(self.spool.append(_stored_as(signal), body))
                    )
        except SpoolError as error:
            reason: Reason = "full" if isinstance(error, SpoolFull) else "unavailable"
            raise self.refused(signal, protocol, Refusal(reason, str(error))) from error
        except Refusal as refusal:
            raise self.refused(signal, protocol, refusal) from None
        labels = (signal, protocol)
        self.metrics.received_payloads.labels(*labels).inc()
        self.metrics.received_bytes.labels(*labels).inc(size if signal == "logs" else len(body))
        self.metrics.received_items.labels(*labels).inc(accepted.items)
        self.metrics.rejected_items.labels(*labels).inc(accepted.rejected)
        if signal == "logs":
            self.metrics.ignored_log_records.labels(protocol).inc(accepted.ignored)
        self.metrics.redacted_values.labels(signal).inc(redacted)
        self.metrics.accept_seconds.labels(*labels).observe(time.perf_counter() - began)
        return accepted

    def refused(self, signal: Sent, protocol: Protocol, refusal: Refusal) -> Refusal:
        """Count a refusal, and give it back."""
        self.metrics.refused_payloads.labels(signal, protocol, refusal.reason).inc()
        return refusal

    def _storable(self, signal: Sent, body: bytes, json: bool) -> tuple[Redacted, Accepted]:  # noqa: FBT001 - an executor passes positions
        body, accepted = _checked(signal, body, json, self.limits.items)
        # What holds nothing to count is not stored.
        if self.redactor is None or not accepted.items:
            return Redacted(body, 0), accepted
        try:
            return self.redactor.redact(_stored_as(signal), body), accepted
        except Refused as error:
            raise Refusal("invalid", f"no OTLP {signal} request: {error.reason}") from error


def answer(signal: Sent, accepted: Accepted) -> Message:
    """OTLP's success answer; `partial_success` is set only where something was rejected."""
    if signal == "metrics":
        return ExportMetricsServiceResponse()
    if signal == "logs":
        logs = ExportLogsServiceResponse()
        if accepted.rejected:
            logs.partial_success.rejected_log_records = accepted.rejected
            logs.partial_success.error_message = accepted.message
        return logs
    traces = ExportTraceServiceResponse()
    if accepted.rejected:
        traces.partial_success.rejected_spans = accepted.rejected
        traces.partial_success.error_message = accepted.message
    return traces


def _stored_as(signal: Sent) -> Signal:
    return "traces" if signal == "logs" else signal


def _checked(
    signal: Sent,
    body: bytes,
    json: bool,  # noqa: FBT001 - an executor passes positions
    most: int = MOST_ITEMS,
) -> tuple[bytes, Accepted]:
    try:
        return readable_form(signal, body, json=json, most=most)
    except Unreadable as error:
        raise Refusal(error.reason, str(error)) from error
