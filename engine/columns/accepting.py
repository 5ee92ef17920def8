"""Whether a payload can be read, and what is in it; whatever brought it."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from engine.columns import log_events, otlp_json, points
from engine.columns._json_refusals import without_values
from engine.columns.spans import Reader, Refused, count

# What senders send. Of logs what counts is read as traces.
Sent = Literal["traces", "metrics", "logs"]
MOST_ITEMS = 1_000_000
NO_END_TIME = "spans without end_time_unix_nano can be placed at no time and were not counted"
NO_TIME = "events without time_unix_nano can be placed at no time and were not counted"
_SPANS = Reader(())
_TO_PROTOBUF: dict[Sent, Callable[[bytes], bytes]] = {
    "traces": otlp_json.traces_to_protobuf,
    "metrics": otlp_json.metrics_to_protobuf,
    "logs": otlp_json.logs_to_protobuf,
}


class Unreadable(Exception):  # noqa: N818 - it says what the payload is
    """A payload that nothing can be counted of.

    Attributes:
        reason: `invalid`, or `too_large` where it holds too much at once.
    """

    def __init__(self, reason: Literal["invalid", "too_large"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Accepted(NamedTuple):
    """A payload that can be read.

    Attributes:
        items: spans, metric points or events in logs, counted.
        rejected: spans and events that can be placed nowhere.
        message: why; empty where nothing was rejected.
        ignored: log records that are no event of interest.
    """

    items: int
    rejected: int = 0
    message: str = ""
    ignored: int = 0


def readable_form(
    signal: Sent,
    body: bytes,
    *,
    json: bool = False,
    most: int = MOST_ITEMS,
) -> tuple[bytes, Accepted]:
    """A payload as the flow reads it, and what is in it.

    Args:
        signal: what it is.
        body: it, decompressed.
        json: it is OTLP/JSON.
        most: spans, points or records that it may hold.

    Raises:
        Unreadable: nothing can be counted of it.
    """
    try:
        if json:
            body = _TO_PROTOBUF[signal](body)
        if signal == "metrics":
            return body, Accepted(_few(points.check(body), most))
        # Before there is room made for them; logs have the same outer fields.
        _few(count(body), most)
        if signal == "logs":
            found = log_events.events(body)
            _SPANS.read([found.body])  # the flow must be able to read what is stored
            message = f"{found.rejected} {NO_TIME}" if found.rejected else ""
            return found.body, Accepted(found.events, found.rejected, message, found.ignored)
        body = log_events.with_span_events(body)
        ends = _SPANS.read([body]).end_ns
    except Refused as error:
        raise Unreadable("invalid", f"no OTLP {signal} request: {error.reason}") from error
    except ValueError as error:
        what = without_values(str(error))
        raise Unreadable("invalid", f"no OTLP/JSON {signal} request: {what}") from error
    rejected = int(np.count_nonzero(ends == 0))
    message = f"{rejected} {NO_END_TIME}" if rejected else ""
    return body, Accepted(len(ends) - rejected, rejected, message)


def readable_traces(
    bodies: Sequence[bytes], most: int = MOST_ITEMS
) -> tuple[list[bytes], Accepted]:
    """As `readable_form`, of many trace requests at once: small ones cost a tenth of what they do alone.

    Args:
        bodies: they.
        most: spans that all may hold together.

    Raises:
        Unreadable: nothing can be counted of one of them; ask for each to know which.
    """
    try:
        _few(count(*bodies), most)
        found = [log_events.with_span_events(body) for body in bodies]
        ends = _SPANS.read(found).end_ns
    except Refused as error:
        raise Unreadable("invalid", f"no OTLP traces request: {error.reason}") from error
    rejected = int(np.count_nonzero(ends == 0))
    return found, Accepted(len(ends) - rejected, rejected)


def _few(items: int, most: int) -> int:
    if items > most:
        message = f"{items} spans, points or records in one payload; send at most {most}"
        raise Unreadable("too_large", message)
    return items
