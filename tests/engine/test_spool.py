import multiprocessing
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _spool_store as store
from engine.spool import Spool, SpoolFull, SpoolUnavailable

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
    (tmp_path / "s.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(SpoolUnavailable, match=r"can't be opened.*or name another place"):
        Spool(tmp_path / "s.db")
    with pytest.raises(SpoolUnavailable, match="can't be opened"):
        Spool(tmp_path / "s.db" / "below-a-file.db")


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
@given(clocks=st.lists(st.integers(0, 2**62), min_size=1, max_size=8), reopen=st.booleans())
def test_receipt_times_never_go_back(
    tmp_path_factory: pytest.TempPathFactory, *, clocks: list[int], reopen: bool
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s.db"
    ticking = iter(clocks)
    spool = Spool(path, now_ns=lambda: next(ticking))
    for _ in clocks:
        spool.append("traces", b"").result(WAIT)
        if reopen:
            spool.close()
            spool = Spool(path, now_ns=lambda: next(ticking))
    stamps = [r.received_ns for r in spool.read(0, 100, 100)]
    assert stamps == [max(clocks[: n + 1]) for n in range(len(clocks))]
    spool.close()


def test_a_commit_shares_one_receipt_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = iter(range(10**6))
    spool = Spool(tmp_path / "s.db", now_ns=lambda: next(counter))
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


def test_a_damaged_tail_of_the_log_leaves_a_prefix(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    acknowledged = killed_while_appending(path, 0.05)
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path, whole, ignore=shutil.ignore_patterns("whole", "acknowledged"))
    spool = Spool(path)
    everything = names(spool)
    spool.close()
    assert set(acknowledged) <= set(everything)
    wal = (whole / "s.db-wal").read_bytes()
    assert len(wal) > 100_000, "the test needs a log that is not checkpointed yet"
    lengths = []
    for cut in (len(wal), len(wal) - 1, len(wal) * 2 // 3, len(wal) // 3, 32, 0):
        for garbage in (b"", os.urandom(70_000)):
            copy = tmp_path / f"cut-{cut}-{len(garbage)}"
            shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("*-shm"))
            (copy / "s.db-wal").write_bytes(wal[:cut] + garbage)
            damaged = Spool(copy / "s.db")
            found = names(damaged)
            assert found == everything[: len(found)]
            # It works on: the next payload follows what is left.
            assert damaged.append("traces", b"9-9-").result(WAIT) == len(found) + 1
            damaged.close()
            lengths.append(len(found))
    # What was synced is all there where nothing is missing, with or without garbage behind it.
    assert lengths[:2] == [len(everything)] * 2
    assert lengths[4] < len(everything)


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
