"""The parameters of presets: how each kind is read from an SLO file, and put into the preset's text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, NamedTuple

from pydantic import PlainValidator

from slo._fields import Wrong, as_number, described, shown, text
from slo._traceql_literals import NANOSECONDS, number
from slo.problems import SelectorError

_DURATION = r"(\d+(\.\d+)?(ms|s|m|h))+"
_LONGEST = 24 * NANOSECONDS["h"]
_MOST_WORDS = 50


class Value(NamedTuple):
    """A parameter's value.

    Attributes:
        plain: for names and descriptions.
        quoted: for selectors.
        forms: other ways to write it, as `${parameter.form}`.
    """

    plain: str
    quoted: str
    forms: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an SLO may say to a preset beyond what every SLO has.

    Attributes:
        about: for people.
        type: `duration`, `number`, `text` or `words`.
        default: as YAML; None where it has to be given.
        example: of one that has no default.
        choices: the words that there are; empty for any.
    """

    about: str
    type: str
    default: Any = None
    example: Any = None
    choices: tuple[str, ...] = field(default=())

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - a type hint made at run time
        """Its type hint for pydantic, with its JSON Schema."""
        read, schema = _TYPES[self.type]
        schema = dict(schema)
        if self.choices:
            schema["items"] = {"enum": list(self.choices)}
            read = partial(read, choices=self.choices)
        return Annotated[Value, PlainValidator(read), described(**schema)]

    def read(self, value: object) -> Value:
        """A value of it.

        Raises:
            Wrong: it can't be that.
        """
        reader = _TYPES[self.type][0]
        return reader(value, choices=self.choices) if self.choices else reader(value)


def _duration(value: object) -> Value:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        raise Wrong(f"{value} has no unit", f"write {value}s, or such as 500ms")
    written = text(value, "2s")
    if not re.fullmatch(_DURATION, written, re.ASCII):
        raise Wrong(f"{shown(written)} is no duration", "write such as 500ms, 2s or 1m30s")
    try:
        _, nanoseconds, _ = number(written, 0)
    except SelectorError as error:
        raise Wrong(error.message, error.mend) from None
    if not 0 < nanoseconds <= _LONGEST:
        raise Wrong(f"a duration of {shown(written)}", "write one above 0 and up to 24h")
    seconds = _decimal(Decimal(nanoseconds) / NANOSECONDS["s"])
    return Value(written, written, {"seconds": seconds})


def _number(value: object) -> Value:
    written = _decimal(as_number(value, "0.5"))
    if len(written) > 30:
        raise Wrong(f"{shown(written)} is too long", "write a number such as 0.5")
    return Value(written, written)


def _text(value: object) -> Value:
    written = text(value, "Relevance")
    slug = re.sub(r"[^a-z0-9]+", "-", written.lower()).strip("-")
    return Value(written, quoted(written), {"name": slug})


def _words(value: object, choices: tuple[str, ...] = ()) -> Value:
    if not isinstance(value, list):
        raise Wrong(f"{shown(value)} where a list is needed", "write [one, another]")
    if not 0 < len(value) <= _MOST_WORDS:
        raise Wrong(f"a list of {len(value)}", f"write 1 to {_MOST_WORDS} words")
    words = [text(word, "[one, another]") for word in value]
    for word in words:
        if choices and word not in choices:
            raise Wrong(f"{shown(word)} is not possible here", f"write of {', '.join(choices)}")
    return Value(", ".join(words), quoted("|".join(map(re.escape, words))))


def quoted(value: str) -> str:
    """A text as TraceQL writes it.

    >>> quoted("gpt-4o")
    '"gpt-4o"'
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _decimal(value: Decimal) -> str:
    """Without an exponent, and without zeros at its end."""
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


_TYPES: dict[str, tuple[Callable[..., Value], dict[str, Any]]] = {
    "duration": (_duration, {"type": "string", "pattern": f"^{_DURATION}$"}),
    "number": (_number, {"type": "number"}),
    "text": (_text, {"type": "string", "minLength": 1}),
    "words": (_words, {"type": "array", "items": {"type": "string"}, "minItems": 1}),
}
