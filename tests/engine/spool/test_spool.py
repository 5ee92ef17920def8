import multiprocessing
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spool import _spool_store as store
from engine.spool._spool_repair import AckMark
from engine.spool.clock import Clock
from engine.spool.spool import Spool, SpoolFull, SpoolUnavailable
from tests.engine.spool.clocks import START, World

WAIT = 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool" / "spool.db")
    yield opened
    opened.close()


def bodies(spool: Spool, after: int = 0) -> list[bytes]:
    return [stored.body for stored in spool.read(after, 1_000_000, 1 << 40)]


def test_what_is_acknowledged_can_be_read_in_order(spool: Spool) -> None:
    futures = [spool.append("traces" if n % 2 else "metrics", b"%d" % n) for n in range(300)]
    ids = [future.result(WAIT) for future in futures]
    read = spool.read(0, 1000, 1 << 30)
    assert ids == list(range(1, 301))
    assert [r.id for r in read] == ids
    assert [r.body for r in read] == [b"%d" % n for n in range(300)]
    assert [r.signal for r in read] == ["traces" if n % 2 else "metrics" for n in range(300)]
    assert spool.depth() == (300, sum(len(b"%d" % n) for n in range(300)))
    assert spool.last_id() == 300


def test_empty_spool(spool: Spool) -> None:
    assert (spool.read(0, 10, 10), spool.depth(), spool.last_id()) == ([], (0, 0), 0)
    for last in (0, -1, 5):
        spool.delete_through(last).result(WAIT)


def test_an_empty_body_and_a_huge_one(spool: Spool) -> None:
    huge = os.urandom(40 << 20)
    assert spool.append("traces", b"").result(WAIT) == 1
    assert spool.append("traces", huge).result(WAIT) == 2
    assert bodies(spool) == [b"", huge]


def test_reading_is_bounded_but_gives_at_least_one(spool: Spool) -> None:
    for _ in range(5):
        spool.append("traces", b"x" * 100).result(WAIT)
    assert [r.id for r in spool.read(0, 2, 1 << 20)] == [1, 2]
    assert [r.id for r in spool.read(2, 10, 250)] == [3, 4]
    assert [r.id for r in spool.read(4, 10, 1)] == [5]


def test_deleting_frees_room_in_bounded_pieces(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "DELETE_PAYLOADS", 7)
    monkeypatch.setattr(store, "DELETE_BYTES", 350)
    for future in [spool.append("traces", b"x" * 100) for _ in range(50)]:
        future.result(WAIT)
    spool.delete_through(30).result(WAIT)
    assert [r.id for r in spool.read(0, 100, 1 << 20)] == list(range(31, 51))
    assert spool.depth() == (20, 2000)
    spool.delete_through(1000).result(WAIT)
    assert spool.depth() == (0, 0)
    # Ids are never used twice, whatever was deleted.
    assert spool.append("traces", b"").result(WAIT) == 51
    assert spool.last_id() == 51


def test_a_full_spool_refuses_and_recovers(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", max_bytes=1000)
    first = spool.append("traces", b"x" * 900).result(WAIT)
    with pytest.raises(SpoolFull, match="limit of 1000"):
        spool.append("traces", b"x" * 101).result(WAIT)
    spool.append("traces", b"x" * 100).result(WAIT)
    spool.delete_through(first).result(WAIT)
    spool.append("traces", b"x" * 800).result(WAIT)
    assert spool.depth() == (2, 900)
    spool.close()


def test_a_slow_disk_bounds_what_waits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "s.db", max_waiting=1000)
    goes_on = threading.Event()
    commit = spool._commit
    monkeypatch.setattr(spool, "_commit", lambda *args: goes_on.wait(WAIT) and commit(*args))
    first = [spool.append("traces", b"x" * 400) for _ in range(2)]
    with pytest.raises(SpoolFull, match="wait for the disk"):
        spool.append("traces", b"x" * 400).result(WAIT)
    goes_on.set()
    assert [f.result(WAIT) for f in first] == [1, 2]
    assert spool.append("traces", b"x" * 400).result(WAIT) == 3
    spool.close()


