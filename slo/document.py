"""YAML text as plain data in which every value knows its line and column.

Scalars are read as YAML 1.2 has them, so that `off`, `no` and `on` are texts and numbers are
exact: `99.9` is Decimal("99.9"). Anchors, aliases and merge keys (`<<`) work, within bounds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

import yaml

from slo.problems import Position, Problem

Path = tuple[str | int, ...]
Value = None | bool | int | Decimal | str | list["Value"] | dict[str, "Value"]

LONGEST_TEXT = 4 * 2**20
DEEPEST = 40
MOST_VALUES = 200_000

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
# Of a number; exact ones of thousands of digits take long to reckon with.
_MOST_DIGITS = 400
_INTEGER = re.compile(rf"[-+]?[0-9]{{1,{_MOST_DIGITS}}}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


class _Mark(Protocol):
    """What PyYAML's marks have, whichever of its parsers made them."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class Scalar(NamedTuple):
    """Where a text stands in its file, to find a place inside it."""

    value: str
    start: yaml.Mark
    end: yaml.Mark
    style: str | None


@dataclass(slots=True)
class Document:
    """One YAML document.

    Attributes:
        data: its value.
        keys: the position of each mapping's key, by path.
        values: the position of each value, by path.
        scalars: each text, by path.
    """

    data: Value
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    scalars: dict[Path, Scalar] = field(default_factory=dict)

    def position(self, path: Path, offset: int = 0) -> Position:
        """The position of the value at a path, or of the nearest value round it.

        Args:
            path: keys and indices from the root.
            offset: a place inside the value, where it is a text. Exact for texts on one line;
                for others the position of their start.
        """
        while path and path not in self.values:
            path = path[:-1]
        start = self.values.get(path, Position(1, 1))
        scalar = self.scalars.get(path)
        return start if scalar is None else _inside(scalar, offset)


def read_documents(path: str, text: str) -> tuple[list[Document], list[Problem]]:
    """Every document of a YAML text, and what is wrong with the text as YAML.

    A document with problems is left out; where the syntax is broken, so is what follows it.
    """
    if len(text) > LONGEST_TEXT:
        return [], [_problem(path, Position(1, 1), f"{len(text)} characters", "split the file")]
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        _check_depth(path, text)
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            reader = _Reader(path, text)
            document = reader.read(node)
            problems.extend(reader.problems)
            if not reader.problems:
                documents.append(document)
    except _TooDeepError as error:
        problems.append(error.problem)
    except yaml.MarkedYAMLError as error:
        problems.append(_marked(path, error))
    except yaml.reader.ReaderError as error:
        problems.append(_unreadable(path, text, error))
    return documents, problems


