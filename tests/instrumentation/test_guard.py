"""The golden rule: whatever breaks inside burnline_llm, the application's call is what it was."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import burnline_llm as llm
import pytest
from burnline_llm import (
    _attribution,
    _costs,
    _errors,
    _guard,
    _responses,
    _spans,
    _streams,
)
from burnline_llm._calls import Call
from burnline_llm._runtime import runtime

from tests.instrumentation.telemetry import Seen

ANSWER = {"model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


class Mishap(Exception):  # noqa: N818 - in the tests' words
    """An application's own exception."""


class Broken:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"broken: {name}")


def broken(*_args: object, **_kwargs: object) -> Any:
    raise RuntimeError("broken")


@llm.observe(provider="openai")
def plain(model: str) -> dict[str, Any]:
    if model == "fail":
        raise Mishap
    return ANSWER


@llm.observe(provider="openai")
async def later(model: str) -> dict[str, Any]:
    return plain.__wrapped__(model)


@llm.observe
def many(model: str) -> Iterator[Any]:
    yield 1
    if model == "fail":
        raise Mishap
    yield ANSWER


@llm.observe
async def many_later(model: str) -> AsyncIterator[Any]:
    for thing in many.__wrapped__(model):
        yield thing


async def collected(source: AsyncIterator[Any]) -> list[Any]:
    return [thing async for thing in source]


def blocks(model: str) -> list[Any]:
    headers = llm.inject({})
    with (
        llm.extract(headers),
        llm.attributed(tenant="t"),
        llm.workflow("w"),
        llm.call(model=model) as call,
    ):
        with call.attempt():
            call.response(ANSWER)
            call.content(input="a", output="b")
            call.before_sleep(None)
        if model == "fail":
            raise Mishap
        return list(call.stream(iter([1, ANSWER])))


def everything(model: str) -> list[Any]:
    got: list[Any] = []
    for run in (
        lambda: plain(model),
        lambda: asyncio.run(later(model)),
        lambda: list(many(model)),
        lambda: asyncio.run(collected(many_later(model))),
        lambda: blocks(model),
    ):
        try:
            got.append(run())
        except Mishap:
            got.append("mishap")
    return got


def _places(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    patch = monkeypatch.setattr
    return {
        "none": lambda: None,
        "tracer": lambda: patch(runtime, "tracer", Broken()),
        "observers": lambda: patch(runtime, "observers", (Broken(),)),
        "steps": lambda: patch(runtime, "step_ended", broken),
        "capture": lambda: patch(runtime, "capture", broken),
        "attribution": lambda: patch(_attribution, "of_context", broken),
        "baggage": lambda: patch(_attribution, "baggage", Broken()),
        "propagators": lambda: patch(_attribution, "_W3C", Broken()),
        "context": lambda: patch(_spans, "contexts", Broken()),
        "span's context": lambda: patch(_spans, "set_span_in_context", broken),
        "answers": lambda: patch(_responses, "read", broken),
        "chunks": lambda: patch(_responses, "ChunkReader", broken),
        "prices": lambda: patch(_costs.prices, "table", broken),
        "errors": lambda: patch(_errors, "record", broken),
        "type of error": lambda: patch(_errors, "error_type", broken),
        "reaper": lambda: (
            patch(_streams._reaper, "_thread", None) or patch(_streams.threading, "Thread", broken)
        ),
        "name": lambda: patch(Call, "_name", broken),
        "figures": lambda: patch(Call, "_work_out", broken),
        "logging": lambda: patch(runtime, "tracer", Broken()) or patch(_guard, "_log", Broken()),
        "counting": lambda: patch(runtime, "tracer", Broken()) or patch(_guard, "count", broken),
    }


@pytest.mark.parametrize("place", list(_places(pytest.MonkeyPatch())))
def test_a_broken_part_breaks_no_call(
    told: Seen, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    _places(monkeypatch)[place]()
    both = [1, ANSWER]
    assert everything("gpt-4o") == [ANSWER, ANSWER, both, both, both]
    assert everything("fail") == ["mishap"] * 5
    if place in {"tracer", "observers", "answers", "prices", "figures"}:
        counted = told.page().split("llm_instrumentation_errors_total{")
        assert len(counted) > 1


def test_a_failure_is_logged_once(
    told: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_guard, "_logged", set())
    monkeypatch.setattr(_responses, "read", broken)
    with caplog.at_level(logging.WARNING, "burnline_llm"):
        for _ in range(3):
            plain("gpt-4o")
    (record,) = caplog.records
    assert "Call.response failed; the call itself is not touched" in record.getMessage()
    assert told.value("llm_instrumentation_errors_total", where="Call.response") == 3


ODD = [
    None,
    "text",
    7,
    [],
    {},
    object(),
    Broken(),
    {"usage": "many"},
    {"usage": {"prompt_tokens": float("nan"), "completion_tokens": 1}},
    {"usage": {"prompt_tokens": True}},
    {"usage": {"prompt_tokens": 10**30, "completion_tokens": 1}},
    {"choices": [None, 7, {"finish_reason": 3}]},
    {"model": 5, "id": b"x", "choices": "abc"},
]


@pytest.mark.parametrize("answer", ODD, ids=range(len(ODD)))
def test_odd_answers_break_nothing(told: Seen, answer: object) -> None:
    with llm.call(model="gpt-4o") as call:
        call.response(answer)
        call.chunk(answer)
    assert told.span.attributes.get("burnline.cost.usd") is None
    assert told.value("llm_requests_total", model="gpt-4o", status="ok") == 1
