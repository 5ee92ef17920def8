"""Every name that some exporter writes for a metric is among its forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from engine.columns._metric_text import attributes_identity, text, texts
from engine.columns.prometheus_names import (
    MetricKind,
    name_forms,
    part_forms,
    series_labels,
    unit_suffixes,
)

LEGAL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@pytest.mark.parametrize(
    ("name", "unit", "kind", "forms"),
    [
        (
            "gen_ai.client.operation.duration",
            "s",
            "histogram",
            [
                "gen_ai.client.operation.duration",
                "gen_ai_client_operation_duration",
                "gen_ai.client.operation.duration_seconds",
                "gen_ai_client_operation_duration_seconds",
                "gen_ai_client_operation_duration_seconds_bucket",
                "gen_ai_client_operation_duration_seconds_count",
                "gen_ai_client_operation_duration_seconds_sum",
            ],
        ),
        ("gen_ai.client.token.usage", "{token}", "histogram", ["gen_ai_client_token_usage_count"]),
        (
            "gen_ai.client.token.usage",
            "token",
            "histogram",
            ["gen_ai_client_token_usage_token_bucket"],
        ),
        ("gen_ai.usage.cost", "USD", "exponential", ["gen_ai_usage_cost_USD_sum"]),
        ("requests", "", "counter", ["requests", "requests_total"]),
        ("requests_total", "", "counter", ["requests_total"]),
        ("requests.total", "1", "counter", ["requests_total", "requests.total"]),
        ("llm.total.requests", "", "counter", ["llm_total_requests_total", "llm_requests_total"]),
        ("cpu.time", "s", "counter", ["cpu_time_seconds_total", "cpu.time_seconds_total"]),
        ("cpu_seconds_total", "s", "counter", ["cpu_seconds_total"]),
        ("items", "1", "counter", ["items_total", "items_ratio_total"]),
        ("cpu", "1", "gauge", ["cpu", "cpu_ratio"]),
        ("queue", "{item}", "updown", ["queue"]),
        ("io", "By/s", "gauge", ["io_bytes_per_second"]),
        ("io", "{request}/s", "gauge", ["io_per_second"]),
        ("io", "By/{request}", "gauge", ["io_bytes"]),
        ("disk", "TiBy", "gauge", ["disk_tebibytes", "disk_tibibytes"]),
        ("a--b..c", "", "gauge", ["a--b..c", "a_b_c", "a__b__c"]),
        ("2xx", "", "counter", ["_2xx", "_2xx_total"]),
        ("latenz_größe", "ms", "gauge", ["latenz_gr_e_milliseconds"]),
    ],
)
def test_forms(name: str, unit: str, kind: MetricKind, forms: list[str]) -> None:
    assert set(forms) <= set(name_forms(name, unit, kind))


@pytest.mark.parametrize(
    ("name", "unit", "kind", "form"),
    [
        ("queue", "", "updown", "queue_total"),
        ("queue", "", "gauge", "queue_count"),
        ("latency", "ms", "histogram", "latency_seconds"),
        ("latency", "ms", "histogram", "latency_total"),
        ("m", "{seconds}", "gauge", "m_seconds"),
    ],
)
def test_what_no_exporter_writes_is_no_form(
    name: str, unit: str, kind: MetricKind, form: str
) -> None:
    assert form not in name_forms(name, unit, kind)


def test_the_parts_of_a_histogram_that_count() -> None:
    counts, buckets = part_forms("d", "s", "_count"), part_forms("d", "s", "_bucket")
    assert "d_seconds_count" in counts
    assert "d_seconds_bucket" in buckets
    assert not {"d", "d_seconds", "d_seconds_bucket"} & set(counts)
    assert {*counts, *buckets} <= set(name_forms("d", "s", "histogram"))
    assert "d_count_count" in part_forms("d_count", "", "_count")
    assert "d_count" not in part_forms("d_count", "", "_count")


KINDS: list[MetricKind] = ["counter", "updown", "gauge", "histogram", "exponential", "summary"]


@given(name=st.text(min_size=1), unit=st.text(max_size=6), kind=st.sampled_from(KINDS))
def test_any_name_has_forms(name: str, unit: str, kind: MetricKind) -> None:
    forms = name_forms(name, unit, kind)
    assert len(forms) == len(set(forms)) > 0
    assert any(LEGAL.fullmatch(form) for form in forms)
    assert unit_suffixes(unit)[0] == ""


def test_the_nameless_metric_has_no_form_that_fails() -> None:
    assert "" not in name_forms("", "s", "counter")


def test_labels() -> None:
    resource = {
        "service.name": "chat",
        "service.namespace": "llm",
        "service.instance.id": "i1",
        "deployment.environment.name": "prod",
        "tenant.id": "from resource",
    }
    labels = series_labels(
        resource, {"name": "app", "version": "", "team.x": "a"}, {"tenant.id": "t1", "http..x": "y"}
    )
    assert labels["job"] == "llm/chat"
    assert labels["instance"] == "i1"
    assert labels["service_name"] == labels["service.name"] == "chat"
    assert labels["tenant_id"] == labels["tenant.id"] == "t1"
    assert labels["http__x"] == labels["http_x"] == "y"
    assert labels["otel_scope_name"] == "app"
    assert labels["otel_scope_team_x"] == "a"
    assert "otel_scope_version" not in labels


def test_job_is_the_name_alone_without_a_namespace() -> None:
    assert series_labels({"service.name": "chat"}, {}, {})["job"] == "chat"
    assert "job" not in series_labels({"service.namespace": "llm"}, {}, {})
    assert series_labels({"service.name": "chat"}, {}, {"job": "mine"})["job"] == "mine"


def test_attributes_that_become_one_label_are_joined_by_key() -> None:
    labels = series_labels({}, {}, {"a_b": "2", "a.b": "1"})
    assert labels["a_b"] == "1;2"
    assert labels["a.b"] == "1"


def value(**kind: object) -> AnyValue:
    return AnyValue(**kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (value(string_value='a"b'), 'a"b'),
        (value(bool_value=True), "true"),
        (value(bool_value=False), "false"),
        (value(int_value=-(2**63)), "-9223372036854775808"),
        (value(double_value=2.5), "2.5"),
        (value(double_value=float("nan")), "NaN"),
        (value(double_value=float("-inf")), "-Infinity"),
        (value(bytes_value=b"hello world"), "aGVsbG8gd29ybGQ="),
        (value(), ""),
    ],
)
def test_values_as_text(given_value: AnyValue, expected: str) -> None:
    assert text(given_value) == expected


def test_arrays_and_maps_are_json() -> None:
    array = AnyValue()
    for item in (value(int_value=1), value(string_value="ä"), value(double_value=float("inf"))):
        array.array_value.values.append(item)
    array.array_value.values.append(AnyValue())
    inner = array.array_value.values.add()
    inner.kvlist_value.values.add(key="nested").value.bytes_value = b"n"
    assert text(array) == '[1,"ä","Infinity",null,{"nested":"bg=="}]'


def test_of_a_repeated_key_the_last_stands() -> None:
    twice = [
        KeyValue(key="a", value=value(string_value="1")),
        KeyValue(key="a", value=value(string_value="2")),
    ]
    assert texts(twice) == {"a": "2"}
    assert attributes_identity(twice) == attributes_identity(twice[1:])
    assert attributes_identity(twice) != attributes_identity(twice[:1])
