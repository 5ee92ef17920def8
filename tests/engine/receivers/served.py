"""A service in a process of its own, whose memory can be measured."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.service import Service, ServiceConfig
from engine.sinks.board import Board
from engine.spool.spool import Spool
from engine.telemetry.metrics import EngineMetrics

ANY = "127.0.0.1:0"


class Served(NamedTuple):
    """Where it listens, and its process."""

    otlp_grpc: str
    otlp_http: str
    listen: str
    pid: int

    def peak_mib(self) -> int:
        """The most memory that it had so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10
        raise ValueError("no VmHWM")


@contextmanager
def served() -> Iterator[Served]:
    """Run it with the limits that it has by default."""
    command = [sys.executable, "-m", "tests.engine.receivers.served"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("pipes were asked for")
        try:
            line = next(line for line in process.stdout if line.startswith("{"))
            yield Served(**json.loads(line), pid=process.pid)
        finally:
            process.stdin.close()
            process.wait(30)


def main() -> None:
    """Serve until the input ends."""
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool.db", 1 << 30)
        config = ServiceConfig(
            Board([]), spool, EngineMetrics(), otlp_grpc=ANY, otlp_http=ANY, listen=ANY
        )
        service = Service.start(config)
        sys.stdout.write(json.dumps(service.addresses) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        service.stop()
        spool.close()


if __name__ == "__main__":
    main()
