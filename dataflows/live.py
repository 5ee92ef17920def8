"""The live engine, and the module that Bytewax's own runner takes.

`burnline run` is `Engine(settings).run()`. `python -m bytewax.run dataflows.live` runs the same flow with
Bytewax's flags (`-w`, `-i`/`-a`, `-r`) and takes the settings from the environment (`BURNLINE_SLOS`,
`BURNLINE_DATA_DIR`, …; see `burnline run --help`).
"""

import os
import platform
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from types import FrameType
from typing import IO, NamedTuple

import click
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from dataflows import closing, data_dir
from dataflows.cluster.company import AGAIN, GRACE_SECONDS, ClusterEnded, Company
from dataflows.cluster.joining import join
from dataflows.cluster.link import Stopped
from dataflows.data_dir import StartError
from dataflows.decided import Decided, counting
from dataflows.disk_trouble import disk_trouble
from dataflows.flow import build
from dataflows.inputs import SpoolInput, input_of, opened
from dataflows.kafka_options import warn_without_effect
from dataflows.measuring import Measurers
from dataflows.misspelt import warn_of_misspelt
from dataflows.options import known_variables, settings_from_environment
from dataflows.reload import NOTHING, Reloader, Watch
from dataflows.settings import Settings
from dataflows.supervisor import Supervisor
from detectors.default import warm_up as warm_up_detectors
from engine import price_files
from engine.columns.measure import is_cached, warm_up
from engine.kafka.source import KafkaSource
from engine.receivers.limits import Limits
from engine.service import Service, ServiceConfig, ServiceError
from engine.sinks.board import Board
from engine.sinks.publish import Publish, Take
from engine.sinks.remote_write import RemoteWrite
from engine.slo_files import load_paths
from engine.spool.arrivals import Arrivals
from engine.spool.spool import Spool
from engine.spool.spool_source import SpoolSource
from engine.telemetry import tracing
from engine.telemetry.cardinality import Cardinality
from engine.telemetry.log import configure, log
from engine.telemetry.metrics import EngineMetrics
from engine.telemetry.sources import Sources
from engine.telemetry.vitals import Vitals
from engine.telemetry.watch import LiveWatch
from slo.anomalies.model import Monitor
from slo.decision import Alert, Decision
from slo.model import Objective
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
        StartError: the SLO files or the prices have problems, or credentials can't be used.
    """

    def __init__(
        self, settings: Settings, on_decision: Callable[[Decision], None] | None = None
    ) -> None:
        settings = self.settings = data_dir.at_home(settings)
        self.on_decision = on_decision
        files = (*settings.slos, *([settings.prices] if settings.prices else ()))
        watch = Watch(files) if settings.watch else None  # sees what changes from here on
        loaded = load_paths(settings.slos)
        if loaded.problems:
            raise StartError(
                "the SLO files have problems:\n" + "\n".join(map(str, loaded.problems))
            )
        if not loaded.objectives and not loaded.watched:
            raise StartError(NOTHING)
        try:
            price_files.use(price_files.load(settings.prices))
        except price_files.PricesError as error:
            raise StartError(f"the file of prices has problems:\n{error}") from error
        data_dir.prepare(settings)
        monitors = loaded.monitors if settings.anomalies == "on" else None
        self.plan = self._plan_of(loaded.objectives, monitors or ())
        self.metrics = EngineMetrics()
        self.metrics.show_prices(price_files.table().version)
        self.closing = closing.read(settings, self.metrics)
        self.board = Board(
            self.plan.objectives,
            settings.data_dir / "alerts.json",
            on_book_failure=self.metrics.book_failures.inc,
            monitors=self.plan.monitors,
            cluster_shards=settings.shards if settings.cluster else 0,
        )
        self.vitals = Vitals(self.metrics, self.board, settings.data_dir, self._clock)
        self.decided = decided = Decided(self.board)
        self.metrics.watch_flow(self._clock, decided.too_late, self.vitals.now)
        self.metrics.snapshot_interval.set(settings.snapshot_seconds)
        self.metrics.watch_points(decided.points)
        self.metrics.watch_anomalies(lambda: decided.watched()[1], lambda: decided.watched()[0])
        self.board.subscribe(counting(self.metrics))
        self.watch = LiveWatch(self.metrics, self.vitals.now)
        self.sources = Sources(self.metrics, self._objectives, settings.stale_after)
        self.cardinality = Cardinality(self.metrics, self._objectives, self.plan.limit)
        self.input = input_of(settings, self.metrics, self.board)
        self.measurers = Measurers(self.metrics, self.watch, self.input.set_aside)
        self.service: Service | None = None
        self.supervisor = Supervisor(
            self._run_flow,
            lambda cause: self.metrics.flow_restarts.labels(cause).inc(),
            healthy_after=3 * settings.snapshot_seconds,
        )
        self.reloader = Reloader(
            settings.slos,
            loaded.objectives,
            self._accept,
            self.metrics,
            watch,
            monitors,
            settings.prices,
        )
        # Plans to go on with; the newest counts.
        self._plans: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        self._source: SpoolSource | KafkaSource | None = None
        self._asked = False
        # The other processes, where this one is one of several.
        self.company: Company | None = None
        if settings.cluster is not None:
            self.company = Company(
                settings.cluster, self.board, self.supervisor.stop, lambda: self._asked
            )
        self._data_lock: IO[str] | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def spool(self) -> Spool | None:
        """What receivers write to, where this process has them."""
        return self.input.spool if isinstance(self.input, SpoolInput) else None

    @property
    def addresses(self) -> Addresses:
        """Where it listens; once `open` has returned."""
        if self.service is None:
            raise RuntimeError("the engine is not open yet")
        found = self.service.addresses
        scheme = "http://" if self.closing.tls is None else "https://"
        return Addresses(
            otlp_grpc=found.get("otlp_grpc", ""),
            otlp_http=scheme + found.get("otlp_http", ""),
            http=scheme + found.get("listen", ""),
        )

    def flow(self) -> Dataflow:
        """The dataflow over what `open` has opened."""
        source = self.make_source()
        plan = self.plan
        # With the flow ends what it remembers: a new one reads again what no snapshot has.
        memory = self.measurers.memory()
        return build(
            plan,
            source,
            Publish(self._publisher, self.watch.published),
            lambda: self.measurers.make(plan, memory),
            # The same in all processes of a cluster. Parts of Kafka are read by all workers already.
            spread=self.settings.kafka is None,
            watch=self.watch,
            anomalies=Publish(lambda: self.board.publish_anomalies, self.watch.judged),
            usage=Publish(lambda: self.board.publish_usage),
            name="arrivals" if self.settings.kafka is None else "kafka",
        )

    def make_source(self) -> Source[Arrivals]:
        """The flow's input."""
        self._source = self.vitals.source = self.input.source(self.supervisor.ending)
        return self._source

    def run(self, hangups: Sequence[int] = ()) -> None:
        """Run in this thread until SIGTERM or SIGINT; the last act is a snapshot. SIGHUP reloads the SLOs.

        Args:
            hangups: filled by the handler of SIGHUP until now; one is enough for a reload.

        Raises:
            StartError: an address is taken, the data directory is in use or not writable, or the processes
                of a cluster do not fit together.
            dataflows.cluster.company.ClusterEnded: the cluster did, and this process was not asked to.
        """
        signal.signal(signal.SIGHUP, self._on_hangup)
        if hangups:
            self._on_hangup(signal.SIGHUP, None)
        self.open()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._run()
            log.info("stopping")
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
        self._asked = True
        self.supervisor.stop()
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
        reading = self._source.partition if self._source else None
        if reading is None or self.board.live_age() is None:
            return False
        return reading.read_all_for(1.5)

    def open(self) -> None:
        """Open the data directory, compile, and listen.

        In a cluster process 0 has the spool and the receivers; the others only serve their share of
        `/metrics`.
        """
        log.info(
            "starting",
            version=version("burnline"),
            python=platform.python_version(),
            slos=sum(objective.spend is None for objective in self.plan.objectives),
            cost_budgets=sum(objective.spend is not None for objective in self.plan.objectives),
            monitors=len(self.plan.monitors),
            data_dir=str(self.settings.data_dir),
            workers=self.settings.workers,
            **self._place(),
        )
        warn_of_misspelt(os.environ, known_variables())
        warn_without_effect(self.settings)
        _compile()
        try:
            self._data_lock = data_dir.lock(self.settings)
        except BlockingIOError as error:
            raise StartError(
                f"another engine uses the data directory {self.settings.data_dir}; stop it, or "
                f"name another with --data-dir{' or --process-id' if self.company else ''}"
            ) from error
        opened(self.input)
        self._start_traces()
        self._serve()
        self.vitals.start(self.spool, self.input.clock)

    def close(self) -> None:
        """Stop listening and free the data directory."""
        began = time.monotonic()
        self.reloader.stop()
        self.vitals.stop()
        if self.service is not None:
            self.service.stop()
        self.input.close()
        if self.settings.traces:
            tracing.stop()
        if self._data_lock is not None:
            self._data_lock.close()
        if self.company is not None:
            self.company.close()
        log.info("stopped", seconds=round(time.monotonic() - began, 1))

    def join(self, *, recovers: bool) -> None:
        """In a cluster: meet the other processes. Before the flow is built.

        Args:
            recovers: whether the recovery partitions are in the data directory.

        Raises:
            StartError: the processes do not fit together.
            dataflows.cluster.link.Stopped: this one was told to stop before all had come.
        """
        if self.company is None:
            return
        since = join(self.company, self.settings, self.plan, self.board, recovers=recovers)
        self.plan = replace(self.plan, watched_since=since)

    def _run(self) -> None:
        """Run until the flow ends for good."""
        if self.company is None:
            self.reloader.start()
            self.supervisor.run()
            return
        if self.settings.watch:
            log.warning("--watch has no effect in a cluster: it reads its SLO files at a start")
        try:
            self.join(recovers=True)
        except Stopped:
            log.info("stopped before all processes of the cluster had come")
            return
        try:
            self.company.run(self._run_flow)
        except ClusterEnded:
            raise
        except Exception as failure:
            # One process can't begin the flow again by itself, as a single one does once there is room.
            if reason := disk_trouble(failure):
                raise StartError(
                    f"the cluster ends by this process's disk ({reason}); mend it, and start all processes "
                    "again: they go on from their last snapshot"
                ) from failure
            raise

    def _place(self) -> dict[str, int]:
        """Which process this is of how many, for the log."""
        if self.company is None:
            return {}
        cluster = self.company.settings
        return {"process": cluster.process, "processes": len(cluster.addresses)}

    def _unready(self) -> str:
        return self.supervisor.trouble() or (self.company.unready() if self.company else "")

    def _run_thread(self) -> None:
        try:
            self._run()
        except BaseException as failure:  # noqa: BLE001  raised again by `stop`
            self._failure = failure
            log.error("the flow ended", error=str(failure))

    def _run_flow(self) -> None:
        """Build the flow of the newest plan and run it until the supervisor ends it."""
        try:
            while True:
                self.plan = self._plans.get_nowait()
                self.board.reload(self.plan.objectives, self.plan.monitors)
        except queue.Empty:
            pass
        cluster = self.settings.cluster
        try:
            cli_main(
                self.flow(),
                process_id=cluster.process if cluster else None,
                addresses=list(cluster.addresses) if cluster else None,
                workers_per_process=self.settings.workers,
                epoch_interval=timedelta(seconds=self.settings.snapshot_seconds),
                recovery_config=RecoveryConfig(self.settings.data_dir / "recovery"),
            )
        finally:
            self.input.flow_ended()

    def _accept(self, objectives: Sequence[Objective], monitors: Sequence[Monitor]) -> None:
        plan = self._plan_of(objectives, monitors)
        self.measurers.make(plan)  # what can't be measured fails here, and not in the flow
        self._plans.put(plan)
        self.supervisor.restart()

    def _plan_of(self, objectives: Sequence[Objective], monitors: Sequence[Monitor]) -> Plan:
        settings = self.settings
        return Plan(
            tuple(objectives),
            watched_since=data_dir.watched_since(settings, objectives),
            shards=settings.shards,
            series_limit=settings.series_limit,
            stale_after=settings.stale_after,
            skew=settings.skew,
            told=self._told,
            monitors=tuple(monitors),
            entity_limit=settings.anomaly_limit,
            usage=settings.llm_series,
            usage_limit=settings.llm_series_limit,
        )

    def _told(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.board.told() if isinstance(alert, Alert))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # No log here: the handler may have interrupted one that is being written.
        self._asked = True
        self.supervisor.stop()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        if self.company is None:
            self.reloader.request("SIGHUP")
        else:
            self.company.reload_asked = True

    def _start_traces(self) -> None:
        settings = self.settings
        if not settings.traces:
            return
        own = (settings.otlp_http, settings.otlp_grpc)
        spans = self.metrics.trace_spans
        try:
            tracing.start(
                settings.traces,
                settings.traces_ratio,
                own,
                lambda outcome, count: spans.labels(outcome).inc(count),
            )
        except tracing.TracesError as error:
            raise StartError(str(error)) from error

    def _publisher(self) -> Take:
        return self._publish

    def _publish(self, decision: Decision) -> None:
        if self.company is not None:
            self.company.decided()
        self.board.publish(decision)
        self.sources.take(decision)
        self.cardinality.take(decision)
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
                    unready=self._unready,
                    unhealthy=self.company.unhealthy if self.company else lambda: "",
                    process=self.company.settings.process if self.company else None,
                    tls=self.closing.tls,
                    otlp_token=self.closing.otlp_token,
                    http_token=self.closing.http_token,
                    alertmanager_access=self.closing.alertmanager,
                    limits=Limits(connections=self.settings.max_connections),
                    keep_content=self.settings.keep_content,
                    watchdog=self.settings.watchdog,
                    remote_write=RemoteWrite(
                        urls=self.settings.remote_write,
                        interval=self.settings.remote_write_interval,
                        keep=self.settings.remote_write_backlog,
                        labels=dict(self.settings.remote_write_labels),
                        access=self.closing.remote_write,
                    ),
                    monitors=lambda: self.plan.monitors,
                )
            )
        except ServiceError as error:
            raise StartError(str(error)) from error

    def _clock(self) -> float:
        """How far decisions are; in a replay, which decides nothing new, how far it has read."""
        return self.decided.clock(self.vitals.read_to())

    def _objectives(self) -> Mapping[str, Objective]:
        return self.board.objectives


