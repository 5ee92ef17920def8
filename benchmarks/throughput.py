"""Spans a second on one core, from wire bytes to window state, through Bytewax; beside the plain way.

Burnline: payloads of 1,000 spans as bytes, one kernel pass, masks, counts by shard, all window
levels, decisions. The plain way does the same job as most people would write it first: parse with
the official protobuf (upb), one Python object a span, keyed state per objective and group, a dict of
5-second buckets and running window sums a key.

Both read the same payloads from memory, on one worker, pinned to one core.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.pinning import one_core
from benchmarks.traffic import payload
from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from slo import load
from slo.anomalies.model import Monitor
from slo.loading import default_monitors
from slo.plan import Plan
from slo.usage.messages import Mode

SPANS_PER_PAYLOAD = 1000
DISTINCT = 64
ROUNDS = 5
# Requests that are counted as one: 96 of them are the 64 MB that the live source reads at a time when
# there is a backlog; 8 and 1 are what it finds under less load.
SIZES = (96, 8, 1)

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
"""
for _name, _bad in (
    ("availability", "{ status = error }"),
    ("latency", "{ duration > 5s }"),
    ("ttft", "{ span.gen_ai.response.time_to_first_chunk > 1.5 }"),
):
    SLOS += f"""\
  - name: {_name}
    objective: 99
    sli:
      spans:
        total: '{{ resource.service.name = "chat-api" && span.gen_ai.operation.name = "chat" }}'
        bad: '{_bad}'
    by: [span.gen_ai.request.model, span.tenant.id]
"""


