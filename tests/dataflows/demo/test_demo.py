import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from io import StringIO
from pathlib import Path

import click
import pytest
from rich.console import Console

from dataflows.demo.board import PAGED, Board
from dataflows.demo.run import run_demo
from dataflows.demo.tellers import LineTeller
from dataflows.demo.view import Scene

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared/data/llm-traffic/AzureLLMInferenceTrace_2023_code.csv"
SLICE = {"span.gen_ai.request.model": "claude-sonnet-4-5", "span.tenant.id": "acme"}
have_servers = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="no prometheus or prometheus-alertmanager on the PATH",
)


def _start(directory: Path, *options: str, path: str | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {"TMPDIR": str(directory)}
    if path is not None:
        environment["PATH"] = path
    command = [sys.executable, "-c", "from dataflows.cli import main; main()", "demo", *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _running(directory: Path) -> list[str]:
    """Command lines of processes that mention the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found


def _nothing_left(directory: Path) -> None:
    assert list(directory.iterdir()) == []
    assert _running(directory) == []


def _page(out: str) -> dict:
    (line,) = out.splitlines()
    outcome = json.loads(line)
    assert list(outcome) == [
        "incident_start",
        "page_at",
        "page_alert",
        "top_slice",
        "alertmanager",
        "spans",
    ]
    assert outcome["top_slice"] == SLICE
    assert outcome["page_alert"]["sloth_id"] == PAGED
    assert outcome["page_alert"]["severity"] == "page"
    start, page = (datetime.fromisoformat(outcome[k]) for k in ("incident_start", "page_at"))
    assert start.tzinfo is not None
    assert 2 < (page - start).total_seconds() < 16
    return outcome


Ended = tuple[Path, int, str, str]


def _end(directory: Path, demo: subprocess.Popen[str]) -> Ended:
    out, err = demo.communicate(timeout=180)
    return directory, demo.returncode, out, err


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Two demos at a time: with the servers of this machine, and with none and a recorded trace."""
    with_servers, alone = (tmp_path_factory.mktemp(name) for name in ("servers", "alone"))
    trace = ("--traffic", str(RECORDED)) if RECORDED.exists() else ()
    demos = {
        "servers": (with_servers, _start(with_servers, "--seconds", "18", "--json")),
        # An empty PATH: the interpreter itself is named by its full path.
        "alone": (alone, _start(alone, "--seconds", "20", "--json", *trace, path=str(alone / "x"))),
    }
    return {name: _end(*demo) for name, demo in demos.items()}


@pytest.mark.servers
@have_servers
def test_the_page_arrives_in_alertmanager_and_nothing_stays_behind(played):
    directory, code, out, err = played["servers"]
    assert code == 0, err
    outcome = _page(out)
    assert outcome["alertmanager"] is True
    assert outcome["spans"] > 20_000
    assert "Alertmanager: http://127.0.0.1:" in err
    assert "Prometheus: http://127.0.0.1:" in err
    _nothing_left(directory)


def test_without_the_servers_the_engine_pages_alone(played):
    directory, code, out, err = played["alone"]
    assert code == 0, err
    assert _page(out)["alertmanager"] is False
    assert "no Alertmanager on this machine: alerts are shown here and on /metrics" in err
    _nothing_left(directory)


@pytest.mark.data
@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
def test_a_recorded_trace_is_replayed(played):
    _, _, out, _ = played["alone"]
    rows = len(RECORDED.read_text().splitlines()) - 1
    assert rows < json.loads(out)["spans"] < 19_000


@pytest.mark.parametrize(
    ("number", "options", "code"),
    [(signal.SIGTERM, ("--seconds", "60", "--json"), 143), (signal.SIGINT, (), 0)],
)
def test_a_signal_ends_it_and_nothing_stays_behind(tmp_path, number, options, code):
    demo = _start(tmp_path, *options)
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("burnline-demo-*/data/spool.db")):
        assert time.monotonic() < limit
        assert demo.poll() is None, demo.communicate()
        time.sleep(0.05)
    time.sleep(1)
    demo.send_signal(number)
    demo.send_signal(number)
    out, err = demo.communicate(timeout=30)
    assert demo.returncode == code, err
    if options:
        assert out == ""
        assert "interrupted" in err
    _nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_json": True}, "--json prints when the demo ends; add --seconds 40"),
        ({"seconds": 14.9}, "--seconds 14.9 is too short for a page to come; write 15 or more"),
        ({"seconds": float("nan")}, "--seconds nan is too short"),
        ({"seconds": float("inf")}, "--seconds inf is too short"),
        ({"seed": -1}, "--seed -1 is negative; write 0 or more"),
        ({"traffic": Path("nowhere.csv")}, "nowhere.csv: No such file or directory; name a file"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_mend(options, message):
    wanted = {"seconds": None, "as_json": False, "traffic": None, "seed": 1} | options
    with pytest.raises(click.ClickException) as caught:
        run_demo(**wanted)
    assert message in str(caught.value)


def test_lines_tell_each_event_once_and_the_status_now_and_then():
    now = [0.0]
    out = StringIO()
    teller = LineTeller(Console(file=out, width=40), Board(), 10, lambda: now[0])
    scene = Scene(now=0, status="live for 1 s", notes=("no Prometheus on this machine",))
    story = Scene(now=0, status="live for 2 s", story="a model fails " + "x" * 60)
    with teller:
        for at, what in ((0, scene), (1, scene), (5, story), (9.9, story), (10, story)):
            now[0] = at
            teller.show(what)
    assert out.getvalue().splitlines() == [
        "no Prometheus on this machine",
        "live for 1 s",
        "a model fails " + "x" * 60,
        "live for 2 s",
    ]
