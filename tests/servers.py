"""Debian's Prometheus and Alertmanager on free loopback ports, for tests marked `servers`."""

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

READY_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(ask: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true answer; fails with the last one."""
    limit = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < limit:
        time.sleep(0.05)
    assert answer, f"not within {seconds} s: {answer!r}"
    return answer


def get_json(url: str, headers: dict[str, str] | None = None, **ask: Any) -> Any:
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=5, **ask) as answer:
        return json.load(answer)


@contextmanager
def alertmanager(
    directory: Path,
    port: int = 0,
    web: dict[str, Any] | None = None,
    webhook: str = "",
    **ask: Any,
) -> Iterator[str]:
    """Run an Alertmanager; its URL.

    `webhook` is told of each alert by itself.
    `web` is its web configuration (TLS, basic auth); `ask`, for urllib, gets in all the same.
    """
    address = f"127.0.0.1:{port or free_port()}"
    config = directory / "alertmanager.yml"
    config.write_text(
        "route: {receiver: nobody, group_wait: 0s, group_interval: 1s, group_by: [alertname]}\n"
        "receivers: [{name: nobody}]\n"
    )
    if webhook:
        config.write_text(
            "route: {receiver: told, group_wait: 0s, group_interval: 1s, group_by: ['...']}\n"
            f"receivers: [{{name: told, webhook_configs: [{{url: '{webhook}'}}]}}]\n"
        )
    command = [
        _program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={directory}/data-{address}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    url = f"http://{address}"
    if web is not None:
        url = f"https://{address}"
        secured = directory / "alertmanager-web.yml"
        secured.write_text(json.dumps(web))
        command.append(f"--web.config.file={secured}")
    with running(command, url, directory, **ask):
        yield url


@contextmanager
def prometheus(directory: Path, target: str, scrape: dict[str, Any] | None = None) -> Iterator[str]:
    """Run a Prometheus that scrapes `target` (HOST:PORT) every second; its URL.

    `scrape` is merged into the job's configuration.
    """
    address = f"127.0.0.1:{free_port()}"
    config = directory / "prometheus.yml"
    job = {"job_name": "burnline", "static_configs": [{"targets": [target]}]} | (scrape or {})
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    command = [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}/tsdb",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with running(command, f"http://{address}", directory):
        yield f"http://{address}"


@contextmanager
def receiver(
    directory: Path, port: int = 0, stop_by: int = signal.SIGTERM, *, refuses: bool = False
) -> Iterator[str]:
    """Run a Prometheus that scrapes nothing and takes remote write; the URL to write to.

    Args:
        directory: of its files; those of a run before are used again.
        port: where it listens; 0 for a free one.
        stop_by: the signal that ends it.
        refuses: it is not told to take remote write.
    """
    address = f"127.0.0.1:{port or free_port()}"
    config = directory / "prometheus.yml"
    config.write_text("global: {}\n")
    command = [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}/tsdb",
        f"--web.listen-address={address}",
        *([] if refuses else ["--web.enable-remote-write-receiver"]),
    ]
    with running(command, f"http://{address}", directory, stop_by):
        yield f"http://{address}/api/v1/write"


def query(prometheus_url: str, promql: str) -> list[tuple[dict[str, str], float]]:
    """An instant query's samples."""
    asked = urllib.parse.urlencode({"query": promql})
    data = get_json(f"{prometheus_url}/api/v1/query?{asked}")["data"]
    if data["resultType"] == "scalar":
        return [({}, float(data["result"][1]))]
    return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]


def alerts(alertmanager_url: str, **active: str) -> list[dict[str, Any]]:
    """What an Alertmanager lists."""
    asked = urllib.parse.urlencode(active)
    found: list[dict[str, Any]] = get_json(f"{alertmanager_url}/api/v2/alerts?{asked}")
    return found


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt install {name}")
    return found


@contextmanager
def running(
    command: list[str], url: str, directory: Path, stop_by: int = signal.SIGTERM, **ask: Any
) -> Iterator[None]:
    log = directory / f"{Path(command[0]).name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: process.poll() is not None or _answers(url, **ask), READY_SECONDS)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.send_signal(stop_by)
        process.wait(10)


def _answers(url: str, headers: dict[str, str] | None = None, **ask: Any) -> bool:
    request = urllib.request.Request(f"{url}/-/ready", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=1, **ask) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
