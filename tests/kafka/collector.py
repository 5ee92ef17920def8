"""A real Collector that writes to Kafka; `python -m tests.kafka.collector` builds it in `.kafka/`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.kafka.jars import ROOT
from tests.servers import eventually, free_port, get_json

MANIFEST = Path(__file__).with_name("collector.yaml")
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.148.0"
BUILT = ROOT / ".kafka" / "collector"
PROGRAM = BUILT / "otelcol-kafka"
STAMP = BUILT / ".built"
SIGNALS = ("traces", "metrics", "logs")


def missing() -> str:
    """Why there is no Collector, and how to get it; empty when there is."""
    if STAMP.exists() and STAMP.read_text() == _pins():
        return ""
    return (
        "no Collector in .kafka/: python -m tests.kafka.collector builds it (Go, network, minutes)"
    )


def build() -> None:
    """Build it, where it is not there as the manifest has it.

    Raises:
        SystemExit: It can't be built here; says why.
    """
    if not missing():
        return
    if shutil.which("go") is None:
        sys.exit("burnline: no go on the PATH to build a Collector with (1.25 or newer)")
    print("burnline: building a Collector, once; some minutes", file=sys.stderr)
    done = subprocess.run(["go", "run", BUILDER, "--config", MANIFEST], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit("burnline: the Collector could not be built (see above)")
    STAMP.write_text(_pins())


def all_signals(exporters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every signal to all of some Kafka exporters, by their names."""
    named = {f"kafka/{name}": dict(config) for name, config in exporters.items()}
    return {"exporters": named, "pipelines": {key: list(named) for key in SIGNALS}}


@contextmanager
def collector(
    directory: Path, parts: Mapping[str, Any], *over: Path, **environment: str
) -> Iterator[str]:
    """Run it; the URL for OTLP over HTTP.

    Args:
        directory: of its log.
        parts: `exporters`, and for each of the `pipelines` the names of those that it goes to.
        over: files of configuration that are laid over these.
        environment: what they ask for.
    """
    web, health = free_port(), free_port()
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{web}"}}}},
        "exporters": parts["exporters"],
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                name: {"receivers": ["otlp"], "exporters": exporters}
                for name, exporters in parts["pipelines"].items()
            },
        },
    }
    path, log = directory / "collector.json", directory / "collector.log"
    path.write_text(json.dumps(config))
    command = [PROGRAM, *(f"--config={file}" for file in (path, *over))]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | environment
        )
    try:
        eventually(lambda: process.poll() is not None or _healthy(health), 60)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{web}"
    finally:
        process.terminate()  # it sends what it still has
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


def _healthy(port: int) -> bool:
    try:
        return bool(get_json(f"http://127.0.0.1:{port}/"))
    except OSError:
        return False


def _pins() -> str:
    return sha256(MANIFEST.read_bytes()).hexdigest()


if __name__ == "__main__":
    build()
