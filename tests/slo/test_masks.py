"""Masks against a reading of each row by itself, from the filter's text down."""

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.columns import Field, SpanBatch
from slo.masks import Masks, fields, mask
from slo.traceql import parse_filter
from tests.strategies.columns import FLOATS, INTS, OTHER, TEXTS, Spans, encode, spans

Row = dict[Field, object]
Judge = Callable[[Row], bool]
_OPERATORS: dict[str, Any] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_STATUS = {"unset": 0, "ok": 1, "error": 2}
_KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds(value: object, op: str, constant: object) -> bool:
    """The oracle's comparison: what docs/selectors.md says, in plain Python."""
    if constant is None:
        return (value is None) == (op == "=")
    if value is None or value is OTHER:
        return False
    if op in ("=~", "!~"):
        if not isinstance(value, str):
            return False
        found = re.fullmatch(str(constant), value, re.DOTALL) is not None
        return found == (op == "=~")
    comparable = (
        (isinstance(value, bool) and isinstance(constant, bool))
        or (isinstance(value, str) and isinstance(constant, str))
        or (_is_number(value) and _is_number(constant))
    )
    return comparable and bool(_OPERATORS[op](value, constant))


_CONSTANTS = st.one_of(
    st.sampled_from(TEXTS).map(lambda t: ('"' + t.replace("\n", "\\n") + '"', t)),
    st.sampled_from(INTS).map(lambda i: (str(i), i)),
    st.integers(-(2**63), 2**63 - 1).map(lambda i: (str(i), i)),
    st.sampled_from([f for f in FLOATS if f - f == 0]).map(lambda f: (repr(f), f)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda f: (repr(f), f)),
    st.sampled_from([("2s", 2 * 10**9), ("1.5ms", 1_500_000), ("-1us", -1000)]),
)


@st.composite
def _comparisons(  # noqa: C901, PLR0911 - a table of kinds of conditions, flat as a match
    draw: st.DrawFn,
) -> tuple[str, Judge]:
    which = draw(st.sampled_from(["attribute", "bool", "nil", "regex", "status", "kind", "other"]))
    scope = draw(st.sampled_from(["span.a", "span.b", "resource.a", ".a"]))
    names = {
        "span.a": [Field("span", "a")],
        "span.b": [Field("span", "b")],
        "resource.a": [Field("resource", "a")],
        ".a": [Field("span", "a"), Field("resource", "a")],
    }[scope]

    def value(row: Row) -> object:
        return next((row[n] for n in names if row[n] is not None), None)

    equality = draw(st.sampled_from(["=", "!="]))
    any_op = draw(st.sampled_from(sorted(_OPERATORS)))
    match which:
        case "attribute":
            text, constant = draw(_CONSTANTS)
            if draw(st.booleans()):
                turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(any_op, any_op)
                return f"{text} {turned} {scope}", lambda r: _holds(value(r), any_op, constant)
            return f"{scope} {any_op} {text}", lambda r: _holds(value(r), any_op, constant)
        case "bool":
            wanted = draw(st.booleans())
            if draw(st.booleans()):
                return ("" if wanted else "!") + scope, lambda r: _holds(value(r), "=", wanted)
            word = "true" if wanted else "false"
            return f"{scope} {equality} {word}", lambda r: _holds(value(r), equality, wanted)
        case "nil":
            return f"{scope} {equality} nil", lambda r: _holds(value(r), equality, None)
        case "regex":
            op = draw(st.sampled_from(["=~", "!~"]))
            pattern = draw(st.sampled_from(["a.*", "", ".*", "a|ab", "[^a]+", ".y", "gpt-4.?"]))
            field = draw(st.sampled_from(["name", scope]))
            if field == "name":
                name = Field("intrinsic", "name")
                return f"name {op} `{pattern}`", lambda r: _holds(r[name], op, pattern)
            return f"{scope} {op} `{pattern}`", lambda r: _holds(value(r), op, pattern)
        case "status":
            word = draw(st.sampled_from(sorted(_STATUS)))
            field = Field("intrinsic", "status")
            return (
                f"status {equality} {word}",
                lambda r: _holds(r[field], equality, _STATUS[word]),
            )
        case "kind":
            number = draw(st.integers(0, 5))
            field = Field("intrinsic", "kind")
            return f"kind {equality} {_KINDS[number]}", lambda r: _holds(r[field], equality, number)
        case _:
            word = draw(st.sampled_from(["true", "false"]))
            return word, lambda _: word == "true"


