"""Seconds from the spans that cross a threshold to the page in a real Alertmanager.

The engine runs as a process of its own. Each round, one tenant's calls fail: the time counts from just
before the request is sent to the moment that Alertmanager lists that tenant's page (asked every 5 ms).
The peer is what rules in Prometheus can do at best with its default intervals, which is arithmetic: on
average half a scrape interval and half an evaluation interval, before the alert is even sent.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROUNDS = 60
SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" }'
        bad: '{ status = error }'
    by: [span.tenant.id]
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _request(tenant: str, spans: int, failed: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add(key="service.name")
    name.value.string_value = "chat-api"
    scope_spans = resource_spans.scope_spans.add()
    now = time.time_ns()
    for n in range(spans):
        span = scope_spans.spans.add(
            name="chat", start_time_unix_nano=now - 10**9, end_time_unix_nano=now
        )
        span.attributes.add(key="tenant.id").value.string_value = tenant
        if n < failed:
            span.status.code = 2
    return request.SerializeToString()


def _post(port: int, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"the engine answered {answer.status}")
    connection.close()


def _get(port: int, path: str) -> str | None:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
    except OSError:
        return None
    return text if answer.status == 200 else None


def _wait(port: int, path: str, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while _get(port, path) is None:
        if time.monotonic() > limit:
            raise SystemExit(f"nothing answers at 127.0.0.1:{port}{path}")
        time.sleep(0.05)


def _paged(port: int) -> set[str]:
    listed = json.loads(_get(port, "/api/v2/alerts?filter=severity%3Dpage") or "[]")
    return {alert["labels"]["tenant_id"] for alert in listed}


def _measure(http_port: int, am_port: int) -> list[float]:
    seconds = []
    for n in range(ROUNDS):
        tenant = f"tenant-{n:03}"
        _post(http_port, _request(tenant, 200, 0))
        time.sleep(0.2)
        body = _request(tenant, 60, 60)
        start = time.perf_counter()
        _post(http_port, body)
        while tenant not in _paged(am_port):
            if time.perf_counter() - start > 30:
                raise SystemExit(f"no page for {tenant} within 30 s")
            time.sleep(0.005)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print median, 99th percentile and maximum."""
    alertmanager = shutil.which("prometheus-alertmanager")
    if alertmanager is None:
        print("latency: skipped, there is no prometheus-alertmanager on this machine")
        return
    grpc_port, http_port, face_port, am_port = (_free_port() for _ in range(4))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "slos.yaml").write_text(SLOS)
        (directory / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        engine_command = [
            str(Path(sys.executable).with_name("burnline")),
            "run",
            f"--slos={directory}/slos.yaml",
            f"--data-dir={directory}/data",
            f"--otlp-grpc=127.0.0.1:{grpc_port}",
            f"--otlp-http=127.0.0.1:{http_port}",
            f"--http=127.0.0.1:{face_port}",
            f"--alertmanager=http://127.0.0.1:{am_port}",
        ]
        am_command = [
            alertmanager,
            f"--config.file={directory}/am.yml",
            f"--storage.path={directory}/am",
            f"--web.listen-address=127.0.0.1:{am_port}",
            "--cluster.listen-address=",
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started = [
            subprocess.Popen(command, env=dict(os.environ), **quiet)
            for command in (am_command, engine_command)
        ]
        try:
            _wait(am_port, "/-/ready")
            _wait(face_port, "/readyz")
            seconds = sorted(_measure(http_port, am_port))
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(30)
    p99 = seconds[min(len(seconds) - 1, round(0.99 * len(seconds)))]
    print(
        f"span to page in Alertmanager: median {statistics.median(seconds):.3f} s,"
        f" p99 {p99:.3f} s, max {seconds[-1]:.3f} s ({ROUNDS} pages)"
    )
    print(
        "rules in Prometheus at its default intervals (1 min, 1 min): 60 s on average (arithmetic)"
    )


if __name__ == "__main__":
    main()
