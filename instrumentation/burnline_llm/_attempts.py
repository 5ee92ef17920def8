"""Retries and fallbacks: each try is a span inside the call's, so that waiting between them can be seen."""

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from burnline_llm import _errors, _guard
from burnline_llm import _names as names
from burnline_llm._runtime import ready, runtime
from burnline_llm._spans import Timed

if TYPE_CHECKING:
    from burnline_llm._calls import Call

from opentelemetry.trace import set_span_in_context


class Attempts:
    """The tries of one call so far."""

    __slots__ = ("_since", "_slept", "ended", "model", "number", "provider")

    def __init__(self) -> None:
        self.number = 0
        self.ended = 0
        """When the last try ended, by perf_counter_ns()."""
        self.provider: str | None = None
        self.model: str | None = None
        self._since = 0  # when tenacity's next try begins, in ns since 1970
        self._slept: float | None = None

    @_guard.guarded
    def before_sleep(self, call: "Call", state: Any) -> None:  # noqa: ANN401 - tenacity's RetryCallState
        """Write down a try that failed, and how long tenacity is going to wait."""
        now = time_ns()
        outcome = state.outcome
        error = outcome.exception() if outcome is not None and outcome.failed else None
        self._write(call, self._since or call.started_ns, now, error)
        self._slept = float(state.next_action.sleep) if state.next_action is not None else 0.0
        self._since = now + int(self._slept * 1e9)

    def _write(self, call: "Call", began: int, ended: int, error: BaseException | None) -> None:
        self.number += 1
        told: dict[str, Any] = {names.ATTEMPT_NUMBER: self.number}
        if self._slept is not None:
            told[names.ATTEMPT_BACKOFF] = self._slept
        span = ready().tracer.start_span(
            "attempt", set_span_in_context(call.span), attributes=told, start_time=began
        )
        if error is not None:
            _errors.record(span, error, content=runtime.capture is not None)
        span.end(ended)

    def finish(self, call: "Call") -> None:
        """At the call's end: write down the last try of tenacity's, and count."""
        if self._since:
            ended = call.started_ns + int(call.duration * 1e9)
            self._write(call, min(self._since, ended), ended, call.error)
        call.attributes[names.ATTEMPTS] = self.number


class Attempt(Timed):
    """One try. An exception that leaves it marks it as failed, and goes on."""

    __slots__ = ("_all", "_call", "_model", "_provider")

    def __init__(
        self,
        call: "Call",
        attempts: Attempts,
        *,
        provider: str | None,
        model: str | None,
        backoff: float | None,
    ) -> None:
        super().__init__()
        self._call = call
        self._all = attempts
        self._provider = provider
        self._model = model
        if backoff is not None:
            self.attributes[names.ATTEMPT_BACKOFF] = backoff

    def _name(self) -> str:
        return "attempt"

    def _first_attributes(self) -> dict[str, Any]:
        self._all.number += 1
        first: dict[str, Any] = {names.ATTEMPT_NUMBER: self._all.number}
        if self._model or self._call.model:
            first[names.ATTEMPT_MODEL] = self._model or self._call.model
        if self._provider:
            first[names.ATTEMPT_PROVIDER] = self._provider
        if self._all.ended and names.ATTEMPT_BACKOFF not in self.attributes:
            first[names.ATTEMPT_BACKOFF] = (perf_counter_ns() - self._all.ended) / 1e9
        self._all.provider, self._all.model = self._provider, self._model
        return first

    def _finished(self) -> None:
        self._all.ended = perf_counter_ns()
