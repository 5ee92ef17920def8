"""What a run of kills did and found."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What a run did and found; anything in `faults` is one.

    Attributes:
        kills: by moment and signal.
        damages: done to the log of a dead engine's spool, by kind.
        requests: their outcomes, of the killed engine.
        away: the longest time from a kill until the engine decided again, seconds.
        late: by how much the latest payload was late, seconds.
        alerts: lives of alerts that are the same in both engines.
    """

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    doubtful_stored: int = 0
    payloads: int = 0
    spans: int = 0
    away: float = 0.0
    late: float = 0.0
    seconds: float = 0.0
    series: int = 0
    events: int = 0
    alerts: int = 0
    firing: int = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        rows = [
            ("kills", f"{sum(self.kills.values())}: {_listed(self.kills)}"),
            ("logs damaged", _listed(self.damages) or "none"),
            ("payloads, spans", f"{self.payloads}, {self.spans}"),
            ("requests", _listed(self.requests)),
            ("doubtful, but stored", str(self.doubtful_stored)),
            ("longest absence, latest", f"{self.away:.1f} s, {self.late:.1f} s"),
            ("events counted", str(self.events)),
            ("series compared", str(self.series)),
            ("lives of alerts, firing", f"{self.alerts}, {self.firing}"),
            ("seconds, seed", f"{self.seconds:.0f}, {self.seed}"),
            ("faults", str(len(self.faults))),
        ]
        lines = [f"{name:<24} {value}" for name, value in rows]
        return "\n".join([*lines, *(f"  FAULT {fault}" for fault in self.faults)])

    def json(self) -> str:
        """For programs."""
        return json.dumps(self.__dict__, indent=1)


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
