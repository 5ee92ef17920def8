"""Engines that read from Kafka, alone or as a cluster on one data directory."""

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.engines import Engine
from tests.kafka.broker import Broker
from tests.kafka.calls import SLOS, Key
from tests.servers import free_port

SECONDS = 60.0  # a few where nothing else runs


class Readers:
    """Processes that share what there is to read; `processes` may change while none runs.

    Args:
        directory: of their data and logs.
        broker: whose topics are read.
        settings: of every process, as environment variables without BURNLINE_.
    """

    def __init__(
        self,
        directory: Path,
        broker: Broker,
        topic: str,
        *,
        slos: str = SLOS,
        alertmanagers: Iterable[str] = (),
        **settings: str,
    ) -> None:
        self.directory = directory
        self.slos = slos
        self.alertmanagers = tuple(alertmanagers)
        self.settings = {
            "KAFKA_BROKERS": broker.address,
            "KAFKA_TRACES": topic,
            "DATA_DIR": str(directory / "data"),
        } | settings
        self.engines: list[Engine] = []

    def start(self, processes: int = 1) -> None:
        """Start, and wait until each has decided."""
        self.spawn(processes)
        limit = time.monotonic() + SECONDS
        for engine in self.engines:
            while not engine.ready():
                assert engine.process.poll() is None, self.said()
                assert time.monotonic() < limit, self.said()
                time.sleep(0.05)

    def said(self) -> str:
        """The last of what each process logged, for people."""
        logs = [engine.log.read_text().splitlines()[-15:] for engine in self.engines]
        return "\n\n".join("\n".join(lines) for lines in logs)

    def spawn(self, processes: int = 1) -> None:
        """Start, and wait for nothing."""
        addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in range(processes))
        self.engines = [self._engine(number, addresses) for number in range(processes)]
        for engine in self.engines:
            engine.spawn()

    def stop(self, number: int = signal.SIGTERM) -> list[int]:
        """Signal all; their exit codes."""
        for engine in self.engines:
            engine.process.send_signal(number)
        return [engine.process.wait(SECONDS) for engine in self.engines]

    def kill(self) -> None:
        """All at once, whatever state they are in."""
        for engine in self.engines:
            if engine.process is not None:
                engine.process.kill()
                engine.process.wait()

    def counts(self) -> Counter[Key]:
        """The events counters, of all processes together."""
        found: Counter[Key] = Counter()
        for engine in self.engines:
            found.update({key: int(value) for key, value in engine.counts().items() if value})
        return found

    def total(self, metric: str) -> float:
        """A metric's samples added up, over labels and processes."""
        return sum(
            sample.value
            for engine in self.engines
            for sample in engine.samples()
            if sample.name == metric
        )

    def settled(self, expected: Counter[Key], seconds: float = SECONDS) -> None:
        """The counts are there, and a moment later still the same: nothing lost, nothing twice."""
        limit = time.monotonic() + seconds
        while (found := self.counts()) != expected and time.monotonic() < limit:
            time.sleep(0.2)
        assert found == expected, self.said()
        time.sleep(1.2)  # longer than from one tick to the next
        assert self.counts() == expected

    def _engine(self, number: int, addresses: str) -> Engine:
        own = self.directory / f"process-{number}"
        own.mkdir(exist_ok=True)
        cluster = {"PROCESS_ID": str(number), "ADDRESSES": addresses} if ";" in addresses else {}
        told = {f"BURNLINE_{name}": value for name, value in (self.settings | cluster).items()}
        return Engine(own, self.slos, self.alertmanagers, **told)


@contextmanager
def ended(readers: Readers) -> Iterator[Readers]:
    """None of them is left when the block is."""
    try:
        yield readers
    finally:
        readers.kill()
