"""What Alertmanager should know now: every firing alert, and those that ended a while ago.

The newest state of an alert replaces the one before, so the outbox is as large as the set of
alerts and no queue can grow while a replica is down.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.sinks.shown import Labels, Shown

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
        shown: its newest state.
        version: grows with each beginning and end; updates of a firing alert's figures keep it.
    """

    shown: Shown
    version: int

    @property
    def ended(self) -> bool:
        """Whether the alert has ended."""
        return self.shown.alert.ends_at is not None


class Outbox:
    """The alerts to send, by their labels; used by one event loop."""

    def __init__(self) -> None:
        self.items: dict[Labels, Item] = {}
        self._version = 0

    def update(self, firing: Sequence[Shown], ended: Iterable[Shown], now: float) -> None:
        """Take the firing set and what has ended; forget what ended long ago.

        Args:
            firing: every alert that fires now.
            ended: those that ended since the last call.
            now: Unix seconds.
        """
        active = {shown.labels: shown for shown in firing}
        for shown in ended:
            if shown.labels not in active:
                self._set(shown)
        for labels, shown in active.items():
            known = self.items.get(labels)
            if known is None or known.shown.alert.ends_at is not None:
                self._set(shown)
            else:
                self.items[labels] = Item(shown, known.version)
        for labels, item in list(self.items.items()):
            ends_at = item.shown.alert.ends_at
            if ends_at is not None and now - ends_at > KEEP_ENDED_SECONDS:
                del self.items[labels]

    def _set(self, shown: Shown) -> None:
        self._version += 1
        self.items[shown.labels] = Item(shown, self._version)


@dataclass(slots=True)
class Progress:
    """What one replica has accepted.

    Attributes:
        accepted: the version, and when (monotonic seconds).
        doubted: what was accepted until then is sent again; the replica may have lost it.
    """

    accepted: dict[Labels, tuple[int, float]]
    doubted: float = -math.inf

    def due(self, outbox: Outbox, now: float) -> list[tuple[Labels, Item]]:
        """What to send to this replica now: news first."""
        news, again = [], []
        for key, item in outbox.items.items():
            known = self.accepted.get(key)
            if known is None or known[0] != item.version:
                news.append((key, item))
            elif now - known[1] >= RESEND_SECONDS or known[1] <= self.doubted:
                again.append((key, item))
        return news + again

    def has(self, key: Labels, item: Item) -> bool:
        """Whether the replica has accepted the newest beginning or end."""
        return self.accepted.get(key, (0, 0.0))[0] == item.version

    def missed(self, sent: Iterable[tuple[Labels, Item]]) -> list[Labels]:
        """Which of what is sent began and ended without this replica."""
        return [key for key, item in sent if item.ended and key not in self.accepted]

    def accept(self, sent: Iterable[tuple[Labels, Item]], outbox: Outbox, now: float) -> None:
        """Note what the replica accepted, and forget what is in the outbox no more."""
        for key, item in sent:
            self.accepted[key] = (item.version, now)
        self.accepted = {k: v for k, v in self.accepted.items() if k in outbox.items}

    def wait(self, now: float) -> float:
        """Seconds until something accepted is to be sent again."""
        oldest = min((at for _, at in self.accepted.values()), default=now)
        return max(0.05, oldest + RESEND_SECONDS - now)


def payload(shown: Shown, now: float, generator_url: str) -> dict[str, Any]:
    """An alert as Alertmanager's API v2 takes it.

    A firing one ends after `EXPIRY_SECONDS`, unless it is sent again.
    """
    alert = shown.alert
    rendered = shown.rendered()
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
