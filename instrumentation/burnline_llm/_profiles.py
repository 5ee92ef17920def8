"""Profiles of calls: on demand, by decorator, by environment, or of slow calls only, attached to the trace.

BURNLINE_LLM_PROFILE=all          every call, by pyinstrument
BURNLINE_LLM_PROFILE=1%           a share of them
BURNLINE_LLM_PROFILE=slow:5s      stacks of calls that take longer than that
BURNLINE_LLM_PROFILE=all,cprofile by cProfile
"""

import functools
import inspect
import random
import re
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from opentelemetry import trace

from burnline_llm import _guard, _profilers

if TYPE_CHECKING:
    from burnline_llm._calls import Call

F = TypeVar("F", bound=Callable[..., Any])
EVENT = "burnline.profile"
LONGEST = 16_384
"""Characters of a profile that go to a span."""


@dataclass(frozen=True, slots=True)
class Mode:
    """Which calls are profiled, and by what.

    Attributes:
        share: of all calls, 0 to 1.
        slow: seconds from which a call is worth it; None for whatever it takes.
        kind: `pyinstrument` or `cprofile`; slow calls are looked at from beside.
    """

    share: float = 1.0
    slow: float | None = None
    kind: str = "pyinstrument"


def parse(text: str | None) -> Mode | None:
    """A mode as the environment has it; None for off.

    Raises:
        ValueError: it is none.

    >>> parse("slow:1.5s")
    Mode(share=1.0, slow=1.5, kind='pyinstrument')
    >>> parse("off") is None
    True
    """
    words = [word.strip().lower() for word in (text or "").split(",") if word.strip()]
    if not words or words in (["off"], ["0"], ["false"]):
        return None
    mode = Mode()
    for word in words:
        if word in _profilers.KINDS:
            mode = Mode(mode.share, mode.slow, word)
        elif match := re.fullmatch(r"slow:(\d+(?:\.\d+)?)(ms|s)?", word):
            seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
            mode = Mode(mode.share, seconds, mode.kind)
        elif (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", word)) and float(match[1]) <= 100:
            mode = Mode(float(match[1]) / 100, mode.slow, mode.kind)
        elif word not in ("all", "on", "1", "true"):
            raise ValueError(
                f"{text!r}: {word!r} is no mode of profiling; write off, all, 1% or slow:5s, and "
                "pyinstrument or cprofile after a comma"
            )
    return mode


_asked: ContextVar[Mode | None] = ContextVar("burnline_llm_profile", default=None)


class CallProfiles:
    """Profiles the calls that the mode means, and those for which `profile_llm_call` asks."""

    def __init__(self, mode: Mode | None = None) -> None:
        self._mode = mode
        self._running: WeakKeyDictionary[Call, tuple[Mode, _profilers.Running]] = (
            WeakKeyDictionary()
        )
        self._texts: WeakKeyDictionary[Call, tuple[Mode, str | None]] = WeakKeyDictionary()

    def started(self, call: "Call") -> None:
        """A call has begun."""
        mode = _asked.get() or self._mode
        if mode is None or not call.span.is_recording():
            return
        if mode.share < 1 and random.random() >= mode.share:  # noqa: S311 - no secret
            return
        running = _profilers.start(mode.kind, mode.slow)
        if running is not None:
            self._running[call] = mode, running

    def left(self, call: "Call") -> None:
        """The code around a call is left while its stream goes on: the profile is of what was inside.

        Profilers hook into a thread, and a stream may be read to its end in another.
        """
        found = self._running.get(call)
        if found is not None and found[0].slow is None:
            mode, running = self._running.pop(call)
            self._texts[call] = mode, running.stop()

    def completed(self, call: "Call") -> None:
        """A call has ended."""
        if not (self._running or self._texts):
            return
        if call in self._running:
            mode, running = self._running.pop(call)
            attach(call.span, mode, running.stop())
        elif call in self._texts:
            attach(call.span, *self._texts.pop(call))

    failed = completed


def attach(span: trace.Span, mode: Mode, text: str | None) -> None:
    """Put a profile on a span as an event."""
    if text is None or not span.is_recording():
        return
    kind = "stacks" if mode.slow is not None else mode.kind
    span.add_event(
        EVENT,
        {
            "burnline.profile.kind": kind,
            "burnline.profile.text": text[:LONGEST],
            "burnline.profile.cut": len(text) > LONGEST,
        },
    )


class profile_llm_call:  # noqa: N801 - used like a function
    """Profile what is inside: a decorator and a context manager.

    Inside of a span, such as that of a call (`@observe` above it), the span gets the profile. Without one,
    each call inside gets its own.

    Args:
        function: the function, where the decorator is used without brackets.
        slow: seconds; only calls that take longer, looked at from beside.
        share: of the runs, 0 to 1.
        kind: `pyinstrument` or `cprofile`.

    Raises:
        ValueError: another kind, or a share outside 0 to 1.
    """

    def __new__(cls, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:  # noqa: ANN401
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__(**options)  # type: ignore[misc]  # the function itself is what comes back
        return made(function)

    def __init__(
        self,
        *,
        slow: float | None = None,
        share: float = 1.0,
        kind: str = "pyinstrument",
    ) -> None:
        if kind not in _profilers.KINDS:
            raise ValueError(f"kind={kind!r}: there are {' and '.join(_profilers.KINDS)}")
        if not 0 <= share <= 1:
            raise ValueError(f"share={share!r}: write a number from 0 to 1")
        self._mode = Mode(share, slow, kind)
        self._before: list[tuple[Mode | None, trace.Span | None, _profilers.Running | None]] = []

    def __enter__(self) -> Self:
        self._before.append((_asked.get(), *(self._begin() or (None, None))))
        if self._before[-1][2] is None:
            _asked.set(self._mode)
        return self

    @_guard.guarded
    def _begin(self) -> tuple[trace.Span, _profilers.Running] | None:
        span = trace.get_current_span()
        if not span.is_recording() or random.random() >= self._mode.share:  # noqa: S311 - no secret
            return None
        running = _profilers.start(self._mode.kind, self._mode.slow)
        return None if running is None else (span, running)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        asked, span, running = self._before.pop()
        _asked.set(asked)
        if running is not None and span is not None:
            self._end(span, running)

    @_guard.guarded
    def _end(self, span: trace.Span, running: _profilers.Running) -> None:
        attach(span, self._mode, running.stop())

    def _again(self) -> "profile_llm_call":
        mode = self._mode
        made: profile_llm_call = profile_llm_call(slow=mode.slow, share=mode.share, kind=mode.kind)
        return made

    def __call__(self, function: F) -> F:
        """A function whose runs are profiled."""
        wrapped: Callable[..., Any]
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def in_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
                with self._again():
                    async for one in function(*args, **kwargs):
                        yield one

            wrapped = in_async_generator
        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def in_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
                with self._again():
                    return (yield from function(*args, **kwargs))

            wrapped = in_generator
        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def in_coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                with self._again():
                    return await function(*args, **kwargs)

            wrapped = in_coroutine
        else:

            @functools.wraps(function)
            def in_function(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                with self._again():
                    return function(*args, **kwargs)

            wrapped = in_function
        return cast("F", wrapped)
