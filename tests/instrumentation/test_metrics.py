"""What /metrics and OpenTelemetry's metrics say."""

import burnline_llm as llm
import pytest
from burnline_llm._calls import MOST_GAPS
from burnline_llm._metrics import MOST_MODELS
from opentelemetry import trace
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.instrumentation.telemetry import Seen


def one(model: str = "gpt-4o", **usage: int) -> None:
    with llm.call(provider="openai", model=model) as call:
        call.first_chunk()
        call.usage(**usage)


def test_the_page_is_openmetrics_with_exemplars(told: Seen) -> None:
    one(input_tokens=10, output_tokens=5, cache_write=3, reasoning=2)
    families = {f.name: f for f in text_string_to_metric_families(told.page())}
    assert {
        "llm_requests",
        "llm_latency_seconds",
        "llm_cost_dollars",
        "llm_active_requests",
        "llm_time_to_first_token_seconds",
        "llm_tokens",
        "llm_unpriced",
        "llm_tenant_cost_dollars",
        "llm_instrumentation_errors",
    } <= set(families)
    trace_id = trace.format_trace_id(told.span.context.trace_id)
    for name in ("llm_latency_seconds", "llm_time_to_first_token_seconds"):
        exemplars = [s.exemplar.labels for s in families[name].samples if s.exemplar]
        assert exemplars == [{"trace_id": trace_id}]


def test_thresholds_are_edges(told: Seen) -> None:
    one()
    page = told.page()
    for family in ("llm_latency_seconds", "llm_time_to_first_token_seconds"):
        for edge in ("2.0", "30.0"):
            assert f'{family}_bucket{{le="{edge}",model="gpt-4o"}}' in page
    for name in ("operation.duration", "operation.time_to_first_chunk"):
        (point,) = told.points(f"gen_ai.client.{name}")
        assert {2.0, 30.0, 0.01, 81.92} <= set(point.explicit_bounds)


def test_models_are_bounded(told: Seen) -> None:
    for number in range(MOST_MODELS + 7):
        one(f"m{number}")
    one("m0")
    assert told.value("llm_requests_total", model="m0", status="ok") == 2
    assert told.value("llm_requests_total", model="other", status="ok") == 7


@pytest.mark.parametrize("chunks", [1, 2, MOST_GAPS + 1, MOST_GAPS + 2, 5_000])
def test_gaps_of_a_stream_are_bounded(told: Seen, chunks: int) -> None:
    with llm.call(model="m") as call:
        for _ in range(chunks):
            call.chunk()
    counts = [p.count for p in told.points("gen_ai.client.operation.time_per_output_chunk")]
    if chunks <= MOST_GAPS + 1:
        assert sum(counts) == chunks - 1
    else:
        assert MOST_GAPS / 2 <= counts[0] <= MOST_GAPS


def test_tokens_in_opentelemetry(told: Seen) -> None:
    one(input_tokens=10, output_tokens=5)
    points = {
        p.attributes["gen_ai.token.type"]: p for p in told.points("gen_ai.client.token.usage")
    }
    assert {kind: point.sum for kind, point in points.items()} == {"input": 10, "output": 5}
    assert dict(points["input"].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.token.type": "input",
    }
    assert len(points["input"].exemplars) == 1


def test_custom_metrics_in_one_line() -> None:
    from prometheus_client import REGISTRY  # noqa: PLC0415

    name = "answers_rated_total"
    for rating in ["up"] * 2 + [f"odd{number}" for number in range(120)]:
        llm.counter(name, "Ratings", labels=("rating",)).inc(rating=rating)
    assert REGISTRY.get_sample_value(name, {"rating": "up"}) == 2
    assert REGISTRY.get_sample_value(name, {"rating": "other"}) == 21
    llm.gauge("queue_length", "Waiting").set(3)
    llm.histogram("document_pages", "Pages", buckets=(1, 10)).observe(4)
    assert REGISTRY.get_sample_value("queue_length") == 3
    assert REGISTRY.get_sample_value("document_pages_bucket", {"le": "10.0"}) == 1
    with pytest.raises(ValueError, match="exists as a Counter with labels"):
        llm.gauge(name, "Ratings")


def test_a_wrong_use_of_a_custom_metric_breaks_nothing(told: Seen) -> None:
    rated = llm.counter("answers_weighed_total", "Weights", labels=("kind",))
    rated.inc(wrong="x")
    rated.inc(-1, kind="x")
    assert told.value("llm_instrumentation_errors_total", where="CustomCounter.inc") == 2
