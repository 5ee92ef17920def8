"""Calls as an application writes them: what their spans and series say, and that they stay what they are."""

import asyncio
import functools
import gc
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import burnline_llm as llm
import pytest
import tenacity
from burnline_llm import _streams
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from tests.instrumentation.telemetry import Seen

ANSWER = {
    "id": "a1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 10_000,
        "completion_tokens": 1_000,
        "prompt_tokens_details": {"cached_tokens": 8_000},
    },
}


class Mishap(Exception):  # noqa: N818 - in the tests' words
    """An application's own exception."""


def test_a_call_says_what_it_was_and_cost(told: Seen) -> None:
    with llm.call(provider="openai", model="gpt-4o", server=("api.example", 443)) as call:
        call.response(ANSWER)
        call.queued(0.5)
        call.set(gen_ai__conversation__id="c7")
    span = told.span
    assert (span.name, span.kind, span.status.status_code) == (
        "chat gpt-4o",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "a1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.output_tokens": 1_000,
        "gen_ai.usage.cache_read.input_tokens": 8_000,
        "gen_ai.conversation.id": "c7",
        "server.address": "api.example",
        "server.port": 443,
        "burnline.queue.duration": 0.5,
        "burnline.cost.usd": 0.025,
        "burnline.cost.price_table": span.attributes["burnline.cost.price_table"],
    }
    assert told.value("llm_requests_total", model="gpt-4o", status="ok") == 1
    assert told.value("llm_requests_total", model="gpt-4o", status="error") == 0
    assert told.value("llm_cost_dollars_total", model="gpt-4o") == 0.025
    assert told.value("llm_tokens_total", model="gpt-4o", type="cache_read") == 8_000
    assert told.value("llm_active_requests") == 0


def test_an_exception_is_told_and_goes_on_as_it_was(told: Seen) -> None:
    mishap = Mishap("with the prompt in it")
    with pytest.raises(Mishap) as caught, llm.call(provider="openai", model="gpt-4o"):
        raise mishap
    assert caught.value is mishap
    assert [entry.name for entry in caught.traceback] == [inspect.currentframe().f_code.co_name]
    span = told.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == f"{__name__}.Mishap"
    assert "burnline.cost.unpriced" not in span.attributes
    assert "prompt" not in span.to_json()
    assert told.value("llm_requests_total", model="gpt-4o", status="error") == 1
    (point,) = told.points("gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == f"{__name__}.Mishap"


@pytest.mark.parametrize(
    ("model", "usage", "reason"),
    [
        ("gpt-4o", None, "usage"),
        ("gpt-4o", {"prompt_tokens": 5, "completion_tokens": -1}, "usage"),
        (
            "gpt-4o",
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 6},
            },
            "usage",
        ),
        ("no-such-model", {"prompt_tokens": 5, "completion_tokens": 1}, "model"),
        (None, {"prompt_tokens": 5, "completion_tokens": 1}, "model"),
    ],
)
def test_what_has_no_price_is_counted_and_not_zero(
    told: Seen, model: str | None, usage: dict[str, object] | None, reason: str
) -> None:
    with llm.call(provider="openai", model=model) as call:
        call.response({"usage": usage} if usage else {})
    assert told.span.attributes["burnline.cost.unpriced"] == reason
    assert "burnline.cost.usd" not in told.span.attributes
    assert told.value("llm_unpriced_total", model=model or "unknown", reason=reason) == 1


class Chat:
    @llm.observe(provider="openai")
    def answer(self, question: str, model: str = "gpt-4o") -> dict[str, object]:  # noqa: ARG002
        """Answers."""
        assert trace.get_current_span().is_recording()
        llm.current().set(feature=question)
        return ANSWER

    @llm.observe(provider="openai")
    async def answer_later(self, question: str, model: str) -> dict[str, object]:  # noqa: ARG002
        await asyncio.sleep(0)
        assert llm.current().model == model
        return ANSWER


def test_observed_methods_are_what_they_were(told: Seen) -> None:
    assert Chat().answer("q", model="gpt-4o-mini") is ANSWER
    assert asyncio.run(Chat().answer_later("q", "gpt-4o")) is ANSWER
    assert [span.name for span in told.spans] == ["chat gpt-4o-mini", "chat gpt-4o"]
    assert all(span.attributes["gen_ai.usage.input_tokens"] == 10_000 for span in told.spans)
    assert Chat.answer.__doc__ == "Answers."
    assert list(inspect.signature(Chat.answer).parameters) == ["self", "question", "model"]
    assert inspect.iscoroutinefunction(Chat.answer_later)


