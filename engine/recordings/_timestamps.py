"""Timestamps as text, in one of the forms that series are recorded with; the first row tells which."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

_UNITS = {"s": (0.0, 1e11), "ms": (1e11, 1e14), "µs": (1e14, 1e17), "ns": (1e17, 1e20)}
_YEAR_ONE = -62_135_596_800.0
_FACTORS = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}
# 20140214, 201402141430 and 20140214143000 are moments of this century or the last; as Unix time
# they would be of 1970 or 1976.
_COMPACT = re.compile(r"(?:19|20)[0-9]{2}(?:[0-9]{4}|[0-9]{8}|[0-9]{10})")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  a time without a zone is taken as UTC
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
MEND = "write ISO 8601 (2014-02-14T14:30:00Z) or Unix time in s, ms, µs or ns"


class Form(NamedTuple):
    """One way to write a moment.

    Attributes:
        name: for people.
        seconds: Unix seconds of a text in this form; raises ValueError for another.
    """

    name: str
    seconds: Callable[[str], float]


def form_of(text: str) -> Form:
    """The form of a timestamp.

    Raises:
        ValueError: it has none that is known.

    >>> form_of("1503917220000").name, form_of("1503917220000").seconds("1503917220500")
    ('Unix time in ms', 1503917220.5)
    >>> form_of("2014-02-14 14:30:00").name
    'ISO 8601 without a zone'
    """
    for form in (_COMPACT_FORM, *_EPOCH_FORMS, _NAIVE, _ZONED):
        try:
            form.seconds(text)
        except (ValueError, OverflowError):
            continue
        return form
    raise ValueError(f"{text!r} is no timestamp; {MEND}")


def _epoch(unit: str) -> Form:
    low, high = _UNITS[unit]
    factor = _FACTORS[unit]

    def seconds(text: str) -> float:
        number = float(text)
        if not low <= abs(number) < high or number < _YEAR_ONE * factor or "_" in text:
            raise ValueError
        return number / factor

    return Form(f"Unix time in {unit}", seconds)


def _compact(text: str) -> float:
    if not _COMPACT.fullmatch(text):
        raise ValueError
    return _naive(f"{text[:8]}T{text[8:]}" if len(text) > 8 else text)


def _naive(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError
    return (moment - _EPOCH).total_seconds()


def _zoned(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return (moment - _EPOCH_UTC).total_seconds()


_COMPACT_FORM = Form("a date in digits", _compact)
_EPOCH_FORMS = tuple(map(_epoch, _UNITS))
_NAIVE = Form("ISO 8601 without a zone", _naive)
_ZONED = Form("ISO 8601 with a zone", _zoned)
