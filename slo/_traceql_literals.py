"""TraceQL's constants and quoted names as Python values."""

import re
from decimal import Decimal

from slo.columns import Kind
from slo.problems import SelectorError

STATUS = {"unset": 0, "ok": 1, "error": 2}
SPAN_KIND = {
    "unspecified": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5,
}  # fmt: skip
NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 604800 * 10**9, "y": 365 * 86400 * 10**9,
}  # fmt: skip
_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w|y)"
_DURATION = re.compile(rf"-?(?:{_PART})+")
_INTEGER = re.compile(r"-?\d+")
_FLOAT = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ESCAPE = re.compile(
    r"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[abfnrtv\\\"]|.)", re.DOTALL
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    '"': '"',
}  # fmt: skip
_INT64 = 2**63
_LONGEST_NUMBER = 400


def number(text: str, position: int) -> tuple[Kind, int | float, bool]:
    """The kind and value of a number or duration, and whether it is a duration (nanoseconds).

    Raises:
        SelectorError: the text is neither, or exceeds 64 bits.
    """
    if len(text) > _LONGEST_NUMBER:
        raise SelectorError(position, f"a number of {len(text)} characters", "write a shorter one")
    if _INTEGER.fullmatch(text):
        return Kind.INT, _int64(int(text), text, position), False
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise SelectorError(position, f"{text} is too large", "write a number below 1.8e308")
        return Kind.FLOAT, value, False
    if _DURATION.fullmatch(text):
        return Kind.INT, _duration(text, position), True
    raise SelectorError(
        position,
        f"{text} is no number and no duration",
        "write such as 42, 0.5, 300ms, 2s, 1h (units ns, us, ms, s, m, h, d), or put a text in "
        "double quotes",
    )


def string(token: str, position: int) -> str:
    r"""The value of a string in double quotes (with Go's escapes) or backticks (as it stands).

    Raises:
        SelectorError: an escape is none of Go's.
    """
    if token.startswith("`"):
        return token[1:-1]
    return _ESCAPE.sub(lambda m: _unescape(m, position), token[1:-1])


def attribute_name(text: str, position: int) -> str:
    r"""The name meant by an attribute's text after its scope, whose parts may stand in quotes.

    Raises:
        SelectorError: the name is empty, or has an escape other than `\"` and `\\`.
    """
    name = "".join(
        _quoted_name(part, position) if part.startswith('"') else part
        for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^"]+', text)
    )
    if not name:
        raise SelectorError(position, "an attribute without a name", "write such as span.foo")
    return name


def _quoted_name(part: str, position: int) -> str:
    wrong = re.search(r'\\[^"\\]', re.sub(r'\\[\\"]', "", part))
    if wrong:
        raise SelectorError(
            position,
            f"{wrong[0]} is no escape in an attribute's name",
            r"only \" and \\ are escapes there",
        )
    return re.sub(r'\\(["\\])', r"\1", part[1:-1])


def _duration(text: str, position: int) -> int:
    total = sum(
        (Decimal(count) * NANOSECONDS[unit] for count, unit in re.findall(_PART, text)), Decimal(0)
    )
    if total != total.to_integral_value():
        raise SelectorError(position, f"{text} is finer than a nanosecond", "round it to 1ns")
    return _int64(-int(total) if text.startswith("-") else int(total), text, position)


def _int64(value: int, text: str, position: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise SelectorError(
            position, f"{text} does not fit into 64 bits", f"stay within {-_INT64} and {_INT64 - 1}"
        )
    return value


def _unescape(match: re.Match[str], position: int) -> str:
    code = match[1]
    at = position + 1 + match.start()
    if code in _SIMPLE:
        return _SIMPLE[code]
    if code[0] in "xuU" and len(code) > 1:
        point = int(code[1:], 16)
        limit = 0x80 if code[0] == "x" else 0x110000
    elif len(code) == 3:
        point, limit = int(code, 8), 0x80
    else:
        raise SelectorError(
            at,
            f"\\{code} is no escape",
            f"double the backslash (\\\\{code}) or put the text in backticks",
        )
    if point >= limit or 0xD800 <= point < 0xE000:
        raise SelectorError(at, f"\\{code} is no character", "write the character itself")
    return chr(point)
