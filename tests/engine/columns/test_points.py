"""Points against the official SDK: what an application counted is what comes out, however sent."""

import math
import random
import time
from collections import Counter
from fractions import Fraction

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from engine.columns import _metric_values, _shared
from engine.columns.points import LONGEST_VALUE, MetricsRefused, PointReader, check
from engine.columns.spans import Refused
from slo.columns import Field
from slo.increments import Increments, Point
from slo.model import CounterSli, HistogramSli, Objective, RollingWindow, Sli
from slo.promql import parse_selector
from tests.strategies.otlp_metrics import Application, Step, requests, steps

NOW = 1_700_000_000 * 10**9


def objective(sli: Sli, *by: str, name: str = "availability") -> Objective:
    return Objective(
        "chat-api",
        name,
        Fraction(999, 1000),
        RollingWindow(86400),
        sli,
        by=tuple(Field("span", label) for label in by),
    )


def counters(total: str, bad: str | None = None, good: str | None = None) -> CounterSli:
    return CounterSli(
        parse_selector(total),
        parse_selector(bad) if bad else None,
        parse_selector(good) if good else None,
    )


def metric_payload(metric: Metric, **resource: str) -> bytes:
    request = ExportMetricsServiceRequest()
    holder = request.resource_metrics.add()
    for key, value in resource.items():
        holder.resource.attributes.add(key=key).value.string_value = value
    holder.scope_metrics.add().metrics.append(metric)
    return request.SerializeToString()


def counter(value: float = 1, name: str = "m", **attributes: str) -> Metric:
    metric = Metric(name=name)
    metric.sum.aggregation_temporality = 2
    metric.sum.is_monotonic = True
    point = metric.sum.data_points.add(time_unix_nano=NOW, start_time_unix_nano=NOW - 5)
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    for key, text in attributes.items():
        point.attributes.add(key=key).value.string_value = text
    return metric


def histogram(bounds: list[float], counts: list[int]) -> Metric:
    metric = Metric(name="m")
    metric.histogram.aggregation_temporality = 1
    metric.histogram.data_points.add(
        time_unix_nano=NOW, explicit_bounds=bounds, bucket_counts=counts, count=sum(counts)
    )
    return metric


def exponential(
    scale: int, offset: int, counts: list[int], zero: int = 0, negative: int = 0
) -> Metric:
    metric = Metric(name="m")
    metric.exponential_histogram.aggregation_temporality = 1
    point = metric.exponential_histogram.data_points.add(
        time_unix_nano=NOW, scale=scale, zero_count=zero, count=sum(counts) + zero + negative
    )
    point.positive.offset = offset
    point.positive.bucket_counts.extend(counts)
    if negative:
        point.negative.bucket_counts.append(negative)
    return metric


def read(sli: Sli, payload: bytes, *by: str) -> tuple[list[Point], PointReader]:
    reader = PointReader([objective(sli, *by)])
    return reader.read(payload), reader


def play(application: Application, history: list[Step], shuffle: int | None = None) -> list[bytes]:
    for step in history:
        application.run(step)
    application.stop()
    if shuffle is not None:
        random.Random(shuffle).shuffle(application.payloads)
    return application.payloads


