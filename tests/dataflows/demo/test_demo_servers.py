import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest

from dataflows.demo.board import PAGED, find_page
from dataflows.demo.servers import Server, answers, free_port, start_alertmanager, start_prometheus
from dataflows.demo.signals import Interrupted, Signals
from tests.servers import eventually

servers = pytest.mark.servers
have_servers = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="no prometheus or prometheus-alertmanager on the PATH",
)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@servers
@have_servers
def test_both_start_on_free_ports_and_are_gone_after_stop(tmp_path):
    with ExitStack() as stack:
        started = [
            start_alertmanager(tmp_path, stack, nullcontext),
            start_prometheus(tmp_path, "127.0.0.1:1", stack, nullcontext),
        ]
        assert all(isinstance(server, Server) for server in started), started
        assert all(answers(server.address, "/-/ready") for server in started)
        assert find_page(started[0].address) is None
    for server in started:
        server.stop()  # again does nothing
        assert not answers(server.address, "/-/ready")
        assert not _alive(server.pid)


def test_without_the_programs_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with ExitStack() as stack:
        said = start_alertmanager(tmp_path, stack, nullcontext)
        assert said == "no Alertmanager on this machine"
        said = start_prometheus(tmp_path, "127.0.0.1:1", stack, nullcontext)
        assert said == "no Prometheus on this machine"


def test_a_program_that_does_not_work_is_no_server_but_a_reason(tmp_path, monkeypatch):
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\necho first\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with ExitStack() as stack:
        said = start_prometheus(tmp_path, "127.0.0.1:1", stack, nullcontext)
        assert said == f"{program} does not get ready (first | broken)"
        program.write_bytes(b"\x7fnothing that runs")
        said = start_prometheus(tmp_path, "127.0.0.1:1", stack, nullcontext)
        assert "does not start (" in str(said)


def test_stop_ends_the_whole_group_even_one_that_ignores_sigterm(tmp_path, monkeypatch):
    monkeypatch.setattr("dataflows.demo.servers.STOP_SECONDS", 0.3)
    script = (
        "import signal, subprocess, time, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    server = Server("stubborn", f"127.0.0.1:{free_port()}", [sys.executable, "-c", script], log)
    limit = time.monotonic() + 10
    while not log.read_text().strip() and time.monotonic() < limit:
        time.sleep(0.02)
    child = int(log.read_text())
    server.stop()
    assert not _alive(server.pid)
    # The orphan dies a moment after the signal, and may stay a zombie until init reaps it.
    assert eventually(lambda: _dead(child), 10)


def _dead(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_find_page_takes_the_availability_page_alone(serve):
    labels = {"sloth_id": PAGED, "severity": "page"}
    listed = [{"labels": labels | {"severity": "ticket"}}, {"labels": labels | {"sloth_id": "x"}}]
    server = serve(lambda _: (200, {}, listed))
    assert find_page(server.address) is None
    listed.append({"labels": labels})
    assert find_page(server.address) == labels


@pytest.mark.parametrize("answer", [(500, {}, []), (200, {}, "{no json"), None])
def test_find_page_without_an_answer_is_none(serve, answer):
    address = serve(lambda _: answer).address if answer else f"127.0.0.1:{free_port()}"
    assert find_page(address) is None


def _interrupt_twice():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    finally:
        os.kill(os.getpid(), signal.SIGINT)  # while it stops: ignored


def test_signals_interrupt_once():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught, Signals():
        _interrupt_twice()
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def _interrupted_within(signals, done, error=None):
    with signals.held():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("started")
        if error is not None:
            raise error
        done.append("noted")
    done.append("never")


@pytest.mark.parametrize("error", [None, OSError("no such program")])
def test_a_signal_between_a_start_and_its_note_waits_for_the_end_of_both(error):
    done = []
    with Signals() as signals, pytest.raises(Interrupted) as raised:
        _interrupted_within(signals, done, error)
    assert done == ["started", "noted"][: 1 if error else 2]
    assert raised.value.number == signal.SIGTERM
