"""The live engine, and the module that Bytewax's own runner takes.

`burnline run` is `Engine(settings).run()`. `python -m bytewax.run dataflows.live` runs the same flow with
Bytewax's flags (`-w`, `-i`/`-a`, `-r`) and takes the settings from the environment (`BURNLINE_SLOS`,
`BURNLINE_DATA_DIR`, …; see `burnline run --help`).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import IO, NamedTuple

import click
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from dataflows import data_dir
from dataflows.data_dir import StartError
from dataflows.flow import build
from dataflows.options import settings_from_environment
from dataflows.settings import Settings
from engine.board import Board
from engine.log import configure, log
from engine.measure import Measurer, warm_up
from engine.metrics import EngineMetrics
from engine.publish import Publish, Take
from engine.service import Service, ServiceConfig, ServiceError
from engine.slo_files import load_paths
from engine.spans import is_cached
from engine.spool import Spool, SpoolUnavailable
from engine.spool_source import SpoolSource
from slo.decision import Decision
from slo.plan import Plan


class Addresses(NamedTuple):
    """Where the engine listens."""

    otlp_grpc: str
    otlp_http: str
    http: str


class Engine:
    """A live engine: SLOs, spool, receivers, flow, `/metrics` and alerts of one process.

    Args:
        settings: how to run.
        on_decision: told each decision, on the flow's thread.

    Raises:
        StartError: the SLO files have problems.
    """

    def __init__(
        self, settings: Settings, on_decision: Callable[[Decision], None] | None = None
    ) -> None:
        self.settings = settings
        self.on_decision = on_decision
        loaded = load_paths(settings.slos)
        if loaded.problems:
            raise StartError(
                "the SLO files have problems:\n" + "\n".join(map(str, loaded.problems))
            )
        if not loaded.objectives:
            raise StartError("the SLO files hold no SLO; add one under `slos:`")
        data_dir.prepare(settings)
        self.plan = Plan(
            loaded.objectives,
            watched_since=data_dir.watched_since(settings, loaded.objectives),
            shards=settings.shards,
            series_limit=settings.series_limit,
            stale_after=settings.stale_after,
            skew=settings.skew,
        )
        self.metrics = EngineMetrics()
        self.board = Board(
            self.plan.objectives,
            settings.data_dir / "alerts.json",
            on_book_failure=self.metrics.book_failures.inc,
        )
        self.metrics.watch_flow(self._clock, self._too_late)
        self.spool: Spool | None = None
        self.service: Service | None = None
        self._source: SpoolSource | None = None
        self._stopping = threading.Event()
        self._data_lock: IO[str] | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def addresses(self) -> Addresses:
        """Where it listens; once `open` has returned."""
        if self.service is None:
            raise RuntimeError("the engine is not open yet")
        found = self.service.addresses
        return Addresses(
            otlp_grpc=found.get("otlp_grpc", ""),
            otlp_http="http://" + found.get("otlp_http", ""),
            http="http://" + found.get("listen", ""),
        )

    def flow(self) -> Dataflow:
        """The dataflow over what `open` has opened."""
        self._source = SpoolSource(
            self.spool, self._stopping.is_set, self.metrics.lost_payloads.inc
        )
        return build(self.plan, self._source, Publish(self._publisher), self._measurer, spread=True)

    def run(self) -> None:
        """Run in this thread until SIGTERM or SIGINT; the last act is a snapshot.

        Raises:
            StartError: an address is taken, the data directory is in use or not writable.
        """
        configure()
        self.open()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._run_flow()
        finally:
            self.close()

    def start(self) -> None:
        """Run in a thread of its own; returns when everything listens.

        Raises:
            StartError: as `run`.
        """
        self.open()
        self._thread = threading.Thread(target=self._run_thread, name="burnline-flow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the flow with a snapshot and close everything.

        Raises:
            Exception: whatever the flow had failed with.
        """
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.close()
        if self._failure is not None:
            raise self._failure

    @property
    def failure(self) -> BaseException | None:
        """What the flow's thread failed with, if it did."""
        return self._failure

    def caught_up(self) -> bool:
        """Whether everything received has been decided on."""
        if self.spool is None or self._source is None or self._source.partition is None:
            return False
        age = self.board.live_age()
        return self._source.partition.read_all_for(1.5) and age is not None

    def open(self, *, shared: bool = False) -> None:
        """Open the data directory, compile, and listen.

        Args:
            shared: other processes of a cluster may use the data directory: the first of them has the
                spool and the receivers, the others only serve their share of `/metrics`.
        """
        _compile()
        try:
            self._data_lock = data_dir.lock(self.settings)
        except BlockingIOError as error:
            if not shared:
                raise StartError(
                    f"another engine uses the data directory {self.settings.data_dir}; stop it, or "
                    "name another with --data-dir"
                ) from error
        else:
            self._open_spool()
        self._serve()

    def close(self) -> None:
        """Stop listening and free the data directory."""
        if self.service is not None:
            self.service.stop()
        if self.spool is not None:
            self.spool.close()
        if self._data_lock is not None:
            self._data_lock.close()

    def _run_thread(self) -> None:
        try:
            self._run_flow()
        except BaseException as failure:  # noqa: BLE001  raised again by `stop`
            self._failure = failure
            log.error("the flow ended", error=str(failure))

    def _run_flow(self) -> None:
        recovery = self.settings.data_dir / "recovery"
        cli_main(
            self.flow(),
            workers_per_process=self.settings.workers,
            epoch_interval=timedelta(seconds=self.settings.snapshot_seconds),
            recovery_config=RecoveryConfig(recovery),
        )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        self._stopping.set()

    def _open_spool(self) -> None:
        try:
            self.spool = Spool(
                self.settings.data_dir / "spool.db", max_bytes=self.settings.spool_bytes
            )
        except SpoolUnavailable as error:
            raise StartError(str(error)) from error
        self.metrics.watch_clock(self.spool.clock)

    def _publisher(self) -> Take:
        return self.board.publish if self.on_decision is None else self._publish_and_tell

    def _publish_and_tell(self, decision: Decision) -> None:
        self.board.publish(decision)
        if self.on_decision is not None:
            self.on_decision(decision)

    def _serve(self) -> None:
        try:
            self.service = Service.start(
                ServiceConfig(
                    board=self.board,
                    spool=self.spool,
                    metrics=self.metrics,
                    otlp_grpc=self.settings.otlp_grpc,
                    otlp_http=self.settings.otlp_http,
                    listen=self.settings.http,
                    alertmanagers=self.settings.alertmanagers,
                    external_url=self.settings.external_url,
                    keep_content=self.settings.keep_content,
                )
            )
        except ServiceError as error:
            raise StartError(str(error)) from error

    def _clock(self) -> float:
        decisions = self.board.snapshot().decisions
        return min((decision.clock for decision in decisions), default=0.0)

    def _too_late(self) -> int:
        return sum(decision.too_late for decision in self.board.snapshot().decisions)

    def _undecodable(self, which: str, reason: str) -> None:
        self.metrics.undecodable.labels(which).inc()
        log.error("not decoded", signal=which, reason=reason)

    def _measurer(self) -> Measurer:
        return Measurer(
            self.plan.objectives,
            self.plan.shards,
            self.plan.skew,
            self._undecodable,
            lambda reason, count: self.metrics.apart.labels(reason).inc(count),
            _warn_of_edge,
        )


