"""`make soak` in short: ten kills, and what is on the dead engine's disk is damaged."""

import http.client
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.end_to_end.engines import Engine
from tests.servers import eventually
from tests.soak.kill import Run
from tests.soak.slos import SLOS

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("seed", [11])
def test_killed_ten_times_it_shows_and_tells_what_one_that_was_spared_does(tmp_path, seed):
    report = Run(tmp_path, kills=10, seed=seed, longest=2.5).run()
    assert not report.faults, report.text()
    assert sum(report.kills.values()) == 11
    assert report.alerts > 15
    assert report.firing > 10


def _cut(data: Path) -> None:
    wal = data / "spool.db-wal"
    with wal.open("r+b") as file:
        file.truncate(int(wal.stat().st_size * 0.6))


def _flip(data: Path) -> None:
    wal = data / "spool.db-wal"
    with wal.open("r+b") as file:
        file.seek(int(wal.stat().st_size * 0.5))
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x10]))


def _scramble(data: Path) -> None:
    """The log is moved into the database, as it would be in time; then a piece of that goes bad."""
    connection = sqlite3.connect(data / "spool.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    spool = data / "spool.db"
    with spool.open("r+b") as file:
        file.seek(int(spool.stat().st_size * 0.5))
        file.write(random.Random(3).randbytes(70_000))


@pytest.mark.parametrize("damage", [_cut, _flip, _scramble])
def test_what_a_disk_loses_of_what_was_acknowledged_is_told_and_nothing_else_is_lost(
    tmp_path, damage: Callable[[Path], None]
):
    """No snapshot saves what was counted, so that all of it is read again."""
    engine = Engine(tmp_path, SLOS, BURNLINE_SNAPSHOT_INTERVAL="1h")
    engine.start()
    try:
        _send(engine, range(400))
        engine.stop(signal.SIGKILL)
        damage(engine.data)
        engine.start()
        lost = eventually(lambda: _value(engine, "burnline_spool_lost_payloads_total"), 30)
        assert 10 < lost < 390
        eventually(lambda: _events(engine) == 400 - lost, 30)
        assert any(
            "lost" in line["event"] and line.get("payloads") == lost for line in engine.logged()
        )
        _send(engine, range(400, 450))
        eventually(lambda: _events(engine) == 450 - lost, 30)
        # Neither is anything of it counted twice after one more crash, nor is the loss.
        engine.stop(signal.SIGKILL)
        engine.start()
        eventually(lambda: _events(engine) == 450 - lost, 30)
        assert _value(engine, "burnline_spool_lost_payloads_total") in (0, lost)
    finally:
        engine.stop(signal.SIGKILL)


def _send(engine: Engine, numbers: range) -> None:
    """A payload of one span for each number."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.ports["http"], timeout=60)
    for number in numbers:
        connection.request(
            "POST", "/v1/traces", _span(number), {"Content-Type": "application/x-protobuf"}
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()


def _span(number: int) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        name=f"call {number}" + "x" * 2000, end_time_unix_nano=time.time_ns()
    )
    return request.SerializeToString()


def _value(engine: Engine, name: str) -> float:
    return sum(sample.value for sample in engine.samples() if sample.name == name)


def _events(engine: Engine) -> float:
    counts = engine.counts()
    return counts.get(("every", "good"), 0) + counts.get(("every", "bad"), 0)
