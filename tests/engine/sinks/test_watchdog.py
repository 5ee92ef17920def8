"""The Watchdog: there while the flow decides, and gone by itself when it does not."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.access.guard import Guard
from engine.service import Service, ServiceConfig
from engine.sinks import watchdog as module
from engine.sinks.board import Board
from engine.sinks.face import Face
from engine.sinks.watchdog import Watchdog
from engine.telemetry.metrics import EngineMetrics
from slo.decision import SeriesKey
from tests.engine.sinks.boards import NOW, alert, decision, objective
from tests.servers import alertmanager, alerts, eventually, free_port

SLO = objective()
KEY = SeriesKey(SLO.id, (), SLO.generation)
HOST = "http://burnline.example"


class Clocks:
    """A board's steady clock and the wall's, moved by hand."""

    def __init__(self) -> None:
        self.steady, self.wall = 0.0, NOW
        self.board = Board([SLO], clock=lambda: self.steady)
        self.watchdog = Watchdog(self.board, 10.0, HOST, clock=lambda: self.wall)

    def pass_(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_it_fires_while_the_flow_decides_and_is_silent_when_it_is_stuck() -> None:
    clocks = Clocks()
    assert clocks.watchdog.payload() is None, "before the first decision"
    clocks.board.publish(decision({}, live=False))
    assert clocks.watchdog.payload() is None, "in a replay"
    clocks.board.publish(decision({}))
    first = clocks.watchdog.payload()
    assert first is not None
    assert first["labels"] == {
        "alertname": "Watchdog",
        "severity": "none",
        "burnline_instance": HOST,
    }
    assert (_time(first["startsAt"]), _time(first["endsAt"])) == (NOW, NOW + 240)
    assert first["generatorURL"] == HOST
    clocks.pass_(9.9)
    again = clocks.watchdog.payload()
    assert again is not None
    assert (again["startsAt"], _time(again["endsAt"])) == (first["startsAt"], NOW + 249.9)
    clocks.pass_(0.1)
    assert not clocks.watchdog.fires()
    assert clocks.watchdog.payload() is None, "nothing is said, no end either"
    clocks.pass_(3600)
    clocks.board.publish(decision({}))
    later = clocks.watchdog.payload()
    assert later is not None
    assert _time(later["startsAt"]) == NOW + 3610


def test_a_wall_clock_that_is_set_back_leaves_its_end_after_its_start() -> None:
    clocks = Clocks()
    clocks.board.publish(decision({}))
    clocks.watchdog.payload()
    clocks.wall -= 86400
    posted = clocks.watchdog.payload()
    assert posted is not None
    assert posted["startsAt"] < posted["endsAt"]


def test_it_is_named_by_the_host_where_there_is_no_address_for_people() -> None:
    watchdog = Watchdog(Board([SLO]), 10.0)
    assert watchdog.labels["burnline_instance"]
    assert watchdog.labels == Watchdog(Board([SLO]), 10.0).labels


@pytest.mark.parametrize("openmetrics", [True, False])
def test_metrics_show_it_among_the_alerts(*, openmetrics: bool) -> None:
    clocks = Clocks()
    metrics = EngineMetrics()
    guard = Guard("listen", metrics)
    face = Face(clocks.board, metrics, None, lambda: "", 10.0, guard, clocks.watchdog)  # type: ignore[arg-type]
    shown = f'ALERTS{{alertname="Watchdog",alertstate="firing",burnline_instance="{HOST}",'
    shown += 'severity="none"} 1.0'
    assert shown not in face._render(openmetrics, zipped=False).decode()
    clocks.board.publish(decision({}))
    text = face._render(openmetrics, zipped=False).decode()
    assert shown in text
    clocks.pass_(60)
    assert shown not in face._render(openmetrics, zipped=False).decode()


def test_the_deployed_routes_keep_it_from_people() -> None:
    text = (Path(__file__).parents[3] / "deploy" / "alertmanager.yml").read_text()
    config = yaml.safe_load(text)
    first = config["route"]["routes"][0]
    assert (first["matchers"], first["receiver"]) == (['alertname="Watchdog"'], "deadmansswitch")
    inhibits = [m for rule in config["inhibit_rules"] for m in rule["target_matchers"]]
    assert not any("none" in matcher for matcher in inhibits)


# Real servers


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(module, "EXPIRY_SECONDS", 3.0)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)


@contextmanager
def serving(board: Board, *urls: str) -> Iterator[Service]:
    service = Service.start(
        ServiceConfig(
            board,
            otlp_grpc=None,
            otlp_http=None,
            listen=None,
            alertmanagers=urls,
            external_url=HOST,
            ready_within=1.0,
            watchdog=True,
        )
    )
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def deciding(board: Board) -> Iterator[None]:
    """A flow that decides ten times a second."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            board.publish(decision({}, clock=time.time()))

    flow = threading.Thread(target=run)
    flow.start()
    try:
        yield
    finally:
        over.set()
        flow.join()


def listed(url: str) -> list[dict[str, Any]]:
    return [a for a in alerts(url) if a["labels"]["alertname"] == "Watchdog"]


@pytest.mark.servers
@pytest.mark.usefixtures("quick")
def test_a_stuck_flow_lets_it_expire_in_a_real_alertmanager(tmp_path: Path) -> None:
    board = Board([SLO])
    with alertmanager(tmp_path) as url, serving(board, url):
        time.sleep(0.5)
        assert not listed(url)
        with deciding(board):
            [found] = eventually(lambda: listed(url))
            assert found["labels"]["severity"] == "none"
            # It goes on for longer than one of its terms.
            until = time.monotonic() + 4
            while time.monotonic() < until:
                [still] = listed(url)
                time.sleep(0.2)
            assert still["startsAt"] == found["startsAt"]
            assert still["endsAt"] > found["endsAt"]
        # The process lives and sends; only the flow does not decide.
        board.publish(decision({}, alerts=[alert(KEY)]))
        eventually(lambda: not listed(url))
        assert [a["labels"]["alertname"] for a in alerts(url)] == ["ChatApiAvailabilityBurnRate"]
        with deciding(board):
            [again] = eventually(lambda: listed(url))
            assert again["startsAt"] > found["endsAt"]


@pytest.mark.servers
@pytest.mark.usefixtures("quick")
def test_a_restart_is_the_same_alert_and_ends_nothing(tmp_path: Path) -> None:
    with alertmanager(tmp_path) as url:
        starts = set()
        for _ in range(3):
            board = Board([SLO])
            with deciding(board), serving(board, url):
                [found] = eventually(lambda: listed(url))
                eventually(lambda before=found["endsAt"]: listed(url)[0]["endsAt"] > before)
                starts.add((found["startsAt"], found["fingerprint"]))
            [still] = listed(url)
            assert _time(still["endsAt"]) > datetime.now(UTC).timestamp()
        assert len(starts) == 1


@pytest.mark.servers
@pytest.mark.usefixtures("quick")
def test_a_replica_that_is_down_gets_it_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    board = Board([SLO])
    with deciding(board), serving(board, f"http://127.0.0.1:{port}") as service:
        (replica,) = service.sender.replicas
        eventually(lambda: replica.up is False)
        with alertmanager(tmp_path, port) as url:
            eventually(lambda: listed(url))
            eventually(lambda: replica.up)  # its answer may come after what it lists