def _warn_of_edge(objective: str, metric: str, edge: float) -> None:
    log.warning(
        "a histogram has no bucket edge at the bound: what lies between counts as bad; give the "
        "instrument an edge there, or use spans",
        slo=objective,
        metric=metric,
        edge_used=edge,
    )


def _compile() -> None:
    if not is_cached():
        log.info("compiling the kernels; this happens once on a machine")
    started = time.monotonic()
    warm_up()
    log.debug("kernels ready", seconds=round(time.monotonic() - started, 2))


def _in_cluster() -> bool:
    """Whether Bytewax's runner was told of other processes."""
    flags = ("-i", "-a", "--process-id", "--addresses")
    return any(arg.startswith(flags) for arg in sys.argv[1:]) or any(
        name in os.environ
        for name in ("BYTEWAX_ADDRESSES", "BYTEWAX_PROCESS_ID", "BYTEWAX_POD_NAME")
    )


def __getattr__(name: str) -> Dataflow:
    """`flow`, made only when Bytewax's runner asks for it: reading files is no business of an import."""
    if name != "flow":
        raise AttributeError(name)
    configure()
    try:
        engine = Engine(settings_from_environment())
        engine.open(shared=_in_cluster())
        return engine.flow()
    except click.ClickException as error:
        error.show()
        os._exit(error.exit_code)
    except StartError as error:
        click.echo(f"burnline: {error}", err=True)
        os._exit(1)
