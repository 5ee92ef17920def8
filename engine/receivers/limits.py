"""How much of the receivers and pages one client, or many together, may take: all defaults in one place."""

import resource
from dataclasses import dataclass, replace

from engine.columns.accepting import MOST_ITEMS

# Descriptors for everything that is no connection: the spool, recovery, Alertmanager, the log.
_OTHER_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on clients; sizes in bytes, times in seconds.

    Attributes:
        connections: open at a time on each receiver.
        page_connections: open at a time on the pages.
        head_seconds: for a whole request head, from the connection or the head's first byte on;
            for HTTP/2 the time until its first settings.
        idle_seconds: that a connection may be kept without a request.
        body_seconds: for a whole body.
        body_grace, body_rate: a body must be at this many bytes a second, after the grace.
        patience: what is read for longer gives way where memory or places run out.
        answer_seconds: in which a client must have taken some of its answer.
        items: spans or metric points in a payload; each takes far more memory than bytes on the wire.
        parsed: of a payload in JSON or of metrics, decompressed; parsing takes up to forty times that.
        message: of a gRPC payload, decompressed. Its memory is taken before it can be counted, so
            it is smaller than what HTTP takes.
        reading: gRPC messages that are read at a time.
        waiting: gRPC messages that wait to be read at a time.
        streams: of a gRPC connection at a time.
        metadata: of a gRPC request.
    """

    connections: int = 1000
    page_connections: int = 100
    head_seconds: float = 10.0
    idle_seconds: float = 300.0
    body_seconds: float = 60.0
    body_grace: float = 5.0
    body_rate: int = 16 << 10
    patience: float = 1.0
    answer_seconds: float = 10.0
    items: int = MOST_ITEMS
    parsed: int = 16 << 20
    message: int = 16 << 20
    reading: int = 32
    waiting: int = 1000
    streams: int = 1000
    metadata: int = 16 << 10


def within_descriptors(limits: Limits) -> Limits:
    """Raise the process's soft limit on descriptors as needed; lower limits that can't be had.

    Without that, many connections would use the descriptors up, and then nothing can be accepted,
    scraped or stored.
    """
    wanted = 2 * limits.connections + limits.page_connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        within = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
        soft = within
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    free = max(4, soft - _OTHER_DESCRIPTORS)
    pages = min(limits.page_connections, free // 4)
    return replace(limits, connections=(free - pages) // 2, page_connections=pages)
