"""What is kept of content that holds something else, too: the model among a call's parameters.

The text becomes a JSON object with that alone, filled up with spaces to its length, so that all of the
payload stays where it was.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from slo.aliases import table

# Longer texts are blanked as a whole.
LONGEST = 1 << 16
_LONGEST_VALUE = 200
_TEXT, _VALUE = 0x0A, 0x12


@cache
def kept() -> Mapping[str, str]:
    """Attribute name -> the key in its JSON whose text stays."""
    return {name: key for alias in table().values() for name, key in alias.json.items()}


def reduced(name: str, text: str) -> str | None:
    """What stays of a text; None where nothing does.

    >>> reduced("llm.invocation_parameters", '{"model": "gpt-4o", "stop": ["secret"]}')
    '{"model":"gpt-4o"}'
    """
    key = kept().get(name)
    if key is None or len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or len(value) > _LONGEST_VALUE or "\\" in json.dumps(value):
        return None
    return json.dumps({key: value}, separators=(",", ":"))


def places(payload: bytes, blanked: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Where something stays, and what: positions in a payload, and bytes of the length there.

    Args:
        payload: as it came.
        blanked: `int64[places, 3]`, the values that are blanked, in their order.
    """
    for name in kept():
        sought = name.encode() + bytes([_VALUE])
        at = payload.find(sought)
        while at >= 0:
            start, stop = _text_at(payload, at + len(sought), blanked)
            if stop > start:
                text = reduced(name, payload[start:stop].decode(errors="replace"))
                if text is not None and len(text) <= stop - start:
                    yield start, text.encode().ljust(stop - start)
            at = payload.find(sought, at + len(sought))


def _text_at(payload: bytes, at: int, blanked: NDArray[np.int64]) -> tuple[int, int]:
    """The text in the value whose length stands here, if that is a value which is blanked."""
    value, _ = _length(payload, at)
    place = int(np.searchsorted(blanked[:, 0], value))
    if place == len(blanked) or blanked[place, 0] != value or payload[value] != _TEXT:
        return 0, 0
    text, size = _length(payload, value + 1)
    stop = int(blanked[place, 1])
    # Blanking keeps the text where it is only if its length was written as usual.
    usual = text - value - 1 == max(1, -(-size.bit_length() // 7))
    return (text, stop) if text + size == stop and usual else (0, 0)


def _length(payload: bytes, at: int) -> tuple[int, int]:
    """(position behind a length, the length)."""
    size = 0
    for index, byte in enumerate(payload[at : at + 5]):
        size |= (byte & 127) << (7 * index)
        if byte < 128:
            return at + index + 1, size
    return at, 0
