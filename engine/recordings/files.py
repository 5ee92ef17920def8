"""Recorded telemetry for backtests: files of export requests, merged by time.

A file may hold JSON lines, one JSON object, or length-delimited protobuf, plain, `.gz` or `.zst`,
traces and metrics mixed; what it holds is recognised by its content (`engine.recordings._recording`,
`engine.recordings._signals`).
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from engine.columns import log_events, otlp_json
from engine.columns.spans import Refused
from engine.recordings import _recording, _signals
from engine.recordings._signals import Signal

Progress = Callable[[int, int], None]
_JSON_KEYS: dict[str, tuple[Signal | Literal["logs"], Callable[[dict[str, Any]], bytes]]] = {
    "resourceSpans": ("traces", otlp_json.traces_from_object),
    "resource_spans": ("traces", otlp_json.traces_from_object),
    "resourceMetrics": ("metrics", otlp_json.metrics_from_object),
    "resource_metrics": ("metrics", otlp_json.metrics_from_object),
    "resourceLogs": ("logs", otlp_json.logs_from_object),
    "resource_logs": ("logs", otlp_json.logs_from_object),
}
_OTHER_SIGNALS = {"resourceProfiles", "resource_profiles"}


class Recorded(NamedTuple):
    """One export request of a recording.

    Attributes:
        signal: what it carries.
        body: the request as protobuf bytes.
        time_ns: Unix nanoseconds at which it counts as read: the newest span end or metric point
            in it or in what stands before it in its file.
        place: `path:line` or `path:byte n`.
    """

    signal: Signal
    body: bytes
    time_ns: int
    place: str


def read_files(paths: Iterable[str | Path], progress: Progress | None = None) -> Iterator[Recorded]:
    """The export requests of all files in the order of their times; within a file, in its order.

    Of logs the events are given, as traces; profiles are passed over. Files are read in pieces, all at
    the same time.

    Args:
        paths: the files.
        progress: called with (bytes read so far, bytes in all), of the files as they are on disk.

    Raises:
        OSError: a file cannot be opened.
        ValueError: `path:line: what, and the mend`.
    """
    with ExitStack() as stack:
        opened = [(Path(path), stack.enter_context(Path(path).open("rb", 0))) for path in paths]
        total = sum(path.stat().st_size for path, _ in opened)
        streams = [_read(path, raw) for path, raw in opened]
        for recorded in heapq.merge(*streams, key=attrgetter("time_ns")):
            yield recorded
            if progress:
                progress(_tell(opened), total)
        if progress:
            progress(total, total)


def _tell(opened: Sequence[tuple[Path, BinaryIO]]) -> int:
    """Bytes read so far; a file that is read to its end is closed by then."""
    return sum(path.stat().st_size if raw.closed else raw.tell() for path, raw in opened)


def _read(path: Path, raw: BinaryIO) -> Iterator[Recorded]:
    time_ns = 0
    for content, place, named in _recording.messages(path, raw):
        try:
            for signal, body in _requests(content, named):
                time_ns = max(time_ns, _signals.newest(signal, body))
                yield Recorded(signal, body, time_ns, place)
        except ValueError as error:
            raise ValueError(f"{place}: {error}; drop it or record it anew") from error


def _requests(
    content: bytes | dict[str, Any], named: Signal | None
) -> Iterator[tuple[Signal, bytes]]:
    if isinstance(content, bytes):
        yield from _readable(named or _signals.signal_of(content), content)
        return
    known = [name for name in content if name in _JSON_KEYS]
    if content and not known and not _OTHER_SIGNALS & content.keys():
        raise ValueError(
            "neither resourceSpans, resourceMetrics nor resourceLogs among the fields "
            f"({', '.join(content)})"
        )
    for name in known:
        signal, convert = _JSON_KEYS[name]
        yield from _readable(signal, convert({name: content[name]}))


def _readable(
    signal: Signal | Literal["logs"] | None, body: bytes
) -> Iterator[tuple[Signal, bytes]]:
    try:
        if signal == "logs":
            body = log_events.events(body).body
            signal = "traces" if body else None
        elif signal == "traces":
            body = log_events.with_span_events(body)
    except Refused as error:
        raise ValueError(f"no {signal} request ({error.reason})") from error
    if signal is not None:
        yield signal, body
