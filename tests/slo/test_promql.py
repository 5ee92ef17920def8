"""Vector selectors: what they mean, what is refused, and how that is said."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.problems import SelectorError
from slo.promql import parse_selector
from tests.slo.golden import GOLDEN, compare


def _outcome(text: str) -> str:
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        return f"  ! {error.message}; {error.mend}"
    matchers = [*selector.names, *selector.labels]
    return "  = " + ", ".join(f"{m.label} {m.operator} {m.value!r}" for m in matchers)


def test_golden() -> None:
    selectors = (GOLDEN / "promql.txt").read_text("utf-8").splitlines()
    compare(GOLDEN / "promql.out", "".join(f"{text}\n{_outcome(text)}\n" for text in selectors))


FORMS = ("gen_ai.client.operation.duration", "gen_ai_client_operation_duration_seconds")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("gen_ai_client_operation_duration_seconds", {}, True),
        ('{"gen_ai.client.operation.duration"}', {}, True),
        ("gen_ai_client_operation_duration", {}, False),
        ('{__name__=~"gen_ai.*_seconds"}', {}, True),
        ('{__name__=~"gen_ai.*", __name__!="gen_ai.client.operation.duration"}', {}, False),
        ('{__name__=~"gen_ai.*", __name__!~".*_total"}', {}, True),
        ('{__name__=~"gen_ai.*", a="b"}', {"a": "b"}, True),
        ('{__name__=~"gen_ai.*", a="b"}', {}, False),
        ('{__name__=~"gen_ai.*", a=""}', {}, True),
        ('{__name__=~"gen_ai.*", a!="b"}', {}, True),
        ('{__name__=~"gen_ai.*", a!="b"}', {"a": "b"}, False),
        ('{__name__=~"gen_ai.*", a=~"b|"}', {}, True),
        ('{__name__=~"gen_ai.*", a=~"b"}', {"a": "xbx"}, False),
        ('{__name__=~"gen_ai.*", a!~"b.*"}', {"a": "bc"}, False),
        ('{__name__=~"gen_ai.*", a=~"b.c"}', {"a": "b\nc"}, True),
    ],
)
def test_matching(text: str, labels: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert parse_selector(text).matches(iter(FORMS), labels) is expected


def test_selectors_are_values() -> None:
    one, other = parse_selector('a{b="c"}'), parse_selector("{__name__='a', b='c'}")
    assert one == other
    assert hash(one) == hash(other)
    copy = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
    assert (copy, copy.text) == (one, 'a{b="c"}')


@pytest.mark.parametrize(
    "text", ["(" * 9000 + "a" + ")" * 9000, "-" * 9000 + "a", "a" + "+a" * 4000, "a" * 20_000]
)
def test_what_would_overrun_the_parser_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match="stay within"):
        parse_selector(text)


@given(st.text(st.sampled_from("a{}[](),=~!\"'`\\ 5m._:-+orxu\n\x00\ud800é"), max_size=30))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        parse_selector(text)
    except SelectorError as error:
        refusal = error
    else:
        return
    assert refusal.message
    assert refusal.mend
