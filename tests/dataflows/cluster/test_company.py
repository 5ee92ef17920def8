"""A process in the company of others: how it ends, and what it says of it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from dataflows.cluster import company as company_module
from dataflows.cluster.company import ClusterEnded, Company
from dataflows.settings import ClusterSettings
from engine.sinks.board import Board
from engine.sinks.shown import Burning
from tests.engine.sinks.boards import objective

SETTINGS = ClusterSettings(0, ("a:1", "b:2"))


class Panic(BaseException):
    """As Bytewax's are, it is no `Exception`."""


class FakeLink:
    """What a `Link` is to a company."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.gone: int | None = None
        self.quiet: dict[int, float] = {}
        self.closed: bool | None = None

    def tell(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    def lost(self) -> int | None:
        return self.gone

    def silent(self) -> dict[int, float]:
        return self.quiet

    def close(self, *, bye: bool) -> None:
        self.closed = bye


class Process:
    """A process whose link is made up."""

    def __init__(self) -> None:
        self.asked = False
        self.stopped = threading.Event()
        self.board = Board([objective()], cluster_shards=4)
        self.company = Company(SETTINGS, self.board, self.stopped.set, lambda: self.asked)
        self.link = FakeLink()
        self.company._link = self.link  # type: ignore[assignment]

    def flow(self) -> None:
        """Runs until it is stopped."""
        assert self.stopped.wait(20)

    def stop(self) -> None:
        self.asked = True
        self.stopped.set()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(company_module, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(company_module, "POLL_SECONDS", 0.01)
    return Process()


def test_who_is_told_to_stop_tells_the_others_and_ends_well(process: Process) -> None:
    def flow() -> None:
        process.asked = True
        while not process.link.told:
            pass

    process.company.run(flow)
    assert process.link.told == [{"ending": True}]


def test_who_stops_for_another_says_so(process: Process) -> None:
    def flow() -> None:
        process.company._hear(1, {"ending": True, "from": 1})
        process.flow()

    with pytest.raises(ClusterEnded, match="stopped by another process"):
        process.company.run(flow)
    assert not process.link.told


def test_a_flow_that_hangs_by_a_process_that_is_gone_is_left_behind(process: Process) -> None:
    process.link.gone = 1
    with pytest.raises(
        ClusterEnded, match=r"process 1 of the cluster \(b:2\) is gone, .* start all"
    ):
        process.company.run(process.flow)
    process.stop()


def test_a_process_that_hangs_is_named_so(process: Process) -> None:
    process.link.gone, process.link.quiet = 1, {1: 61.0}
    with pytest.raises(ClusterEnded, match="has hung or can't be reached"):
        process.company.run(process.flow)
    process.stop()


def _raising(failure: BaseException) -> Callable[[], None]:
    def flow() -> None:
        raise failure

    return flow


def test_a_panic_by_a_process_that_is_gone_names_it(process: Process) -> None:
    def flow() -> None:
        process.link.gone = 1
        raise Panic("Send thread panic: Any { .. }")

    with pytest.raises(ClusterEnded, match="process 1 of the cluster"):
        process.company.run(flow)


def test_a_panic_by_nobody_known_is_told_as_it_is(process: Process) -> None:
    with pytest.raises(ClusterEnded, match=r"Send thread panic.* see their logs"):
        process.company.run(_raising(Panic("Send thread panic")))


def test_a_failure_of_its_own_is_raised(process: Process) -> None:
    with pytest.raises(OSError, match="disk"):
        process.company.run(_raising(OSError("disk")))


def test_health(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    company = process.company
    assert company.unhealthy() == company.unready() == ""
    process.link.quiet = {1: 31.4}
    assert company.unhealthy() == "process 1 of the cluster has not been heard of for 31 s"
    process.link.quiet = {}
    company.decided()
    assert company.unhealthy() == ""
    monkeypatch.setattr(company_module, "STUCK_SECONDS", -1.0)
    assert "the flow has not decided for 0 s" in company.unhealthy()
    company._link = None
    assert company.unhealthy() == "", "others may take long to come"
    assert company.unready() == "waiting for other processes of the cluster"


def test_what_burns_is_told_when_it_changes(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company_module, "TELL_SECONDS", 0.0)
    burning: list[dict[str, Burning] | None] = [None]
    monkeypatch.setattr(process.board, "burning", lambda: burning[0])
    company = process.company
    company.look()
    assert process.link.told == []
    for now in ({}, {}, {"chat-api": Burning(1.5, "x")}, {"chat-api": Burning(1.5, "x")}):
        burning[0] = now
        company.look()
    assert process.link.told == [{"burning": {}}, {"burning": {"chat-api": [1.5, "x"]}}]
    heard: list[object] = []
    monkeypatch.setattr(process.board, "publish_burning", lambda *told: heard.append(told))
    company._hear(1, {"burning": {"chat-api": [1.5, "x"]}, "from": 1})
    assert heard == [(1, {"chat-api": Burning(1.5, "x")})]


def test_others_that_run_the_flow_are_told_why_it_ends(process: Process) -> None:
    ended = threading.Event()
    with capture_logs() as logs:
        process.company.watch(ended.set)
        process.link.gone = 1
        assert ended.wait(10)
        process.company._last_words()
    said = [line["event"] for line in logs]
    assert len(said) == 1
    assert "process 1 of the cluster (b:2) is gone" in said[0]


def test_it_says_goodbye_when_its_flow_has_ended_well(process: Process) -> None:
    process.asked = True
    process.company.run(lambda: None)
    process.company.close()
    assert process.link.closed is True


def test_it_says_goodbye_when_another_was_told_to_stop(process: Process) -> None:
    with pytest.raises(ClusterEnded):
        process.company.run(lambda: None)
    process.company.close()
    assert process.link.closed is True


def test_it_is_missed_when_its_flow_has_failed(process: Process) -> None:
    with pytest.raises(OSError, match="disk"):
        process.company.run(_raising(OSError("disk")))
    process.company.close()
    assert process.link.closed is False


def test_a_flow_that_has_ended_well_has_whoever_goes_then(process: Process) -> None:
    """The others may be gone a moment before: they had their last snapshots."""
    process.asked = True

    def flow() -> None:
        process.link.gone = 1

    process.company.run(flow)
    assert process.company.ended_well
