"""Profiles reach the span of their call, whatever kind of function it is; a call is never harmed by one."""

import asyncio
import threading
import time

import pytest
from burnline_llm import _profilers, _profiles
from burnline_llm._calls import Call
from burnline_llm._observe import observe
from burnline_llm._profiles import CallProfiles, Mode, parse, profile_llm_call
from burnline_llm._runtime import runtime
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def profiled(monkeypatch):
    """Sets the mode; gives (kind, text) of the profiles of finished spans, by span."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(runtime, "tracer", provider.get_tracer("t"))
    monkeypatch.setattr(runtime, "ready", True)

    def use(mode: Mode | None):
        profiles = CallProfiles(mode)
        monkeypatch.setattr(runtime, "observers", (profiles,))
        monkeypatch.setattr(runtime, "left", profiles.left)

        def found() -> list[tuple[str, str]]:
            return [
                (
                    event.attributes["burnline.profile.kind"],
                    event.attributes["burnline.profile.text"],
                )
                for span in memory.get_finished_spans()
                for event in span.events
                if event.name == "burnline.profile"
            ]

        return found

    return use


def busy(seconds: float = 0.02) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(100))


async def waiting_deep_inside() -> None:
    await asyncio.sleep(0.2)


def test_every_call_by_pyinstrument(profiled) -> None:
    found = profiled(Mode())
    with Call("p", "m"):
        busy()
    ((kind, text),) = found()
    assert kind == "pyinstrument"
    assert "busy" in text


def test_slow_calls_only_and_where_they_wait(profiled) -> None:
    found = profiled(Mode(slow=0.1))
    with Call("p", "fast"):
        pass
    with Call("p", "slow"):
        time.sleep(0.25)

    async def main() -> None:
        async with Call("p", "slow and async"):
            await waiting_deep_inside()

    asyncio.run(main())
    (_, in_thread), (kind, in_task) = found()
    assert kind == "stacks"
    assert "test_slow_calls_only" in in_thread
    assert "waiting_deep_inside" in in_task, (
        "the coroutine that waits, not the event loop's own frame"
    )


@pytest.mark.parametrize("kind", _profilers.KINDS)
@pytest.mark.parametrize("shape", ["function", "coroutine", "generator", "async generator"])
def test_the_decorator_on_each_kind_of_function(profiled, kind: str, shape: str) -> None:
    found = profiled(None)
    profile = profile_llm_call(kind=kind)

    if shape == "function":

        @observe(model="m")
        @profile
        def ask():
            busy()
            return 7

        assert ask() == 7
    elif shape == "coroutine":

        @observe(model="m")
        @profile
        async def ask():
            busy()
            return 7

        assert asyncio.run(ask()) == 7
    elif shape == "generator":

        @observe(model="m")
        @profile
        def ask():
            busy()
            yield 7

        assert list(ask()) == [7]
    else:

        @observe(model="m")
        @profile
        async def ask():
            busy()
            yield 7

        async def read():
            return [one async for one in ask()]

        assert asyncio.run(read()) == [7]
    ((got, text),) = found()
    assert got == kind
    assert "busy" in text


def test_around_calls_each_gets_its_own(profiled) -> None:
    found = profiled(None)

    @profile_llm_call
    def work() -> None:
        for model in ("a", "b"):
            with Call("p", model):
                busy()

    work()
    assert len(found()) == 2
    with Call("p", "c"):
        busy()
    assert len(found()) == 2, "only what is inside is profiled"


@pytest.mark.parametrize("kind", _profilers.KINDS)
def test_a_profile_within_a_profile(profiled, kind: str) -> None:
    found = profiled(Mode(kind=kind))
    with Call("p", "outer"):
        with Call("p", "inner"):
            busy()
        busy()
    assert len(found()) >= 1


def test_cprofile_in_two_threads_at_once(profiled) -> None:
    found = profiled(Mode(kind="cprofile"))

    def ask() -> None:
        with Call("p", "m"):
            busy(0.05)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(found()) <= 4
    with Call("p", "m"):
        busy()
    assert found(), "the one profiler is free again"


def test_a_stream_read_to_its_end_in_another_thread(profiled) -> None:
    found = profiled(Mode())
    for _ in range(2):
        with Call("p", "m") as call:
            busy()
            stream = call.stream(iter([1, 2]))
        reader = threading.Thread(target=lambda stream=stream: list(stream))
        reader.start()
        reader.join()
    first, second = found()
    assert "busy" in first[1]
    assert "busy" in second[1], "the first one's profiler does not run on"


def test_an_exception_goes_through(profiled) -> None:
    found = profiled(None)
    error = ValueError("x")

    def ask() -> None:
        with Call("p", "m"), profile_llm_call():
            busy()
            raise error

    with pytest.raises(ValueError, match="x") as caught:
        ask()
    assert caught.value is error
    assert len(found()) == 1


def test_without_pyinstrument_the_call_goes_on_and_it_is_said(
    profiled, monkeypatch, caplog
) -> None:
    found = profiled(Mode())
    monkeypatch.setitem(__import__("sys").modules, "pyinstrument", None)
    with Call("p", "m"):
        pass
    assert found() == []
    assert "pip install 'burnline-llm[profile]'" in caplog.text


def test_a_long_profile_is_cut() -> None:
    span = TracerProvider().get_tracer("t").start_span("s")
    _profiles.attach(span, Mode(), "x" * 100_000)
    (event,) = span.events
    assert len(event.attributes["burnline.profile.text"]) == _profiles.LONGEST
    assert event.attributes["burnline.profile.cut"]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (None, None),
        ("", None),
        ("off", None),
        ("all", Mode()),
        ("1%", Mode(0.01)),
        ("5%,cprofile", Mode(0.05, None, "cprofile")),
        ("slow:250ms", Mode(slow=0.25)),
        ("slow:5s", Mode(slow=5.0)),
    ],
)
def test_modes(text, mode) -> None:
    assert parse(text) == mode


@pytest.mark.parametrize("text", ["slow", "slow:x", "al", "1 %"])
def test_a_mode_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="write off, all, 1% or slow:5s"):
        parse(text)
