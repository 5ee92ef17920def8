"""The stack's Collector configuration in a real Collector: the sample's telemetry goes where it should.

Skipped without `otelcol` (or otelcol-contrib) on the PATH; the traces that people look at without `jaeger`.
What stands for Loki, which cannot run here, is a page that takes what is posted.
"""

import gzip
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.end_to_end.engines import Engine
from tests.sample import DEPLOY, sample, slos
from tests.servers import eventually, free_port, get_json, query, receiver

COLLECTOR = shutil.which("otelcol") or shutil.which("otelcol-contrib")
JAEGER = shutil.which("jaeger")

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        COLLECTOR is None, reason="no otelcol on the PATH: docs/stack.md, to build one"
    ),
]


class Run(NamedTuple):
    engine: Engine
    prometheus: str
    jaeger: str
    logs: list[bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("collector")
    engine = Engine(directory, slos())
    posted: list[bytes] = []
    with ExitStack() as running:
        running.callback(lambda: engine.process is None or engine.stop())
        engine.start(seconds=120)  # it may have to compile
        write = running.enter_context(receiver(directory))
        jaeger, traces = running.enter_context(_jaeger(directory))
        loki = running.enter_context(_loki(posted))
        ports = {
            "BURNLINE_ENDPOINT": f"127.0.0.1:{engine.ports['grpc']}",
            "PROMETHEUS_ENDPOINT": write,
            "TRACES_ENDPOINT": traces,
            "LOKI_ENDPOINT": f"{loki}/otlp",
            "DECISION_WAIT": "1s",
        }
        otlp = running.enter_context(_collector(directory, ports))
        running.enter_context(sample(directory, otlp, 8))
        yield Run(engine, write.removesuffix("/api/v1/write"), jaeger, posted)


@contextmanager
def _collector(directory: Path, environment: dict[str, str]) -> Iterator[str]:
    """The Collector with the stack's own configuration, listening elsewhere; its OTLP/HTTP address."""
    at = {name: f"127.0.0.1:{free_port()}" for name in ("grpc", "http", "health")}
    elsewhere = {
        "receivers": {
            "otlp": {"protocols": {kind: {"endpoint": at[kind]} for kind in ("grpc", "http")}}
        },
        "extensions": {"health_check": {"endpoint": at["health"]}},
        "service": {"telemetry": {"metrics": {"level": "none", "readers": []}}},
    }
    (directory / "elsewhere.yaml").write_text(json.dumps(elsewhere))
    files = (DEPLOY / "stack" / "collector.yaml", directory / "elsewhere.yaml")
    command = [str(COLLECTOR), *(f"--config={file}" for file in files)]
    with _process(command, directory / "collector.log", f"http://{at['health']}/", environment):
        yield f"http://{at['http']}"
    said = (directory / "collector.log").read_text()
    assert "deprecated" not in said
    assert "dropped data" not in said.lower()


@contextmanager
def _jaeger(directory: Path) -> Iterator[tuple[str, str]]:
    """Its page, and where it takes OTLP/gRPC; nobody there without one."""
    at = {name: f"127.0.0.1:{free_port()}" for name in ("otlp", "http", "grpc")}
    if JAEGER is None:
        yield "", at["otlp"]
        return
    config = {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"kept": {"memory": {"max_traces": 10000}}}},
            "jaeger_query": {
                "storage": {"traces": "kept"},
                "http": {"endpoint": at["http"]},
                "grpc": {"endpoint": at["grpc"]},
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": at["otlp"]}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "kept"}},
    }
    path = directory / "jaeger.yaml"
    path.write_text(json.dumps(config))
    url = f"http://{at['http']}"
    with _process([JAEGER, f"--config={path}"], directory / "jaeger.log", f"{url}/api/services"):
        yield url, at["otlp"]


@contextmanager
def _loki(posted: list[bytes]) -> Iterator[str]:
    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/otlp/v1/logs"
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _process(
    command: list[str], log: Path, ready: str, environment: dict[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | (environment or {}), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: process.poll() is not None or _answers(ready), 30)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_engine_gets_every_span(run: Run) -> None:
    name = 'burnline_received_items_total{protocol="grpc",signal="traces"}'
    eventually(lambda: (run.engine.sample(name) or 0) > 200, 60)
    eventually(lambda: any(key[0] == "answers" for key in run.engine.counts()), 20)


def test_prometheus_gets_the_conventions_metrics(run: Run) -> None:
    name = "gen_ai_client_operation_duration_seconds_count"
    asked = f'sum by (job, gen_ai_request_model) ({name}{{gen_ai_operation_name="chat"}})'

    def models() -> set[tuple[str, str]]:
        found = query(run.prometheus, asked)
        return {(one.get("job", ""), one.get("gen_ai_request_model", "")) for one, _ in found}

    eventually(lambda: {("chat-worker", "gpt-4o"), ("chat-gateway", "gpt-4o-mini")} <= models(), 40)


def test_logs_go_to_loki_and_evaluations_to_the_engine(run: Run) -> None:
    eventually(lambda: run.logs, 30)
    eventually(lambda: any(key[0].startswith("evaluation") for key in run.engine.counts()), 40)
    sent = [ExportLogsServiceRequest.FromString(gzip.decompress(body)) for body in list(run.logs)]
    told = [
        (attribute.value.string_value, record)
        for request in sent
        for resource in request.resource_logs
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert {service for service, _ in told} == {"chat-gateway", "chat-worker"}
    assert any(len(record.trace_id) == 16 for _, record in told)


def test_jaeger_shows_one_trace_of_both_services(run: Run) -> None:
    if not run.jaeger:
        pytest.skip("no jaeger on the PATH: docs/stack.md, to build one")
    services = {"chat-gateway", "chat-worker"}
    eventually(lambda: services <= set(get_json(f"{run.jaeger}/api/services")["data"] or []), 60)

    def whole() -> dict[str, Any] | None:
        found = get_json(f"{run.jaeger}/api/traces?service=chat-gateway&limit=50")["data"]
        return next((t for t in found if services == _services(t) and _call(t)), None)

    trace = eventually(whole, 30)
    call = _call(trace)
    tags = {tag["key"]: tag["value"] for tag in call["tags"]}
    assert tags["tenant.id"] in {"acme", "globex", "initech"}  # by baggage, over the wire
    assert tags["gen_ai.operation.name"] == "chat"
    way = _way(trace, call)
    assert [trace["processes"][span["processID"]]["serviceName"] for span in way][
        -1
    ] == "chat-gateway"
    assert "POST /answer" in [span["operationName"] for span in way]


def _services(trace: dict[str, Any]) -> set[str]:
    return {process["serviceName"] for process in trace["processes"].values()}


def _call(trace: dict[str, Any]) -> dict[str, Any] | None:
    """The worker's call of its model."""
    return next((span for span in trace["spans"] if span["operationName"] == "chat gpt-4o"), None)


def _way(trace: dict[str, Any], span: dict[str, Any]) -> list[dict[str, Any]]:
    """From a span to the root."""
    by_id = {span["spanID"]: span for span in trace["spans"]}
    way = [span]
    while way[-1]["references"]:
        way.append(by_id[way[-1]["references"][0]["spanID"]])
    return way
