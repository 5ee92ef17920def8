"""Streams of chunks: what goes through is measured, and the call ends with the stream, however that ends."""

import gc
import os
import threading
from collections.abc import AsyncIterator, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from burnline_llm import _guard

if TYPE_CHECKING:
    from burnline_llm._calls import Call

T = TypeVar("T")


class _Wrapped:
    """What both kinds of stream share."""

    def __init__(self, call: "Call", source: Any) -> None:  # noqa: ANN401 - any client's stream
        self._call = call
        self._source = source
        _reaper.ready()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the source's own
        if name in {"_source", "_call"}:  # half-made, or being copied
            raise AttributeError(name)
        return getattr(self._source, name)

    def __del__(self) -> None:
        call = self.__dict__.get("_call")
        if call is not None:
            abandoned(call)


class Stream(_Wrapped, Generic[T]):
    """A sync stream."""

    _iterator: Iterator[T] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._iterator is None:
            self._iterator = iter(self._source)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._call.end()
            raise
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.chunk(chunk)
        return chunk

    def close(self) -> None:
        """Close the source, and end the call with what was seen."""
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        finally:
            self._call.end()

    def __enter__(self) -> Self:
        enter = getattr(self._source, "__enter__", None)
        if enter is not None:
            self._iterator = iter(enter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            leave = getattr(self._source, "__exit__", None)
            if leave is not None:
                return bool(leave(kind, error, trace))
            self.close()
            return None
        finally:
            self._call.end(None if isinstance(error, GeneratorExit) else error)


class AsyncStream(_Wrapped, Generic[T]):
    """An async stream."""

    _iterator: AsyncIterator[T] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._iterator is None:
            self._iterator = aiter(self._source)
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            self._call.end()
            raise
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the source, and end the call with what was seen."""
        try:
            close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
            if close is not None:
                await close()
        finally:
            self._call.end()

    close = aclose  # as the clients of OpenAI and Anthropic call it

    async def __aenter__(self) -> Self:
        enter = getattr(self._source, "__aenter__", None)
        if enter is not None:
            self._iterator = aiter(await enter())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            leave = getattr(self._source, "__aexit__", None)
            if leave is not None:
                return bool(await leave(kind, error, trace))
            await self.aclose()
            return None
        finally:
            self._call.end(None if isinstance(error, GeneratorExit) else error)


class _Reaper:
    """Ends calls that the cyclic garbage collector found.

    It runs at any allocation, so also while this thread holds a lock of a metric or an exporter: ending a
    call there could wait for that lock for ever. So such calls are handed to a thread, by a queue that is
    safe in finalisers.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Call, int | None] | threading.Event] = SimpleQueue()
        self._collecting: int | None = None  # the thread that is collecting garbage
        self._thread: threading.Thread | None = None
        gc.callbacks.append(self._on_collection)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _on_collection(self, phase: str, _info: object) -> None:
        self._collecting = threading.get_ident() if phase == "start" else None

    def _after_fork(self) -> None:
        self._queue = SimpleQueue()
        self._thread = None

    @property
    def collecting(self) -> bool:
        """Whether the code that asks runs in a finaliser of the garbage collector."""
        return self._collecting == threading.get_ident()

    @_guard.guarded
    def ready(self) -> None:
        """Have the thread run; it can't be started in a finaliser."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="burnline-llm-abandoned", daemon=True
            )
            self._thread.start()

    def put(self, call: "Call", at: int | None) -> None:
        """Have a call ended."""
        self._queue.put((call, at))

    def wait(self, seconds: float) -> None:
        """Wait until what was handed over so far has ended."""
        if self._thread is not None:
            done = threading.Event()
            self._queue.put(done)
            done.wait(seconds)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                call, at = item
                call.end(at=at)
            del item


_reaper = _Reaper()


def prepare() -> None:
    """Have what `abandoned` and `close_early` need."""
    _reaper.ready()


def abandoned(call: "Call") -> None:
    """End a call that nobody is going to finish, as of its last sign of life."""
    if not call.is_open:
        return
    at = call.last_chunk or None
    if _reaper.collecting:
        _reaper.put(call, at)
    else:
        call.end(at=at)


def close_early(call: "Call") -> None:
    """End a call whose generator is closed, or found by the garbage collector."""
    call.is_closing = True
    if _reaper.collecting:
        _reaper.put(call, call.last_chunk or None)
    else:
        call.end()


def flush(seconds: float) -> None:
    """Wait until calls found by the garbage collector have ended."""
    _reaper.wait(seconds)
