"""An Alertmanager that only listens: it keeps every POST, and tells what each alert's life was."""

import json
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """One alert of one POST; Unix seconds."""

    at: float
    labels: Labels
    starts_at: float
    ends_at: float

    @property
    def firing(self) -> bool:
        # What fires is said to end minutes from now, what has ended has ended.
        return self.ends_at > self.at + 10


class Episode(NamedTuple):
    """An alert's life, from its start to its end (None while it fires); Unix seconds."""

    labels: Labels
    starts_at: float
    ends_at: float | None


class Recorder:
    """A listening Alertmanager for several engines, each with a path of its own."""

    def __init__(self) -> None:
        self._told: dict[str, list[Told]] = {}
        self._lock = threading.Lock()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder._take(self.path.removesuffix("/api/v2/alerts"), json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Kept in `told` instead."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def told(self, name: str) -> list[Told]:
        with self._lock:
            return list(self._told.get(f"/{name}", ()))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path: str, alerts: list[dict]) -> None:
        now = time.time()
        with self._lock:
            self._told.setdefault(path, []).extend(
                Told(
                    now,
                    tuple(sorted(alert["labels"].items())),
                    datetime.fromisoformat(alert["startsAt"]).timestamp(),
                    datetime.fromisoformat(alert["endsAt"]).timestamp(),
                )
                for alert in alerts
            )


def episodes(told: Iterable[Told]) -> tuple[list[Episode], list[str]]:
    """The lives of all alerts, and what must not happen in them.

    While an alert fires its start stays; what has ended neither fires again under the same start, nor
    ends at another time.
    """
    lives: dict[Labels, list[Episode]] = {}
    faults = []
    for one in told:
        mine = lives.setdefault(one.labels, [])
        ends_at = None if one.firing else one.ends_at
        now = Episode(one.labels, one.starts_at, ends_at)
        last = mine[-1] if mine else None
        if last is None:
            mine.append(now)
        elif last.ends_at is None:
            if last.starts_at != now.starts_at:
                faults.append(f"startsAt went from {last.starts_at} to {now.starts_at}: {one}")
                mine.append(now)
            mine[-1] = now
        elif last.starts_at != now.starts_at:
            if now.starts_at < last.ends_at:
                faults.append(f"it starts anew before its last end {last.ends_at}: {one}")
            mine.append(now)
        elif now.ends_at != last.ends_at:
            faults.append(f"it had ended at {last.ends_at}: {one}")
            mine[-1] = now
    return [episode for mine in lives.values() for episode in mine], faults


def differences(
    mine: Iterable[Episode], theirs: Iterable[Episode], away: float
) -> tuple[int, list[str]]:
    """Compare the alerts of an engine that was away for up to so many seconds with those of one that was not.

    Each alert of one must be there in the other, and start and end at the same time but for the
    absence. Levels of a budget are passed one after another: one that stood no longer than the absences
    may have been passed over.

    Returns:
        How many were matched, and what differs.
    """
    left = list(theirs)
    matched, faults = 0, []
    for episode in mine:
        twin = next((other for other in left if _close(episode, other, away)), None)
        if twin is None:
            if not _passed_over(episode, away):
                faults.append(f"only in the killed engine: {episode}")
        else:
            left.remove(twin)
            matched += 1
    faults += [f"only in the other engine: {e}" for e in left if not _passed_over(e, away)]
    return matched, faults


def _close(one: Episode, other: Episode, away: float) -> bool:
    if one.labels != other.labels or abs(one.starts_at - other.starts_at) > away:
        return False
    if one.ends_at is None or other.ends_at is None:
        return one.ends_at == other.ends_at
    return abs(one.ends_at - other.ends_at) <= away


def _passed_over(episode: Episode, away: float) -> bool:
    return (
        ("severity", "info") in episode.labels
        and episode.ends_at is not None
        and episode.ends_at - episode.starts_at <= 2 * away
    )
