"""Why a text is no spanset filter: what TraceQL has beyond it is named, with the mend."""

import re

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from slo.problems import SelectorError

_WRITE_FILTER = "write one filter in braces, such as { status = error }"
# (what stands at the place, message, mend); the first that fits is told.
_HINTS: tuple[tuple[str, str, str], ...] = (
    (r"parent\.", "parent. asks about another span", "spans are judged one by one: use span."),
    (
        r"(?:event|link|instrumentation)[.:]",
        "event, link and instrumentation scope fields are not read",
        "use span. or resource. attributes",
    ),
    (
        r"trace:|trace(?:Duration)\b|root(?:Name|ServiceName)\b|nestedSet|childCount\b",
        "fields of a whole trace are not known when one span arrives",
        "use span. or resource. attributes, name, kind, status or duration",
    ),
    (r"span:|statusMessage\b", "this intrinsic is not read", "use name, kind, status or duration"),
    (
        r"(?:avg|count|max|min|sum|by|select|coalesce|rate|quantile_over_time|\w+_over_time)\s*\(",
        "aggregates are no part of a filter",
        "write the condition of one span in braces; Burnline counts the spans",
    ),
    (r"\|(?!\|)", "a single |, which filters do not have", "write || for or"),
    (r"&(?!&)", "a single &, which TraceQL does not have here", "write && for and"),
    (r"!?>>|!?<<|~|&[<>~]", "relations between spans are no part of a filter", _WRITE_FILTER),
    (r"[-+*/%^]", "arithmetic is no part of a filter", "work the number out and write it"),
    (r"'", "TraceQL has no strings in single quotes", "use double quotes or backticks"),
    (r'"(?:[^"\\\n]|\\.)*$|"[^"]*\n|`[^`]*$', "a string without its end", "close it on its line"),
    (r"(?:and|AND|or|OR|not|NOT)\b", "TraceQL has no such word", "write &&, || or !"),
    (r"=", "an operator too many", "TraceQL compares with one ="),
    (r"in\b|IN\b", "TraceQL has no such word", 'write =~ "one|another"'),
    (r"null\b|None\b", "TraceQL has no such word", "write nil"),
    (
        r"(?:span|resource)\.?(?=\s|[=~!<>]|$)|\.(?=\s|[=~!<>]|$)",
        "an attribute without a name",
        "write such as span.foo",
    ),
)
_AFTER_BRACE: tuple[tuple[str, str, str], ...] = (
    (r"\|(?!\|)", "pipelines are no part of a filter", "end the filter with its brace"),
    (
        r"&&|\|\|",
        "joins two filters; TraceQL would look for them on different spans",
        "write both conditions in one pair of braces",
    ),
    (r"!?[<>~]|&[<>~]", "relations between spans are no part of a filter", _WRITE_FILTER),
    (r"with\b", "query hints are no part of a filter", "end the filter with its brace"),
    (r"", "text after the filter's closing brace", "remove it"),
)


def explain_syntax(text: str, error: UnexpectedInput) -> SelectorError:
    """The error to tell for lark's refusal of a text."""
    if not text.strip():
        return SelectorError(0, "an empty filter", "write { } for every span")
    position = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return SelectorError(len(text), "the filter ends too early", "close it with }")
    position = min(max(position, 0), len(text))
    expected = _expected(error)
    rest = text[position:]
    if not expected - {"$END", "<END-OF-FILE>"}:
        return _hint(_AFTER_BRACE, rest, position) or _plain(rest, position)
    if expected == {"LBRACE"}:
        found = _hint(_HINTS[4:5], rest, position)
        return found or SelectorError(position, "a filter starts with {", _WRITE_FILTER)
    doubled = rest.startswith("=") and text[:position].endswith(("=", "!", "<", ">"))
    if "COMPARE" not in expected and not doubled and rest.startswith(("=", "<", ">", "!")):
        return _stray_comparison(text, position)
    return _hint(_HINTS, rest, position) or _word(rest, position) or _plain(rest, position)


def _stray_comparison(text: str, position: int) -> SelectorError:
    before = text[:position].rstrip()
    if before.endswith(")"):
        mend = "write the field without parentheses"
    elif "!" in before:
        mend = "put parentheses round what ! is to turn, such as !(span.foo = 1)"
    else:
        mend = "write a field before it, such as span.foo = 1"
    return SelectorError(position, "a comparison where none can stand", mend)


def _expected(error: UnexpectedInput) -> set[str]:
    names: set[str] = set()
    if isinstance(error, UnexpectedToken):
        names = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        names = set(error.allowed or ())
    return {name for name in names if not name.startswith("__")}


def _hint(
    hints: tuple[tuple[str, str, str], ...], rest: str, position: int
) -> SelectorError | None:
    for pattern, message, mend in hints:
        if re.match(pattern, rest):
            return SelectorError(position, message, mend)
    return None


def _word(rest: str, position: int) -> SelectorError | None:
    word = re.match(r"[A-Za-z_][\w.\-]*", rest)
    if word is None:
        return None
    return SelectorError(
        position,
        f"{word[0]} is no field and no constant",
        f'write span.{word[0]} or resource.{word[0]} for an attribute, "{word[0]}" for a text',
    )


def _plain(rest: str, position: int) -> SelectorError:
    shown = rest.split(maxsplit=1)[0][:20] if rest.strip() else "the end"
    return SelectorError(
        position,
        f"{shown} cannot stand here",
        'conditions look like span.foo = "bar" && name != "x"',
    )