def configure_log(settings: Settings) -> None:
    """Log as the settings say; before an engine is made, which may have something to say."""
    as_json = {"json": True, "text": False}.get(settings.log_format)
    configure(json=as_json, level=settings.log_level)


def _compile() -> None:
    if not is_cached():
        log.info("compiling the kernels; this happens once on a machine")
    started = time.monotonic()
    warm_up()
    warm_up_detectors()
    log.debug("kernels ready", seconds=round(time.monotonic() - started, 2))


def _gone() -> None:
    """A process of a cluster that Bytewax's runner has is gone; what it does not end by itself is ended."""
    time.sleep(GRACE_SECONDS)
    os._exit(AGAIN)


def __getattr__(name: str) -> Dataflow:
    """`flow`, made only when Bytewax's runner asks for it: reading files is no business of an import."""
    if name != "flow":
        raise AttributeError(name)
    try:
        settings = settings_from_environment(sys.argv[1:])
        configure_log(settings)
        engine = Engine(settings)
        engine.open()
        engine.join(recovers=False)
        if engine.company is not None:
            engine.company.watch(_gone)
        return engine.flow()
    except click.ClickException as error:
        error.show()
        os._exit(error.exit_code)
    except StartError as error:
        click.echo(f"burnline: {error}", err=True)
        os._exit(1)
