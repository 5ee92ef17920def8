"""What the demo keeps of the engine's decisions, and of what Alertmanager says about them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from dataflows.demo.otlp import SERVICE
from slo.decision import Alert, Decision

# The objective whose page the demo is about.
PAGED = f"{SERVICE}-availability"


@dataclass(slots=True)
class Board:
    """The newest decision of every shard, and the page.

    Attributes:
        page: the page as it fires, or as it last did; with its slices as soon as there are some.
        listed: the labels under which Alertmanager lists it.
        listed_at: Unix seconds at which it first did.
    """

    page: Alert | None = None
    listed: dict[str, str] | None = None
    listed_at: float | None = None
    _newest: dict[str, Decision] = field(default_factory=dict)

    def take(self, decision: Decision) -> None:
        """Keep a decision; called from the engine's threads, one at a time."""
        self._newest[decision.shard] = decision
        for alert in decision.alerts:
            named = alert.series.objective == PAGED and alert.severity == "page"
            if named and alert.kind == "burn" and (alert.slices or self.page is None):
                self.page = alert

    def decisions(self) -> list[Decision]:
        """The newest of every shard."""
        return list(self._newest.copy().values())

    def ask(self, alertmanager: str) -> None:
        """Ask Alertmanager (HOST:PORT) whether it lists the page; no answer changes nothing."""
        labels = find_page(alertmanager)
        if labels is not None and self.listed_at is None:
            self.listed_at = time.time()
        self.listed = labels or self.listed

    @property
    def top_slice(self) -> dict[str, str]:
        """What burns most among the page's bad events; empty while nothing is known."""
        return dict(self.page.slices[0].values) if self.page and self.page.slices else {}


def find_page(alertmanager: str) -> dict[str, str] | None:
    """The labels of the page that Alertmanager (HOST:PORT) lists, None without one or an answer."""
    connection = HTTPConnection(alertmanager, timeout=2)
    try:
        connection.request("GET", "/api/v2/alerts")
        response = connection.getresponse()
        alerts = json.loads(response.read()) if response.status == 200 else []
    except (OSError, HTTPException, ValueError):
        # It is asked again in a moment; a page that never comes is seen in the demo's result.
        return None
    finally:
        connection.close()
    for alert in alerts:
        labels: Mapping[str, str] = alert["labels"]
        if labels.get("sloth_id") == PAGED and labels.get("severity") == "page":
            return dict(labels)
    return None
