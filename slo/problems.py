"""What is wrong in a user's text: where, what, and the mend."""

from dataclasses import dataclass
from typing import NamedTuple


class Position(NamedTuple):
    """A place in a text, counted from 1 as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake that keeps a file from being used.

    Attributes:
        path: the file, as the user named it.
        position: where in the file.
        what: what is wrong.
        mend: what to write instead.
    """

    path: str
    position: Position
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}:{self.position.line}:{self.position.column}: {self.what}; {self.mend}"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something that is allowed but may surprise, and what was made of it."""

    path: str
    position: Position
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.position.line}:{self.position.column}: note: {self.text}"


class SelectorError(ValueError):
    """A selector (TraceQL, PromQL) or field that cannot be used.

    Attributes:
        position: offset in the selector's text, from 0.
        message: what is wrong.
        mend: what to write instead.
    """

    def __init__(self, position: int, message: str, mend: str) -> None:
        super().__init__(position, message, mend)
        self.position = position
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"at character {self.position + 1}: {self.message}; {self.mend}"
