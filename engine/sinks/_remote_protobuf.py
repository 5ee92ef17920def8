r"""Remote write's message, `prometheus.WriteRequest`, as bytes: version 1.0 of the protocol.

A series is encoded once, up to its value; a request is those pieces joined with the values. The
time stamp has a fixed width, so that no length depends on it.
"""

import re
from collections.abc import Mapping, Sequence

import cramjam
import numpy as np

from engine.sinks._families import Floats

CONTENT_TYPE = "application/x-protobuf"
VERSION = "0.1.0"
# The NaN by which Prometheus is told that a series ends; no arithmetic makes it.
_STALE = 0x7FF0000000000002

# A label of a rendered sample; `engine.sinks._families` escapes the values.
_LABEL = re.compile(r'([^\W\d]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_TIME_BYTES = 6  # 42 bits: until the year 2109
# Sample: the value's tag and 8 bytes, the time's tag and its bytes.
_SAMPLE = 1 + 8 + 1 + _TIME_BYTES


def labels_of(head: str) -> dict[str, str]:
    r"""The labels of a sample as the text format has it up to its value, its name among them.

    >>> labels_of('\nup{job="a \\"b\\""} ')
    {'__name__': 'up', 'job': 'a "b"'}
    """
    name, _, rest = head.strip(" \n").partition("{")
    return {"__name__": name} | {
        label: _ESCAPE.sub(_unescaped, value) for label, value in _LABEL.findall(rest)
    }


def with_target(labels: Mapping[str, str], target: Mapping[str, str]) -> dict[str, str]:
    """Labels of a series and of where it comes from, as a scrape joins them.

    >>> with_target({"job": "chat"}, {"job": "burnline"})
    {'exported_job': 'chat', 'job': 'burnline'}
    """
    joined = {}
    for name, value in labels.items():
        while name in target or name in joined:
            name = f"exported_{name}"  # noqa: PLW2901 - until it is free
        joined[name] = value
    return joined | dict(target)


def encode_series(labels: Mapping[str, str]) -> bytes:
    """A series (`TimeSeries`) with one sample, up to the sample's value; an empty label is none."""
    pairs = sorted((n.encode(), v.encode()) for n, v in labels.items() if v)
    body = b"".join(_field(0x0A, _field(0x0A, name) + _field(0x12, value)) for name, value in pairs)
    inside = len(body) + 2 + _SAMPLE
    return b"".join((b"\x0a", varint(inside), body, b"\x12", bytes([_SAMPLE]), b"\x09"))


def encode_request(series: Sequence[bytes], values: Floats, stamp: bytes) -> bytes:
    """A request (`WriteRequest`), compressed: series as `encode_series` has them, and their values.

    Args:
        series: the series.
        values: one each.
        stamp: the time of all of them, as `encode_time` has it.
    """
    step = 8 + 1 + _TIME_BYTES
    samples = np.empty((len(series), step), np.uint8)
    samples[:, :8] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
    samples[:, 8:] = np.frombuffer(b"\x10" + stamp, np.uint8)
    raw = samples.tobytes()
    parts = [b""] * (2 * len(series))
    parts[::2] = series
    parts[1::2] = [raw[at : at + step] for at in range(0, len(raw), step)]
    return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def encode_time(milliseconds: int) -> bytes:
    """A time as a varint of `_TIME_BYTES` bytes; an early one is filled with zeros, which is allowed.

    Args:
        milliseconds: Unix time.

    Raises:
        ValueError: it needs more bytes, or is negative.
    """
    if not 0 <= milliseconds < 1 << 7 * _TIME_BYTES:
        raise ValueError(f"{milliseconds} ms is no time between 1970 and 2109: mend the clock")
    groups = [milliseconds >> 7 * i & 0x7F | 0x80 for i in range(_TIME_BYTES)]
    groups[-1] &= 0x7F
    return bytes(groups)


def stale(count: int) -> Floats:
    """So many stale markers."""
    return np.full(count, _STALE, np.uint64).view(np.float64)


def varint(number: int) -> bytes:
    r"""A length as protobuf writes it.

    >>> varint(300)
    b'\xac\x02'
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + varint(len(content)) + content


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
