"""`@observe`: each run of a function is a model call."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from burnline_llm import _generators
from burnline_llm._calls import Call
from burnline_llm._functions import check

F = TypeVar("F", bound=Callable[..., Any])


@overload
def observe(function: F, /) -> F: ...
@overload
def observe(
    *,
    provider: str | None = None,
    model: str | None = None,
    operation: str = "chat",
    stream: bool = False,
    server: tuple[str, int] | str | None = None,
) -> Callable[[F], F]: ...
def observe(
    function: Any = None,
    /,
    *,
    provider: str | None = None,
    model: str | None = None,
    operation: str = "chat",
    stream: bool = False,
    server: tuple[str, int] | str | None = None,
) -> Any:
    """A function, each run of which is a model call: sync, async, and generators of both kinds.

    What it returns or yields is read as `call.response` and `call.chunk` do, and a client's stream that it
    returns is wrapped. Inside, `burnline_llm.current()` is the call.

    Args:
        function: the function, where the decorator is used without brackets.
        provider: as for `call`.
        model: as for `call`; unless given, the function's argument `model`.
        operation: as for `call`.
        stream: whether the function returns a stream; generators and clients' streams are known without.
        server: as for `call`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        check(function, "observe")
        place = _place_of_model(function) if model is None else None

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
            named = model
            if named is None:
                named = kwargs.get("model")
                if named is None and place is not None and place < len(args):
                    named = args[place]
            return Call(
                provider,
                named if isinstance(named, str) else None,
                operation,
                stream=stream,
                server=server,
            )

        return _wrapped(function, begin, stream=stream)

    return decorate if function is None else decorate(function)


def _place_of_model(function: Callable[..., Any]) -> int | None:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built-in functions may have no signature
        return None
    return names.index("model") if "model" in names else None


def _wrapped(
    function: Callable[..., Any], begin: _generators.Begin, *, stream: bool
) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):
        return _generators.async_generator(function, begin)
    if inspect.isgeneratorfunction(function):
        return _generators.generator(function, begin)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with begin(args, kwargs) as call:
                return _result(call, await function(*args, **kwargs), stream=stream)

        return run_async

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with begin(args, kwargs) as call:
            return _result(call, function(*args, **kwargs), stream=stream)

    return run


def _result(call: Call, result: Any, *, stream: bool) -> Any:  # noqa: ANN401
    if stream or inspect.isgenerator(result) or inspect.isasyncgen(result) or _is_stream(result):
        return call.stream(result)
    call.response(result)
    return result


def _is_stream(result: object) -> bool:
    kind = type(result)
    return kind.__name__.endswith(("Stream", "StreamWrapper")) and (
        hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__aiter__")
    )
