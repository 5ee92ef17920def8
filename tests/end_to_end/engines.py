"""A real engine as a process of its own, and the official SDK to send to it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from tests.servers import eventually, free_port

BIN = Path(sys.executable).parent


class Engine:
    """`burnline run`, or Bytewax's own runner, on free ports that it keeps over restarts."""

    def __init__(
        self, directory: Path, slos: str, alertmanagers: Iterable[str] = (), **environment: str
    ) -> None:
        self.settings = environment
        self.directory = directory
        self.slos = directory / "slos.yaml"
        self.slos.write_text(slos)
        self.ports = {name: free_port() for name in ("grpc", "http", "face")}
        self.alertmanagers = tuple(alertmanagers)
        self.log = directory / "engine.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / "data"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BURNLINE_SLOS": str(self.slos),
            "BURNLINE_DATA_DIR": str(self.directory / "data"),
            "BURNLINE_OTLP_GRPC": f"127.0.0.1:{self.ports['grpc']}",
            "BURNLINE_OTLP_HTTP": f"127.0.0.1:{self.ports['http']}",
            "BURNLINE_HTTP": f"127.0.0.1:{self.ports['face']}",
            "BURNLINE_ALERTMANAGER": " ".join(self.alertmanagers),
            "BURNLINE_SNAPSHOT_INTERVAL": "1s",
            **self.settings,
        }

    def start(self, *command: str, seconds: float = 60) -> None:
        """Start, and wait until it has decided; `command` instead of `burnline run`."""
        self.spawn(*command)
        eventually(lambda: self.process.poll() is not None or self.ready(), seconds)
        assert self.process.poll() is None, self.log.read_text()

    def spawn(self, *command: str) -> None:
        """Start, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command or (str(BIN / "burnline"), "run"),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def reload(self, slos: str) -> None:
        """Write other SLOs, and say so."""
        self.slos.write_text(slos)
        self.process.send_signal(signal.SIGHUP)

    def told(self, event: str) -> list[dict[str, str]]:
        """Log entries of an event."""
        return [entry for entry in self.logged() if entry["event"] == event]

    def sample(self, name: str) -> float | None:
        """The first sample whose name and labels begin so."""
        found = (line for line in self.get("/metrics").splitlines() if line.startswith(name))
        return next((float(line.rsplit(" ", 1)[1]) for line in found), None)

    def ready(self) -> bool:
        try:
            return self.get("/readyz") is not None
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.ports['face']}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()

    def counts(self) -> dict[tuple[str, ...], float]:
        """The events counters: (slo, result, group values…) -> value."""
        return event_counts(self.samples())

    def samples(self) -> list[Sample]:
        """All of `/metrics`."""
        text = self.get("/metrics")
        return [sample for family in parse(text) for sample in family.samples]

    def logged(self) -> list[dict[str, str]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def event_counts(samples: Iterable[Sample]) -> dict[tuple[str, ...], float]:
    """The events counters: (slo, result, group values…) -> value."""
    fixed = ("sloth_id", "sloth_service", "result", "sloth_slo")
    return {
        (
            sample.labels["sloth_slo"],
            sample.labels["result"],
            *(value for name, value in sorted(sample.labels.items()) if name not in fixed),
        ): sample.value
        for sample in samples
        if sample.name == "burnline_slo_events_total"
    }


class Call(NamedTuple):
    """A finished LLM call."""

    ended: float
    model: str = "gpt-4o"
    tenant: str = "acme"
    failed: bool = False
    seconds: float = 0.8


def send(
    engine: Engine,
    calls: Iterable[Call],
    *,
    protocol: str = "grpc",
    exporter: SpanExporter | None = None,
) -> None:
    """Send calls as spans with the official SDK; returns once all are acknowledged."""
    if exporter is not None:
        pass
    elif protocol == "grpc":
        exporter = Grpc(endpoint=f"http://127.0.0.1:{engine.ports['grpc']}", insecure=True)
    else:
        exporter = Http(endpoint=f"http://127.0.0.1:{engine.ports['http']}/v1/traces")
    provider = TracerProvider(resource=Resource({"service.name": "chat-api"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=100_000))
    tracer = provider.get_tracer("tests")
    for call in calls:
        span = tracer.start_span(
            f"chat {call.model}",
            kind=SpanKind.CLIENT,
            start_time=int((call.ended - call.seconds) * 1e9),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": call.model,
                "tenant.id": call.tenant,
            },
        )
        if call.failed:
            span.set_attribute("error.type", "RateLimitError")
            span.set_status(Status(StatusCode.ERROR))
        span.end(int(call.ended * 1e9))
    assert provider.force_flush()
    provider.shutdown()
