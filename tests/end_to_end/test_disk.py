"""A disk that fills up or becomes read-only under a running engine: told, waited out, nothing lost.

On file systems in memory, which only root may mount: skipped for others.
"""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
    by: [span.tenant.id]
"""
RESTARTS = 'burnline_flow_restarts_total{cause="disk"}'
STOPPED = "stopped without a last snapshot; what came since the one before is read again at the next start"
FAILED = "the flow failed by the disk; it goes on from its last snapshot"

soon = partial(eventually, seconds=60)

pytestmark = pytest.mark.timeout(300)


@contextmanager
def mounted(at: Path, mebibytes: int) -> Iterator[Path]:
    at.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(at)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system in memory")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def remount(at: Path, mode: str) -> bool:
    """Whether it could be; not while files are open for writing."""
    command = ["mount", "-o", f"remount,{mode}", str(at)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(directory: Path) -> Path:
    """Take all the room that is left, to the last page."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler


def _calls(number: int) -> list[Call]:
    # New groups: the state, and with it the recovery store, has to grow.
    return [Call(time.time(), tenant=f"t{n}") for n in range(number)]


def _unready(engine: Engine) -> str:
    try:
        engine.get("/readyz")
    except urllib.error.HTTPError as error:
        return error.read().decode() if error.code == 503 else ""
    return ""


def _total(engine: Engine) -> float:
    return sum(engine.counts().values())


def test_the_recovery_store_is_full_then_read_only_and_recovers(tmp_path: Path) -> None:
    engine = Engine(tmp_path, SLOS)
    with mounted(tmp_path / "data" / "recovery", 8) as recovery:
        engine.start()
        try:
            send(engine, _calls(100))
            soon(lambda: _total(engine) == 100)
            filler = fill(recovery)
            sent = 100

            def failed() -> bool:
                nonlocal sent
                send(engine, _calls(1))
                sent += 1
                return bool(engine.sample(RESTARTS))

            soon(failed)
            # The receivers go on by themselves, and the page says what is the matter.
            send(engine, _calls(50))
            sent += 50
            assert "the recovery store: the disk is full" in soon(lambda: _unready(engine))
            [*_, last] = engine.told(FAILED)
            assert "free some space" in last["reason"]

            # Between two tries nothing is open, so that it can be made read-only.
            soon(lambda: remount(recovery, "ro"))
            soon(lambda: "opened" in engine.told(FAILED)[-1]["reason"])
            send(engine, _calls(50), protocol="http")
            sent += 50

            assert remount(recovery, "rw")
            filler.unlink()
            soon(lambda: _total(engine) == sent)
            soon(lambda: not _unready(engine))
            assert engine.told("the flow runs again")
            send(engine, _calls(10))
            sent += 10
            soon(lambda: _total(engine) == sent)
            time.sleep(0.3)
            assert _total(engine) == sent
            # What was saved since then is whole.
            for number in (signal.SIGTERM, signal.SIGKILL):
                engine.stop(number)
                engine.start()
                soon(lambda: _total(engine) == sent)
        finally:
            engine.stop(signal.SIGKILL)


def test_a_stop_while_the_disk_is_full_ends_and_loses_nothing(tmp_path: Path) -> None:
    engine = Engine(tmp_path, SLOS)
    with mounted(tmp_path / "data" / "recovery", 8) as recovery:
        engine.start()
        try:
            send(engine, _calls(100))
            soon(lambda: _total(engine) == 100)
            filler = fill(recovery)
            sent = 100

            def failed() -> bool:
                nonlocal sent
                send(engine, _calls(1))
                sent += 1
                return bool(engine.sample(RESTARTS))

            soon(failed)
            assert engine.stop(signal.SIGTERM) == 0
            assert "full" in engine.told(STOPPED)[0]["reason"]
            filler.unlink()
            engine.start()
            soon(lambda: _total(engine) == sent)
            time.sleep(0.3)
            assert _total(engine) == sent
        finally:
            engine.stop(signal.SIGKILL)


def test_a_full_data_directory_is_an_error_to_senders_until_there_is_room(tmp_path: Path) -> None:
    engine = Engine(tmp_path, SLOS)
    # The spool leaves 128 MiB of a disk alone, so that what is deleted can be.
    with mounted(tmp_path / "data", 192) as data:
        engine.start()
        try:
            send(engine, _calls(100))
            soon(lambda: _total(engine) == 100)
            filler = fill(data)
            status, retry_after = _refused(engine)
            assert status in (429, 503)
            assert int(retry_after) > 0
            assert engine.process.poll() is None
            time.sleep(3)  # three snapshots
            assert engine.process.poll() is None
            filler.unlink()
            # The SDK's exporter tries again by itself.
            send(engine, _calls(50), protocol="http")
            soon(lambda: _total(engine) == 150)
            soon(lambda: not _unready(engine))
        finally:
            engine.stop(signal.SIGKILL)


def _refused(engine: Engine) -> tuple[int, str]:
    export = ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add(name="chat")
    span.end_time_unix_nano = time.time_ns()
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.ports['http']}/v1/traces",
        export.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    return caught.value.code, caught.value.headers["Retry-After"]
