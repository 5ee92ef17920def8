"""What a cost budget will have come to at the end of its period: a plain projection, or none.

What is spent already, and for the time that is left the rate of the newest window. The window is the
longest that is no more than a quarter of the period and that the series has been known for, so that it
averages over as much of a day or a week as there is. Where that is less than a sixtieth of the period
there is no forecast: a minute says nothing of a month.
"""

from fractions import Fraction

# Those of every objective, and a week.
_WINDOWS = (300, 1800, 3600, 7200, 21600, 86400, 259200, 604800)


def forecast_windows(period: int) -> tuple[int, ...]:
    """Windows whose rate may be projected, ascending.

    >>> forecast_windows(3600), forecast_windows(30 * 86400)
    ((300,), (86400, 259200, 604800))
    """
    return tuple(window for window in _WINDOWS if period <= 60 * window and 4 * window <= period)


def projected(spent: int, recent: int, window: int, left: int) -> Fraction:
    """Spent at the end of the period.

    Args:
        spent: in the period so far.
        recent: in the window.
        window: seconds.
        left: seconds until the period ends.
    """
    return spent + Fraction(recent * left, window)
