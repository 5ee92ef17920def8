"""What two engines show, held against each other and against what is known."""

import time
from collections import Counter
from typing import Any

from prometheus_client.samples import Sample

from tests.end_to_end.engines import Engine
from tests.soak.kill_report import Report

BUCKET = 5
SETTLED_SECONDS = 180
# Moments of the engine's own, which differ between engines.
_OWN = ("burnline_slo_decided_timestamp_seconds",)
_COMPARED = ("slo:", "burnline_slo_", "burnline_events_too_late", "ALERTS")


def settled(engine: Engine, wanted: dict, seconds: float = SETTLED_SECONDS) -> dict:
    """The counts, once they are as wanted and stay so; as they are if that never comes."""
    limit = time.monotonic() + seconds
    found: list[dict] = [{}, {}]
    while time.monotonic() < limit and not found[-2] == found[-1] == wanted:
        time.sleep(1)
        counts = {key: int(value) for key, value in engine.counts().items() if value}
        found.append(counts)
    return found[-1]


def same_moment(one: Engine, other: Engine) -> tuple[dict, dict]:
    """What two engines show at the same bucket of time."""
    for _ in range(50):
        time.sleep(BUCKET - time.time() % BUCKET + 2.2)
        bucket = time.time() // BUCKET
        shown = [engine.samples() for engine in (one, other)]
        if time.time() // BUCKET == bucket and all(_decided(s) // BUCKET == bucket for s in shown):
            return _comparable(shown[0]), _comparable(shown[1])
    raise AssertionError("the engines were never at the same bucket of time")


def _decided(samples: list[Sample]) -> float:
    return next(sample.value for sample in samples if sample.name in _OWN)


def _comparable(samples: list[Sample]) -> dict[tuple[str, ...], Any]:
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for sample in samples
        if sample.name.startswith(_COMPARED) and sample.name not in _OWN
    }


def check_log(engine: Engine, report: Report) -> None:
    """Damage at the log's end is reported; no flow may fail, no acknowledged payload may be missing."""
    events = Counter(line.get("event", "") for line in engine.logged())
    torn = sum(report.damages[name] for name in ("noise", "zeros", "half_a_frame"))
    told = sum(count for event, count in events.items() if "cut off" in event)
    if torn and not told:
        report.faults.append(f"{torn} damaged logs, and none was reported")
    errors = Counter(
        line["event"] for line in engine.logged() if line.get("level") in ("error", "critical")
    )
    report.faults += [f"logged {count} times: {event}" for event, count in errors.items()]
    if "Traceback" in engine.log.read_text():
        report.faults.append("a traceback in the log")