def _negated(part: tuple[str, Judge]) -> tuple[str, Judge]:
    return f"!({part[0]})", lambda r: not part[1](r)


def _joined(parts: tuple[str, list[tuple[str, Judge]]]) -> tuple[str, Judge]:
    op, terms = parts
    judge = all if op == "&&" else any
    text = f" {op} ".join(f"({t})" for t, _ in terms)
    return text, lambda r: judge(j(r) for _, j in terms)


_conditions = st.recursive(
    _comparisons(),
    lambda inner: st.one_of(
        inner.map(_negated),
        st.tuples(st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=3)).map(
            _joined
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(_conditions, spans())
def test_a_mask_is_what_the_filter_says_of_each_row(
    condition: tuple[str, Judge], given_spans: Spans
) -> None:
    text, judge = condition
    which = parse_filter("{ " + text + " }")
    assert mask(which, given_spans.batch).tolist() == [judge(row) for row in given_spans.rows]


@settings(max_examples=40, deadline=None)
@given(st.lists(_conditions, min_size=1, max_size=4), spans())
def test_masks_shared_by_filters_are_those_of_each(
    conditions: list[tuple[str, Judge]], given_spans: Spans
) -> None:
    masks = Masks(given_spans.batch)
    for text, judge in conditions:
        shared = masks.of(parse_filter("{ " + text + " }"))
        assert shared.tolist() == [judge(row) for row in given_spans.rows]
        shared[:] = True  # the caller's own: must not show in the next filter's mask


def _single(value: object, text: str) -> bool:
    strings: list[str] = []
    columns = {Field("span", "a"): encode([value], strings)}
    batch = SpanBatch(
        np.zeros(1, np.uint64), np.zeros(1, np.uint64), columns, strings,
        np.zeros((1, 16), np.uint8),
    )  # fmt: skip
    return bool(mask(parse_filter(text), batch)[0])


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (2**53 + 1, "{ span.a = 9007199254740993 }", True),
        (2**53 + 1, "{ span.a = 9007199254740992.0 }", False),
        (2**53 + 1, "{ span.a > 9007199254740992.0 }", True),
        (2.0**53, "{ span.a < 9007199254740993 }", True),
        (2.0**53, "{ span.a = 9007199254740993 }", False),
        (2**63 - 1, "{ span.a < 1e19 }", True),
        (float("nan"), "{ span.a != 1 }", True),
        (float("nan"), "{ span.a = 1 }", False),
        (float("nan"), "{ span.a != nil }", True),
        (None, '{ span.a != "x" }', False),
        (None, '{ !(span.a = "x") }', True),
        (None, "{ !span.a }", False),
        (3, '{ span.a != "3" }', False),
        (True, "{ span.a = 1 }", False),
        ("x\ny", '{ span.a =~ "x.y" }', True),
        ("axb", '{ span.a =~ "x" }', False),
        ("é", '{ span.a > "z" }', True),
    ],
)
def test_edges(value: object, text: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert _single(value, text) is expected


def test_a_field_that_was_not_read_is_named() -> None:
    with pytest.raises(KeyError, match="missing"):
        _single("x", "{ span.missing = 1 }")


def test_fields_are_those_of_every_comparison() -> None:
    which = parse_filter("{ .x = 1 && !(duration > 1s || resource.y != nil) }")
    assert fields(which) == {
        Field("span", "x"),
        Field("resource", "x"),
        Field("intrinsic", "duration"),
        Field("resource", "y"),
    }
