"""Metric payloads: points of sound values, increments that add up, or a refusal."""

import math
import random
from collections.abc import Sequence
from itertools import count

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from engine.columns import points
from engine.columns.measure import Measurer
from engine.columns.points import LONGEST_VALUE, MetricsRefused
from engine.spool.arrivals import Arrivals
from slo import load
from tests.dataflows.recorded import SLOS
from tests.fuzz.messages import random_message

OBJECTIVES = tuple(o for o in load({"s.yaml": SLOS}).objectives if o.signal == "metrics")
NOW = 1_700_000_000
_MEASURERS: list[Measurer] = []
_NUMBERS = count()


def metrics_seeds(random_: random.Random) -> Sequence[bytes]:
    requests = (
        random_message(random_, ExportMetricsServiceRequest(), NOW * 10**9).SerializeToString()
        for _ in range(60)
    )
    return [*requests, b""]


def metrics_check(data: bytes) -> bool:
    if next(_NUMBERS) % 5000 == 0:
        _MEASURERS[:] = [Measurer(OBJECTIVES, 2, 30.0, _refused)]
    try:
        points.check(data)
    except MetricsRefused:
        return False
    for _, deposit in _MEASURERS[0].measure(Arrivals(clock=float(NOW), metrics=(data,))):
        for point in deposit.points:
            values = point.value if isinstance(point.value, tuple) else (point.value,)
            if not all(0 <= value < 2**63 and math.isfinite(value) for value in values):
                raise AssertionError(f"a value of {point.value}")
            if point.time_ns > (NOW + 30) * 10**9 or not point.time_ns:
                raise AssertionError(f"a time of {point.time_ns}")
            if any(len(value) > LONGEST_VALUE for value in point.group):
                raise AssertionError("a long value is kept in a group")
    return True


def _refused(signal: str, reason: str) -> None:
    raise AssertionError(f"{signal} checked, but not decoded: {reason}")