def sums(
    objectives: list[Objective], payloads: list[bytes]
) -> dict[str, tuple[Counter[str], Counter[str]]]:
    reader, increments = PointReader(objectives), Increments()
    found: dict[str, tuple[Counter[str], Counter[str]]] = {
        each.id: (Counter(), Counter()) for each in objectives
    }
    increments.watch({each.id: each.generation for each in objectives}, 0)
    for payload in payloads:
        for increment in increments.feed_all(reader.read(payload)):
            bad, total = found[increment.objective]
            bad["/".join(increment.group)] += increment.bad
            total["/".join(increment.group)] += increment.total
    assert not reader.ignored
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps, cumulative=st.booleans())
def test_increments_add_up_to_the_calls_that_the_sdk_counted(
    *, history: list[Step], cumulative: bool
) -> None:
    application = Application(cumulative)
    objectives = [
        objective(
            counters("llm_requests_total", bad='llm_requests_total{status!="ok"}'), "tenant_id"
        ),
        objective(counters('{"llm.requests"}', good="llm_answers_total"), "tenant.id", name="good"),
        objective(
            counters(
                "gen_ai_client_operation_duration_seconds_count",
                bad='gen_ai_client_operation_duration_seconds_count{status=~"error|timeout"}',
            ),
            "tenant_id",
            name="count",
        ),
    ]
    found = sums(objectives, play(application, history))
    for each in objectives:
        bad, total = found[each.id]
        assert +total == application.total_by_tenant()
        assert +bad == application.bad_by_tenant()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps, cumulative=st.booleans(), above=st.sampled_from([5.0, 10.0, 7.0]))
def test_histograms_are_split_at_the_edge_at_or_below_the_bound(
    *, history: list[Step], cumulative: bool, above: float
) -> None:
    application = Application(cumulative)
    each = objective(
        HistogramSli(parse_selector("gen_ai_client_operation_duration_seconds_bucket"), above)
    )
    bad, total = sums([each], play(application, history))[each.id]
    edge = 5.0 if above == 7.0 else above
    assert total[""] == len(application.recorded)
    assert bad[""] == sum(seconds > edge for *_, seconds in application.recorded)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps, cumulative=st.booleans())
def test_exponential_histograms_never_hide_a_bad_event(
    *, history: list[Step], cumulative: bool
) -> None:
    application = Application(cumulative, exponential=True)
    each = objective(HistogramSli(parse_selector("gen_ai_client_operation_duration_seconds"), 8))
    bad, total = sums([each], play(application, history))[each.id]
    assert total[""] == len(application.recorded)
    truly = sum(seconds > 8 for *_, seconds in application.recorded)
    # Values within a factor of the coarsest bucket below the bound may count as bad.
    assert truly <= bad[""] <= total[""]
    if not any(0 < seconds <= 8 for *_, seconds in application.recorded):
        assert bad[""] == truly


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps, seed=st.integers(0, 9))
def test_delta_payloads_count_once_in_any_order(history: list[Step], seed: int) -> None:
    application = Application(cumulative=False)
    payloads = play(application, history, shuffle=seed)
    assume(len(set(payloads)) <= 16)
    each = objective(counters("llm_requests_total", bad='llm_requests_total{status!="ok"}'))
    bad, total = sums([each], payloads)[each.id]
    assert total[""] == len(application.recorded)
    assert bad[""] == application.bad_by_tenant().total()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps, seed=st.integers(0, 9))
def test_cumulative_payloads_never_count_twice_in_any_order(history: list[Step], seed: int) -> None:
    application = Application(cumulative=True)
    payloads = play(application, history, shuffle=seed)
    each = objective(counters("llm_requests_total", bad='llm_requests_total{status!="ok"}'))
    _, total = sums([each], payloads)[each.id]
    assert total[""] == len(application.recorded)


def test_a_restarted_engine_does_not_count_what_happened_before_it() -> None:
    application = Application(cumulative=True)
    for _ in range(5):
        application.run(("call", "ok", "a", 1.0))
    application.run(("export",))
    time.sleep(0.001)
    begin = time.time_ns()
    application.run(("call", "ok", "a", 1.0))
    application.run(("export",))
    each = objective(counters("llm_requests_total", bad='llm_requests_total{status="error"}'))
    reader, increments = PointReader([each]), Increments()
    increments.watch({each.id: each.generation}, begin)
    assert increments.feed_all(reader.read(application.payloads[-1])) == []
    application.run(("call", "ok", "a", 1.0))
    application.run(("restart",))
    application.run(("call", "error", "a", 1.0))
    application.stop()
    fed = [i for p in application.payloads[2:] for i in increments.feed_all(reader.read(p))]
    assert [(i.bad, i.total) for i in fed] == [(0, 1), (1, 1)]