def test_a_full_disk_refuses_that_append_and_recovers(spool: Spool) -> None:
    spool.append("traces", b"before").result(WAIT)
    assert spool._store is not None
    pages = spool._store.connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLITE_FULL, as from a disk without room; the connection made afterwards knows no such limit.
    spool._store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(SpoolFull, match="disk"):
        spool.append("traces", b"x" * (1 << 20)).result(WAIT)
    assert spool.append("traces", b"after").result(WAIT) == 2
    assert bodies(spool) == [b"before", b"after"]
    assert spool.depth() == (2, 11)


def test_room_is_left_on_the_disk_so_that_deleting_still_works(tmp_path: Path) -> None:
    free = [1000]
    spool = Spool(tmp_path / "s.db", min_free=1000, disk_free=lambda _directory: free[0])
    first = spool.append("traces", b"x").result(WAIT)
    free[0] = 999
    with pytest.raises(SpoolFull, match="999 bytes left; free some"):
        spool.append("traces", b"y").result(WAIT)
    spool.delete_through(first).result(WAIT)
    assert spool.depth() == (0, 0)
    free[0] = 1000
    assert spool.append("traces", b"z").result(WAIT) == 2
    spool.close()


def test_a_locked_database_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kwargs: connect(*args, **(kwargs | {"timeout": 0.05}))
    )
    spool = Spool(tmp_path / "s.db")
    other = connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolUnavailable, match="locked"):
        spool.append("traces", b"x").result(WAIT)
    other.execute("ROLLBACK")
    other.close()
    assert spool.append("traces", b"y").result(WAIT) == 1
    spool.close()


def test_a_spool_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "s.db").mkdir()
    with pytest.raises(SpoolUnavailable, match=r"can't be opened.*or name another place"):
        Spool(tmp_path / "s.db")
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnavailable, match="can't be opened"):
        Spool(tmp_path / "file" / "below-a-file.db")


def test_closing_stores_what_waits_and_refuses_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db")
    futures = [spool.append("traces", b"%d" % n) for n in range(100)]
    spool.close()
    spool.close()
    assert [f.result(0) for f in futures] == list(range(1, 101))
    with pytest.raises(SpoolUnavailable, match="closed"):
        spool.append("traces", b"").result(0)
    with pytest.raises(SpoolUnavailable):
        spool.read(0, 1, 1)
    with pytest.raises(SpoolUnavailable):
        spool.delete_through(1).result(0)
    reopened = Spool(tmp_path / "s.db")
    assert len(bodies(reopened)) == 100
    reopened.close()


