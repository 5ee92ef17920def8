"""The flow is kept running: through reloads and failures of the disk, and no longer than wanted."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from dataflows import supervisor as module
from dataflows.disk_trouble import disk_trouble
from dataflows.supervisor import Supervisor
from tests.servers import eventually

FULL = (
    "(src/run.rs:167:13) called `Result::unwrap()` on an `Err` value: SqliteFailure(Error { code: "
    'DiskFull, extended_code: 13 }, Some("database or disk is full"))'
)


class Flow:
    """Runs as it is told: once for each step."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        self.steps = list(steps)
        self.runs = 0
        self.causes: list[str] = []
        self.now = 0.0
        self.supervisor = Supervisor(
            self.run, self.causes.append, healthy_after=30, clock=lambda: self.now
        )

    def run(self) -> None:
        self.runs += 1
        self.steps.pop(0)()


@pytest.fixture(autouse=True)
def _short_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(module, "LONGEST_RETRY", 0.02)


def _fails(text: str = FULL) -> Callable[[], None]:
    def fail() -> None:
        raise RuntimeError(text)

    return fail


def test_each_reload_runs_another_flow_until_it_is_stopped() -> None:
    flow = Flow()
    restart, stop = flow.supervisor.restart, flow.supervisor.stop
    flow.steps = [restart, restart, stop]
    flow.supervisor.run()
    assert (flow.runs, flow.causes) == (3, ["reload", "reload"])


def test_a_flow_is_asked_to_end_only_for_what_came_after_it_began() -> None:
    seen: list[bool] = []
    flow = Flow()

    def first() -> None:
        flow.supervisor.restart()
        flow.supervisor.restart()  # twice quickly is once
        seen.append(flow.supervisor.ending())

    def second() -> None:
        seen.append(flow.supervisor.ending())
        flow.supervisor.stop()
        seen.append(flow.supervisor.ending())

    flow.steps = [first, second]
    flow.supervisor.run()
    assert seen == [True, False, True]


def test_a_stop_during_a_reload_wins() -> None:
    flow = Flow()

    def both() -> None:
        flow.supervisor.restart()
        flow.supervisor.stop()

    flow.steps = [both]
    flow.supervisor.run()
    assert (flow.runs, flow.causes) == (1, [])
    assert flow.supervisor.ending()


def test_a_stop_before_the_first_flow_runs_none() -> None:
    flow = Flow()
    flow.supervisor.stop()
    flow.supervisor.run()
    assert flow.runs == 0


def test_what_is_ours_ends_the_process() -> None:
    flow = Flow(_fails(), _fails("a step has a bug"))
    with pytest.raises(RuntimeError, match="a step has a bug"):
        flow.supervisor.run()
    assert flow.causes == ["disk"]


def test_a_full_disk_is_waited_out_and_told_until_a_flow_has_run_for_a_while() -> None:
    flow = Flow()
    troubles: list[str] = []

    def look() -> None:
        troubles.append(flow.supervisor.trouble())
        flow.supervisor.ending()
        troubles.append(flow.supervisor.trouble())
        flow.now += 30
        flow.supervisor.ending()
        troubles.append(flow.supervisor.trouble())
        flow.supervisor.stop()

    flow.steps = [_fails(), _fails(), _fails(), look]
    flow.supervisor.run()
    assert flow.causes == ["disk"] * 3
    told = "the recovery store: the disk is full; free some space"
    assert troubles == [told, told, ""]


def test_a_stop_whose_last_snapshot_fails_ends_without_an_error() -> None:
    flow = Flow()

    def last() -> None:
        flow.supervisor.stop()
        _fails()()

    flow.steps = [last]
    with capture_logs() as logs:
        flow.supervisor.run()
    assert "the disk is full" in str(logs)
    assert flow.runs == 1


@pytest.mark.parametrize("end", ["stop", "restart"])
def test_neither_a_stop_nor_a_reload_waits_for_the_back_off(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 60.0)
    monkeypatch.setattr(module, "LONGEST_RETRY", 60.0)
    flow = Flow(_fails())
    flow.steps.append(flow.supervisor.stop)
    thread = threading.Thread(target=flow.supervisor.run)
    thread.start()
    eventually(flow.supervisor.trouble)
    getattr(flow.supervisor, end)()
    thread.join(20)
    assert not thread.is_alive()
    assert flow.runs == {"stop": 1, "restart": 2}[end]


def test_signals_that_interrupt_each_other_lock_nothing() -> None:
    flow = Flow()
    handled: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        flow.supervisor.restart()
        handled.append(number)

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        done = threading.Event()

        def shoot() -> None:
            for _ in range(500):
                os.kill(os.getpid(), signal.SIGUSR1)
            done.set()

        threading.Thread(target=shoot, daemon=True).start()
        limit = time.monotonic() + 30
        while not done.is_set():
            assert time.monotonic() < limit
            flow.supervisor.restart()
        assert handled
    finally:
        signal.signal(signal.SIGUSR1, before)


# What is the disk's


def _chained(cause: BaseException) -> RuntimeError:
    error = RuntimeError("(src/inputs.rs:339:30): error calling `next_batch`")
    error.__cause__ = cause
    return error


@pytest.fixture
def database(tmp_path: object) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{tmp_path}/x.db")
    connection.execute("CREATE TABLE t (x)")
    yield connection
    connection.close()


def test_a_full_spool_database_is_the_disks(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert disk_trouble(_chained(caught.value)) == "the spool: the disk is full; free some space"


def test_a_read_only_database_is_the_disks(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA query_only = on")
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("INSERT INTO t VALUES (1)")
    assert "read-only" in disk_trouble(_chained(caught.value))


def test_a_mistake_in_a_statement_is_ours(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("SELECT * FROM nothing")
    assert disk_trouble(_chained(caught.value)) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FULL, "full"),
        (FULL.replace("DiskFull, extended_code: 13", "ReadOnly, extended_code: 8"), "writable"),
        (FULL.replace("DiskFull, extended_code: 13", "CannotOpen, extended_code: 14"), "opened"),
        (
            FULL.replace("DiskFull, extended_code: 13", "SystemIoFailure, extended_code: 778"),
            "look at the disk",
        ),
        ("Error listing: Read-only file system (os error 30)", "Read-only file system"),
        (FULL.replace("DiskFull, extended_code: 13", "DatabaseCorrupt, extended_code: 11"), ""),
        ("No such file or directory (os error 2)", ""),
        ("the user's text says: disk full", ""),
    ],
)
def test_what_bytewax_says_of_its_recovery_store(text: str, told: str) -> None:
    found = disk_trouble(RuntimeError(text))
    assert told in found
    assert bool(found) == bool(told)


def test_a_failure_that_is_its_own_cause_is_looked_at_once() -> None:
    error = RuntimeError("a")
    error.__context__ = RuntimeError("b")
    error.__context__.__context__ = error
    assert disk_trouble(error) == ""