@given(request=requests())
@settings(max_examples=150, deadline=None)
def test_any_request_is_read_or_ignored_with_a_reason(request: ExportMetricsServiceRequest) -> None:
    payload = request.SerializeToString()
    name = '{__name__=~"m.*"}'
    sli = counters(name, bad='m{status!=""}')
    reader = PointReader(
        [objective(sli, "a_b"), objective(HistogramSli(parse_selector(name), 1.5))]
    )
    points = reader.read(payload)
    increments = Increments(max_streams=3)
    for point in points:
        value = point.value if isinstance(point.value, tuple) else (point.value,)
        assert all(0 <= part < 2**63 for part in value)
        assert point.time_ns > 0
        assert len(point.stream) == len(point.family) == 16
        increments.feed(point)
    assert check(payload) * 3 >= len(points) + reader.ignored.total()
    assert reader.read(payload) == points


@given(payload=st.binary(max_size=60))
def test_bytes_are_a_request_or_refused(payload: bytes) -> None:
    reader = PointReader([])
    try:
        ExportMetricsServiceRequest.FromString(payload)
    except DecodeError:
        with pytest.raises(MetricsRefused, match=r"ExportMetricsServiceRequest: .+"):
            check(payload)
        with pytest.raises(Refused):
            reader.read(payload)
    else:
        assert check(payload) >= 0
        assert reader.read(payload) == []


def test_invalid_utf8_is_refused() -> None:
    payload = metric_payload(counter(name="mmmm")).replace(b"mmmm", b"mm\xff\xfe")
    with pytest.raises(MetricsRefused):
        check(payload)


def test_a_stream_is_the_same_however_its_attributes_are_ordered() -> None:
    sli = counters("m", bad='m{a="x"}')
    (first, *_), _ = read(sli, metric_payload(counter(a="x", b="y"), r="1", q="2"))
    (second, *_), _ = read(sli, metric_payload(counter(b="y", a="x"), q="2", r="1"))
    (other, *_), _ = read(sli, metric_payload(counter(b="y", a="z"), q="2", r="1"))
    assert first == second
    assert first.family == other.family
    assert first.stream != other.stream


def test_roles_of_one_series_are_streams_of_their_own() -> None:
    points, _ = read(counters("m", bad='m{a="x"}'), metric_payload(counter(a="x")), "a", "c")
    assert [(p.role, p.group) for p in points] == [("total", ("x", "")), ("bad", ("x", ""))]
    assert len({p.stream for p in points}) == 2


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (counter(-1), "negative"),
        (counter(math.nan), "not a finite number"),
        (counter(math.inf), "not a finite number"),
        (counter(2.0**63), "too large"),
        (histogram([1.0], [1, 2]), "a histogram where a counter is wanted; its _count is one"),
    ],
)
def test_unusable_counters_are_ignored_with_a_reason(metric: Metric, reason: str) -> None:
    points, reader = read(counters("m", bad='m{a="x"}'), metric_payload(metric))
    assert points == []
    assert reader.ignored == {reason: 1}


def test_other_kinds_are_ignored_with_a_reason() -> None:
    gauge, summary, updown, delta, empty, timeless, stale = (Metric(name="m") for _ in range(7))
    gauge.gauge.data_points.add(time_unix_nano=NOW, as_int=1)
    summary.summary.data_points.add(time_unix_nano=NOW, count=1)
    updown.sum.aggregation_temporality = 2
    updown.sum.data_points.add(time_unix_nano=NOW, as_int=1)
    for metric in (delta, empty, timeless, stale):
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = 0 if metric is delta else 2
    delta.sum.data_points.add(time_unix_nano=NOW, as_int=1)
    empty.sum.data_points.add(time_unix_nano=NOW)
    timeless.sum.data_points.add(as_int=1)
    stale.sum.data_points.add(time_unix_nano=NOW, as_int=0, flags=1)
    reader = PointReader([objective(counters("m", bad="n"))])
    for metric in (gauge, summary, updown, delta, empty, timeless, stale):
        assert reader.read(metric_payload(metric)) == []
    assert reader.ignored == {
        "a gauge, which counts nothing": 1,
        "a summary, which has no buckets": 1,
        "a sum that may fall": 1,
        "no temporality": 1,
        "no value": 1,
        "no time": 1,
        "no recorded value": 1,
    }