@llm.observe(model="gpt-4o")
def echo(first: object) -> Iterator[object]:
    """Yields what it is sent or thrown; returns at "stop"."""
    said = first
    while said != "stop":
        assert llm.current().model == "gpt-4o"
        try:
            said = yield said
        except Mishap as mishap:
            said = mishap
    return "returned"


def test_a_generator_keeps_send_throw_close_and_return(told: Seen) -> None:
    assert inspect.isgeneratorfunction(echo)
    run = echo("a")
    assert told.value("llm_active_requests") == 0  # nothing has run yet
    assert next(run) == "a"
    assert not trace.get_current_span().is_recording()  # the caller's context is the caller's
    assert run.send("b") == "b"
    mishap = Mishap()
    assert run.throw(mishap) is mishap
    with pytest.raises(StopIteration) as stop:
        run.send("stop")
    assert stop.value.value == "returned"
    assert told.span.attributes["gen_ai.request.stream"] is True
    assert told.span.attributes["gen_ai.response.time_to_first_chunk"] >= 0


@pytest.mark.parametrize("end", ["close", "drop", "cycle", "throw"])
def test_a_generator_that_is_not_finished_ends_its_span(told: Seen, end: str) -> None:
    run = echo("a")
    next(run)
    if end == "close":
        run.close()
    elif end == "throw":
        with pytest.raises(KeyError):
            run.throw(KeyError("x"))
    elif end == "cycle":
        held: list[object] = [run]
        held.append(held)
        del held, run
        gc.collect()
        _streams.flush(5)
    else:
        del run
    failed = end == "throw"
    assert told.span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
    assert told.value("llm_active_requests") == 0


@llm.observe(model="gpt-4o")
async def words(count: int) -> AsyncIterator[str]:
    for number in range(count):
        await asyncio.sleep(0)
        assert llm.current().model == "gpt-4o"
        yield str(number)


def test_async_generators(told: Seen) -> None:
    async def main() -> None:
        assert [word async for word in words(3)] == ["0", "1", "2"]
        async for _ in words(3):
            break
        run = words(3)
        await anext(run)
        await run.aclose()
        run = words(3)
        await anext(run)
        with pytest.raises(Mishap):
            await run.athrow(Mishap())

    asyncio.run(main())
    statuses = sorted(span.status.status_code.name for span in told.spans)
    assert statuses == ["ERROR", "UNSET", "UNSET", "UNSET"]
    assert told.value("llm_active_requests") == 0


def test_concurrent_calls_do_not_mix(told: Seen) -> None:
    async def one(number: int) -> None:
        async with llm.call(model=f"m{number}") as call:
            await asyncio.sleep(0.001 * (7 - number % 7))
            assert llm.current() is call
            with llm.tool(f"t{number}"):
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(main())
    calls = {s.context.span_id: s for s in told.spans if s.name.startswith("chat")}
    tools = [s for s in told.spans if s.name.startswith("execute_tool")]
    assert len(calls) == len(tools) == 20
    for tool in tools:
        assert calls[tool.parent.span_id].name.removeprefix("chat m") == tool.name.split(" t")[1]


def test_a_wrapped_stream_ends_the_call_and_not_the_block(told: Seen) -> None:
    with llm.call(provider="openai", model="gpt-4o") as call:
        stream = call.stream(iter([{"choices": []}, ANSWER]))
    assert not told.spans
    assert len(list(stream)) == 2
    assert told.span.attributes["gen_ai.usage.output_tokens"] == 1_000
    assert told.span.attributes["burnline.time_per_output_token"] >= 0
    assert list(stream) == []  # once more does no harm
    assert len(told.spans) == 1


@pytest.mark.parametrize("end", ["close", "drop", "cycle", "with", "fail"])
def test_a_stream_that_is_not_finished_ends_its_span(told: Seen, end: str) -> None:
    def source() -> Iterator[str]:
        yield "a"
        raise Mishap

    with llm.call(model="gpt-4o") as call:
        stream = call.stream(source())
    del call
    next(stream)
    if end == "close":
        stream.close()
    elif end == "with":
        with stream:
            pass
    elif end == "fail":
        with pytest.raises(Mishap):
            next(stream)
    elif end == "cycle":
        stream.me = stream
        del stream
        gc.collect()
        _streams.flush(5)
    else:
        del stream
    failed = end == "fail"
    assert told.span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)


