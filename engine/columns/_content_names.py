"""Which attribute names mean content (`content.yaml`): the table, for Python and for the kernel."""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import yaml

from engine.columns import _kernel

TABLE = "content.yaml"
# A star may come this early: the kernel looks names up by so many first bytes.
SHORT_HEAD, LONG_HEAD = 4, 8


class Table(NamedTuple):
    """Names, each with at most one `*` for any text.

    Attributes:
        content: of attributes whose values are content.
        others: that are none of them, though they would match.
    """

    content: tuple[str, ...]
    others: tuple[str, ...]


@cache
def table() -> Table:
    """The packaged table.

    Raises:
        ValueError: it is of another version than this code reads, or has a name that can't be looked up.
    """
    loaded = yaml.safe_load(files("engine.columns").joinpath(TABLE).read_text(encoding="utf-8"))
    if loaded["version"] != 1:
        raise ValueError(
            f"{TABLE}: version {loaded['version']!r} is unknown; install burnline anew"
        )
    content = tuple(dict.fromkeys(name for group in loaded["content"].values() for name in group))
    for name in content:
        if name.count("*") > 1 or 0 <= name.find("*") < SHORT_HEAD:
            raise ValueError(
                f"{TABLE}: {name!r} needs at least {SHORT_HEAD} letters before its only '*'"
            )
    return Table(content, tuple(loaded["not_content"]))


class Names:
    """The names that mean content, in both forms.

    Args:
        content: names, with stars.
        others: names, with stars, that win over those.
    """

    def __init__(self, content: Sequence[str], others: Collection[str]) -> None:
        self._content, self._others = _pattern(content), _pattern(others)
        self.arrays = _arrays(content, others)

    def mean_content(self, name: str) -> bool:
        """Whether an attribute of this name holds content.

        >>> names = Names(table().content, table().others)
        >>> names.mean_content("gen_ai.prompt.0.content"), names.mean_content("gen_ai.prompt.name")
        (True, False)
        """
        return bool(self._content.fullmatch(name)) and not self._others.fullmatch(name)


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    parts = (re.escape(name).replace(r"\*", ".*") for name in names)
    return re.compile("|".join(parts) or r"(?!)", re.DOTALL)


def _arrays(content: Sequence[str], others: Collection[str]) -> _kernel.Names:
    """The kernel's form: hash tables over the first bytes of content names, chained."""
    slots = np.full((2, _kernel.NAME_SLOTS), -1, np.int32)
    patterns = np.zeros((len(content) + len(others), 5), np.int64)
    text = b""
    for number, name in enumerate((*content, *others)):
        head, star, tail = (part.encode() for part in name.partition("*"))
        begin = len(text)
        text += head + tail
        middle = begin + len(head)
        patterns[number] = (begin, middle, len(text), bool(star), -1)
        if number < len(content):
            short = bool(star) and len(head) < LONG_HEAD
            first = int.from_bytes(head[: SHORT_HEAD if short else LONG_HEAD], "little")
            slot = (first * int(_kernel.MULTIPLIER) & (2**64 - 1)) >> _kernel.NAME_SHIFT
            patterns[number, _kernel.NEXT_NAME] = slots[int(short), slot]
            slots[int(short), slot] = number
    return _kernel.Names(
        slots=slots,
        patterns=patterns,
        others=len(content),
        text=np.frombuffer(text + bytes(8), np.uint8),
    )
