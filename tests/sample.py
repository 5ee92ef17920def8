"""The sample chat service of deploy/sample/, as processes on free ports, without containers."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import eventually, free_port

DEPLOY = Path(__file__).parent.parent / "deploy"
FOLDER = DEPLOY / "sample"


class Sample(NamedTuple):
    """Where its parts are, as HOST:PORT.

    Attributes:
        metrics: of each service with burnline-llm, by its name.
        logs: what each process wrote, by its name.
    """

    gateway: str
    model: str
    metrics: dict[str, str]
    logs: dict[str, Path]


def slos() -> str:
    """Its service levels, and what is watched of it."""
    return "\n---\n".join(path.read_text() for path in sorted((DEPLOY / "slos").glob("*.yaml")))


@contextmanager
def sample(directory: Path, otlp: str, rate: float) -> Iterator[Sample]:
    """Run model, worker, gateway and traffic, which send OTLP/HTTP to `otlp` (a base URL)."""
    ports = {name: free_port() for name in ("model", "worker", "gateway", "w-page", "g-page")}
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    common = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
        "MODEL_URL": f"http://{at['model']}",
        "WORKER_URL": f"http://{at['worker']}",
        "GATEWAY_URL": f"http://{at['gateway']}",
        "RATE": str(rate),
    }
    logs = {name: directory / f"{name}.log" for name in ("model", "worker", "gateway", "traffic")}
    with ExitStack() as running:
        for name, page in (("model", None), ("worker", "w-page"), ("gateway", "g-page")):
            own = {"PORT": str(ports[name])}
            own |= {"METRICS_PORT": str(ports[page])} if page else {}
            running.enter_context(_process(name, common | own, logs[name], at[name]))
        running.enter_context(_process("traffic", common, logs["traffic"]))
        metrics = {"chat-gateway": at["g-page"], "chat-worker": at["w-page"]}
        yield Sample(at["gateway"], at["model"], metrics, logs)


@contextmanager
def _process(name: str, env: dict[str, str], log: Path, address: str = "") -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, f"{name}.py"],
            cwd=FOLDER,
            env=os.environ | env | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        if address:
            eventually(lambda: process.poll() is not None or _answers(address), 30)
        assert process.poll() is None, log.read_text()
        yield
        assert process.poll() is None, f"{name} ended by itself:\n{log.read_text()}"
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
