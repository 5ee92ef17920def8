"""Prometheus and Alertmanager for the demo: on free loopback ports, in a directory of their own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path

Held = Callable[[], AbstractContextManager[None]]

READY_SECONDS = 15.0
STOP_SECONDS = 5.0
ATTEMPTS = 3

_ALERTMANAGER_CONFIG = """\
route:
  receiver: nobody
  group_by: [alertname, sloth_id]
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: nobody
"""
_PROMETHEUS_CONFIG = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: burnline
    static_configs:
      - targets: ["{target}"]
"""


class Server:
    """A child process in a process group of its own, that answers on a loopback address.

    Attributes:
        name: of the program.
        address: `HOST:PORT`.
    """

    def __init__(self, name: str, address: str, command: list[str], log: Path) -> None:
        self.name = name
        self.address = address
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """Of the process, which leads its group."""
        return self._process.pid

    def ready(self, seconds: float = READY_SECONDS) -> bool:
        """Wait until it answers; False when it ended, or did not in time."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self._process.poll() is None:
            if answers(self.address, "/-/ready"):
                return True
            time.sleep(0.05)
        return False

    def complaint(self) -> str:
        """The last lines of its log."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return " | ".join(lines[-3:])

    def stop(self) -> None:
        """End the process group: first politely, after some seconds by force."""
        for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            if self._process.poll() is not None:
                return
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def start_alertmanager(directory: Path, stack: ExitStack, held: Held) -> Server | str:
    """Start Alertmanager, or say why there is none.

    Args:
        directory: of its own.
        stack: stops it.
        held: within, no signal interrupts.
    """
    config = directory / "alertmanager.yml"
    config.write_text(_ALERTMANAGER_CONFIG, "utf-8")
    return _start(
        ("prometheus-alertmanager", "alertmanager"),
        directory,
        stack,
        held,
        lambda address: [
            f"--config.file={config}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
    )


def start_prometheus(directory: Path, target: str, stack: ExitStack, held: Held) -> Server | str:
    """Start Prometheus, which scrapes `target` (HOST:PORT) every second; else as Alertmanager."""
    config = directory / "prometheus.yml"
    config.write_text(_PROMETHEUS_CONFIG.format(target=target), "utf-8")
    return _start(
        ("prometheus",),
        directory,
        stack,
        held,
        lambda address: [
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address={address}",
        ],
    )


def _start(
    names: tuple[str, ...],
    directory: Path,
    stack: ExitStack,
    held: Held,
    options: Callable[[str], list[str]],
) -> Server | str:
    """Start the first of these programs that the machine has."""
    program = next((found for name in names if (found := shutil.which(name))), None)
    name = names[-1]
    if program is None:
        return f"no {name.capitalize()} on this machine"
    complaint = ""
    for attempt in range(ATTEMPTS):
        # Another process may take the port in between; then the next attempt has another one.
        address = f"127.0.0.1:{free_port()}"
        log = directory / f"{name}-{attempt}.log"
        try:
            with held():
                server = Server(name, address, [program, *options(address)], log)
                stack.callback(server.stop)
        except OSError as error:
            return f"{program} does not start ({error.strerror})"
        if server.ready():
            return server
        server.stop()
        complaint = server.complaint()
    return f"{program} does not get ready ({complaint})"


def free_port() -> int:
    """A loopback TCP port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(address: str, path: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
