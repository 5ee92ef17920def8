"""The spanset filter: what it means, what is refused, and how that is said."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.columns import Field
from slo.problems import SelectorError
from slo.traceql import LONGEST_FILTER, parse_field, parse_filter
from tests.slo.golden import GOLDEN, compare


def _outcome(text: str) -> str:
    try:
        parsed = parse_filter(text)
    except SelectorError as error:
        return f"{'':>{error.position}}^ {error.message}; {error.mend}"
    cautions = "".join(f"\n  caution: {c.text}" for c in parsed.cautions)
    return f"= {parsed.expression}{cautions}"


def test_golden() -> None:
    path = GOLDEN / "traceql.txt"
    filters = path.read_text("utf-8").splitlines()
    lines = "".join(f"{text}\n{_outcome(text)}\n" for text in filters)
    compare(GOLDEN / "traceql.out", lines)


def _refusal(text: str) -> SelectorError | None:
    try:
        parse_filter(text).fields()
    except SelectorError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{span.a=1}", "{  span.a\n = 1 }"),
        ("{ 2000ms < duration }", "{ span:duration > 2s }"),
        ('{ span."a" = "b" }', "{ span.a = `b` }"),
        ("{ .a && .b && .c }", "{ .a&&.b&&.c }"),
        ("{ .a = true }", "{ .a }"),
        ("{ !!.a }", "{ .a }"),
        ("{ !!!(.a > 1) }", "{ !(.a > 1) }"),
    ],
)
def test_filters_that_say_the_same_are_equal(one: str, other: str) -> None:
    assert parse_filter(one) == parse_filter(other)
    assert hash(parse_filter(one)) == hash(parse_filter(other))
    assert repr(parse_filter(one)) == repr(parse_filter(other))


def test_true_and_one_differ() -> None:
    assert parse_filter("{ .a = true }") != parse_filter("{ .a = 1 }")
    assert parse_filter("{ .a = 1 }") != parse_filter("{ .a = 1.0 }")


def test_filters_survive_pickling_and_keep_their_text() -> None:
    text = '{ span.a =~ "b.*" && !(duration > 2s) }'
    copy = pickle.loads(pickle.dumps(parse_filter(text)))  # noqa: S301 - our own bytes
    assert copy == parse_filter(text)
    assert copy.text == text


@pytest.mark.parametrize(
    "text",
    [
        "{ " + "(" * 5000 + ".a" + ")" * 5000 + " }",
        "{ " + "!" * 9000 + ".a }",
        "{ " + " && ".join(["(.a)"] * 90) + " }",
        "{ " + " || ".join([".a"] * 1500) + " }",
        "{ span.a = " + "9" * 9000 + " }",
        "{ span.a = `" + "x" * (LONGEST_FILTER + 1) + "` }",
        "{ " + "(.a && !" * 90 + ".b" + ")" * 90 + " }",
    ],
)
def test_large_filters_are_read_or_refused(text: str) -> None:
    refusal = _refusal(text)
    assert refusal is None or refusal.mend


_scraps = st.lists(
    st.sampled_from(
        [*"{}()!=~<>&|.\"`'\\ \n\t+-*/0159as", "span.", "resource.", ".a", "name", "duration",
        "status", "error", "2s", "&&", "||", "=~", '"x"', "nil", "true", "\x00", "\ud800", "é"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@given(st.one_of(_scraps, _scraps.map(lambda t: "{ " + t + " }"), st.text()))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    refusal = _refusal(text)
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert refusal.message
        assert refusal.mend


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_attribute_name_can_be_written_in_quotes(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_field(f'span."{quoted}"') == Field("span", name)
    assert parse_filter(f'{{ resource."{quoted}" = 1 }}').fields() == {Field("resource", name)}


@pytest.mark.parametrize(
    "text", ["", "x", ".x", "name", "span.", "span.x = 1", "span.x} {", "!span.x", "(span.x)", "1"]
)
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match=r"write span\.NAME or resource\.NAME"):
        parse_field(text)
