"""Generator functions under `@observe`: the call begins at the first step and ends with the generator."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from burnline_llm import _streams
from burnline_llm._calls import Call

Begin = Callable[[tuple[Any, ...], dict[str, Any]], Call]


def generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """A generator function that yields, takes, raises and returns what `function` does."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
        source = function(*args, **kwargs)
        call = _begun(begin, args, kwargs)
        try:
            chunk = _step(call, next, source)
            while True:
                call.chunk(chunk)
                try:
                    sent = yield chunk
                except GeneratorExit:
                    _streams.close_early(call)
                    _step(call, source.close)
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: the source's business
                    chunk = _step(call, source.throw, error)
                else:
                    chunk = _step(call, source.send, sent)
        except StopIteration as stop:
            _end(call)
            return stop.value
        except BaseException as error:
            _end(call, error)
            raise

    return run


def async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """An async generator function that yields, takes and raises what `function` does."""

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
        source = function(*args, **kwargs)
        call = _begun(begin, args, kwargs)
        try:
            chunk = await _step_async(call, source.__anext__)
            while True:
                call.chunk(chunk)
                try:
                    sent = yield chunk
                except GeneratorExit:
                    _streams.close_early(call)
                    await _step_async(call, source.aclose)
                    raise
                except (
                    asyncio.CancelledError
                ) as error:  # an event loop that ends closes generators so
                    _streams.close_early(call)
                    chunk = await _step_async(call, source.athrow, error)
                except BaseException as error:  # noqa: BLE001 - thrown in: the source's business
                    chunk = await _step_async(call, source.athrow, error)
                else:
                    chunk = await _step_async(call, source.asend, sent)
        except StopAsyncIteration:
            _end(call)
        except BaseException as error:
            _end(call, error)
            raise

    return run


def _begun(begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    call = begin(args, kwargs)
    call.stream_requested = True
    _streams.prepare()
    call.start()
    return call


def _end(call: Call, error: BaseException | None = None) -> None:
    if not call.is_closing:
        call.end(error)


def _step(call: Call, step: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """A step of a generator, with the call's span as the current one."""
    call.attach()
    try:
        return step(*args)
    finally:
        call.detach()


async def _step_async(call: Call, step: Callable[..., Awaitable[Any]], *args: Any) -> Any:  # noqa: ANN401
    call.attach()
    try:
        return await step(*args)
    finally:
        call.detach()
