"""Attribution by baggage: what is carried, how far, and what hostile baggage does."""

import asyncio

import burnline_llm as llm
import pytest
from burnline_llm import _attribution
from burnline_llm._runtime import runtime
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context

from tests.instrumentation.telemetry import Seen

WHOLE = {
    "tenant.id": "acme",
    "user.id": "u1",
    "feature.name": "search",
    "gen_ai.prompt.name": "greeting",
    "gen_ai.prompt.version": "7",
    "burnline.request.id": "r1",
}


def attributed() -> object:
    return llm.attributed(
        tenant="acme", user="u1", feature="search", prompt=("greeting", "7"), request_id="r1"
    )


def test_calls_steps_and_other_libraries_spans_carry_it(told: Seen) -> None:
    with attributed(), llm.call(model="m"), llm.tool("t"):
        told.provider.get_tracer("other").start_span("GET /").end()
    assert len(told.spans) == 3
    for span in told.spans:
        assert WHOLE.items() <= span.attributes.items()
    with llm.call(model="m"):
        pass
    assert "tenant.id" not in told.spans[-1].attributes


def test_inner_values_win_and_end(told: Seen) -> None:
    with attributed():
        with llm.attributed(feature="chat"):
            assert _attribution.of_context() == {**WHOLE, "feature.name": "chat"}
        assert _attribution.of_context() == WHOLE
    assert _attribution.of_context() == {}
    assert not told.spans


def test_tasks_keep_their_own() -> None:
    async def one(tenant: str) -> None:
        with llm.attributed(tenant=tenant):
            await asyncio.sleep(0)
            assert _attribution.of_context()["tenant.id"] == tenant

    async def main() -> None:
        await asyncio.gather(*(one(str(number)) for number in range(10)))

    asyncio.run(main())


@settings(max_examples=25)
@given(st.fixed_dictionaries({key: st.text(min_size=1, max_size=40) for key in WHOLE}))
def test_headers_carry_any_text(values: dict[str, str]) -> None:
    inside = context.get_current()
    for key, value in values.items():
        inside = baggage.set_baggage(key, value, inside)
    token = context.attach(inside)
    headers = llm.inject({})
    context.detach(token)
    assert all(text.isascii() and "\n" not in text for text in headers.values())
    with llm.extract(headers):
        got = _attribution.of_context()
    assert {key: value.strip() for key, value in got.items()} == {
        key: value.strip() for key, value in values.items()
    }


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "tenant.id",
        "=;,=",
        "tenant.id=%ff%00%zz",
        "x" * 100_000,
        ",".join(f"k{number}=v" for number in range(5_000)),
        "tenant.id=" + "a" * 4_000,
        "burnline.cost.usd=1,gen_ai.request.model=evil,tenant.id=ok",
    ],
    ids=lambda text: text[:20],
)
def test_hostile_baggage_is_bounded(told: Seen, sent: str) -> None:
    with llm.extract({"Baggage": sent, "TraceParent": "00-zz-1-01"}), llm.call(model="m"):
        pass
    span = told.span.attributes
    assert len(span) < 10
    assert all(len(str(value)) <= _attribution.LONGEST for value in span.values())
    assert span["gen_ai.request.model"] == "m"
    assert "burnline.cost.usd" not in span


def test_tenants_on_metrics_are_bounded(told: Seen) -> None:
    runtime.observers[0]._tenant._most = 3
    for number in range(8):
        with llm.attributed(tenant=f"t{number}"), llm.call(provider="openai", model="gpt-4o") as c:
            c.usage(input_tokens=1_000_000, output_tokens=0)
    assert told.value("llm_tenant_cost_dollars_total", tenant="t0") == 2.5
    assert told.value("llm_tenant_cost_dollars_total", tenant="other") == 5 * 2.5