@pytest.mark.parametrize(
    ("bounds", "counts", "above", "expected"),
    [
        ([1.0, 2.0], [1, 2, 4], 2.0, (7, 4)),
        ([1.0, 2.0], [1, 2, 4], 1.5, (7, 6)),
        ([1.0, 2.0], [1, 2, 4], 99.0, (7, 4)),
        ([1.0, 2.0], [1, 2, 4], 0.5, "no bucket edge at or below the bound"),
        ([], [7], 1.0, "no bucket edge at or below the bound"),
        ([], [], 1.0, "no buckets"),
        ([1.0], [1], 1.0, "malformed histogram"),
        ([2.0, 1.0], [1, 2, 4], 2.0, "malformed histogram"),
        ([math.nan], [1, 2], 2.0, "no bucket edge at or below the bound"),
        ([1.0, math.nan], [1, 2, 3], 2.0, "malformed histogram"),
        ([1.0], [2**63, 1], 1.0, "too large"),
    ],
)
def test_explicit_histograms(
    bounds: list[float], counts: list[int], above: float, expected: tuple[int, int] | str
) -> None:
    sli = HistogramSli(parse_selector("m"), above)
    points, reader = read(sli, metric_payload(histogram(bounds, counts)))
    if isinstance(expected, str):
        assert points == []
        assert reader.ignored == {expected: 1}
    else:
        assert [p.value for p in points] == [expected]
        assert reader.edges == (
            {}
            if above in bounds
            else {("chat-api-availability", "m"): max(b for b in bounds if b <= above)}
        )


@pytest.mark.parametrize(
    ("metric", "above", "expected"),
    [
        # scale 0: buckets (1, 2], (2, 4], (4, 8]
        (exponential(0, 0, [1, 2, 4]), 4.0, (7, 4)),
        (exponential(0, 0, [1, 2, 4]), 5.0, (7, 4)),
        (exponential(0, 0, [1, 2, 4]), 3.9, (7, 6)),
        (exponential(0, -1, [1, 2, 4], zero=8, negative=3), 1.0, (18, 6)),
        (exponential(0, 0, [1, 2, 4], zero=8), 0.0, (15, 7)),
        (exponential(0, 50, [1]), 4.0, (1, 1)),
        (exponential(0, 3, [1, 1, 1]), 4.0, (3, 3)),
        (exponential(0, -50, [1]), 4.0, (1, 0)),
        (exponential(1, 0, [1, 2]), math.sqrt(2), (3, 2)),
        # log2 of this edge is a little below its place
        (exponential(2, -3, [1, 1, 2]), 2**-0.25, (4, 2)),
        (exponential(20, math.floor(math.log2(2.56) * 2**20) - 5, [1] * 10), 2.56, (10, 5)),
        (exponential(0, 0, [1]), -1.0, "a bound below zero on an exponential histogram"),
        (exponential(900, 0, [1]), 1.0, "malformed histogram"),
    ],
)
def test_exponential_histograms(
    metric: Metric, above: float, expected: tuple[int, int] | str
) -> None:
    points, reader = read(HistogramSli(parse_selector("m"), above), metric_payload(metric))
    if isinstance(expected, str):
        assert points == []
        assert reader.ignored == {expected: 1}
    else:
        assert [p.value for p in points] == [expected]


