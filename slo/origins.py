"""Which part of the input a message comes from: an input may be read in parts, by several workers."""

from typing import NamedTuple


class Origin(NamedTuple):
    """The part of the input that something was read from.

    Attributes:
        part: its name, empty for an input of one part.
        parts: how many parts there are now, in all processes together.
        ending: the process that reads it has been told to stop, and so the whole cluster stops.
    """

    part: str = ""
    parts: int = 1
    ending: bool = False


WHOLE = Origin()
