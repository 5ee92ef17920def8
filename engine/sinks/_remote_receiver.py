"""A receiver of remote write: its address, what lets us in there, and what it has not taken yet."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

from yarl import URL

from engine.sinks._remote_backlog import Backlog
from engine.sinks._remote_protobuf import CONTENT_TYPE, VERSION
from engine.sinks.alertmanager import authorization, shown
from engine.sinks.exposition import engine_version

LONGEST_RETRY_AFTER = 300.0
MAX_BACKLOG_BYTES = 256 << 20


class Receiver:
    """One address, and what it has not taken yet.

    Args:
        url: whole; credentials in it become basic auth.
        keep: as in `RemoteWrite`.

    Raises:
        ValueError: the address is no `http` or `https` URL, or has no path.
    """

    def __init__(self, url: str, keep: float) -> None:
        parsed = _parsed(url)
        self.name = shown(parsed.with_query(None).with_fragment(None))
        self.url = parsed.with_user(None).with_fragment(None)
        self.headers = {
            "Content-Type": CONTENT_TYPE,
            "Content-Encoding": "snappy",
            "User-Agent": f"burnline/{engine_version()}",
            "X-Prometheus-Remote-Write-Version": VERSION,
        } | authorization(parsed)
        self.backlog = Backlog(keep, MAX_BACKLOG_BYTES)
        self.wake = asyncio.Event()
        self.up: bool | None = None
        self.complained = -math.inf

    def waiting(self) -> int:
        """Samples that it has not taken yet."""
        return self.backlog.pending


def _parsed(url: str) -> URL:
    mend = "write it whole: http://HOST:PORT/api/v1/write"
    try:
        parsed = URL(url)
        behind_host = f"{parsed.raw_path}{parsed.raw_query_string}{parsed.raw_fragment}"
    except ValueError:  # its text would quote a password with a slash in it
        behind_host = "@"
    if "@" in behind_host:
        raise ValueError(
            f"a remote write address can't be read; {mend}, and / ? # @ in credentials as "
            "%2F %3F %23 %40"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host or behind_host in ("", "/"):
        name = shown(parsed.with_query(None) if parsed.absolute else parsed)
        raise ValueError(f"{name} is no remote write address; {mend}")
    return parsed


def number_alike(receivers: Iterable[Receiver]) -> None:
    """Addresses that differ in what is not shown get a number: each has metrics of its own."""
    seen: Counter[str] = Counter()
    for receiver in receivers:
        seen[receiver.name] += 1
        if seen[receiver.name] > 1:
            receiver.name = f"{receiver.name} ({seen[receiver.name]})"


def retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, within bounds; 0 for none, and for nonsense.

    >>> [retry_after(v) for v in ("", "7", "soon", "-1", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT")]
    [0.0, 7.0, 0.0, 0.0, 300.0, 0.0]
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else 0.0
