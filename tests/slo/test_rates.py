"""Rates of false alarms as people write them, and mistype them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.rates import parse_rate

WEEK = 604_800


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1/week", 1 / WEEK),
        ("1 per week", 1 / WEEK),
        ("1 a week", 1 / WEEK),
        ("once a week", 1 / WEEK),
        ("One per Week", 1 / WEEK),
        (" 1 / w ", 1 / WEEK),
        ("1/7d", 1 / WEEK),
        ("1 every 7 days", 1 / WEEK),
        ("2/day", 2 / 86_400),
        ("twice a day", 2 / 86_400),
        ("0.5/h", 0.5 / 3600),
        (".5 per hour", 0.5 / 3600),
        ("1 per 30d", 1 / 2_592_000),
        ("1 per month", 1 / 2_592_000),
        ("3 per year", 3 / 31_536_000),
        ("1 per 1h30m", 1 / 5400),
        ("1 per min", 1 / 60),
        ("10 per second", 10.0),
    ],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate, rel=1e-12)


@given(
    count=st.integers(1, 10**9),
    times=st.integers(1, 10**6),
    unit=st.sampled_from(
        [("s", 1), ("minute", 60), ("hours", 3600), ("d", 86_400), ("weeks", WEEK)]
    ),
    form=st.sampled_from(["{} per {} {}", "{}/{}{}", "{} / {} {}", "{} every {}{}"]),
)
def test_any_count_and_time(count: int, times: int, unit: tuple[str, int], form: str) -> None:
    rate = parse_rate(form.format(count, times, unit[0]))
    assert rate == pytest.approx(count / (times * unit[1]), rel=1e-12)


MEND = "write how many in what time, such as 1 per week, 2/day, 0.5/h or 1 per 30d"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1",
            "week",
            "1 week",
            "/week",
            "1/",
            "1/0d",
            "1 per 0 weeks",
            "1 per fortnight",
        ),
        *("-1/week", "1e3/week", "1/2/day", "1..2/day", "nan/day", "inf/h", "1 per -1d", "./d"),
        *("1 per 0.5d", "9" * 30 + "/week", "1 per " + "9" * 30 + "d", "once"),
    ],
)
def test_what_is_no_rate_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate; ") as caught:
        parse_rate(text)
    assert str(caught.value).endswith(MEND)


def test_none_at_all_is_too_much_to_ask() -> None:
    for text in ("0/week", "0.0 per day"):
        with pytest.raises(ValueError, match="kept by no detector; write a rate above 0"):
            parse_rate(text)


def test_a_long_text_is_cut() -> None:
    with pytest.raises(ValueError, match=r"'x{57}\.\.\.' is no rate"):
        parse_rate("x" * 10_000)
