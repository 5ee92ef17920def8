from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.demo.otlp import request
from dataflows.demo.trace import Trace, table_trace
from dataflows.demo.traffic import MODELS, TENANTS, Calls, Incident, Traffic, batches
from engine.slo_files import load_paths
from slo.evidence import evident

NOW = 1_700_000_000.0
SLOS = Path(__file__).parents[3] / "dataflows/demo/slos.yaml"


def _trace(offsets, length):
    count = len(offsets)
    ones = np.ones(count, np.int64)
    return Trace(np.array(offsets, np.float64), ones, ones, length)


def _history(seed=1):
    traffic = Traffic(table_trace(seed), seed, NOW)
    return traffic, traffic.until(NOW)


def _same(one: Calls, other: Calls) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "first")
        for name in Calls.__slots__
    )


def test_the_history_is_the_traces_hour_and_ends_now():
    traffic, calls = _history()
    assert len(table_trace(1)) - 60 < len(calls) <= len(table_trace(1))
    assert calls.start.min() >= NOW - 3600
    assert calls.end.max() <= NOW
    assert (np.diff(calls.end) >= 0).all()
    assert traffic.until(NOW + 3600).end.max() < NOW + 60  # what was under way; nothing is live


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0, 8000), min_size=1, max_size=60).map(sorted),
    st.lists(st.floats(0, 200), max_size=8).map(sorted),
    st.integers(0, 1000),
)
def test_however_it_is_asked_each_call_comes_once_in_the_same_way(offsets, moments, seed):
    trace = _trace(offsets, offsets[-1] + 1)

    def run(stops):
        traffic = Traffic(trace, seed, NOW)
        parts = [traffic.until(NOW)]
        traffic.live_at, traffic.incident = NOW, Incident(NOW + 5)
        for stop in stops:
            parts.append(traffic.until(NOW + stop))
            assert len(parts[-1]) == 0 or parts[-1].end.max() <= NOW + stop
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.then(part)
        return whole.at(np.argsort(whole.end, kind="stable"))

    often, once = run([*moments, 200]), run([200])
    assert len({bytes(i) for i in often.ids}) == len(often)
    assert _same(often, once)


def test_live_the_trace_begins_again_at_its_pace():
    traffic, _ = _history()
    traffic.live_at = NOW
    calls = traffic.until(NOW + 120)
    started = calls.at(calls.start >= NOW)
    trace = traffic.trace
    laps, rest = divmod(120 * traffic.pace, trace.length)
    arrived = laps * len(trace) + (trace.offsets < rest).sum()
    assert len(started) == pytest.approx(arrived, rel=0.06)  # the rest is under way
    assert traffic.rate == pytest.approx(len(trace) / 3600 * traffic.pace)


def test_a_long_trace_goes_on_after_its_first_hour():
    traffic = Traffic(_trace([0, 3500, 3640, 7000], 8000.0), 1, NOW)
    assert traffic.until(NOW).start == pytest.approx([NOW - 3600, NOW - 100])
    traffic.live_at = NOW
    live = np.sort(traffic.until(NOW + 112).start)
    expected = np.array([40, 3400, 4400])
    assert live[:3] == pytest.approx(NOW + expected / traffic.pace)


def test_a_dense_trace_is_slowed_down():
    traffic = Traffic(_trace(np.linspace(0, 1, 10_001), 1.0), 1, NOW)
    assert traffic.rate == pytest.approx(2000)


@given(st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_shares_are_those_of_the_tables(seed):
    _, calls = _history(seed)
    chat = calls.model < len(MODELS)
    assert chat.mean() == pytest.approx(0.93, abs=0.01)
    for i, (_, share, favourite) in enumerate(TENANTS):
        mine = calls.tenant == i
        assert mine.mean() == pytest.approx(share, abs=0.015)
        expected = 0.5 + 0.5 * MODELS[favourite].share
        assert (calls.model[mine & chat] == favourite).mean() == pytest.approx(expected, abs=0.1)
    assert (calls.error >= 0).mean() < 0.001
    assert np.isnan(calls.first[~chat]).all()
    whole = ~np.isnan(calls.first)
    assert (calls.first[whole] <= calls.seconds[whole]).all()


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 42])
@pytest.mark.parametrize("delay", [3.75, 10.0])
def test_the_page_comes_in_seconds_with_the_default_evidence(seed, delay):
    """The conditions of the availability SLO, worked out from the calls alone, second by second."""
    objective = next(o for o in load_paths([SLOS]).objectives if o.name == "availability")
    traffic, calls = _history(seed)
    traffic.live_at, traffic.incident = NOW, Incident(NOW + delay)
    fired: dict[tuple[str, int], float] = {}
    # The live part is short: nothing of the last five minutes' history has to leave a window.
    for second in range(int(delay) + 30):
        calls = calls.then(traffic.until(NOW + second))
        chat = calls.at(calls.model < len(MODELS))
        for tier in objective.tiers:
            counts = [_count(chat, NOW + second, window) for window in (tier.short, tier.long)]
            over = all(bad > tier.threshold * total for bad, total in counts)
            if over and _sure(*counts[1], tier.threshold, objective.evidence):
                fired.setdefault((tier.severity, tier.short), second - delay)
    assert min(fired.values()) > 0
    pages = {short: after for (severity, short), after in fired.items() if severity == "page"}
    assert 2 < min(pages.values()) < 11
    assert 10 <= pages[300] <= 25
    assert pages[1800] < pages[300]  # six hours know one hour here, so the slower tier comes first


