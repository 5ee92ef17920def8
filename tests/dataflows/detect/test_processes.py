"""Many files at a time: progress while they are judged, and no process left when it ends early."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflows.detect import report
from tests.servers import eventually

# Processes that are at work for as long as the test takes.
BUSY = """
import time
from dataflows.cli import main
from dataflows.detect import processes

def one(*_):
    time.sleep(600)

processes.one = one
main(["detect", "--input", "in", "--jobs", "2"])
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        rows = "".join(f"{60 * i},{i % 7}\n" for i in range(500))
        (tmp_path / f"in/{name}.csv").write_text(f"timestamp,value\n{rows}")
    return tmp_path


@contextlib.contextmanager
def busy(folder: Path, processes: int = 2) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        limit = time.monotonic() + 60
        while len(children.read_text().split()) < processes:  # without a pause: see Ctrl-C's test
            assert time.monotonic() < limit
        yield process, children.read_text().split()
    finally:
        process.kill()
        process.communicate(timeout=60)


def gone(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(folder: Path, number: signal.Signals) -> None:
    with busy(folder) as (process, children):
        process.send_signal(number)
        assert process.wait(60) == -number
        eventually(lambda: all(map(gone, children)), 60)


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_it_at_once(folder: Path, processes: int) -> None:
    """Also while processes are being started."""
    with busy(folder, processes) as (process, children):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
        assert said.splitlines()[-1] == "burnline: stopped after 0 of 3 files"
        eventually(lambda: all(map(gone, children)), 60)


def test_a_bar_on_a_terminal(folder: Path) -> None:
    burnline = Path(sys.executable).parent / "burnline"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [burnline, "detect", "--input", "in"],
        cwd=folder,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while piece := os.read(ours, 4096):
                shown += piece
        assert process.wait(60) == 0
    os.close(ours)
    assert b" of 3 files" in shown
    assert b"3 files, 1,500 rows, " in shown


def test_a_line_at_times_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    with report.progress(1000, 4, shown=True) as tell:
        for now in (1.0, 9.0, 11.0, 12.0, 25.0):
            tell(int(now * 40), int(now / 6))
    assert capsys.readouterr().err.splitlines() == [
        "1 of 4 files done, 44 % read",
        "4 of 4 files done, 100 % read",
    ]
    for files, shown in ((1, True), (4, False)):
        with report.progress(1000, files, shown=shown) as tell:
            now += 100
            tell(500, 0)
    assert capsys.readouterr().err == ""
