"""The Watchdog: an alert that always fires while the engine decides, so that its absence can be noticed.

It is sent to every Alertmanager once a minute and expires by itself after four. Nothing ends it: an
engine that is gone, or whose flow is stuck, can't say so.
"""

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from engine.sinks.board import Board
from engine.sinks.outbox import rfc3339

BEAT_SECONDS = 60.0
EXPIRY_SECONDS = 4 * BEAT_SECONDS
# How soon a flow that decides (again) is noticed, and a replica that took no beat is tried again.
LOOK_SECONDS = 2.0


class Watchdog:
    """Says whether the engine decides.

    Args:
        board: where decisions come to.
        within: seconds within which there must have been one.
        external_url: the engine's address for people; it names the engine in the alert's labels, as the
            host's name does where there is none. Labels are identity: keep it the same over restarts.
        clock: Unix seconds.
        process: number of this process in a cluster, in which each has a Watchdog of its own; else None.
    """

    def __init__(
        self,
        board: Board,
        within: float,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
        process: int | None = None,
    ) -> None:
        self.labels = {
            "alertname": "Watchdog",
            "severity": "none",
            "burnline_instance": external_url or socket.gethostname(),
        }
        if process is not None:
            self.labels["burnline_process"] = str(process)
        self._board = board
        self._within = within
        self._url = external_url
        self._clock = clock
        self._since: float | None = None

    def fires(self) -> bool:
        """Whether the flow has decided lately."""
        age = self._board.live_age()
        return age is not None and age < self._within

    def shown(self) -> tuple[Mapping[str, str], ...]:
        """Its labels, while it fires."""
        return (self.labels,) if self.fires() else ()

    def payload(self) -> dict[str, Any] | None:
        """The alert as Alertmanager's API v2 takes it; None while the flow does not decide."""
        if not self.fires():
            self._since = None
            return None
        now = self._clock()
        # Over a restart Alertmanager keeps the earlier start, as long as the alert has not expired.
        self._since = now if self._since is None else min(self._since, now)
        posted = {
            "labels": self.labels,
            "annotations": {
                "summary": "Burnline decides",
                "description": "This alert always fires, and is sent every minute while Burnline "
                "decides on what it receives. Have a dead-man's switch tell you when it no longer comes.",
            },
            "startsAt": rfc3339(self._since),
            "endsAt": rfc3339(now + EXPIRY_SECONDS),
        }
        return posted | ({"generatorURL": self._url} if self._url else {})
