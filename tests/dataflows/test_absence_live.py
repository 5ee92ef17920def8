"""Missing traffic in a whole live engine, within one process."""

import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.live import Engine
from dataflows.settings import Settings
from slo import _fields
from slo.decision import Alert
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: all
    objective: 99
    absent: 4s
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
    by: [span.model]
  - name: never
    objective: 99
    absent: {after: 4s, severity: ticket}
    sli: {spans: {total: '{ .never }', bad: '{ status = error }'}}
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(_fields, "SHORTEST_ABSENCE", 1)
    (tmp_path / "slos.yaml").write_text(SLOS)
    return _engine(tmp_path)


def _engine(folder: Path) -> Engine:
    free = "127.0.0.1:0"
    return Engine(
        Settings(
            (folder / "slos.yaml",),
            folder / "data",
            otlp_grpc=free,
            otlp_http=free,
            http=free,
            snapshot_seconds=0.5,
            stale_after=2.0,
        )
    )


def _send(engine: Engine) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(end_time_unix_nano=time.time_ns())
    assert engine.spool is not None
    engine.spool.append("traces", request.SerializeToString()).result(30)


def _firing(engine: Engine) -> dict[str, Alert]:
    alerts = [shown.alert for shown in engine.board.active_alerts()]
    return {a.series.objective: a for a in alerts if a.kind == "absent"}


def test_it_fires_outlives_a_restart_and_ends_with_traffic(engine: Engine, tmp_path: Path) -> None:
    engine.start()
    try:
        _send(engine)
        fired = eventually(lambda: len(f := _firing(engine)) == 2 and f, 60)
        assert {o: a.severity for o, a in fired.items()} == {
            "chat-all": "page",
            "chat-never": "ticket",
        }
        assert fired["chat-all"].series.group is None
    finally:
        engine.stop()
    engine = _engine(tmp_path)
    engine.start()
    try:
        eventually(lambda: engine.board.live_age() is not None, 60)
        again = _firing(engine)
        assert {o: a.starts_at for o, a in again.items()} == {
            o: a.starts_at for o, a in fired.items()
        }
        _send(engine)
        eventually(lambda: _firing(engine).keys() == {"chat-never"}, 60)
    finally:
        engine.stop()
