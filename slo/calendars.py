"""Calendar periods: where the current hour, day, week, month or quarter of a time zone starts, ends."""

from datetime import UTC, date, datetime, timedelta
from math import floor
from zoneinfo import ZoneInfo

from slo.model import CalendarUnit, CalendarWindow


def period_start(window: CalendarWindow, unix_seconds: float) -> int:
    """Unix seconds at which the period that holds a moment starts.

    Periods start when the date changes there, which is not always at 0:00: where a change of the
    clocks leaves that hour out, at the date's first moment; where it comes twice, at the first.

    Raises:
        ValueError: the moment lies before year 2 or after year 9998, or the time zone is unknown.

    >>> period_start(CalendarWindow("month", "Europe/Berlin"), 1774828800)  # 2026-03-30
    1772319600
    """
    zone = _zone(window.time_zone)
    if window.unit == "hour":
        return _hour(zone, unix_seconds)[0]
    first = _first_day(window.unit, _local_date(zone, unix_seconds))
    start = _midnight(zone, first)
    # Where the clocks go back over midnight, a date can come twice: the moment then belongs to
    # the period that has already begun.
    following = _midnight(zone, _next(window.unit, first))
    return following if following <= unix_seconds else start


def period_end(window: CalendarWindow, unix_seconds: float) -> int:
    """Unix seconds at which the period that holds a moment ends, and the next one starts.

    Raises:
        ValueError: as `period_start`.
    """
    zone = _zone(window.time_zone)
    if window.unit == "hour":
        return _hour(zone, unix_seconds)[1]
    # 12 hours into the period it surely is the period's first date there.
    within = period_start(window, unix_seconds) + 12 * 3600
    first = _first_day(window.unit, _local_date(zone, within))
    return _midnight(zone, _next(window.unit, first))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone; write a name such as Europe/Berlin") from error


def _local_date(zone: ZoneInfo, unix_seconds: float) -> date:
    try:
        day = datetime.fromtimestamp(unix_seconds, zone).date()
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{unix_seconds} is no moment of the years 2 to 9998") from error
    if not date(2, 1, 1) <= day <= date(9998, 12, 31):
        raise ValueError(f"{unix_seconds} is no moment of the years 2 to 9998")
    return day


def _hour(zone: ZoneInfo, unix_seconds: float) -> tuple[int, int]:
    """Start and end of the hour on the zone's clocks; it is cut where they are changed in mid-hour."""
    now = floor(unix_seconds)
    _local_date(zone, now)
    offset = _offset(zone, now)
    start = (now + offset) // 3600 * 3600 - offset
    end = start + 3600
    if _offset(zone, start) != offset:
        start = _change(zone, start, now)
    if _offset(zone, end - 1) != offset:
        end = _change(zone, now, end - 1)
    return start, end


def _offset(zone: ZoneInfo, unix_seconds: int) -> int:
    offset = datetime.fromtimestamp(unix_seconds, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """The first second with the offset of `high`, which `low` does not have; under an hour apart."""
    wanted = _offset(zone, high)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(zone, middle) == wanted else (middle, high)
    return high


def _first_day(unit: CalendarUnit, day: date) -> date:
    match unit:
        case "hour" | "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)


def _next(unit: CalendarUnit, first: date) -> date:
    match unit:
        case "hour" | "day":
            return first + timedelta(days=1)
        case "week":
            return first + timedelta(days=7)
        case "month":
            return (first + timedelta(days=31)).replace(day=1)
        case "quarter":
            return (first + timedelta(days=95)).replace(day=1)


def _midnight(zone: ZoneInfo, day: date) -> int:
    """Unix seconds of the first moment that is of this date or a later one there."""
    naive = datetime(day.year, day.month, day.day, tzinfo=zone)
    early, late = (int(naive.replace(fold=fold).timestamp()) for fold in (0, 1))
    if datetime.fromtimestamp(early, zone).replace(tzinfo=None) == naive.replace(tzinfo=None):
        return early
    # Left out: `late` lies before the gap and `early` after it; find the first moment of the date.
    low, high = min(early, late), max(early, late)
    while low + 1 < high:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle
    return high
