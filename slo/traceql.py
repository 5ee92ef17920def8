"""The spanset filter of TraceQL: which spans are meant.

The grammar is in `traceql.lark`; what Tempo's documentation leaves open is settled in
docs/selectors.md. `slo.masks` evaluates filters over columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import Literal, NamedTuple

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from slo._traceql_errors import explain_syntax
from slo._traceql_literals import SPAN_KIND, STATUS, attribute_name, number, string
from slo.columns import Field, Kind
from slo.problems import SelectorError
from slo.regexes import full_matcher

Operator = Literal["=", "!=", "=~", "!~", "<", "<=", ">", ">="]
LONGEST_FILTER = 10_000
MOST_PARENTHESES = 100


@dataclass(frozen=True, slots=True)
class Constant:
    """True or false of every span."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against a constant.

    Attributes:
        fields: one field, or for an unscoped attribute the two in question: the first that the
            span has is compared.
        operator: as written, turned round where the constant stood on the left.
        kind: the constant's kind; NIL only with `=` and `!=`.
        value: the constant; a duration in nanoseconds, a status or kind as OTLP's number.
    """

    fields: tuple[Field, ...]
    operator: Operator
    kind: Kind
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Not:
    """True where the operand is not."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Logic:
    """All of the operands (`&&`) or any (`||`)."""

    operator: Literal["&&", "||"]
    operands: tuple["Expression", ...]


Expression = Constant | Compare | Not | Logic


class Caution(NamedTuple):
    """Something in a filter that is allowed but seldom meant, at an offset in its text."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. Filters that say the same are equal, however they are written.

    Attributes:
        expression: what it says.
        text: as the user wrote it.
        cautions: what `validate` remarks about it.
    """

    expression: Expression
    text: str = field(compare=False, repr=False)
    cautions: tuple[Caution, ...] = field(default=(), compare=False, repr=False)

    def fields(self) -> frozenset[Field]:
        """Every field that must be read to evaluate this filter."""
        return frozenset(f for c in _comparisons(self.expression) for f in c.fields)


def parse_filter(text: str) -> Filter:
    """A filter from its text.

    Raises:
        SelectorError: the text is no spanset filter, or uses more of TraceQL than that.

    >>> parse_filter('{ 2s < duration && span.gen_ai.system != nil }').fields() == {
    ...     Field("intrinsic", "duration"), Field("span", "gen_ai.system")}
    True
    """
    if len(text) > LONGEST_FILTER or text.count("(") > MOST_PARENTHESES:
        raise SelectorError(
            0,
            f"a filter of {len(text)} characters and {text.count('(')} parentheses",
            f"stay within {LONGEST_FILTER} and {MOST_PARENTHESES}",
        )
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise explain_syntax(text, error) from None
    builder = _Builder()
    expression = builder.build(tree.children[0]) if tree.children else Constant(value=True)
    return Filter(expression, text, tuple(builder.cautions))