class _Source(DynamicSource[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def build(self, _step: str, _index: int, _count: int) -> "_Partition":
        return _Partition(iter(self.items))


class _Partition(StatelessSourcePartition[Any]):
    def __init__(self, items: Iterator[Any]) -> None:
        self.items = items

    def next_batch(self) -> list[Any]:
        return [next(self.items)]


class _Sink(DynamicSink[Any]):
    """Keeps the last of what each key sent."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    def build(self, _step: str, _index: int, _count: int) -> "_SinkPartition":
        return _SinkPartition(self.last)


class _SinkPartition(StatelessSinkPartition[Any]):
    def __init__(self, last: dict[str, Any]) -> None:
        self.last = last

    def write_batch(self, items: list[Any]) -> None:
        for key, value in items:
            self.last[key] = value


def burnline(
    payloads: list[bytes],
    per_arrival: int,
    clock: float,
    monitors: tuple[Monitor, ...] = (),
    usage: Mode = "off",
) -> tuple[float, int]:
    """Seconds, and events counted over all objectives."""
    loaded = load({"bench.yaml": SLOS})
    plan = Plan(loaded.objectives, monitors=monitors, usage=usage)
    arrivals = [
        Arrivals(
            clock=clock + i * 1e-3,
            traces=tuple(payloads[i : i + per_arrival]),
            tick=i == 0,
            watermarks=(clock, 0.0),
        )
        for i in range(0, len(payloads), per_arrival)
    ]
    sink = _Sink()
    flow = build(
        plan,
        _Source(arrivals),
        sink,
        lambda: Measurer(plan.objectives, plan.shards, plan.skew, monitors=monitors, usage=usage),
    )
    start = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - start
    counted = sum(
        int(decision.total[row, 0])
        for decision in sink.last.values()
        for row, key in enumerate(decision.series)
        if key.group is not None
    )
    return seconds, counted


@dataclass
class _Span:
    """One span as an object, as the plain way has it."""

    service: str
    operation: str
    model: str
    tenant: str
    failed: bool
    duration: float
    ttft: float
    end: int


def _objects(body: bytes) -> list[_Span]:
    request = ExportTraceServiceRequest.FromString(body)
    spans = []
    for resource_spans in request.resource_spans:
        resource = {a.key: a.value for a in resource_spans.resource.attributes}
        service = resource["service.name"].string_value
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                values = {a.key: a.value for a in span.attributes}
                spans.append(
                    _Span(
                        service,
                        values["gen_ai.operation.name"].string_value,
                        values["gen_ai.request.model"].string_value,
                        values["tenant.id"].string_value,
                        span.status.code == 2,
                        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        values["gen_ai.response.time_to_first_chunk"].double_value,
                        span.end_time_unix_nano,
                    )
                )
    return spans


def _keyed(span: _Span) -> list[tuple[str, tuple[int, bool]]]:
    if span.service != "chat-api" or span.operation != "chat":
        return []
    bucket = span.end // 5_000_000_000
    group = f"{span.model}/{span.tenant}"
    return [
        (f"availability/{group}", (bucket, span.failed)),
        (f"latency/{group}", (bucket, span.duration > 5)),
        (f"ttft/{group}", (bucket, span.ttft > 1.5)),
    ]


class _PlainState(op.StatefulBatchLogic):  # type: ignore[type-arg]
    def __init__(self, resume: Any) -> None:
        self.buckets = resume or defaultdict(lambda: [0, 0])

    def on_batch(self, values: list[tuple[int, bool]]) -> tuple[list[int], bool]:
        for bucket, bad in values:
            cell = self.buckets[bucket]
            cell[0] += bad
            cell[1] += 1
        newest = max(self.buckets)
        return [sum(t for b, (_, t) in self.buckets.items() if b > newest - 60)], False

    def snapshot(self) -> Any:
        return dict(self.buckets)


def plain(payloads: list[bytes]) -> tuple[float, int]:
    """Seconds, and events counted over all objectives."""
    sink = _Sink()
    flow = Dataflow("plain")
    bodies = op.input("payloads", flow, _Source(payloads))
    spans = op.flat_map("parse", bodies, _objects)
    keyed = op.flat_map("select", spans, _keyed)
    counts = op.stateful_batch("windows", keyed, _PlainState)
    op.output("out", counts, sink)
    start = time.perf_counter()
    run_main(flow)
    return time.perf_counter() - start, sum(sink.last.values())


def main() -> None:
    """Print medians over rounds in which the two take turns."""
    one_core()
    clock = float(int(time.time()) // 5 * 5 + 4)
    distinct = [
        payload(SPANS_PER_PAYLOAD, int(clock * 1e9), seed, seconds=3.0) for seed in range(DISTINCT)
    ]
    many, few = distinct * 36, distinct[:40]
    size = sum(map(len, distinct)) / DISTINCT / SPANS_PER_PAYLOAD
    print(
        f"requests of {SPANS_PER_PAYLOAD:,} spans, {size:.0f} bytes a span, 3 SLOs by 2 attributes"
    )
    burnline(distinct, SIZES[0], clock)  # compiles, or loads what was compiled
    kinds: dict[str, tuple[tuple[Monitor, ...], Mode]] = {
        "": ((), "off"),
        ", watched for anomalies": (default_monitors(), "off"),
        ", calls counted": ((), "full"),
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for per_arrival, kind in product(SIZES, kinds):
            payloads = many[: {1: 100, 8: 400}.get(per_arrival, len(many))]
            seconds, counted = burnline(payloads, per_arrival, clock, *kinds[kind])
            expected = 3 * SPANS_PER_PAYLOAD * len(payloads)
            if counted != expected:
                raise SystemExit(f"counted {counted:,} events, not {expected:,}")
            rates[f"Burnline, {per_arrival} requests at a time{kind}"].append(
                SPANS_PER_PAYLOAD * len(payloads) / seconds
            )
        seconds, counted = plain(few)
        if counted != 3 * SPANS_PER_PAYLOAD * len(few):
            raise SystemExit(f"the plain way counted {counted:,} events")
        rates["the plain way"].append(SPANS_PER_PAYLOAD * len(few) / seconds)
    base = statistics.median(rates["the plain way"])
    for name, values in rates.items():
        middle = statistics.median(values)
        print(
            f"{name:58} {middle:12,.0f} spans/s a core (median of {ROUNDS};"
            f" {min(values):,.0f} to {max(values):,.0f}), {middle / base:5.1f} x"
        )


if __name__ == "__main__":
    main()