def test_retries_and_fallbacks_are_spans_inside_and_no_calls(told: Seen) -> None:
    with llm.call(provider="openai", model="gpt-4o") as call:
        with pytest.raises(Mishap), call.attempt():
            raise Mishap
        with call.attempt(provider="anthropic", model="claude-sonnet-4-5", backoff=0.25):
            call.usage(input_tokens=10_000, output_tokens=1_000)
    first, second, whole = told.spans
    assert {s.parent.span_id for s in (first, second)} == {whole.context.span_id}
    assert first.attributes["burnline.attempt.number"] == 1
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["error.type"] == f"{__name__}.Mishap"
    assert second.attributes["burnline.attempt.backoff"] == 0.25
    assert second.attributes["burnline.attempt.model"] == "claude-sonnet-4-5"
    assert not any(key.startswith("gen_ai.") for s in (first, second) for key in s.attributes)
    assert whole.attributes["burnline.cost.usd"] == pytest.approx(0.045)  # Anthropic's price
    assert whole.status.status_code is StatusCode.UNSET
    assert told.value("llm_requests_total", model="gpt-4o", status="ok") == 1


@pytest.mark.parametrize("succeeds", [True, False])
def test_tenacity_shows_its_attempts(told: Seen, succeeds: bool) -> None:  # noqa: FBT001
    tries = 0

    def ask() -> None:
        nonlocal tries
        tries += 1
        if tries < 3 or not succeeds:
            raise Mishap

    with pytest.raises(Mishap) if not succeeds else functools.partial(llm.tool, "x")():  # noqa: SIM117
        with llm.call(model="gpt-4o") as call:
            tenacity.retry(
                stop=tenacity.stop_after_attempt(3),
                wait=tenacity.wait_fixed(0.01),
                before_sleep=call.before_sleep,
                reraise=True,
            )(ask)()
    tried = [s for s in told.spans if s.name == "attempt"]
    assert [s.attributes["burnline.attempt.number"] for s in tried] == [1, 2, 3]
    assert [s.attributes.get("burnline.attempt.backoff") for s in tried] == [None, 0.01, 0.01]
    assert [s.status.status_code is StatusCode.ERROR for s in tried] == [True, True, not succeeds]
    assert all(a.end_time <= b.start_time for a, b in pairwise(tried))


def test_a_batch_is_one_call_and_adds_up(told: Seen) -> None:
    with llm.batch(provider="openai", model="gpt-4o", size=2) as call:
        call.response(ANSWER)
        call.response(ANSWER)
    assert told.span.attributes["burnline.batch.size"] == 2
    assert told.span.attributes["gen_ai.usage.input_tokens"] == 20_000
    assert told.value("llm_requests_total", model="gpt-4o", status="ok") == 1


def test_steps(told: Seen) -> None:
    @llm.tool("search")
    def search(query: str) -> str:
        return query

    @llm.agent("planner")
    async def plan() -> None:
        with llm.retrieval("docs"):
            pass
        raise Mishap

    assert search("q") == "q"
    assert search("r") == "r"
    with llm.workflow("rag"), pytest.raises(Mishap):
        asyncio.run(plan())
    with llm.embeddings(provider="openai", model="text-embedding-3-small") as call:
        call.usage(input_tokens=1_000)
    assert [span.name for span in told.spans] == [
        "execute_tool search",
        "execute_tool search",
        "retrieval docs",
        "invoke_agent planner",
        "invoke_workflow rag",
        "embeddings text-embedding-3-small",
    ]
    (point,) = told.points("gen_ai.execute_tool.duration")
    assert point.count == 2
    (point,) = told.points("gen_ai.invoke_agent.duration")
    assert point.attributes["error.type"] == f"{__name__}.Mishap"
    assert told.points("gen_ai.workflow.duration")
    assert told.spans[-1].attributes["burnline.cost.usd"] == pytest.approx(0.00002)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (int, "int is a class"),
        (staticmethod(len), "write @observe below @staticmethod, next to len()"),
        (classmethod(len), "write @observe below @classmethod, next to len()"),
        (3, "3 is none"),
    ],
)
def test_what_is_no_function_cannot_be_observed(what: Any, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        llm.observe(model="gpt-4o")(what)


def test_a_step_has_a_name_and_stands_above_a_function_that_is_measured() -> None:
    def words() -> Iterator[str]:
        yield "a"

    with pytest.raises(TypeError, match=r"is no name; write such as @llm.tool\('search'\)"):
        llm.tool(len)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="@workflow stands above a function, and int is a class"):
        llm.workflow("rag")(int)
    with pytest.raises(TypeError, match=r"@agent does not measure generators such as words\(\)"):
        llm.agent("planner")(words)
