"""HTTP connections within bounds: how many, and how long one may take over its request head.

aiohttp waits for a head as long as the client likes, and takes as many connections as there are
descriptors. Here each connection has a doorkeeper before aiohttp's own protocol. Where a listener
is full, the connection that has been without a request for longest makes room, so that clients who
only keep connections open shut nobody out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from engine.receivers.limits import Limits
from engine.telemetry.metrics import EngineMetrics

_SWEEP_SECONDS = 0.5
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """The connections of one listener; used by one event loop.

    Args:
        listener: its name in metrics.
        most: connections at a time.
        limits: how long they may take.
        metrics: counts connections that are closed for cause.
    """

    def __init__(self, listener: str, most: int, limits: Limits, metrics: EngineMetrics) -> None:
        self.listener = listener
        self.most = most
        self.limits = limits
        self._metrics = metrics
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        # Those without a request, in the order in which they became so.
        self._idle: dict[_Connection, None] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        metrics.connections.labels(listener).set_function(lambda: len(self._open))

    def runner(self, app: web.Application, **kwargs: Any) -> web.AppRunner:  # noqa: ANN401 - aiohttp's own
        """A runner for the application whose connections come through this door."""
        # The outermost: whatever answers, the head has come.
        app.middlewares.insert(0, self._watch)
        kwargs.setdefault("keepalive_timeout", self.limits.idle_seconds)
        return _Runner(self, app, logger=_quiet_logger(self), **kwargs)

    def refuse(self, reason: str) -> None:
        """Count a connection that is closed for cause."""
        self._metrics.refused_connections.labels(self.listener, reason).inc()

    def enter(self, connection: "_Connection", transport: asyncio.Transport) -> bool:
        """Let a connection in; False where there is no room."""
        if len(self._open) >= self.most:
            oldest = next(iter(self._idle), None)
            self.refuse("crowded")
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.transport.abort()
        self._open[transport] = connection
        self.idle(connection)
        if self._sweeper is None:
            self._sweep()
        return True

    def idle(self, connection: "_Connection") -> None:
        """It has no request now."""
        self._idle[connection] = None

    def busy(self, connection: "_Connection") -> None:
        """It has one."""
        self._idle.pop(connection, None)

    def leave(self, connection: "_Connection") -> None:
        """It is closed."""
        self._open.pop(connection.transport, None)
        self._idle.pop(connection, None)

    @web.middleware
    async def _watch(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        transport = request.transport
        connection = None if transport is None else self._open.get(transport)
        if connection is None:
            return await handler(request)
        connection.began()
        try:
            return await handler(request)
        finally:
            connection.ended(whole=request.content.is_eof())

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._idle):
            reason = connection.close_overdue(now)
            if reason:
                self.refuse(reason)
                self.leave(connection)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._open else None


class _Connection(asyncio.Protocol):
    """Stands before aiohttp's protocol and passes on what comes."""

    transport: asyncio.Transport

    def __init__(self, door: Door, inner: asyncio.Protocol) -> None:
        self._door = door
        self._inner = inner
        self._let_in = False
        self._has_request = False
        # By when a head has to be there, or some of an answer to be taken; None where none is due.
        self._head_due: float | None = None
        self._answer_due: float | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._let_in = self._door.enter(self, self.transport)
        if self._let_in:
            self._expect_head()
            self._inner.connection_made(transport)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._let_in:
            self._door.leave(self)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._has_request and self._head_due is None:
            self._expect_head()
        if self._let_in:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._let_in else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def began(self) -> None:
        """A head is there."""
        self._has_request = True
        self._head_due = None
        self._door.busy(self)

    def ended(self, *, whole: bool) -> None:
        """The answer is ready to be sent.

        Args:
            whole: the request's body was read to its end; if not, the connection ends with it.
        """
        self._has_request = not whole
        if not self.transport.is_closing():
            self._door.idle(self)

    def close_overdue(self, now: float) -> str:
        """Close it where it takes too long; why, or the empty text."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if self._answer_due is None or unsent < self._unsent:
                self._answer_due = now + self._door.limits.answer_seconds
            self._unsent = unsent
            if now < self._answer_due:
                return ""
            self.transport.abort()
            return "slow_reader"
        self._answer_due = None
        if self._head_due is None or now < self._head_due:
            return ""
        self.transport.write(_TOO_SLOW)
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it reads nothing either
        else:
            self.transport.close()
        return "slow_head"

    def _expect_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_due = loop.time() + self._door.limits.head_seconds


class _Runner(web.AppRunner):
    """Its sites make connections by this factory, and leave the rest to aiohttp's."""

    def __init__(self, door: Door, app: web.Application, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(app, **kwargs)
        self._door = door

    @property
    def server(self) -> Any:  # noqa: ANN401 - what `create_server` takes: a protocol's factory
        """The factory of connections; None before `setup`."""
        inner = super().server
        return None if inner is None else lambda: _Connection(self._door, inner())


def _quiet_logger(door: Door) -> logging.Logger:
    """For aiohttp, which logs a traceback for each client that sends no HTTP, or hangs up."""

    def is_ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            door.refuse("malformed")
            return False
        return not isinstance(error, ConnectionError)  # it has hung up

    logger = logging.Logger(f"aiohttp.server.{door.listener}")  # noqa: LOG001 - filters of its own
    logger.parent = logging.getLogger("aiohttp.server")
    logger.addFilter(is_ours)
    return logger