def _count(calls: Calls, now: float, window: int) -> tuple[int, int]:
    inside = calls.end > now - window
    return int((calls.error[inside] >= 0).sum()), int(inside.sum())


def _sure(bad: int, total: int, threshold: Fraction, confidence: float) -> bool:
    arguments = (np.array([value]) for value in (bad, total, float(threshold), confidence))
    return bool(evident(*arguments)[0])


def test_the_incident_strikes_its_slice_alone():
    traffic, _ = _history()
    traffic.live_at = NOW
    plain = traffic.until(NOW + 30)
    traffic, _ = _history()
    traffic.live_at = NOW
    incident = traffic.incident = Incident(NOW + 10)
    struck = traffic.until(NOW + 30)
    failing = (struck.model == incident.model) & (struck.tenant == incident.tenant)
    failing &= struck.start >= incident.start
    assert (struck.error[failing] == incident.error).mean() == pytest.approx(0.8, abs=0.1)
    assert (struck.error[~failing] >= 0).mean() < 0.002
    assert (plain.error >= 0).mean() < 0.002
    assert incident.slice == {
        "span.gen_ai.request.model": "claude-sonnet-4-5",
        "span.tenant.id": "acme",
    }


def test_requests_hold_every_call_as_a_span_with_the_current_names():
    traffic, calls = _history()
    traffic.live_at, traffic.incident = NOW, Incident(NOW)
    calls = calls.at(np.arange(600)).then(traffic.until(NOW + 10))
    spans = []
    for batch in batches(calls):
        decoded = ExportTraceServiceRequest.FromString(request(batch))
        (resource,) = decoded.resource_spans
        attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
        assert attributes["service.name"] == "chat-api"
        found = resource.scope_spans[0].spans
        assert 0 < len(found) <= 512
        spans.extend(found)
    assert len(spans) == len(calls)
    kinds = set()
    for i, span in enumerate(spans):
        values = {a.key: a.value for a in span.attributes}
        assert len(values) == len(span.attributes)
        model = values["gen_ai.request.model"].string_value
        operation = values["gen_ai.operation.name"].string_value
        assert span.name == f"{operation} {model}"
        assert (span.start_time_unix_nano, len(span.trace_id), len(span.span_id)) == (
            int(calls.start[i] * 1e9),
            16,
            8,
        )
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert seconds == pytest.approx(calls.seconds[i], abs=1e-6)
        failed = span.status.code == 2
        assert failed == ("error.type" in values) == (calls.error[i] >= 0)
        assert ("gen_ai.usage.output_tokens" in values) == (operation == "chat" and not failed)
        assert ("gen_ai.response.time_to_first_chunk" in values) == (not np.isnan(calls.first[i]))
        assert values["tenant.id"].string_value == TENANTS[calls.tenant[i]][0]
        kinds.add((operation, failed))
    assert {("chat", True), ("chat", False), ("embeddings", False)} <= kinds


def test_no_calls_make_no_requests():
    assert list(batches(Traffic(table_trace(1), 1, NOW).until(0.0))) == []


def test_the_slos_are_valid_and_one_has_a_clamped_tier():
    loaded = load_paths([SLOS])
    assert loaded.problems == ()
    assert [o.name for o in loaded.objectives] == ["availability", "latency", "ttft", "embeddings"]
    clamped = {o.name for o in loaded.objectives if any(t.clamped for t in o.tiers)}
    assert clamped == {"ttft"}
    assert all(o.evidence == 0.95 for o in loaded.objectives)
