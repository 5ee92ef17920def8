"""Clusters of real processes on this machine, and what they show."""

import json
import os
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.servers import eventually, free_port

ROOT = Path(__file__).parents[3]
START = 1_780_000_000
SECOND_NS = 1_000_000_000
SLOS = """
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99
    window: 30d
    sli: {spans: {total: '{ resource.service.name = "chat-api" }', bad: '{ status = error }'}}
    explain: [span.tenant]
  - name: tenants
    objective: 99
    window: 30d
    sli: {spans: {total: '{ resource.service.name = "chat-api" }', bad: '{ status = error }'}}
    by: [span.tenant]
  - name: today
    objective: 95
    window: {calendar: day}
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
  - name: nothing
    objective: 99
    window: 30d
    sli: {spans: {total: '{ span.tenant = "nobody" }', bad: '{ status = error }'}}
"""


def record(directory: Path, parts: int, seconds: int, seed: int = 1, tenants: int = 12) -> None:
    """Traffic of some parts, of which one is behind the others, with burns, late spans and model calls."""
    rng = random.Random(seed)
    directory.mkdir()
    for part in range(parts):
        lines = []
        for second in range(seconds if part else seconds - 20):
            burning = seconds // 3 < second < seconds // 2 or second > seconds * 3 // 4
            clock = START + second + rng.random()
            lines.append(json.dumps([clock, _payload(rng, clock, tenants, burning=burning).hex()]))
        (directory / f"topic-{part}.jsonl").write_text("\n".join(lines))


def _payload(rng: random.Random, clock: float, tenants: int, *, burning: bool) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "chat-api"
    spans = resource.scope_spans.add().spans
    for _ in range(rng.randrange(1, 6)):
        end = int(clock * 1e9) - rng.choice((0, 0, 0, 7, 400)) * SECOND_NS
        tenant = rng.randrange(tenants)
        span = spans.add(trace_id=rng.randbytes(16), span_id=rng.randbytes(8))
        span.start_time_unix_nano, span.end_time_unix_nano = end - rng.randrange(SECOND_NS), end
        for key, value in (
            ("tenant", f"t{tenant}"),
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", rng.choice(("gpt-4o", "gpt-4o-mini"))),
        ):
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = rng.randrange(1000)
        span.status.code = 2 if rng.random() < (0.6 if burning and tenant < 6 else 0.002) else 0
    return request.SerializeToString()


class Cluster:
    """Some processes on one data directory, unless each has its own."""

    def __init__(
        self,
        directory: Path,
        recorded: Path,
        slos: str = SLOS,
        *,
        pause: float = 0.0,
        own: bool = False,
        **environment: str,
    ) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.recorded, self.pause, self.own = recorded, pause, own
        self.slos = directory / "slos.yaml"
        self.slos.write_text(slos)
        self.environment = environment
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []

    def data(self, process: int) -> Path:
        return self.directory / (f"data-{process}" if self.own else "data")

    def log(self, process: int) -> Path:
        return self.directory / f"{process}.log"

    def start(self, processes: int, workers: int = 1, *, alone: bool = False) -> None:
        """Start so many; `alone` without saying that it is a cluster."""
        self.ports = [free_port() for _ in range(processes)]
        addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in range(processes))
        self.processes = [
            self.spawn(n, workers, None if alone else addresses) for n in range(processes)
        ]

    def spawn(
        self, process: int, workers: int, addresses: str | None, **environment: str
    ) -> subprocess.Popen[bytes]:
        place = {} if addresses is None else {"BURNLINE_PROCESS_ID": str(process)}
        place |= {} if addresses is None else {"BURNLINE_ADDRESSES": addresses}
        settings = {
            "BURNLINE_SLOS": str(self.slos),
            "BURNLINE_DATA_DIR": str(self.data(process)),
            "BURNLINE_HTTP": f"127.0.0.1:{self.ports[process]}",
            "BURNLINE_OTLP_GRPC": "127.0.0.1:0",
            "BURNLINE_OTLP_HTTP": "127.0.0.1:0",
            "BURNLINE_SNAPSHOT_INTERVAL": "1s",
            "BURNLINE_WORKERS": str(workers),
            "BURNLINE_SHARDS": "8",
            "BURNLINE_LOG_FORMAT": "json",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'instrumentation'}",
        }
        command = [sys.executable, "-m", "tests.dataflows.cluster.parts", str(self.recorded)]
        with self.log(process).open("ab") as log:
            return subprocess.Popen(
                [*command, str(self.pause), "run"],
                env=os.environ | settings | place | self.environment | environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def settled(self, objectives: int = 4, seconds: float = 240) -> None:
        """Wait until every objective is shown by some process, those without events too."""

        def shown() -> bool:
            self.assert_alive()
            found = [
                key for key in self.series() if key[0] == "slo:period_error_budget_remaining:ratio"
            ]
            return len(found) >= objectives

        eventually(shown, seconds)

    def assert_alive(self) -> None:
        for number, process in enumerate(self.processes):
            assert process.poll() is None, self.log(number).read_text()[-3000:]

    def pages(self) -> list[str]:
        return [_get(port, "/metrics") for port in self.ports]

    def series(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]:
        """Values of every series but the engine's own, one for each process that shows it."""
        found = defaultdict(list)
        for page in self.pages():
            for family in parse(page):
                for sample in family.samples:
                    labels = sample.labels
                    if _is_shared(sample.name) and labels.get("alertname") != "Watchdog":
                        found[sample.name, tuple(sorted(labels.items()))].append(sample.value)
        return dict(found)

    def stop(self, number: int = signal.SIGTERM, which: Iterable[int] | None = None) -> list[int]:
        """Signal some processes, or all; the exit codes of all."""
        for process in self.processes if which is None else [self.processes[n] for n in which]:
            process.send_signal(number)
        return [process.wait(180) for process in self.processes]

    def logged(self, event: str) -> list[Mapping[str, object]]:
        """What all processes logged of an event."""
        logs = [self.log(number) for number in range(16) if self.log(number).exists()]
        texts = [line for log in logs for line in log.read_text().splitlines()]
        lines = [json.loads(text) for text in texts if text.startswith("{")]
        return [line for line in lines if line.get("event") == event]


# Of the engine itself, by the same beginning as what it shows of others.
_OWN = ("failures", "incidents", "readings", "series", "unjudged")
_SHARED = (
    "slo:",
    "sloth_",
    "ALERTS",
    "burnline_slo_e",  # errors, error budgets, events
    "burnline_slo_period",
    "burnline_llm_",
    "burnline_anomaly_",
    "burnline_cost_",
)


def _is_shared(name: str) -> bool:
    """Whether it is about what is watched, not about this engine."""
    own = name.startswith(tuple(f"burnline_anomaly_{each}" for each in _OWN))
    return name.startswith(_SHARED) and not own


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
    except OSError:
        return ""
