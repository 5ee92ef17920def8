"""`burnline demo`: the main job on made-up traffic, from an hour of history to a page.

Everything runs on loopback ports and in a temporary directory, and is gone afterwards.
"""

import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from dataflows.data_dir import StartError
from dataflows.demo.board import Board
from dataflows.demo.outcome import Outcome
from dataflows.demo.sender import Sender
from dataflows.demo.servers import Server, start_alertmanager, start_prometheus
from dataflows.demo.signals import Interrupted, Signals
from dataflows.demo.tellers import LineTeller, LiveTeller, Teller
from dataflows.demo.trace import Trace, TrafficError, read_trace, table_trace
from dataflows.demo.traffic import ERRORS, Incident, Traffic
from dataflows.demo.view import Scene, clock_text
from dataflows.live import Engine
from dataflows.settings import Settings
from engine.telemetry.log import configure

SLOS = Path(__file__).with_name("slos.yaml")
LEAST_SECONDS = 15.0
SECONDS_WITHOUT_TERMINAL = 60.0
INCIDENT_AFTER = 10.0
STEP_SECONDS = 0.25
# The engine may have kernels to compile before it decides on the history.
CATCH_UP_SECONDS = 180.0


def run_demo(
    *,
    seconds: float | None,
    as_json: bool,
    traffic: Path | None,
    seed: int,
    console: Console | None = None,
) -> int:
    """Run the demo until its time is over or it is interrupted.

    Args:
        seconds: of live traffic, after the history; None for no end on a terminal, and a minute
            elsewhere, where nobody can see to press Ctrl-C.
        as_json: print the `Outcome` on standard output, everything else on standard error.
        traffic: a trace to replay instead of the built-in table.
        seed: of latencies, models, tenants and errors.
        console: where to tell what happens; by default standard output.

    Returns:
        0 when it showed a page or was interrupted with no end set; 1 when its time was over without
        a page; 128 and the signal's number when interrupted before.

    Raises:
        click.ClickException: it cannot run, or something failed on the way.
    """
    _check(seconds, seed, as_json=as_json)
    try:
        trace = table_trace(seed) if traffic is None else read_trace(traffic)
    except TrafficError as error:
        raise click.ClickException(str(error)) from error
    out = Console(stderr=True) if as_json else console or Console()
    endless = seconds is None and out.is_terminal
    demo = _Demo(trace, seed, None if endless else seconds or SECONDS_WITHOUT_TERMINAL, out)
    try:
        with Signals() as signals:
            demo.run(signals)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except Interrupted as interrupted:
        if seconds is not None:
            out.print("interrupted; everything the demo started is stopped")
            return 128 + interrupted.number
    _say(out, demo.outcome.summary())
    if as_json:
        click.echo(demo.outcome.as_json())
    return 0 if demo.outcome.page_at is not None or seconds is None else 1


def _check(seconds: float | None, seed: int, *, as_json: bool) -> None:
    if seed < 0:
        raise click.UsageError(f"--seed {seed} is negative; write 0 or more")
    if as_json and seconds is None:
        raise click.UsageError("--json prints when the demo ends; add --seconds 40")
    if seconds is not None and not (math.isfinite(seconds) and seconds >= LEAST_SECONDS):
        raise click.UsageError(
            f"--seconds {seconds:g} is too short for a page to come; "
            f"write {LEAST_SECONDS:g} or more"
        )


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


