"""What an engine says of itself while things go wrong around it."""

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.end_to_end.engines import Engine

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99
    sli:
      spans: {total: '{}', bad: '{ status = error }'}
    by: [span.tenant.id]
    alerts: {ticket: off, tiers: {page-slow: off}}
"""


@dataclass
class Watch:
    """What `/metrics` said, second by second."""

    engine: Engine
    lags: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        last = 0.0
        while not stop.wait(1.0):
            page = self.engine.get("/metrics")
            decided = value(page, "burnline_slo_decided_timestamp_seconds")
            self.lags.append(time.time() - decided)
            self.gaps.append(decided - last if last else 0.0)
            self.rss.append(value(page, "process_resident_memory_bytes") / 2**20)
            last = decided

    def summary(self) -> dict[str, Any]:
        ordered = sorted(self.lags)
        return {
            "seconds": len(self.lags),
            "lag_median": round(ordered[len(ordered) // 2], 2),
            "lag_most": round(ordered[-1], 2),
            "longest_gap": round(max(self.gaps), 2),
            "rss_mib": [round(self.rss[0]), round(max(self.rss)), round(self.rss[-1])],
        }


def value(page: str, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)[1])