@settings(max_examples=15, deadline=None)
@given(clocks=st.lists(st.integers(-START, 2**62), min_size=1, max_size=8), reopen=st.booleans())
def test_receipt_times_never_go_back(
    tmp_path_factory: pytest.TempPathFactory, *, clocks: list[int], reopen: bool
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s.db"
    world = World()
    spool = Spool(path, clock=world.clock())
    for world.off in clocks:
        spool.append("traces", b"").result(WAIT)
        if reopen:
            spool.close()
            spool = Spool(path, clock=world.clock())
    stored = spool.read(0, 100, 100)
    stamps = [r.received_ns for r in stored]
    assert stamps == sorted(stamps)
    assert all(r.ahead_ns >= 0 and r.doubt_ns >= 0 for r in stored)
    spool.close()


def test_a_commit_shares_one_receipt_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = iter(range(10**6))
    spool = Spool(tmp_path / "s.db", clock=Clock(wall=lambda: next(counter)))
    goes_on = threading.Event()
    commit = spool._commit
    monkeypatch.setattr(spool, "_commit", lambda *args: goes_on.wait(WAIT) and commit(*args))
    futures = [spool.append("traces", b"") for _ in range(20)]
    time.sleep(0.05)
    goes_on.set()
    for future in futures:
        future.result(WAIT)
    stamps = [r.received_ns for r in spool.read(0, 100, 100)]
    assert len(set(stamps)) <= 2  # the first may have gone alone
    assert stamps == sorted(stamps)
    spool.close()


def _append_for_ever(path: Path, acknowledged: str) -> None:
    spool = Spool(path)
    with Path(acknowledged).open("ab", buffering=0) as log:

        def one(worker: int) -> None:
            n = 0
            while True:
                n += 1
                body = b"%d-%d-" % (worker, n) + b"x" * (n * 977 % 50_000)
                spool.append("traces", body).result()
                log.write(b"%d-%d\n" % (worker, n))

        threads = [threading.Thread(target=one, args=(w,)) for w in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def killed_while_appending(path: Path, seconds: float) -> list[bytes]:
    """Names of what a writer had acknowledged when it was killed."""
    acknowledged = path.with_name("acknowledged")
    writer = multiprocessing.get_context("spawn").Process(
        target=_append_for_ever, args=(path, str(acknowledged))
    )
    writer.start()
    assert writer.pid is not None
    limit = time.monotonic() + WAIT
    while not (acknowledged.exists() and acknowledged.stat().st_size > 200):
        assert time.monotonic() < limit, "the writer does not write"
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    return acknowledged.read_bytes().splitlines()


def names(spool: Spool) -> list[bytes]:
    return [b"-".join(body.split(b"-")[:2]) for body in bodies(spool)]


def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    for seconds in (0.0, 0.13):
        acknowledged = killed_while_appending(path, seconds)
        spool = Spool(path)
        found = names(spool)
        assert set(acknowledged) <= set(found)
        stored = spool.read(0, 1_000_000, 1 << 40)
        assert [r.id for r in stored] == list(range(1, len(stored) + 1))
        assert spool.depth() == (len(stored), sum(len(r.body) for r in stored))
        spool.close()
        for file in tmp_path.iterdir():
            file.unlink()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """The files of a spool whose writer was killed, and the names of all that is in it."""
    path = tmp_path_factory.mktemp("killed") / "s.db"
    acknowledged = killed_while_appending(path, 0.05)
    whole = path.parent / "whole"
    shutil.copytree(path.parent, whole, ignore=shutil.ignore_patterns("whole", "acknowledged"))
    spool = Spool(path)
    everything = names(spool)
    spool.close()
    assert set(acknowledged) <= set(everything)
    assert (whole / "s.db-wal").stat().st_size > 100_000, (
        "the test needs a log not yet checkpointed"
    )
    return whole, everything


def reopened_with_log(files: Path, to: Path, log: bytes) -> Spool:
    shutil.copytree(files, to, ignore=shutil.ignore_patterns("*-shm"))
    (to / "s.db-wal").write_bytes(log)
    return Spool(to / "s.db")


@pytest.mark.parametrize("garbage", [b"", os.urandom(70_000), bytes(40_000)])
@pytest.mark.parametrize("part", [1.0, 0.999, 0.67, 0.33, 0.0])
def test_a_damaged_log_leaves_a_prefix_and_what_is_missing_is_known(
    killed: tuple[Path, list[bytes]], tmp_path: Path, part: float, garbage: bytes
) -> None:
    files, everything = killed
    log = (files / "s.db-wal").read_bytes()
    spool = reopened_with_log(files, tmp_path / "copy", log[: int(len(log) * part)] + garbage)
    found = names(spool)
    assert found == everything[: len(found)]
    if part == 1.0:
        assert found == everything
    if part < 0.5:
        assert len(found) < len(everything)
    mark = AckMark(files / "s.db", spool.identity).read()
    assert spool.missing_after(0) == max(0, mark - len(found))
    assert spool.missing_after(len(found) + 1) == max(0, mark - len(found) - 1)
    # It works on, and what was given once is not given again.
    assert spool.append("traces", b"9-9-").result(WAIT) == max(mark, len(found)) + 1
    spool.close()


def test_a_write_that_is_torn_takes_nothing_acknowledged_with_it(
    killed: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    files, everything = killed
    spool = reopened_with_log(files, tmp_path / "a", (files / "s.db-wal").read_bytes())
    for n in range(3):
        spool.append("traces", b"8-%d-" % n).result(WAIT)
    shutil.copytree(tmp_path / "a", tmp_path / "live")
    spool.close()
    log = (tmp_path / "live" / "s.db-wal").read_bytes()
    # The sector in which the next commit would have begun: cut off, or scrambled.
    for number, tail in enumerate((b"", b"x", os.urandom(4096))):
        copy = tmp_path / str(number)
        torn = reopened_with_log(tmp_path / "live", copy, log[: len(log) - 4096] + tail)
        assert names(torn) == [*everything, b"8-0", b"8-1", b"8-2"]
        assert torn.missing_after(0) == 0
        assert torn.torn_bytes > 0
        torn.close()


def test_a_whole_log_is_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.db"
    killed_while_appending(path, 0.0)
    for _ in range(2):
        spool = Spool(path)
        first = spool.torn_bytes
        spool.close()
    assert first == 0, "closing leaves nothing behind"
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut in half", "scrambled middle", "no database", "empty"])
def test_a_damaged_database_is_set_aside_and_read_as_far_as_it_goes(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "s.db"
    spool = Spool(path)
    identity = spool.identity
    bodies_ = [b"%d-" % n + os.urandom(20_000) for n in range(60)]
    for body in bodies_:
        spool.append("metrics", body).result(WAIT)
    spool.delete_through(10).result(WAIT)
    spool.close()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut in half": whole[:middle],
            "scrambled middle": whole[:middle] + os.urandom(99_000) + whole[middle + 99_000 :],
            "no database": os.urandom(50_000),
            "empty": b"",
        }[damage]
    )
    spool = Spool(path)
    found = spool.read(0, 1000, 1 << 30)
    kept = {stored.id: stored.body for stored in found}
    assert all(bodies_[id_ - 1] == body for id_, body in kept.items())
    assert [stored.id for stored in found] == sorted(kept)
    assert spool.depth() == (len(kept), sum(map(len, kept.values())))
    next_id = spool.append("metrics", b"next").result(WAIT)
    if damage in ("no database", "empty"):  # nothing of it is left, not even which spool it was
        assert kept == {}
        assert spool.identity != identity
    else:
        assert 0 < len(kept) < 50
        assert spool.identity == identity
        assert next_id == 61
        assert spool.missing_after(10) == 50 - len(kept)
    if damage != "empty":
        assert list(tmp_path.glob("s.db.damaged-*"))
    spool.close()
    again = Spool(path)
    assert len(again.read(0, 1000, 1 << 30)) == len(kept) + 1
    again.close()


def test_a_spool_of_an_earlier_version_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            """
            CREATE TABLE payload (id INTEGER PRIMARY KEY AUTOINCREMENT, received_ns INTEGER NOT NULL,
                signal INTEGER NOT NULL, body BLOB NOT NULL);
            CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL,
                received_ns INTEGER NOT NULL, payloads INTEGER NOT NULL, bytes INTEGER NOT NULL);
            INSERT INTO state VALUES (1, 7, 5, 1, 3);
            INSERT INTO payload VALUES (7, 5, 1, 'abc');
            """
        )
    spool = Spool(path)
    assert spool.append("traces", b"new").result(WAIT) == 8
    assert [(s.id, s.signal, s.ahead_ns) for s in spool.read(0, 9, 99)] == [
        (7, "metrics", 0),
        (8, "traces", 0),
    ]
    spool.close()


def test_another_process_reads_what_is_committed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db")
    reader = Spool(tmp_path / "s.db")
    for n in range(5):
        spool.append("traces", b"%d" % n).result(WAIT)
        assert reader.last_id() == n + 1
        assert bodies(reader, n) == [b"%d" % n]
        assert reader.depth() == spool.depth()
    reader.close()
    spool.close()
