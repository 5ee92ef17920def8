"""Accepting a payload, whatever protocol brought it: check, store, then acknowledge."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from engine import otlp_json, points
from engine.metrics import EngineMetrics
from engine.spans import Reader, Refused
from engine.spool import Signal, Spool, SpoolError, SpoolFull

Protocol = Literal["grpc", "http"]
Reason = Literal["invalid", "too_large", "busy", "full", "unavailable"]

MAX_PAYLOAD = 64 << 20
MAX_IN_FLIGHT = 512 << 20
# Official exporters give a batch 10 s by default, and give it up at once when told to wait for longer than
# what is left of that: short waits let them try several times.
RETRY_AFTER = {"busy": 1, "full": 2, "unavailable": 2}
NO_END_TIME = "spans without end_time_unix_nano can be placed at no time and were not counted"
_SPANS = Reader(())


class Accepted(NamedTuple):
    """A payload that is on disk.

    Attributes:
        items: spans or metric points counted.
        rejected: spans that can be placed nowhere.
        message: why; empty where nothing was rejected.
    """

    items: int
    rejected: int = 0
    message: str = ""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A payload that was not stored.

    Attributes:
        reason: `invalid` and `too_large` will be refused again; the others are worth a retry.
        retry_after: seconds to wait before it, or None.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = RETRY_AFTER.get(reason)


class Ingest:
    """What the receivers share.

    Args:
        spool: where payloads go.
        metrics: counts what comes and what is refused.
        executor: payloads are checked there, off the event loop.
        max_payload: bytes of a payload, decompressed.
        max_in_flight: bytes of all payloads that are being accepted at a time.
    """

    def __init__(
        self,
        spool: Spool,
        metrics: EngineMetrics,
        executor: Executor,
        max_payload: int = MAX_PAYLOAD,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.spool = spool
        self.metrics = metrics
        self.executor = executor
        self.max_payload = max_payload
        self.max_in_flight = max_in_flight
        self._in_flight = 0
        metrics.in_flight_bytes.set_function(lambda: self._in_flight)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Memory for one payload: call the value with each further number of bytes held.

        That raises `Refusal` (busy) where all payloads together would hold too much.
        """
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            # One payload alone always fits, however small the limit is set.
            if self._in_flight > held and self._in_flight + count > self.max_in_flight:
                raise Refusal("busy", f"{self._in_flight} bytes of payloads are being accepted")
            held += count
            self._in_flight += count

        try:
            yield hold
        finally:
            self._in_flight -= held

    async def accept(
        self, signal: Signal, protocol: Protocol, body: bytes, *, json: bool = False
    ) -> Accepted:
        """Check a payload and store it.

        Args:
            signal: what it is.
            protocol: what brought it.
            body: the payload, decompressed.
            json: it is OTLP JSON.

        Raises:
            Refusal: it was not stored.
        """
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            body, accepted = await loop.run_in_executor(self.executor, _checked, signal, body, json)
            if accepted.items:
                # Shielded: what the spool was given is stored, whether or not the client waits.
                await asyncio.shield(asyncio.wrap_future(self.spool.append(signal, body)))
        except SpoolError as error:
            reason: Reason = "full" if isinstance(error, SpoolFull) else "unavailable"
            raise self.refused(signal, protocol, Refusal(reason, str(error))) from error
        except Refusal as refusal:
            raise self.refused(signal, protocol, refusal) from None
        labels = (signal, protocol)
        self.metrics.received_payloads.labels(*labels).inc()
        self.metrics.received_bytes.labels(*labels).inc(len(body))
        self.metrics.received_items.labels(*labels).inc(accepted.items)
        self.metrics.rejected_items.labels(*labels).inc(accepted.rejected)
        self.metrics.accept_seconds.labels(*labels).observe(time.perf_counter() - began)
        return accepted

    def refused(self, signal: Signal, protocol: Protocol, refusal: Refusal) -> Refusal:
        """Count a refusal, and give it back."""
        self.metrics.refused_payloads.labels(signal, protocol, refusal.reason).inc()
        return refusal


def answer(signal: Signal, accepted: Accepted) -> Message:
    """OTLP's success answer; `partial_success` is set only where something was rejected."""
    if signal == "metrics":
        return ExportMetricsServiceResponse()
    traces = ExportTraceServiceResponse()
    if accepted.rejected:
        traces.partial_success.rejected_spans = accepted.rejected
        traces.partial_success.error_message = accepted.message
    return traces


def _checked(signal: Signal, body: bytes, json: bool) -> tuple[bytes, Accepted]:  # noqa: FBT001 - an executor passes positions
    try:
        if json:
            convert = (
                otlp_json.traces_to_protobuf
                if signal == "traces"
                else otlp_json.metrics_to_protobuf
            )
            body = convert(body)
        if signal == "metrics":
            return body, Accepted(points.check(body))
        ends = _SPANS.read([body]).end_ns
    except Refused as error:
        raise Refusal("invalid", f"no OTLP {signal} request: {error.reason}") from error
    except ValueError as error:
        raise Refusal("invalid", f"no OTLP/JSON {signal} request: {error}") from error
    rejected = int(np.count_nonzero(ends == 0))
    message = f"{rejected} {NO_END_TIME}" if rejected else ""
    return body, Accepted(len(ends) - rejected, rejected, message)
