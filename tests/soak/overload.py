"""Twice the load that the engine can take: it refuses, stays as large as it may, and counts what it took."""

import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.end_to_end.engines import Engine
from tests.servers import eventually
from tests.soak.flood import SPANS, Protocol, Tally, raw, sdk

SLOS = """\
apiVersion: burnline/v1
service: soak
slos:
  - name: taken
    objective: 90
    sli: {spans: {total: '{ }', bad: '{ status = error }'}}
    by: [span.tenant.id]
"""
MIB = 1 << 20
SPOOL = 96 * MIB
# Beyond its payloads the database has pages half full; its log is cut back to 128 MiB.
FILES = int(1.3 * SPOOL) + 160 * MIB
# Kernels, numpy and gRPC are 300 MiB; the rest is payloads on their way.
MEMORY = 1024 * MIB
SDK_RATE = 400.0
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Sample:
    """The engine at one moment; bytes."""

    second: float
    memory: int
    spool: int
    files: int
    refused: int
    lag: float


@dataclass
class Report:
    """What a run did and found; anything in `faults` is one.

    Attributes:
        capacity: payloads a second, taken when as many come as are taken.
        counted: spans, by tenant.
    """

    seconds: float
    capacity: float = 0.0
    tallies: list[Tally] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    emptied_after: float = 0.0
    caught_up_after: float = 0.0
    faults: list[str] = field(default_factory=list)

    def most(self, name: str) -> float:
        return max(getattr(sample, name) for sample in self.samples)

    def text(self) -> str:
        """For people."""
        half = len(self.samples) // 2
        rows = [
            ("capacity", f"{self.capacity * SPANS:,.0f} spans/s"),
            ("seconds of twice that", f"{self.seconds:.0f}"),
            ("memory", f"{self.most('memory') // MIB} MiB at most, {MEMORY // MIB} allowed"),
            (
                "  in its halves",
                " and ".join(
                    f"{max(s.memory for s in part) // MIB}"
                    for part in (self.samples[:half], self.samples[half:])
                )
                + " MiB",
            ),
            ("spool", f"{self.most('spool') // MIB} MiB at most, {SPOOL // MIB} allowed"),
            ("its files", f"{self.most('files') // MIB} MiB at most, {FILES // MIB} allowed"),
            ("refused", f"{self.most('refused'):.0f} requests"),
            ("behind", f"{self.most('lag'):.1f} s at most"),
            ("all counted after", f"{self.caught_up_after:.1f} s"),
            ("spool empty after", f"{self.emptied_after:.1f} s"),
            ("faults", str(len(self.faults))),
        ]
        lines = [f"{name:<24} {value}" for name, value in rows]
        lines += [f"  {asdict(t)}, counted {self.counted.get(t.tenant, 0)}" for t in self.tallies]
        return "\n".join([*lines, *(f"  FAULT {fault}" for fault in self.faults)])

    def json(self) -> str:
        """For programs."""
        return json.dumps(asdict(self), indent=1)


def run(
    directory: Path, seconds: float, note: Callable[[str], None] = lambda _text: None
) -> Report:
    """Measure the capacity, offer twice that for so long, and look what became of it."""
    report = Report(seconds)
    report.capacity = _capacity(directory / "roomy", min(20.0, seconds / 3))
    note(f"it takes {report.capacity * SPANS:,.0f} spans/s")
    engine = _engine(directory / "small", f"{SPOOL // MIB}MiB")
    engine.start()
    try:
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(engine, report, ended), daemon=True)
        watch.start()
        report.tallies = _senders(
            engine,
            seconds,
            (
                (raw, "http", report.capacity),
                (raw, "grpc", report.capacity),
                (sdk, "http", SDK_RATE),
                (sdk, "grpc", SDK_RATE),
            ),
        )
        _judge(engine, report, time.monotonic())
        ended.set()
        watch.join()
    finally:
        engine.stop()
    _bounds(report)
    return report


def _engine(directory: Path, spool: str) -> Engine:
    directory.mkdir()
    return Engine(directory, SLOS, BURNLINE_SPOOL_SIZE=spool)


def _capacity(directory: Path, seconds: float) -> float:
    """Payloads a second that an engine takes and counts, with room for all that comes."""
    engine = _engine(directory, "16GiB")
    engine.start()
    try:
        (tally,) = _senders(engine, seconds, ((raw, "http", 0.0),))
        began = time.monotonic()
        eventually(lambda: sum(engine.counts().values()) == tally.acknowledged, 180)
        return tally.acknowledged / SPANS / (seconds + time.monotonic() - began)
    finally:
        engine.stop()


def _senders(
    engine: Engine, seconds: float, which: tuple[tuple[Callable, Protocol, float], ...]
) -> list[Tally]:
    told = _SPAWN.Queue()
    processes = [
        _SPAWN.Process(target=send, args=(protocol, engine.ports[protocol], seconds, rate, told))
        for send, protocol, rate in which
    ]
    for process in processes:
        process.start()
    tallies = [told.get(timeout=seconds + 180) for _ in processes]
    for process in processes:
        process.join()
    return tallies


def _watch(engine: Engine, report: Report, ended: threading.Event) -> None:
    began = time.monotonic()
    while not ended.wait(1.0):
        report.samples.append(_sample(engine, time.monotonic() - began))


def _sample(engine: Engine, second: float) -> Sample:
    shown: dict[str, float] = {}
    for sample in engine.samples():
        shown[sample.name] = shown.get(sample.name, 0.0) + sample.value
    return Sample(
        second,
        int(shown["process_resident_memory_bytes"]),
        int(shown["burnline_spool_bytes"]),
        sum(path.stat().st_size for path in engine.data.glob("spool.db*")),
        int(shown.get("burnline_refused_payloads_total", 0)),
        shown["burnline_lag_seconds"],
    )


def _judge(engine: Engine, report: Report, ended: float) -> None:
    """Everything acknowledged is counted, once; the official exporters may have been answered too late."""
    acknowledged: dict[str, int] = {}
    unsure: dict[str, int] = {}
    for tally in report.tallies:
        tenant = tally.tenant
        acknowledged[tenant] = acknowledged.get(tenant, 0) + tally.acknowledged
        if tenant.startswith("sdk"):
            unsure[tenant] = tally.given_up

    def counts() -> dict[str, int]:
        found: dict[str, int] = {}
        for key, value in engine.counts().items():
            found[key[-1]] = found.get(key[-1], 0) + int(value)
        return found

    def right() -> bool:
        report.counted = counts()
        return all(
            acknowledged[tenant]
            <= report.counted.get(tenant, 0)
            <= acknowledged[tenant] + unsure.get(tenant, 0)
            for tenant in acknowledged
        )

    limit = time.monotonic() + 180
    while not right() and time.monotonic() < limit:
        time.sleep(0.5)
    report.caught_up_after = time.monotonic() - ended
    time.sleep(3)
    if not right():
        report.faults.append(f"acknowledged {acknowledged}, counted {report.counted}")
    eventually(lambda: _sample(engine, 0).spool == 0, 60)
    report.emptied_after = time.monotonic() - ended


def _bounds(report: Report) -> None:
    for name, bound in (("memory", MEMORY), ("spool", SPOOL), ("files", FILES)):
        if report.most(name) > bound:
            report.faults.append(f"{name} grew to {report.most(name)}, beyond {bound}")
    if not report.most("refused"):
        report.faults.append("nothing was refused: this was no overload")
    if any(t.tenant.startswith("sdk") and not t.acknowledged for t in report.tallies):
        report.faults.append("nothing of an official exporter was taken")
