"""What Alertmanager should know now: every firing alert, and those that ended a while ago.

The newest state of an alert replaces the one before, so the outbox is as large as the set of
alerts and no queue can grow while a replica is down.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.board import Identity, identity
from slo.decision import Alert
from slo.model import Objective
from slo.rendering import render

RESEND_SECONDS = 60.0
# A replica that hears nothing ends an alert by itself, and tells people that it is over: long enough that
# ten minutes without a network do not. (Prometheus has 4 minutes.)
EXPIRY_SECONDS = 15 * 60.0
# An end is told for longer than a replica that has not heard of it can take the alert for firing.
KEEP_ENDED_SECONDS = EXPIRY_SECONDS + 5 * RESEND_SECONDS


@dataclass(frozen=True, slots=True)
class Item:
    """An alert to send.

    Attributes:
        alert: its newest state.
        version: grows with each beginning and end; updates of a firing alert's figures keep it.
    """

    alert: Alert
    version: int

    @property
    def ended(self) -> bool:
        """Whether the alert has ended."""
        return self.alert.ends_at is not None


class Outbox:
    """The alerts to send; used by one event loop."""

    def __init__(self) -> None:
        self.items: dict[Identity, Item] = {}
        self._version = 0

    def update(self, firing: Sequence[Alert], ended: Iterable[Alert], now: float) -> None:
        """Take the firing set and what has ended; forget what ended long ago.

        Args:
            firing: every alert that fires now.
            ended: those that ended since the last call.
            now: Unix seconds.
        """
        active = {identity(alert): alert for alert in firing}
        for alert in ended:
            if identity(alert) not in active:
                self._set(alert)
        for key, alert in active.items():
            known = self.items.get(key)
            if known is None or known.alert.ends_at is not None:
                self._set(alert)
            else:
                self.items[key] = Item(alert, known.version)
        for key, item in list(self.items.items()):
            ends_at = item.alert.ends_at
            if ends_at is not None and now - ends_at > KEEP_ENDED_SECONDS:
                del self.items[key]

    def _set(self, alert: Alert) -> None:
        self._version += 1
        self.items[identity(alert)] = Item(alert, self._version)


@dataclass(slots=True)
class Progress:
    """What one replica has accepted.

    Attributes:
        accepted: the version, and when (monotonic seconds).
        doubted: what was accepted until then is sent again; the replica may have lost it.
    """

    accepted: dict[Identity, tuple[int, float]]
    doubted: float = -math.inf

    def due(self, outbox: Outbox, now: float) -> list[tuple[Identity, Item]]:
        """What to send to this replica now: news first."""
        news, again = [], []
        for key, item in outbox.items.items():
            known = self.accepted.get(key)
            if known is None or known[0] != item.version:
                news.append((key, item))
            elif now - known[1] >= RESEND_SECONDS or known[1] <= self.doubted:
                again.append((key, item))
        return news + again

    def has(self, key: Identity, item: Item) -> bool:
        """Whether the replica has accepted the newest beginning or end."""
        return self.accepted.get(key, (0, 0.0))[0] == item.version

    def missed(self, sent: Iterable[tuple[Identity, Item]]) -> list[Identity]:
        """Which of what is sent began and ended without this replica."""
        return [key for key, item in sent if item.ended and key not in self.accepted]

    def accept(self, sent: Iterable[tuple[Identity, Item]], outbox: Outbox, now: float) -> None:
        """Note what the replica accepted, and forget what is in the outbox no more."""
        for key, item in sent:
            self.accepted[key] = (item.version, now)
        self.accepted = {k: v for k, v in self.accepted.items() if k in outbox.items}

    def wait(self, now: float) -> float:
        """Seconds until something accepted is to be sent again."""
        oldest = min((at for _, at in self.accepted.values()), default=now)
        return max(0.05, oldest + RESEND_SECONDS - now)


def payload(
    alert: Alert, objectives: Mapping[str, Objective], now: float, generator_url: str
) -> dict[str, Any]:
    """An alert as Alertmanager's API v2 takes it.

    A firing one ends after `EXPIRY_SECONDS`, unless it is sent again.
    """
    rendered = render(alert, objectives[alert.series.objective])
    ends_at = now + EXPIRY_SECONDS if alert.ends_at is None else alert.ends_at
    posted = {
        "labels": rendered.labels,
        "annotations": rendered.annotations,
        "startsAt": rfc3339(alert.starts_at),
        # An alert must not end before it starts, whatever clocks did in between.
        "endsAt": rfc3339(max(ends_at, alert.starts_at + 0.001)),
    }
    return posted | ({"generatorURL": generator_url} if generator_url else {})


def rfc3339(seconds: float) -> str:
    """Unix seconds as RFC 3339, in UTC.

    >>> rfc3339(1.5)
    '1970-01-01T00:00:01.500000+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
