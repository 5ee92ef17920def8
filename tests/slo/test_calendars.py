"""Calendar periods against each zone's own clock."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.calendars import period_end, period_start
from slo.model import CalendarWindow

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
    "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Asia/Beirut", "Africa/Cairo",
    "America/Scoresbysund", "Pacific/Kiritimati", "Asia/Gaza",
)  # fmt: skip
windows = st.builds(
    CalendarWindow, st.sampled_from(["day", "week", "month", "quarter"]), st.sampled_from(ZONES)
)
moments = st.integers(-2_000_000_000, 4_000_000_000)


@settings(max_examples=250, deadline=None)
@given(windows, moments)
def test_a_period_holds_its_moment_and_adjoins_its_neighbours(
    window: CalendarWindow, moment: int
) -> None:
    start, end = period_start(window, moment), period_end(window, moment)
    assert start <= moment < end
    assert period_start(window, start) == start
    assert period_start(window, end - 1) == start
    assert period_end(window, start) == end
    assert period_start(window, end) == end
    assert period_end(window, start - 1) == start


@settings(max_examples=200, deadline=None)
@given(windows, moments)
def test_a_period_starts_when_the_date_changes_there(window: CalendarWindow, moment: int) -> None:
    zone = ZoneInfo(window.time_zone)
    start = period_start(window, moment)
    first, before = (datetime.fromtimestamp(t, zone) for t in (start, start - 1))
    assert before.date() < first.date()
    unit_changed = {
        "day": True,
        "week": first.isocalendar()[:2] != before.isocalendar()[:2],
        "month": first.month != before.month,
        "quarter": (first.month - 1) // 3 != (before.month - 1) // 3,
    }
    assert unit_changed[window.unit]


def _utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type] # a date's parts


@pytest.mark.parametrize(
    ("unit", "zone", "moment", "start", "end"),
    [
        # 23 and 25 hours where the clocks change.
        ("day", "Europe/Berlin", _utc(2026, 3, 29, 12),
         _utc(2026, 3, 28, 23), _utc(2026, 3, 29, 22)),
        ("day", "Europe/Berlin", _utc(2026, 10, 25, 12),
         _utc(2026, 10, 24, 22), _utc(2026, 10, 25, 23)),
        # Midnight is left out: the day starts at 1:00.
        ("day", "Africa/Cairo", _utc(2026, 4, 24, 12),
         _utc(2026, 4, 23, 22), _utc(2026, 4, 24, 21)),
        # Midnight comes twice: the day starts at the first.
        ("day", "America/Havana", _utc(2026, 11, 1, 12),
         _utc(2026, 11, 1, 4), _utc(2026, 11, 2, 5)),
        # 2011-12-30 never was in Samoa.
        ("day", "Pacific/Apia", _utc(2011, 12, 30, 12),
         _utc(2011, 12, 30, 10), _utc(2011, 12, 31, 10)),
        ("month", "UTC", _utc(2026, 12, 31, 23, 59, 59),
         _utc(2026, 12, 1), _utc(2027, 1, 1)),
        ("month", "UTC", _utc(2028, 2, 29),
         _utc(2028, 2, 1), _utc(2028, 3, 1)),
        ("quarter", "Asia/Kolkata", _utc(2026, 12, 31, 18, 29),
         _utc(2026, 9, 30, 18, 30), _utc(2026, 12, 31, 18, 30)),
        ("quarter", "Asia/Kolkata", _utc(2026, 12, 31, 18, 30),
         _utc(2026, 12, 31, 18, 30), _utc(2027, 3, 31, 18, 30)),
        ("week", "UTC", _utc(2027, 1, 1),
         _utc(2026, 12, 28), _utc(2027, 1, 4)),
    ],
)  # fmt: skip
def test_known_periods(unit: str, zone: str, moment: int, start: int, end: int) -> None:
    window = CalendarWindow(unit, zone)  # type: ignore[arg-type] # the table's units are right
    assert (period_start(window, moment), period_end(window, moment)) == (start, end)


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), 1e18, -1e12])
def test_impossible_moments_are_refused(moment: float) -> None:
    with pytest.raises(ValueError, match="no moment"):
        period_start(CalendarWindow("day", "UTC"), moment)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", ""])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        period_start(CalendarWindow("day", zone), 0)


@pytest.mark.parametrize(
    ("zone", "moments"),
    [
        # Forward and back in Berlin; half an hour on Lord Howe; 5:45 ahead in Kathmandu.
        (
            "Europe/Berlin",
            "2026-03-29T00:30Z 2026-03-29T01:00Z 2026-10-25T00:10Z 2026-10-25T01:10Z",
        ),
        ("Australia/Lord_Howe", "2026-04-04T14:50Z 2026-04-04T15:10Z 2026-10-03T15:40Z"),
        ("Asia/Kathmandu", "2026-06-01T12:00Z 2026-06-01T12:20Z"),
    ],
)
def test_hours_are_those_on_the_clock_and_leave_no_gap(zone: str, moments: str) -> None:
    window = CalendarWindow("hour", zone)
    for moment in moments.split():
        at = int(datetime.fromisoformat(moment).timestamp())
        start, end = period_start(window, at), period_end(window, at)
        local = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in (start, at, end - 1)]
        assert start <= at < end <= start + 3600
        assert {(t.hour, t.utcoffset()) for t in local} == {(local[0].hour, local[0].utcoffset())}
        assert period_start(window, end) == end
        assert period_end(window, start - 1) == start
