"""PromQL's vector selector: which metrics are meant, and which of their series.

The `promql-parser` package parses; this module keeps what a selector says as plain values.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import promql_parser

from slo.problems import SelectorError
from slo.regexes import full_matcher

MatchOperator = Literal["=", "!=", "=~", "!~"]
LONGEST_SELECTOR = 10_000
# The parser recurses into operators and parentheses; a few thousand would overrun its stack.
_LONGEST_UNQUOTED = 1_000
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`""", re.DOTALL)
_HUGE_NUMBER = re.compile(r"(?<![\w:])[0-9]{20}")

_OPERATORS: tuple[tuple[object, MatchOperator], ...] = (
    (promql_parser.MatchOp.Equal, "="),
    (promql_parser.MatchOp.NotEqual, "!="),
    (promql_parser.MatchOp.Re, "=~"),
    (promql_parser.MatchOp.NotRe, "!~"),
)
_MEND = 'write a selector such as llm_requests_total{status="error"}'
# What else PromQL has, by the parser's class, and why it is not taken.
_BEYOND = {
    "MatrixSelector": ("a range", "remove the [...]: Burnline counts increments itself"),
    "Call": ("a function", "name the counter alone: Burnline counts increments itself"),
    "AggregateExpr": ("an aggregation", "name the counter alone: Burnline adds up its series"),
    "BinaryExpr": ("arithmetic or a comparison", _MEND),
    "SubqueryExpr": ("a subquery", _MEND),
    "ParenExpr": ("parentheses", "remove them"),
    "UnaryExpr": ("a sign", "remove it"),
    "NumberLiteral": ("a number", _MEND),
    "StringLiteral": ("a string", _MEND),
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label's value, or on the metric's name."""

    label: str
    operator: MatchOperator
    value: str

    def accepts(self, text: str) -> bool:
        """Whether a value fulfils the condition; regular expressions match whole values."""
        match self.operator:
            case "=":
                return text == self.value
            case "!=":
                return text != self.value
            case "=~":
                return full_matcher(self.value)(text)
            case "!~":
                return not full_matcher(self.value)(text)


@dataclass(frozen=True, slots=True)
class MetricSelector:
    """A parsed vector selector. Selectors that say the same are equal, however they are written.

    Attributes:
        names: conditions on the metric's name, at least one.
        labels: conditions on its labels.
        text: as the user wrote it.
    """

    names: tuple[Matcher, ...]
    labels: tuple[Matcher, ...]
    text: str = field(compare=False, repr=False)

    def matches(self, name_forms: Iterable[str], labels: Mapping[str, str]) -> bool:
        """Whether a series is meant.

        Args:
            name_forms: every name under which the metric may be known. A positive condition
                holds when one form fulfils it, a negative one when all do.
            labels: the series' labels; one that is absent equals the empty text, as in PromQL.
        """
        forms = tuple(name_forms)
        return all(_name_holds(m, forms) for m in self.names) and all(
            m.accepts(labels.get(m.label, "")) for m in self.labels
        )


def parse_selector(text: str) -> MetricSelector:
    """A selector from its text; names with dots stand in quotes: `{"gen_ai.client.x", a="b"}`.

    Raises:
        SelectorError: the text is no vector selector, names no metric, or uses more of PromQL.

    >>> parse_selector('llm_requests_total{status=~"5.."}').matches(
    ...     ["llm.requests", "llm_requests_total"], {"status": "503"})
    True
    """
    parsed = _parsed(text)
    if not isinstance(parsed, promql_parser.VectorSelector):
        kind = type(parsed).__name__
        what, mend = _BEYOND.get(kind, (kind, _MEND))
        raise SelectorError(0, f"{what} where only a selector can stand", mend)
    if parsed.offset is not None or parsed.at is not None:
        raise SelectorError(0, "offset and @ are no part of a selector", "remove them")
    if parsed.matchers.or_matchers:
        raise SelectorError(
            0, "`or` between matchers is not PromQL of Prometheus", 'write =~ "one|another"'
        )
    matchers = [_matcher(m) for m in parsed.matchers.matchers]
    if parsed.name is not None:
        matchers.insert(0, Matcher("__name__", "=", parsed.name))
    names = tuple(m for m in matchers if m.label == "__name__")
    labels = tuple(m for m in matchers if m.label != "__name__")
    if not any(m.operator in ("=", "=~") for m in names):
        raise SelectorError(
            0,
            "the selector names no metric",
            'write its name before the braces, or __name__=~"..."',
        )
    return MetricSelector(names, labels, text)


def _parsed(text: str) -> object:
    """PromQL's expression; what would take the parser too far is not given to it."""
    if len(text) > LONGEST_SELECTOR or len(_QUOTED.sub("", text)) > _LONGEST_UNQUOTED:
        raise SelectorError(
            0,
            f"a selector of {len(text)} characters",
            f"stay within {LONGEST_SELECTOR}, {_LONGEST_UNQUOTED} of them outside quotes",
        )
    # A selector has no numbers; at one too large for a duration the parser panics, and prints that.
    if _HUGE_NUMBER.search(_QUOTED.sub("", text)):
        raise SelectorError(0, "a number of twenty and more digits", _MEND)
    try:
        return promql_parser.parse(text)
    except ValueError as error:
        raise SelectorError(0, f"no selector of PromQL: {error}", _mend_for(text)) from None
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":  # Rust's; it is no Exception
            raise
        raise SelectorError(0, f"no selector of PromQL: {panic}", _MEND) from None


def _name_holds(matcher: Matcher, forms: tuple[str, ...]) -> bool:
    holds = (matcher.accepts(form) for form in forms)
    return any(holds) if matcher.operator in ("=", "=~") else all(holds)


def _matcher(parsed: "promql_parser.Matcher") -> Matcher:
    operator = next(ours for theirs, ours in _OPERATORS if parsed.op == theirs)
    if operator in ("=~", "!~"):
        try:
            full_matcher(parsed.value)
        except ValueError as error:
            raise SelectorError(
                0,
                f'"{parsed.value}" is no regular expression: {error}',
                "write one of RE2's syntax (https://github.com/google/re2/wiki/Syntax)",
            ) from None
    return Matcher(parsed.name, operator, parsed.value)


def _mend_for(text: str) -> str:
    name = text.partition("{")[0].strip()
    if "." in name:
        return f'put a name with dots in quotes, inside the braces: {{"{name}"}}'
    return _MEND
