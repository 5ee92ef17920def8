"""From payloads to counts, against counting by hand; hostile times and odd values."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from benchmarks.traffic import payload
from engine.columns import measure, points
from engine.columns.measure import BUCKET, KERNELS, Measurer
from engine.spool.arrivals import Arrivals
from slo.columns import Field
from slo.loading import default_monitors
from slo.model import HistogramSli, Objective, RollingWindow, SpanSli
from slo.promql import parse_selector
from slo.traceql import parse_filter

CLOCK = 1_700_000_000
TENANT, MODEL = Field("span", "tenant"), Field("span", "model")
OBJECTIVE = Objective(
    service="s",
    name="o",
    target=Fraction(99, 100),
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    by=(TENANT,),
    explain=(MODEL,),
)


def _span(end_ns, *, error=False, **attributes):
    values = {
        key: value if isinstance(value, AnyValue) else AnyValue(string_value=value)
        for key, value in attributes.items()
    }
    return Span(
        trace_id=b"t" * 16,
        end_time_unix_nano=end_ns,
        status=Status(code=Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET),
        attributes=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _payload(*spans):
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def _counts(deposits):
    """(group, time) -> (bad, total) over all shards."""
    found = Counter()
    for _, deposit in deposits:
        for row, time, (bad, total) in zip(
            *(part.tolist() for part in deposit.entries), strict=True
        ):
            found[deposit.keys[row].group, time, "bad"] += bad
            found[deposit.keys[row].group, time, "total"] += total
    return +found


@pytest.mark.parametrize("cells", [measure.DENSE_CELLS, 0], ids=["dense", "sparse"])
def test_counts_equal_those_by_hand(monkeypatch, cells):
    monkeypatch.setattr(measure, "DENSE_CELLS", cells)
    numbers = np.random.default_rng(7)
    expected = Counter()
    spans = []
    for _ in range(2000):
        age = int(numbers.choice([0, 3, 40, 7000, 29 * 86400]))
        tenant, model = (f"{name}{numbers.integers(4)}" for name in "tm")
        error = bool(numbers.integers(2))
        time = CLOCK - age
        spans.append(_span(time * 10**9, error=error, tenant=tenant, model=model))
        for group in ((tenant,), None):
            expected[group, time // BUCKET * BUCKET, "bad"] += error
            expected[group, time // BUCKET * BUCKET, "total"] += 1
    measurer = Measurer((OBJECTIVE,), 4, 30.0)
    payloads = (_payload(*spans[:700]), b"", _payload(*spans[700:]))
    deposits = measurer.measure(Arrivals(clock=float(CLOCK), traces=payloads))
    assert _counts(deposits) == +expected
    tallies = [tally for _, deposit in deposits for tally in deposit.tallies]
    assert sum(tally.total for tally in tallies) == len(spans)


@pytest.mark.parametrize("clock", [0.0, 1.0, float(CLOCK), (2**64 - 1) / 1e9, 1e30])
def test_any_time_on_the_wire_is_counted_or_counted_apart(clock):
    ends = [0, 1, CLOCK * 10**9, 2**63 - 1, 2**63, 2**64 - 1]
    apart = Counter()
    measurer = Measurer((OBJECTIVE,), 1, 30.0, apart=lambda why, n: apart.update({why: n}))
    payload = _payload(*(_span(end, tenant="a") for end in ends))
    counts = _counts(measurer.measure(Arrivals(clock=clock, traces=(payload,))))
    due = [end for end in ends[1:] if end <= clock * 1e9 + 30e9]
    assert sum(n for (group, *_), n in counts.items() if group) == len(due)
    assert apart["no_end_time"] == 1
    assert apart["future"] == len(ends) - 1 - len(due)
    assert all(0 <= time <= clock for _, time, _ in counts)


def test_late_and_skewed_spans_are_told_with_their_age():
    """By the age of their bucket, an event for each SLO; the others are on time."""
    found = []
    measurer = Measurer((OBJECTIVE,), 4, 30.0, measured=found.append)
    bucket = CLOCK // BUCKET * BUCKET
    closed = {"30s": [1, 5, 30], "5m": [36, 300], "1h": [306, 3600], "1d": [3606], "more": [90_000]}
    times = [CLOCK, bucket, *(bucket - age for ages in closed.values() for age in ages)]
    ahead = [_span(int((CLOCK + s) * 10**9), tenant="a") for s in (0.001, 29, 31)]
    spans = [_span(time * 10**9, tenant="a") for time in times]
    measurer.measure(Arrivals(clock=float(CLOCK), traces=(_payload(*spans, *ahead),)))
    measurer.measure(Arrivals(clock=float(CLOCK), tick=True))
    told, nothing = found
    assert told.late == {("traces", age): len(ages) for age, ages in closed.items()}
    assert (told.spans, told.points, told.skewed) == (len(times) + 3, 0, 2)
    assert (nothing.late, nothing.spans, nothing.skewed) == ({}, 0, 0)


def test_late_and_skewed_points_are_told_with_their_age():
    objective = replace(
        OBJECTIVE, sli=HistogramSli(parse_selector("latency"), above=5), by=(), explain=()
    )
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="latency")
    metric.histogram.aggregation_temporality = 1
    for time in (CLOCK, CLOCK - 400, CLOCK + 10, CLOCK + 31):
        metric.histogram.data_points.add(
            start_time_unix_nano=(time - 1) * 10**9,
            time_unix_nano=time * 10**9,
            count=1,
            bucket_counts=[1, 0],
            explicit_bounds=[5],
        )
    found = []
    measurer = Measurer((objective,), 1, 30, measured=found.append)
    measurer.measure(Arrivals(clock=float(CLOCK), metrics=(request.SerializeToString(),)))
    (told,) = found
    assert told.late == {("metrics", "1h"): 1}
    assert (told.points, told.skewed) == (4, 1)


def test_lateness_allows_for_a_clock_that_is_ahead_of_the_senders():
    found = []
    measurer = Measurer((OBJECTIVE,), 1, 30.0, measured=found.append)
    hour = 3600
    payload = _payload(_span((CLOCK - hour) * 10**9, tenant="a"))
    measurer.measure(Arrivals(float(CLOCK), traces=(payload,), ahead_ns=hour * 10**9))
    told = found[0]
    assert (told.late, told.skewed) == ({}, 0)
    told.point((CLOCK - hour) * 10**9)
    assert (told.late, told.skewed) == ({}, 0)


def test_odd_values_are_groups_too():
    values = {
        "": [
            AnyValue(),
            AnyValue(bytes_value=b"\xff"),
            AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])),
            AnyValue(string_value=""),
        ],
        "nan": [AnyValue(double_value=float("nan"))],
        "-9223372036854775808": [AnyValue(int_value=-(2**63))],
        "true": [AnyValue(bool_value=True)],
        'a\x00"\n': [AnyValue(string_value='a\x00"\n')],
    }
    spans = [_span(CLOCK * 10**9, tenant=v) for many in values.values() for v in many]
    counts = _counts(
        Measurer((OBJECTIVE,), 4, 30.0).measure(
            Arrivals(clock=float(CLOCK), traces=(_payload(*spans),))
        )
    )
    expected = {(text,): len(many) for text, many in values.items()} | {None: len(spans)}
    assert {group: n for (group, _, _), n in counts.items()} == expected


def test_a_payload_that_cannot_be_decoded_costs_only_itself():
    refused = []
    measurer = Measurer((OBJECTIVE,), 1, 30.0, lambda *what: refused.append(what))
    good = _payload(_span(CLOCK * 10**9, tenant="a"))
    deposits = measurer.measure(Arrivals(clock=float(CLOCK), traces=(good, b"\xff", good, b"\xff")))
    assert _counts(deposits)[("a",), CLOCK, "total"] == 2
    assert [signal for signal, _ in refused] == ["traces", "traces"]


def test_long_values_are_cut_and_still_counted():
    measurer = Measurer((OBJECTIVE,), shards=1, skew=30)
    long = "x" * 100_000
    spans = [_span(CLOCK * 10**9, tenant=f"{long}{n}", model=long) for n in range(3)]
    deposits = measurer.measure(Arrivals(clock=CLOCK, traces=(_payload(*spans),)))
    counts = _counts(deposits)
    groups = {group for group, _, _ in counts if group}
    assert groups == {("x" * points.LONGEST_VALUE,)}
    assert {total for (_, _, what), total in counts.items() if what == "total"} == {3}


@pytest.mark.parametrize(("bounds", "told"), [([1, 10], [1.0]), ([1, 4.9], []), ([1, 5], [])])
def test_a_histogram_split_far_below_its_bound_is_told_once(bounds, told):
    sli = HistogramSli(parse_selector("latency"), above=5)
    objective = replace(OBJECTIVE, sli=sli, by=(), explain=())
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="latency")
    metric.histogram.aggregation_temporality = 1
    metric.histogram.data_points.add(
        start_time_unix_nano=(CLOCK - 1) * 10**9,
        time_unix_nano=CLOCK * 10**9,
        count=3,
        bucket_counts=[1, 1, 1],
        explicit_bounds=bounds,
    )
    found = []
    measurer = Measurer((objective,), 1, 30, edge=lambda *what: found.append(what))
    for _ in range(2):
        measurer.measure(Arrivals(clock=CLOCK, metrics=(request.SerializeToString(),)))
    assert found == [(objective.id, "latency", edge) for edge in told]


def test_warm_up_leaves_a_cache() -> None:
    measure.warm_up()
    assert measure.is_cached()


def test_nothing_is_compiled_after_the_warm_up() -> None:
    measure.warm_up()
    compiled = [len(kernel.signatures) for kernel in KERNELS]
    assert all(compiled)
    measurer = Measurer((OBJECTIVE,), 4, 60, monitors=default_monitors(), usage="full")
    traffic = payload(2000, CLOCK * 10**9, 1), payload(5, CLOCK * 10**9, 2)
    for payloads in (traffic, traffic[1:]):
        measurer.measure(Arrivals(clock=float(CLOCK), traces=payloads))
    assert [len(kernel.signatures) for kernel in KERNELS] == compiled
