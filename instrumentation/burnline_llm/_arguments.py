"""What `setup()` was given, checked before it changes anything."""

import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

_MOST_PORT = 65_535
_SIGNALS = ("/v1/traces", "/v1/metrics", "/v1/logs")


def check(
    endpoints: Mapping[str, str | None],
    port: int | None,
    thresholds: Sequence[float],
    sample: float | None,
    slow: float | None,
) -> None:
    """Refuse what means nothing.

    Args:
        endpoints: URLs by the argument's name.
        port: of /metrics.
        thresholds: seconds.
        sample: share of traces.
        slow: seconds.

    Raises:
        ValueError: names the argument, what is wrong and what to write.

    >>> check({"otlp_endpoint": "localhost:4318"}, None, (), None, None)
    Traceback (most recent call last):
    ...
    ValueError: otlp_endpoint='localhost:4318' is no URL; write one such as 'http://127.0.0.1:4318'
    """
    for name, url in endpoints.items():
        if url is not None:
            _check_url(name, url)
    if port is not None and not (isinstance(port, int) and 0 <= port <= _MOST_PORT):
        raise ValueError(
            f"metrics_port={port!r}: write a number from 1 to 65535, or 0 for any free port"
        )
    if not isinstance(thresholds, Sequence) or not all(map(_positive, thresholds)):
        raise ValueError(f"thresholds={thresholds!r}: write seconds above 0, such as (2.0, 30.0)")
    if sample is not None and not (_number(sample) and 0 <= sample <= 1):
        raise ValueError(f"sample={sample!r} is no share; write a number from 0 to 1, such as 0.1")
    if slow is not None and not _positive(slow):
        raise ValueError(f"slow={slow!r}: write seconds above 0, or None")


def _check_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{name}={url!r} is no URL; write one such as 'http://127.0.0.1:4318'")
    path = parts.path.rstrip("/")
    for signal in _SIGNALS:
        if path.endswith(signal):
            base = url.rstrip("/").removesuffix(signal)
            raise ValueError(
                f"{name}={url!r} names one signal; write {base!r}, the paths are added to it"
            )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: object) -> bool:
    return _number(value) and 0 < value < math.inf  # type: ignore[operator]  # a number
