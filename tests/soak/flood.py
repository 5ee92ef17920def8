"""Senders in processes of their own: raw payloads as fast as told, and the official SDK's exporters.

Each has a tenant of its own, by which the engine's counts are held against what it acknowledged.
"""

import heapq
import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from typing import Literal

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.traffic import payload

SPANS = 500
CONNECTIONS, QUEUE = 8, 200
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
Protocol = Literal["http", "grpc"]
Answer = tuple[Literal["acknowledged", "refused"], float]


@dataclass
class Tally:
    """What became of a sender's spans.

    Attributes:
        offered: made, to be sent.
        acknowledged: in answers of success.
        refused: requests that were refused, with the time to wait.
        given_up: not acknowledged, and not tried again: the sender's queue was full, or its time was over.
    """

    tenant: str
    offered: int = 0
    acknowledged: int = 0
    refused: int = 0
    given_up: int = 0


def body(tenant: str, seed: int) -> bytes:
    """A payload like an application's; all its spans are of one tenant."""
    request = ExportTraceServiceRequest.FromString(payload(SPANS, time.time_ns(), seed))
    for span in request.resource_spans[0].scope_spans[0].spans:
        for attribute in span.attributes:
            if attribute.key == "tenant.id":
                attribute.value.string_value = tenant
    return request.SerializeToString()


def raw(protocol: Protocol, port: int, seconds: float, rate: float, told: "Queue[Tally]") -> None:
    """Offer `rate` payloads a second (0: as fast as they are taken), each until it is acknowledged."""
    tally = Tally(f"raw-{protocol}")
    work = _Work(tally, seconds, rate)
    bodies = [body(tally.tenant, seed) for seed in range(4)]

    def run() -> None:
        post = _http(port) if protocol == "http" else _grpc(port)
        while (number := work.take()) is not None:
            answer, wait = post(bodies[number % len(bodies)])
            work.answered(number, answer, wait)

    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(tally)


class _Work:
    """What is to be sent: new payloads at a rate, and refused ones when their time has come.

    Where too many wait already, what is due is given up, as by any sender whose queue is full.
    """

    def __init__(self, tally: Tally, seconds: float, rate: float) -> None:
        self.tally = tally
        self.rate = rate
        self.began = time.monotonic()
        self.ends = self.began + seconds
        self.made = 0
        self.refused: list[tuple[float, int]] = []
        self.flying = 0
        self.lock = threading.Lock()

    def take(self) -> int | None:
        """The next payload's number; waits for it. None when all is done."""
        while True:
            with self.lock:
                now = time.monotonic()
                if self.refused and self.refused[0][0] <= now:
                    self.flying += 1
                    return heapq.heappop(self.refused)[1]
                if now < self.ends and self._due(now):
                    self.flying += 1
                    return self.made
                if now >= self.ends and not self.refused and not self.flying:
                    return None
            time.sleep(0.005)

    def _due(self, now: float) -> bool:
        owed = int((now - self.began) * self.rate) if self.rate else self.made + 1
        if owed <= self.made:
            return False
        room = not self.refused if not self.rate else len(self.refused) < QUEUE
        lost = owed - self.made - room
        if self.rate:
            self.made = owed
            self.tally.given_up += SPANS * lost
            self.tally.offered += SPANS * (lost + room)
        elif room:
            self.made += 1
            self.tally.offered += SPANS
        return room

    def answered(self, number: int, answer: str, wait: float) -> None:
        """Note an answer."""
        with self.lock:
            self.flying -= 1
            if answer == "refused":
                self.tally.refused += 1
                heapq.heappush(self.refused, (time.monotonic() + wait, number))
            else:
                self.tally.acknowledged += SPANS


def _http(port: int) -> Callable[[bytes], Answer]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(payload: bytes) -> Answer:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/traces", payload, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return "acknowledged", 0.0
        if answer.status in (429, 503):
            return "refused", float(answer.headers["Retry-After"])
        raise AssertionError(f"answered {answer.status}")

    return post


def _grpc(port: int) -> Callable[[bytes], Answer]:
    export = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(EXPORT)

    def post(payload: bytes) -> Answer:
        try:
            export(payload, timeout=120)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            found = dict(error.trailing_metadata())["grpc-status-details-bin"]
            info = RetryInfo()
            Status.FromString(found).details[0].Unpack(info)
            return "refused", float(info.retry_delay.seconds)
        return "acknowledged", 0.0

    return post


class _Counted(SpanExporter):
    """An official exporter, and what it tells the SDK."""

    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        self.exporter = exporter
        self.tally = tally

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self.exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.tally.acknowledged += len(spans)
        return result

    def shutdown(self) -> None:
        self.exporter.shutdown()


def sdk(protocol: Protocol, port: int, seconds: float, rate: float, told: "Queue[Tally]") -> None:
    """An application with the official exporter and its defaults: `rate` spans a second."""
    tally = Tally(f"sdk-{protocol}")
    exporter = (
        Http(endpoint=f"http://127.0.0.1:{port}/v1/traces")
        if protocol == "http"
        else Grpc(endpoint=f"http://127.0.0.1:{port}", insecure=True)
    )
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Counted(exporter, tally)))
    tracer = provider.get_tracer("soak")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        while tally.offered < passed * rate:
            tracer.start_span("chat", attributes={"tenant.id": tally.tenant}).end()
            tally.offered += 1
        time.sleep(0.02)
    provider.force_flush(120_000)
    provider.shutdown()
    tally.given_up = tally.offered - tally.acknowledged
    told.put(tally)
