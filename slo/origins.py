"""Which part of the input a message comes from: an input may be read in parts, by several workers."""

from typing import NamedTuple


class Origin(NamedTuple):
    """The part of the input that something was read from.

    Attributes:
        part: its name, empty for an input of one part.
        parts: how many parts there are now, in all processes together.
    """

    part: str = ""
    parts: int = 1


WHOLE = Origin()
