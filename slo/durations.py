"""Durations as people write them in SLO files and Prometheus writes them in names: `5m`, `6h`, `30d`."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# More digits than any duration has, and no more: `int` of many takes long.
_PART = re.compile(r"([0-9]{1,15})(ms|[smhdw])")


def parse_duration(text: str) -> int:
    """Seconds in a duration such as `5m`, `1h30m`, `30d` or `4w`.

    Raises:
        ValueError: the text is no duration of whole seconds above zero.

    >>> parse_duration("1h30m")
    5400
    """
    seconds, position = 0, 0
    while part := _PART.match(text, position):
        if part[2] == "ms":
            break
        seconds += int(part[1]) * SECONDS[part[2]]
        position = part.end()
    if position != len(text) or seconds <= 0:
        shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
        raise ValueError(
            f"{shown} is no duration; write whole units, such as 30s, 5m, 6h, 30d or 4w"
        )
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest text of a duration, as Prometheus (and so Sloth's names) spells it.

    >>> [format_duration(s) for s in (300, 5400, 86400, 28 * 86400, 30 * 86400)]
    ['5m', '1h30m', '1d', '4w', '30d']
    """
    for unit in ("w", "d"):
        if seconds % SECONDS[unit] == 0:
            return f"{seconds // SECONDS[unit]}{unit}"
    text = ""
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, SECONDS[unit])
        if count:
            text += f"{count}{unit}"
    return text