class _Demo:
    """One run: its parts, in the order in which they start."""

    def __init__(self, trace: Trace, seed: int, seconds: float | None, console: Console) -> None:
        self.outcome = Outcome()
        self._trace = trace
        self._seed = seed
        self._seconds = seconds
        self._console = console
        self._board = Board()
        self._notes: list[str] = []
        self._links: list[tuple[str, str]] = []
        self._story = ""
        self._alertmanager: Server | None = None
        self._engine: Engine | None = None

    def run(self, signals: Signals) -> None:
        """Start everything, play the story, stop everything."""
        with ExitStack() as stack:
            made = tempfile.TemporaryDirectory(prefix="burnline-demo-")
            directory = Path(stack.enter_context(made))
            configure(stack.enter_context((directory / "engine.log").open("w")), json=False)
            stack.callback(configure)
            engine = self._engine = self._start(directory, stack, signals)
            history_end = time.time()
            traffic = Traffic(self._trace, self._seed, history_end)
            sender = Sender(engine.addresses.otlp_http, traffic, history_end)
            stack.callback(sender.stop)
            teller = stack.enter_context(self._teller(engine))
            # On the way out nothing interrupts the stopping of what was started.
            stack.callback(signals.ignore)
            sender.start()
            try:
                self._play(engine, traffic, sender, teller)
            finally:
                self.outcome.spans = sender.spans
                self.outcome.conclude(self._board, engine.plan.by_id)

    def _start(self, directory: Path, stack: ExitStack, signals: Signals) -> Engine:
        say = self._console
        _say(say, "Burnline demo: an hour of traffic, then live; soon a model fails for a tenant.")
        started = start_alertmanager(directory, stack, signals.held)
        if isinstance(started, Server):
            self._alertmanager = started
            self.outcome.alertmanager = True
            self._links.append(("Alertmanager", started.url))
        else:
            self._notes.append(f"{started}: alerts are shown here and on /metrics")
        _say(say, "starting the engine; the first time, its kernels are compiled for some seconds")
        engine = Engine(
            Settings(
                slos=(SLOS,),
                data_dir=directory / "data",
                otlp_grpc="127.0.0.1:0",
                otlp_http="127.0.0.1:0",
                http="127.0.0.1:0",
                alertmanagers=(self._alertmanager.url,) if self._alertmanager else (),
            ),
            self._board.take,
        )
        stack.callback(engine.stop)
        engine.start()
        target = engine.addresses.http.removeprefix("http://")
        scraped = start_prometheus(directory, target, stack, signals.held)
        if isinstance(scraped, Server):
            self._links.append(("Prometheus", scraped.url))
        else:
            self._notes.append(scraped)
        self._links.append(("metrics", f"{engine.addresses.http}/metrics"))
        self._links.append(("OTLP/HTTP", engine.addresses.otlp_http))
        return engine

    def _teller(self, engine: Engine) -> Teller:
        if self._console.is_terminal:
            return LiveTeller(self._console, engine.plan.objectives, self._board)
        how = "Ctrl-C stops it" if self._seconds is None else f"ends after {self._seconds:g} s live"
        for name, address in self._links:
            _say(self._console, f"{name}: {address}")
        _say(self._console, how)
        return LineTeller(self._console, self._board)

    def _play(self, engine: Engine, traffic: Traffic, sender: Sender, teller: Teller) -> None:
        self._until(
            sender,
            teller,
            sender.history_sent.is_set,
            lambda: f"sending an hour of history: {sender.spans:,} spans",
        )
        limit = time.monotonic() + CATCH_UP_SECONDS
        self._until(
            sender,
            teller,
            lambda: engine.caught_up() or time.monotonic() > limit,
            lambda: f"deciding on the history: {sender.spans:,} spans",
        )
        if time.monotonic() > limit:
            raise click.ClickException(
                f"the engine has not read the history within {CATCH_UP_SECONDS:g} s; "
                "run the demo on a machine with less to do"
            )
        start = time.time()
        incident = Incident(start + self._delay())
        traffic.live_at, traffic.incident = start, incident
        self.outcome.incident_start = incident.start
        sender.go_live()
        end = math.inf if self._seconds is None else time.monotonic() + self._seconds
        self._until(
            sender,
            teller,
            lambda: time.monotonic() >= end,
            lambda: self._live_status(sender, traffic, time.time() - start, incident),
        )

    def _delay(self) -> float:
        return INCIDENT_AFTER if self._seconds is None else min(INCIDENT_AFTER, self._seconds / 4)

    def _live_status(
        self, sender: Sender, traffic: Traffic, live: float, incident: Incident
    ) -> str:
        if time.time() >= incident.start and not self._story:
            model, tenant = incident.slice.values()
            self._story = (
                f"since {clock_text(incident.start)} {model} answers {incident.share:.0%} of "
                f"{tenant}'s calls with {ERRORS[incident.error][0]}"
            )
        return f"live for {live:.0f} s, {sender.spans:,} spans, {traffic.rate:.0f} calls/s"

    def _until(
        self,
        sender: Sender,
        teller: Teller,
        over: Callable[[], bool],
        status: Callable[[], str],
    ) -> None:
        """Keep telling, and asking Alertmanager, until it is over."""
        while not over():
            if self._engine is not None and self._engine.failure is not None:
                failure = self._engine.failure
                raise click.ClickException(f"the engine failed: {failure}") from failure
            if sender.failure is not None:
                raise click.ClickException(str(sender.failure)) from sender.failure
            if self._alertmanager is not None:
                self._board.ask(self._alertmanager.address)
            text = status()
            teller.show(
                Scene(
                    now=time.time(),
                    status=text,
                    story=self._story,
                    notes=tuple(self._notes),
                    links=tuple(self._links),
                    page=self._board.listed,
                    page_at=self._board.listed_at,
                )
            )
            time.sleep(STEP_SECONDS)
        if sender.failure is not None:
            raise click.ClickException(str(sender.failure)) from sender.failure
