"""What a process runs beside the flow: receivers, pages and the Alertmanager sender.

All of it lives on one event loop in a daemon thread, so that the flow keeps the main thread.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from aiohttp import web

from engine.access.credentials import Outgoing, Token
from engine.access.guard import PROBES, Guard, warn_if_in_the_clear, warn_if_open
from engine.access.tls import EventLoop, Listener, ServerTls
from engine.columns.content import Redactor, digest_key
from engine.receivers import otlp_grpc, otlp_http
from engine.receivers.connections import Door
from engine.receivers.ingest import MAX_IN_FLIGHT, MAX_PAYLOAD, Ingest
from engine.receivers.limits import Limits, within_descriptors
from engine.sinks._remote_samples import Recorder
from engine.sinks.alertmanager import Sender
from engine.sinks.board import Board
from engine.sinks.face import Face
from engine.sinks.remote_write import RemoteWrite, RemoteWriter
from engine.sinks.watchdog import Watchdog
from engine.spool.spool import Spool
from engine.telemetry.log import log, log_change
from engine.telemetry.metrics import EngineMetrics
from slo.anomalies.model import Monitor
from slo.model import Objective

CHECKERS = 2
STOP_SECONDS = 10.0
# What is left of a body that was refused is read for so long, that the client hears why.
LINGER_SECONDS = 2.0


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
        unready: what else keeps the process from being ready; empty for nothing.
        unhealthy: why it should be started anew; empty for nothing.
        process: its number in a cluster; else None.
        tls: of all listeners; None for plain connections.
        otlp_token: what senders must show; None for nothing.
        http_token: likewise what readers of the pages must, but for the probes' paths.
        alertmanager_access: token and TLS towards every Alertmanager.
        limits: on clients.
        keep_content: store prompts, completions and the like as they come.
        watchdog: whether an alert says all the time that the engine decides.
        remote_write: where samples are pushed to.
        monitors: gives what is watched for anomalies at the moment.
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
    unready: Callable[[], str] = lambda: ""
    unhealthy: Callable[[], str] = lambda: ""
    process: int | None = None
    tls: ServerTls | None = None
    otlp_token: Token | None = None
    http_token: Token | None = None
    alertmanager_access: Outgoing = field(default_factory=Outgoing)
    limits: Limits = field(default_factory=Limits)
    keep_content: bool = False
    watchdog: bool = False
    remote_write: RemoteWrite = field(default_factory=RemoteWrite)
    monitors: Callable[[], Iterable[Monitor]] = tuple


class Service:
    """A running service; made by `Service.start`.

    Attributes:
        addresses: `HOST:PORT` by name: `otlp_grpc`, `otlp_http`, `listen`; only of those that run.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self.limits = within_descriptors(config.limits)
        if self.limits != config.limits:
            log.warning(
                "fewer connections than asked: raise the process's limit on open files (ulimit -n)",
                asked=config.limits.connections,
                limit=self.limits.connections,
            )
        self.addresses: dict[str, str] = {}
        self.watchdog = (
            Watchdog(config.board, config.ready_within, config.external_url, process=config.process)
            if config.watchdog
            else None
        )
        try:
            self.sender = Sender(
                config.alertmanagers,
                config.board,
                config.metrics,
                config.external_url,
                config.alertmanager_access,
                self.watchdog,
            )
        except ValueError as error:
            raise ServiceError(f"--alertmanager: {error}") from error
        # Pages have a thread of their own: a scrape must not wait for payloads to be checked.
        self._pages = ThreadPoolExecutor(1, "burnline-pages")
        try:
            self.remote_writer = RemoteWriter(config.remote_write, config.metrics, self._pages)
        except ValueError as error:
            raise ServiceError(f"--remote-write: {error}") from error
        self._loop: asyncio.AbstractEventLoop = EventLoop()
        self._thread = threading.Thread(target=self._run, name="burnline-service", daemon=True)
        self._checkers = ThreadPoolExecutor(CHECKERS, "burnline-check")
        self._grpc: grpc.aio.Server | None = None
        self._runners: list[web.AppRunner] = []
        self._stopping = False
        self._ingest: Ingest | None = None
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
        about = {"alerts": self.sender.describe(), "remote_write": self.remote_writer.describe()}
        return self.addresses | {name: text for name, text in about.items() if text}

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
        self._unsubscribe = board.subscribe(lambda change: log_change(change.fired, change.ended))
        if config.spool is not None:
            await self._open_receivers(config.spool)
        guard = Guard("listen", config.metrics, config.http_token, config.tls, PROBES)
        face = Face(
            board,
            config.metrics,
            self._pages,
            self._unready,
            config.ready_within,
            guard,
            self.watchdog,
            config.unhealthy,
        )
        if config.listen is not None:
            await self._serve_http("listen", "--http", config.listen, face.make_app())
            warn_if_open(
                "--http", config.listen, "--http-token-file", config.http_token, config.tls
            )
        for url in config.alertmanagers:
            warn_if_in_the_clear("--alertmanager", url, config.alertmanager_access)
        for url in config.remote_write.urls:
            warn_if_in_the_clear("--remote-write", url, config.remote_write.access)
        await self.sender.start()
        labels = self._target() | dict(config.remote_write.labels)
        always = self.watchdog.shown if self.watchdog else tuple
        recorder = Recorder(board, face.exposition, config.metrics.registry, labels, always)
        await self.remote_writer.start(recorder.take)
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
            self.limits,
            self._redactor(spool),
        )
        self._ingest = ingest
        if config.otlp_grpc is not None:
            host, port = _split("--otlp-grpc", config.otlp_grpc)
            self._warn_if_open("--otlp-grpc", config.otlp_grpc)
            try:
                self._grpc, port = await otlp_grpc.serve(
                    ingest, _joined(host, port), config.otlp_token, config.tls
                )
            except OSError as error:
                raise _taken("--otlp-grpc", host, port, error) from error
            self.addresses["otlp_grpc"] = _joined(host, port)
        if config.otlp_http is not None:
            self._warn_if_open("--otlp-http", config.otlp_http)
            guard = Guard("otlp_http", config.metrics, config.otlp_token, config.tls)
            app = otlp_http.make_app(ingest, guard)
            await self._serve_http("otlp_http", "--otlp-http", config.otlp_http, app)

    def _warn_if_open(self, option: str, address: str) -> None:
        config = self.config
        warn_if_open(option, address, "--otlp-token-file", config.otlp_token, config.tls)

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
        redactor = Redactor(self._objectives, key)
        redactor.names()  # says at start, not with the first payload, what is kept
        return redactor

    def _objectives(self) -> Iterable[Objective | Monitor]:
        """Of the moment, with monitors: a reload changes them."""
        return (*self.config.board.objectives.values(), *self.config.monitors())

    async def _serve_http(
        self, name: Listener, option: str, address: str, app: web.Application
    ) -> None:
        host, port = _split(option, address)
        # The receiver decompresses by itself, with a bound; the pages take no bodies.
        most = self.limits.page_connections if name == "listen" else self.limits.connections
        door = Door(name, most, self.limits, self.config.metrics)
        runner = door.runner(
            app,
            access_log=None,
            auto_decompress=False,
            shutdown_timeout=STOP_SECONDS / 2,
            lingering_time=LINGER_SECONDS,
        )
        await runner.setup()
        self._runners.append(runner)
        context = None if self.config.tls is None else self.config.tls.context(name)
        site = web.TCPSite(
            runner, host, port, ssl_context=context, reuse_address=True, reuse_port=False
        )
        try:
            await site.start()
        except OSError as error:
            raise _taken(option, host, port, error) from error
        self.addresses[name] = _joined(host, runner.addresses[0][1])

    async def _close(self) -> None:
        if self._ingest is not None:
            self._ingest.stopping = True
        if self._grpc is not None:
            await self._grpc.stop(STOP_SECONDS / 2)
        for runner in self._runners:
            await runner.cleanup()
        await asyncio.gather(self.sender.stop(), self.remote_writer.stop())

    def _target(self) -> dict[str, str]:
        """What a scrape would call this process, told apart from those on other machines."""
        port = self.addresses.get("listen", "").rpartition(":")[2]
        host = socket.gethostname()
        return {"job": "burnline", "instance": f"{host}:{port}" if port else host}

    def _unready(self) -> str:
        if self._stopping:
            return "stopping"
        wanted = (("otlp_grpc", self.config.otlp_grpc), ("otlp_http", self.config.otlp_http))
        for name, address in wanted:
            if self.config.spool is not None and address and name not in self.addresses:
                return f"{name} does not listen yet"
        return self.config.unready()


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
