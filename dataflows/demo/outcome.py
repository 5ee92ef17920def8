"""How a demo went: what `--json` prints, and a line for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dataflows.demo.board import Board
from dataflows.reporting import rfc3339
from slo.model import Objective
from slo.rendering import render


@dataclass(slots=True)
class Outcome:
    """What the demo prints with `--json`.

    Attributes:
        incident_start: Unix seconds, None when it did not get so far.
        page_at: Unix seconds at which Alertmanager first listed the page; without Alertmanager,
            when the engine decided on it.
        page_alert: the page's labels; empty without a page.
        top_slice: the attributes that the page names as burning; empty without a page.
        alertmanager: there was one.
        spans: accepted by the receiver.
    """

    incident_start: float | None = None
    page_at: float | None = None
    page_alert: dict[str, str] = field(default_factory=dict)
    top_slice: dict[str, str] = field(default_factory=dict)
    alertmanager: bool = False
    spans: int = 0

    def as_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(
            {
                "incident_start": rfc3339(self.incident_start),
                "page_at": rfc3339(self.page_at),
                "page_alert": self.page_alert,
                "top_slice": self.top_slice,
                "alertmanager": self.alertmanager,
                "spans": self.spans,
            }
        )

    def conclude(self, board: Board, objectives: Mapping[str, Objective]) -> None:
        """Take over what is known of the page."""
        if self.alertmanager:
            self.page_at = board.listed_at
            self.page_alert = board.listed or {}
        elif board.page is not None:
            self.page_at = board.page.starts_at
            objective = objectives[board.page.series.objective]
            self.page_alert = render(board.page, objective).labels
        if self.page_at is not None:
            self.top_slice = board.top_slice

    def summary(self) -> str:
        """How it went, in a line."""
        if self.page_at is None or self.incident_start is None:
            return f"stopped after {self.spans:,} spans; no page was seen"
        after = self.page_at - self.incident_start
        named = " ".join(f"{name}={value}" for name, value in self.top_slice.items())
        return (
            f"stopped after {self.spans:,} spans; the page came {after:.1f} s after the "
            f"incident's start and named {named}"
        )
