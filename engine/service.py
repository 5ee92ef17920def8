"""What a process runs beside the flow: receivers, pages and the Alertmanager sender.

All of it lives on one event loop in a daemon thread, so that the flow keeps the main thread.
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from aiohttp import web

from engine import otlp_grpc, otlp_http
from engine.alertmanager import Sender
from engine.board import Board
from engine.content import Redactor, digest_key
from engine.face import Face
from engine.ingest import MAX_IN_FLIGHT, MAX_PAYLOAD, Ingest
from engine.log import log, log_change
from engine.metrics import EngineMetrics
from engine.spool import Spool

CHECKERS = 2
STOP_SECONDS = 10.0


class ServiceError(Exception):
    """The service can't start; the message says why, and the mend."""


@dataclass(frozen=True)
class ServiceConfig:
    """What to run.

    Attributes:
        board: what the flow's sink publishes to.
        spool: where received payloads go; None for no receivers.
        metrics: the engine's own.
        otlp_grpc: `HOST:PORT` (port 0 for a free one), None for no such receiver.
        otlp_http: likewise.
        listen: of the pages, likewise.
        alertmanagers: URLs of every replica.
        external_url: the pages' address for people; alerts link to it.
        max_payload: bytes of a payload, decompressed.
        max_in_flight: bytes of all payloads that are being accepted at a time.
        ready_within: seconds within which the flow must have decided to be ready.
        keep_content: store prompts, completions and the like as they come.
    """

    board: Board
    spool: Spool | None = None
    metrics: EngineMetrics = field(default_factory=EngineMetrics)
    otlp_grpc: str | None = "127.0.0.1:4317"
    otlp_http: str | None = "127.0.0.1:4318"
    listen: str | None = "127.0.0.1:9464"
    alertmanagers: tuple[str, ...] = ()
    external_url: str = ""
    max_payload: int = MAX_PAYLOAD
    max_in_flight: int = MAX_IN_FLIGHT
    ready_within: float = 10.0
    keep_content: bool = False


class Service:
    """A running service; made by `Service.start`.

    Attributes:
        addresses: `HOST:PORT` by name: `otlp_grpc`, `otlp_http`, `listen`; only of those that run.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self.addresses: dict[str, str] = {}
        try:
            self.sender = Sender(
                config.alertmanagers, config.board, config.metrics, config.external_url
            )
        except ValueError as error:
            raise ServiceError(f"--alertmanager: {error}") from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="burnline-service", daemon=True)
        # Pages have a thread of their own: a scrape must not wait for payloads to be checked.
        self._checkers = ThreadPoolExecutor(CHECKERS, "burnline-check")
        self._pages = ThreadPoolExecutor(1, "burnline-pages")
        self._grpc: grpc.aio.Server | None = None
        self._runners: list[web.AppRunner] = []
        self._stopping = False
        self._unsubscribe: Callable[[], None] = lambda: None

    @staticmethod
    def start(config: ServiceConfig) -> "Service":
        """Start, and return once everything listens.

        Raises:
            ServiceError: an address is malformed or taken.
        """
        service = Service(config)
        service._thread.start()
        try:
            service._wait(service._open())
        except BaseException:
            service.stop()
            raise
        return service

    def stop(self) -> None:
        """Stop taking requests, finish those at hand, send the newest alerts; then return."""
        if self._stopping:
            return
        self._stopping = True
        self._unsubscribe()
        try:
            self._wait(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_SECONDS)
            self._checkers.shutdown(wait=False)
            self._pages.shutdown(wait=False)

    def describe(self) -> Mapping[str, str]:
        """What runs where, for the start-up message."""
        return self.addresses | {"alerts": self.sender.describe()}

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        # Connections that are kept alive have tasks that nobody else ends.
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        config = self.config
        board = config.board
        self._unsubscribe = board.subscribe(
            lambda change: log_change(board.objectives, change.fired, change.ended)
        )
        if config.spool is not None:
            await self._open_receivers(config.spool)
        if config.listen is not None:
            face = Face(board, config.metrics, self._pages, self._unready, config.ready_within)
            await self._serve_http("listen", "--http", config.listen, face.make_app())
        await self.sender.start()
        log.info("service started", **self.describe())

    async def _open_receivers(self, spool: Spool) -> None:
        config = self.config
        config.metrics.watch_spool(spool.depth, spool.max_bytes)
        ingest = Ingest(
            spool,
            config.metrics,
            self._checkers,
            config.max_payload,
            config.max_in_flight,
            self._redactor(spool),
        )
        if config.otlp_grpc is not None:
            host, port = _split("--otlp-grpc", config.otlp_grpc)
            try:
                self._grpc, port = await otlp_grpc.serve(ingest, _joined(host, port))
            except OSError as error:
                raise _taken("--otlp-grpc", host, port, error) from error
            self.addresses["otlp_grpc"] = _joined(host, port)
        if config.otlp_http is not None:
            app = otlp_http.make_app(ingest)
            await self._serve_http("otlp_http", "--otlp-http", config.otlp_http, app)

    def _redactor(self, spool: Spool) -> Redactor | None:
        if self.config.keep_content:
            log.warning("prompts, completions and all other content are stored: --keep-content")
            return None
        path = spool.path.with_name("content.key")
        try:
            key = digest_key(path)
        except OSError as error:
            raise ServiceError(
                f"{path} can't be used ({error.strerror}); make it readable and its directory writable"
            ) from error
        board = self.config.board
        redactor = Redactor(lambda: board.objectives.values(), key)  # noqa: PLW0108 - a reload may replace it
        redactor.names()  # says at start, not with the first payload, what is kept
        return redactor

    async def _serve_http(self, name: str, option: str, address: str, app: web.Application) -> None:
        host, port = _split(option, address)
        # The receiver decompresses by itself, with a bound; the pages take no bodies.
        runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=STOP_SECONDS / 2
        )
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, reuse_address=True, reuse_port=False)
        try:
            await site.start()
        except OSError as error:
            raise _taken(option, host, port, error) from error
        self.addresses[name] = _joined(host, runner.addresses[0][1])

    async def _close(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(STOP_SECONDS / 2)
        for runner in self._runners:
            await runner.cleanup()
        await self.sender.stop()

    def _unready(self) -> str:
        if self._stopping:
            return "stopping"
        wanted = (("otlp_grpc", self.config.otlp_grpc), ("otlp_http", self.config.otlp_http))
        for name, address in wanted:
            if self.config.spool is not None and address and name not in self.addresses:
                return f"{name} does not listen yet"
        return ""


def _split(option: str, address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ServiceError(f"{option} {address}: write HOST:PORT, such as 127.0.0.1:4317")
    return host, int(port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _taken(option: str, host: str, port: int, error: OSError) -> ServiceError:
    if error.errno in (errno.EADDRINUSE, None):
        mend = f"stop what listens there or pass {option} HOST:PORT"
        return ServiceError(f"port {port} of {host} is taken: {mend}")
    return ServiceError(
        f"{_joined(host, port)} can't be listened on ({error}); pass {option} HOST:PORT"
    )