@pytest.mark.parametrize(
    ("good", "expected"),
    [
        ('m_bucket{le="2.0"}', {"total_until_good": 7, "good": 3}),
        ('m_bucket{le="+Inf"}', {"total_until_good": 7, "good": 7}),
        ('m_bucket{le="1.5"}', "no bucket with this le"),
        ('m_bucket{le="nan"}', "no bucket edge at or below the bound"),
        ('m{le="2"}', "le beside a name that is not the histogram's _bucket"),
        ("m_bucket", "a histogram where a counter is wanted; its _count is one"),
        ('m_bucket{le=~"2.*"}', {"total_until_good": 7}),
    ],
)
def test_buckets_of_a_histogram_are_counters(good: str, expected: dict[str, int] | str) -> None:
    metric = histogram([1.0, 2.0], [1, 2, 4])
    points, reader = read(counters("m_count", good=good), metric_payload(metric))
    if isinstance(expected, str):
        assert [p.role for p in points] == ["total_until_good"]
        assert reader.ignored == {expected: 1}
    else:
        assert {p.role: p.value for p in points} == expected


def test_overflow_points_count_and_are_told() -> None:
    metric = counter(3)
    metric.sum.data_points[0].attributes.add(key="otel.metric.overflow").value.bool_value = True
    points, reader = read(counters("m", bad='m{a="x"}'), metric_payload(metric), "tenant_id")
    assert [(p.role, p.group) for p in points] == [("total", ("",))]
    assert reader.overflowed == 1


def test_names_are_bounded() -> None:
    points, reader = read(
        counters('{__name__=~"m+"}', bad="n"), metric_payload(counter(name="m" * 2000))
    )
    assert points == []
    assert reader.ignored == {"a name of more than 1024 characters": 1}


def test_what_is_too_long_to_keep_is_read_all_the_same() -> None:
    payload = metric_payload(counter(a="x" * 9000), r="y" * 9000)
    reader = PointReader([objective(counters("m", bad='m{a=~"x+"}'), "r")])
    first, again = reader.read(payload), reader.read(payload)
    assert first == again
    assert [p.group for p in first] == [("y" * LONGEST_VALUE,)] * 2
    assert LONGEST_VALUE == _shared.LONGEST_VALUE, "spans and points share label values"


def sizes(reader: PointReader) -> list[int]:
    caches = (reader._by_name, reader._sources, reader._series)
    return [len(cache._entries) for cache in caches]


def test_what_nobody_sends_again_is_not_kept() -> None:
    """A large scope, or resource, is read each time; its series are not remembered under it."""
    reader = PointReader([objective(counters("m", bad="n"), "r")])
    for number in range(20):
        metric = counter(a=f"{number}")
        request = ExportMetricsServiceRequest.FromString(metric_payload(metric))
        request.resource_metrics[0].scope_metrics[0].scope.name = "x" * 9000
        reader.read(request.SerializeToString())
        reader.read(metric_payload(metric, r="y" * 9000))
    assert sizes(reader) == [1, 0, 0]


def test_bounds_of_a_huge_histogram_are_not_kept() -> None:
    bounds = [float(n) for n in range(5000)]
    sli = HistogramSli(parse_selector("m"), above=4000.0)
    before = _metric_values._edge_index.cache_info().currsize
    for shift in range(3):
        metric = histogram([bound + shift for bound in bounds], [1] * 5001)
        [point], _ = read(sli, metric_payload(metric))
        assert point.value == (5001, 1000 + shift)
    assert _metric_values._edge_index.cache_info().currsize == before


def test_resource_labels_select_and_group() -> None:
    payload = metric_payload(
        counter(), **{"service.name": "chat", "service.namespace": "llm", "region": "eu"}
    )
    sli = counters('m{job="llm/chat",service_name="chat"}', bad='m{job="other"}')
    points, _ = read(sli, payload, "job", "region")
    assert [(p.role, p.group) for p in points] == [("total", ("llm/chat", "eu"))]
