"""Runs each library for real and keeps what it sent: `python -m tests.libraries.capture [NAME …]`.

`test_captures.py` compares what a library sends now with what is kept.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.libraries.provider import Provider
from tests.libraries.sink import Sink
from tests.libraries.venvs import ROOT, build, libraries, python

HERE = Path(__file__).parent
CAPTURES = HERE / "captures"
SIGNALS = {"traces": "", "metrics": ".metrics", "logs": ".logs"}
# What a capture's sidecar tells the versions of.
TOLD = ("openai", "anthropic", "litellm", "openlit", "burnline", "openinference", "opentelemetry")


def environment(name: str, endpoint: str) -> dict[str, str]:
    """What an application that sends to `endpoint` is started with; none of ours leaks into it."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))
    }
    return kept | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": f"chat-{name}",
        "OPENLIT_DISABLE_TELEMETRY": "true",
    }


def run(name: str) -> dict[str, bytes]:
    """What a library sends for the calls of `truth.py`, by signal.

    Messages of protobuf that stand one after the other are one message, so a signal is one payload.
    """
    provider, sink = Provider(), Sink()
    try:
        subprocess.run(
            [python(name), "-m", "tests.libraries.application", name, provider.url],
            cwd=ROOT,
            env=environment(name, sink.url),
            check=True,
            timeout=120,
        )
    finally:
        provider.close()
        sink.close()
    return {signal: without_paths(b"".join(bodies)) for signal, bodies in sink.bodies.items()}


def without_paths(sent: bytes) -> bytes:
    """The same bytes, but that stack traces do not tell where the checkout of this run stood.

    Paths are replaced by ones of the same length, for lengths are part of protobuf.
    """
    for place in (ROOT, Path(sys.base_prefix)):
        path = str(place).encode()
        sent = sent.replace(path, b"/srv/application/".ljust(len(path), b"-")[: len(path)])
    return sent


def versions(name: str) -> dict[str, str]:
    """Of the packages that a capture depends on."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {package: pin for package, pin in pins.items() if package.startswith(TOLD)}


def write(name: str, sent: dict[str, bytes]) -> None:
    """Keep what a library sent, and the versions it was sent by."""
    CAPTURES.mkdir(exist_ok=True)
    for signal, suffix in SIGNALS.items():
        path = CAPTURES / f"{name}{suffix}.binpb"
        if signal in sent:
            path.write_bytes(sent[signal])
        else:
            path.unlink(missing_ok=True)
    sidecar = {"library": name, "versions": versions(name)}
    (CAPTURES / f"{name}.json").write_text(json.dumps(sidecar, indent=2) + "\n")


def main(names: list[str]) -> None:
    for name in names or libraries():
        build(name)
        sent = run(name)
        write(name, sent)
        print(name, {signal: len(body) for signal, body in sent.items()})


if __name__ == "__main__":
    main(sys.argv[1:])