def parse_field(text: str) -> Field:
    """An attribute as `resource.name` or `span.name`, the name perhaps in quotes.

    Raises:
        SelectorError: the text is something else.

    >>> parse_field("span.gen_ai.request.model")
    Field(scope='span', name='gen_ai.request.model')
    """
    mend = "write span.NAME or resource.NAME, such as span.gen_ai.request.model"
    try:
        tree = _parser().parse("{" + text + "}")
    except UnexpectedInput:
        raise SelectorError(0, f"{text!r} is no attribute", mend) from None
    token = _only_token(tree)
    plain = token is not None and token == text.strip()
    if token is None or not plain or token.type != "ATTRIBUTE" or token.startswith("."):
        raise SelectorError(0, f"{text!r} is no attribute with a scope", mend)
    return _attribute(token, 0)[0]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("slo").joinpath("traceql.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True)


def _comparisons(expression: Expression) -> Iterator[Compare]:
    match expression:
        case Compare():
            yield expression
        case Not(operand):
            yield from _comparisons(operand)
        case Logic(_, operands):
            for operand in operands:
                yield from _comparisons(operand)


def _only_token(tree: Tree[Token]) -> Token | None:
    node: Tree[Token] | Token = tree
    while isinstance(node, Tree):
        if len(node.children) != 1:
            return None
        node = node.children[0]
    return node


def _attribute(token: Token, position: int) -> tuple[Field, ...]:
    scope, _, rest = token.partition(".")
    name = attribute_name(rest, position)
    if scope == "resource":
        return (Field("resource", name),)
    if scope == "span":
        return (Field("span", name),)
    return (Field("span", name), Field("resource", name))


_TURNED: dict[str, Operator] = {
    "=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
}  # fmt: skip
_ORDERED = ("<", "<=", ">", ">=")
# Which tokens an intrinsic compares with, and how to write one.
_INTRINSIC_TAKES = {
    "name": ({"STRING", "RAW_STRING"}, 'a text, such as name = "chat gpt-4o"'),
    "status": ({"STATUS"}, "error, ok or unset without quotes, such as status = error"),
    "kind": (
        {"KIND"},
        "unspecified, internal, server, client, producer or consumer without quotes",
    ),
    "duration": ({"NUMBER"}, "a duration, such as duration > 2s"),
}


class _Builder:
    """Makes an expression of a parse tree, collecting cautions."""

    def __init__(self) -> None:
        self.cautions: list[Caution] = []

    def build(self, tree: Tree[Token] | Token) -> Expression:
        assert isinstance(tree, Tree)  # noqa: S101 - the grammar: only operands hold tokens
        parts = tree.children
        match tree.data:
            case "logic":
                return self._logic(tree)
            case "group":
                return self.build(parts[0])
            case "negation":
                return self._negation(parts[1])
            case "bare":
                return self._bare(_token(parts[0]), value=True)
            case _:
                return self._comparison(_token(parts[0]), _leaf(parts[1]), _token(parts[2]))

    def _logic(self, tree: Tree[Token]) -> Expression:
        """A chain `a && b || c`, which leans to the left, without a recursion for each link."""
        links: list[tuple[Token, Tree[Token] | Token]] = []
        node: Tree[Token] | Token = tree
        while isinstance(node, Tree) and node.data == "logic":
            links.append((_leaf(node.children[1]), node.children[2]))
            node = node.children[0]
        links.reverse()
        self._refuse_or_before_and([operator for operator, _ in links])
        result = self.build(node)
        for operator, term in links:
            right = self.build(term)
            if isinstance(result, Logic) and result.operator == operator:
                result = Logic(result.operator, (*result.operands, right))
            else:
                result = Logic("&&" if operator == "&&" else "||", (result, right))
        return result

    @staticmethod
    def _refuse_or_before_and(operators: list[Token]) -> None:
        for earlier, later in pairwise(operators):
            if earlier == "||" and later == "&&":
                raise SelectorError(
                    later.start_pos or 0,
                    "TraceQL reads a || b && c as (a || b) && c, which is seldom meant",
                    "put parentheses round the part that belongs together",
                )

    def _negation(self, operand: Tree[Token] | Token) -> Expression:
        turned = True
        while isinstance(operand, Tree) and operand.data == "negation":
            operand, turned = operand.children[1], not turned
        if isinstance(operand, Tree) and operand.data == "bare":
            token = _token(operand.children[0])
            if token.type == "ATTRIBUTE":
                return self._bare(token, value=not turned)
        inner = self.build(operand)
        if not turned:
            return inner
        if isinstance(inner, Not):
            return inner.operand
        return Constant(not inner.value) if isinstance(inner, Constant) else Not(inner)

    def _bare(self, token: Token, *, value: bool) -> Expression:
        at = token.start_pos or 0
        if token.type in ("TRUE", "FALSE"):
            return Constant(token.type == "TRUE")
        if token.type == "ATTRIBUTE":
            return Compare(_attribute(token, at), "=", Kind.BOOL, value)
        raise SelectorError(
            at, f"{token} by itself is no condition", "compare a field, such as duration > 2s"
        )

    def _comparison(self, left: Token, operator: Token, right: Token) -> Expression:
        field_types = ("ATTRIBUTE", "INTRINSIC")
        at = operator.start_pos or 0
        if left.type in field_types and right.type in field_types:
            raise SelectorError(
                at, "compares two fields with each other", "compare a field with a constant"
            )
        if left.type not in field_types and right.type not in field_types:
            raise SelectorError(
                at, "compares two constants", "name a field, such as span.foo, on one side"
            )
        if right.type in field_types:
            if operator in ("=~", "!~"):
                raise SelectorError(
                    at,
                    f"the regular expression stands on the left of {operator}",
                    "write the field on the left",
                )
            left, right = right, left
            return self._compare(left, _TURNED[str(operator)], at, right)
        return self._compare(left, _operator(operator), at, right)

    def _compare(self, left: Token, operator: Operator, at: int, right: Token) -> Expression:
        if left.type == "INTRINSIC":
            name = left.removeprefix("span:")
            taken, mend = _INTRINSIC_TAKES[name]
            if right.type not in taken:
                raise SelectorError(
                    right.start_pos or 0, f"{name} does not compare with {right}", f"write {mend}"
                )
            fields: tuple[Field, ...] = (Field("intrinsic", name),)
        else:
            fields = _attribute(left, left.start_pos or 0)
        kind, value = self._constant(left, right)
        _check_operator(operator, at, kind, right)
        return Compare(fields, operator, kind, value)

    def _constant(self, left: Token, token: Token) -> tuple[Kind, str | int | float | bool | None]:
        at = token.start_pos or 0
        match token.type:
            case "NIL":
                return Kind.NIL, None
            case "TRUE" | "FALSE":
                return Kind.BOOL, token.type == "TRUE"
            case "STRING" | "RAW_STRING":
                return Kind.STRING, string(token, at)
            case "NUMBER":
                kind, value, is_duration = number(token, at)
                self._caution_units(left, token, value, is_duration=is_duration)
                return kind, value
        if left.type == "ATTRIBUTE":
            raise SelectorError(
                at,
                f"{token} without quotes is a status or kind, which attributes do not have",
                f'write "{token}" in double quotes, or compare status or kind',
            )
        return Kind.INT, STATUS[token] if token.type == "STATUS" else SPAN_KIND[token]

    def _caution_units(self, left: Token, token: Token, value: float, *, is_duration: bool) -> None:
        if left.type == "INTRINSIC" and not is_duration and value != 0:
            text = f"{token} is taken as nanoseconds; write a unit, such as {token}s, if meant"
            self.cautions.append(Caution(token.start_pos or 0, text))
        if left.type == "ATTRIBUTE" and is_duration:
            text = (
                f"{token} is compared as {value} (nanoseconds); for an attribute in seconds write "
                f"a plain number, such as {value / 1e9:g}"
            )
            self.cautions.append(Caution(token.start_pos or 0, text))


def _check_operator(operator: Operator, at: int, kind: Kind, right: Token) -> None:
    if operator in ("=~", "!~"):
        if kind is not Kind.STRING:
            raise SelectorError(
                right.start_pos or 0,
                f"{operator} needs a regular expression, not {right}",
                'write it in double quotes, such as =~ "gpt-.*"',
            )
        pattern = string(right, right.start_pos or 0)
        try:
            full_matcher(pattern)
        except ValueError as error:
            raise SelectorError(
                right.start_pos or 0,
                f"{right} is no regular expression: {error}",
                "write one of RE2's syntax (https://github.com/google/re2/wiki/Syntax)",
            ) from None
    elif operator in _ORDERED and (
        kind in (Kind.NIL, Kind.BOOL) or right.type in ("STATUS", "KIND")
    ):
        raise SelectorError(at, f"{right} has no order, so {operator} says nothing", "use = or !=")


def _operator(token: Token) -> Operator:
    operators: dict[str, Operator] = {"=~": "=~", "!~": "!~", **{t: t for t in _TURNED.values()}}
    return operators[str(token)]


def _token(tree: Tree[Token] | Token) -> Token:
    return tree if isinstance(tree, Token) else _leaf(tree.children[0])


def _leaf(node: Tree[Token] | Token) -> Token:
    assert isinstance(node, Token)  # noqa: S101 - the grammar has a token there
    return node
