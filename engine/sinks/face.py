"""The HTTP face: `/metrics`, `/healthz`, `/readyz`, and an index page."""

import asyncio
import gzip
import time
from collections.abc import Callable
from concurrent.futures import Executor

from aiohttp import web

from engine.access.guard import CHALLENGE, Guard
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition, content_type, page
from engine.sinks.watchdog import Watchdog
from engine.telemetry import tracing
from engine.telemetry.metrics import EngineMetrics

GZIP_LEVEL = 1
_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Burnline</title></head><body>
<h1>Burnline</h1>
<ul><li><a href="/metrics">/metrics</a>: service levels, budgets, alerts, and the engine's own</li>
<li><a href="/healthz">/healthz</a>: the process is up</li>
<li><a href="/readyz">/readyz</a>: data is received and decided on</li></ul>
</body></html>
"""


class Face:
    """The pages of one process.

    Args:
        board: what is shown.
        metrics: the engine's own.
        executor: pages are rendered there, off the event loop.
        unready: what keeps the process from being ready, besides the flow; empty for nothing.
        ready_within: seconds within which the flow must have decided.
        guard: turns strangers away.
        watchdog: shown among the alerts while it fires.
        unhealthy: why the process should be started anew; empty for nothing.
    """

    def __init__(
        self,
        board: Board,
        metrics: EngineMetrics,
        executor: Executor,
        unready: Callable[[], str],
        ready_within: float,
        guard: Guard,
        watchdog: Watchdog | None = None,
        unhealthy: Callable[[], str] = lambda: "",
    ) -> None:
        self.board = board
        self.metrics = metrics
        self.executor = executor
        self.unready = unready
        self.ready_within = ready_within
        self.guard = guard
        self.watchdog = watchdog
        self.unhealthy = unhealthy
        self.exposition = Exposition()

    def make_app(self) -> web.Application:
        """The pages as an aiohttp application."""
        app = web.Application(middlewares=[self.guard.middleware(_turn_away)])
        app.router.add_get("/", self._index)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        return app

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(text=_INDEX, content_type="text/html")

    async def _healthz(self, _request: web.Request) -> web.Response:
        reason = self.unhealthy()
        if reason:
            return web.Response(status=503, text=f"unhealthy: {reason}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reason = self.unready() or self._undecided()
        if reason:
            return web.Response(status=503, text=f"not ready: {reason}\n")
        return web.Response(text="ready\n")

    def _undecided(self) -> str:
        age = self.board.live_age()
        if age is None:
            return "the flow has not decided yet; it may be replaying what it had read before"
        if age > self.ready_within:
            return f"the flow last decided {age:.0f} s ago"
        return ""

    async def _metrics(self, request: web.Request) -> web.Response:
        openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self.executor, self._render, openmetrics, zipped)
        headers = {"Content-Type": content_type(openmetrics=openmetrics), "Vary": "Accept"}
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    def _render(self, openmetrics: bool, zipped: bool) -> bytes:  # noqa: FBT001 - an executor passes positions
        began = time.perf_counter()
        always = self.watchdog.shown() if self.watchdog else ()
        with tracing.span("scrape") as span:
            text = self.exposition.render(
                self.board.snapshot(),
                self.board.active_alerts(),
                openmetrics=openmetrics,
                always=always,
            )
            body = page(text, self.metrics.registry, openmetrics=openmetrics)
            body = gzip.compress(body, GZIP_LEVEL) if zipped else body
            span.set_attribute("burnline.bytes", len(body))
        self.metrics.scrape_seconds.observe(time.perf_counter() - began)
        return body


def _turn_away(_request: web.Request, status: int, why: str) -> web.Response:
    return web.Response(
        status=status, text=f"{why}\n", headers=CHALLENGE if status == 401 else None
    )