class _TooDeepError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _check_depth(path: str, text: str) -> None:
    """Refuse nesting that would exhaust the stack; events, unlike nodes, come without recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                what = f"more than {DEEPEST} levels of nesting"
                at = _position(event.start_mark)
                raise _TooDeepError(_problem(path, at, what, "nest less"))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns the nodes of one document into data and positions."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.problems: list[Problem] = []
        self._document = Document(None)
        self._count = 0
        self._open: list[yaml.Node] = []

    def read(self, node: yaml.Node) -> Document:
        self._document.data = self._value(node, ())
        return self._document

    def _value(self, node: yaml.Node, path: Path) -> Value:
        self._document.values[path] = _position(node.start_mark)
        self._count += 1
        if self._count == MOST_VALUES:
            self._tell(
                node, f"more than {MOST_VALUES} values, aliases counted", "use fewer aliases"
            )
        if self._count >= MOST_VALUES:
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if any(node is parent for parent in self._open):
            self._tell(node, "an alias inside what it stands for", "write the values out")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.Node, path: Path) -> Value:
        result: dict[str, Value] = {}
        own: dict[str, Position] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key is None:
                self._tell(key_node, "a key that is no text", "write a word before the colon")
            elif key == "<<" and key_node.style is None:
                merged.extend(self._merge_pairs(value_node))
            elif key in own:
                first = own[key]
                self._tell(
                    key_node,
                    f"{key} is here for the second time (first in line {first.line})",
                    "keep one of the two",
                )
            else:
                own[key] = _position(key_node.start_mark)
                result[key] = self._entry(key, key_node, value_node, path)
        for key_node, value_node in merged:
            key = _key(key_node)
            if key is not None and key not in result:
                result[key] = self._entry(key, key_node, value_node, path)
        return result

    def _entry(self, key: str, key_node: yaml.Node, value_node: yaml.Node, path: Path) -> Value:
        self._document.keys[*path, key] = _position(key_node.start_mark)
        return self._value(value_node, (*path, key))

    def _merge_pairs(self, node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for merged in nodes:
            if isinstance(merged, yaml.MappingNode):
                yield from merged.value
            else:
                self._tell(merged, "<< merges what is no mapping", "write <<: *name of a mapping")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Value:
        text = str(node.value)
        if any("\ud800" <= c <= "\udfff" for c in text):
            self._tell(node, "half of a surrogate pair", "write the character itself")
        self._document.scalars[path] = Scalar(text, node.start_mark, node.end_mark, node.style)
        if node.style is not None or _source(self._document.scalars[path]).startswith("!!str"):
            return text
        return _plain(text)

    def _tell(self, node: yaml.Node, what: str, mend: str) -> None:
        self.problems.append(_problem(self.path, _position(node.start_mark), what, mend))


def _plain(text: str) -> Value:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if len(text) <= _MOST_DIGITS and _FLOAT.fullmatch(text):
        return Decimal(text)
    return text


def _key(node: yaml.Node) -> str | None:
    return node.value if isinstance(node, yaml.ScalarNode) else None


def _inside(scalar: Scalar, offset: int) -> Position:
    start = _position(scalar.start)
    if scalar.start.line != scalar.end.line or scalar.style in ("|", ">"):
        return start
    source = _source(scalar)
    properties = _PROPERTIES.match(source)
    place = properties.end() if properties else 0
    if scalar.style == "'":
        place += 1 + offset + scalar.value[:offset].count("'")
    elif scalar.style == '"':
        place += 1 + _escaped_length(source[place + 1 : -1], offset)
    else:
        place += offset
    return Position(start.line, start.column + place)


# An anchor and a tag, which PyYAML counts as part of the scalar.
_PROPERTIES = re.compile(r"(?:[&!][^\s]*[ \t]+)*")
# How many hexadecimal digits follow an escape's letter.
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}


def _source(scalar: Scalar) -> str:
    """The scalar as it stands in the file, quotes and all."""
    return (scalar.start.buffer or "")[scalar.start.pointer : scalar.end.pointer]


def _escaped_length(quoted: str, offset: int) -> int:
    """Characters between double quotes that make the first `offset` characters of the text."""
    place = 0
    for _ in range(offset):
        if quoted[place : place + 1] == "\\":
            place += 2 + _ESCAPE_DIGITS.get(quoted[place + 1 : place + 2], 0)
        else:
            place += 1
    return place


def _position(mark: _Mark | None) -> Position:
    return Position(1, 1) if mark is None else Position(mark.line + 1, mark.column + 1)


def _problem(path: str, position: Position, what: str, mend: str) -> Problem:
    return Problem(path, position, what, mend)


_MENDS = (
    ("found character '\\t'", "indent with spaces; YAML allows no tabs there"),
    ("mapping values are not allowed", "put a text that holds a colon in quotes"),
    ("found undefined alias", "define it before with &name"),
    ("could not find expected ':'", "write a colon and a space after the key"),
    ("found character", "put the text in quotes"),
    ("expected <block end>", "align the indentation with the lines above"),
    ("found unexpected end of stream", "close the quote or bracket"),
    ("found unknown escape character", "double the backslash, or use single quotes"),
)


def _marked(path: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "broken YAML"
    mend = next((mend for start, mend in _MENDS if what.startswith(start)), "mend the YAML here")
    return _problem(path, _position(mark), f"no valid YAML: {what}", mend)


def _unreadable(path: str, text: str, error: yaml.reader.ReaderError) -> Problem:
    before = text[: error.position]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    what = f"no valid YAML: a character that is not allowed (U+{int(error.character):04X})"
    return _problem(path, Position(line, column), what, "remove it or write it as an escape")
