"""`@observe`: each run of a function is a model call."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar, overload

from burnline_llm import _streams
from burnline_llm._calls import Call

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
        stream: whether the function returns a stream; generators and clients' streams are known as such without.
        server: as for `call`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
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
    function: Callable[..., Any],
    begin: Callable[[tuple[Any, ...], dict[str, Any]], Call],
    *,
    stream: bool,
) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def run_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
            call = begin(args, kwargs)
            call.stream_requested = True
            source = function(*args, **kwargs)
            driver = _drive_async(call)
            try:
                sent = None
                step = driver(source.__anext__)
                while True:
                    try:
                        chunk = await step
                    except StopAsyncIteration:
                        break
                    call.chunk(chunk)
                    try:
                        sent = yield chunk
                    except GeneratorExit:
                        _streams.close_early(call)
                        await driver(source.aclose)
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in: the source's business
                        step = driver(source.athrow, error)
                    else:
                        step = driver(source.asend, sent)
                call.end()
            except BaseException as error:
                call.end(error)
                raise

        return run_async_generator

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with begin(args, kwargs) as call:
                return _result(call, await function(*args, **kwargs), stream=stream)

        return run_async

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def run_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
            call = begin(args, kwargs)
            call.stream_requested = True
            source = function(*args, **kwargs)
            driver = _drive(call)
            try:
                chunk = driver(next, source)
                while True:
                    call.chunk(chunk)
                    try:
                        sent = yield chunk
                    except GeneratorExit:
                        _streams.close_early(call)
                        driver(source.close)
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in: the source's business
                        chunk = driver(source.throw, error)
                    else:
                        chunk = driver(source.send, sent)
            except StopIteration as stop:
                call.end()
                return stop.value
            except BaseException as error:
                call.end(error)
                raise

        return run_generator

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with begin(args, kwargs) as call:
            return _result(call, function(*args, **kwargs), stream=stream)

    return run


def _drive(call: Call) -> Callable[..., Any]:
    """Runs steps of a generator with the call's span as the current one."""
    started = False

    def step(function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        nonlocal started
        if not started:
            started = True
            call.start()
        call.attach()
        try:
            return function(*args)
        finally:
            call.detach()

    return step


def _drive_async(call: Call) -> Callable[..., Any]:
    started = False

    async def step(function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        nonlocal started
        if not started:
            started = True
            call.start()
        call.attach()
        try:
            return await function(*args)
        finally:
            call.detach()

    return step


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
