"""Steps of an application around its model calls: tools, retrieval, agents, workflows."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry.trace import SpanKind

from burnline_llm import _names as names
from burnline_llm._functions import check
from burnline_llm._runtime import runtime
from burnline_llm._spans import Timed

P = ParamSpec("P")
R = TypeVar("R")
_DECORATORS = {"execute_tool": "tool", "invoke_agent": "agent", "invoke_workflow": "workflow"}


class Step(Timed):
    """A step: a context manager, sync and async, and a decorator of functions of both kinds."""

    __slots__ = ("_first", "label", "operation", "subject")

    def __init__(self, operation: str, subject: str, key: str, first: dict[str, Any]) -> None:
        super().__init__()
        if not isinstance(subject, str):
            decorator = _DECORATORS.get(operation, operation)
            raise TypeError(f"{subject!r} is no name; write such as @llm.{decorator}('search')")
        self.operation = operation
        self.subject = subject
        self.label = key
        self._first = {names.OPERATION: operation, key: subject, **first}

    def _name(self) -> str:
        return f"{self.operation} {self.subject}"

    def _first_attributes(self) -> dict[str, Any]:
        return self._first

    def _finished(self) -> None:
        if runtime.step_ended is not None:
            runtime.step_ended(self)

    def _again(self) -> "Step":
        again = type(self)(self.operation, self.subject, self.label, self._first)
        again.attributes.update(self.attributes)
        return again

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """A function, each run of which is such a step.

        Raises:
            TypeError: it is none, or a generator, whose run is not that of the function.
        """
        decorator = _DECORATORS.get(self.operation, self.operation)
        check(function, decorator)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@{decorator} does not measure generators such as {function.__name__}(); "
                f"write `with llm.{decorator}({self.subject!r}):` round the loop that reads it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - R, awaited
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return run


def tool(name: str, **attributes: Any) -> Step:  # noqa: ANN401 - whatever OpenTelemetry takes
    """A tool that a model asked for: `execute_tool`."""
    return Step("execute_tool", name, names.TOOL_NAME, _dotted(attributes))


class _Client(Step):
    __slots__ = ()
    _kind = SpanKind.CLIENT


def retrieval(source: str, **attributes: Any) -> Step:  # noqa: ANN401 - whatever OpenTelemetry takes
    """A search in documents: `retrieval`."""
    return _Client("retrieval", source, names.DATA_SOURCE, _dotted(attributes))


def agent(name: str, **attributes: Any) -> Step:  # noqa: ANN401 - whatever OpenTelemetry takes
    """A run of an agent: `invoke_agent`."""
    return Step("invoke_agent", name, names.AGENT_NAME, _dotted(attributes))


def workflow(name: str, **attributes: Any) -> Step:  # noqa: ANN401 - whatever OpenTelemetry takes
    """A run of a workflow: `invoke_workflow`."""
    return Step("invoke_workflow", name, names.WORKFLOW_NAME, _dotted(attributes))


def _dotted(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in attributes.items()}
