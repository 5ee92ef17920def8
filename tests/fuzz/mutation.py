"""Inputs out of other inputs: each is made from a seed and its number alone, so it can be made again."""

import random
import re
from collections.abc import Callable, Sequence

LONGEST = 1 << 16
LENGTHS = (
    0, 1, 127, 128, 255, 16383, 16384, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63,
    2**64 - 1, 2**70,
)  # fmt: skip
HOSTILE = (
    "", " ", "\0", "\n", "\r\n", "\t", '"', "'", "\\", "`", "{", "}", "}}", "{{ .Labels }}", "{{ end }}",
    '"} evil 1\n', "\n# HELP evil x\nevil 1\n", "\\n", "\\", '\\"', "</script><script>", "$(id)",
    "../../../../etc/passwd", "..\\..\\", "/dev/zero", "CON", "\u202eevil", "\u2028", "\ufeff",
    "e\u0301" * 20, "\U0001f600", "\ud7ff", "NaN", "Infinity", "-Infinity", "1e400", "1e-400", "9" * 400,
    "9" * 5000, "-0", "0x10", "1_000", "\u0663", "true", "null", "~", "*a", "&a", "<<",
    "!!python/object:os.system", "%s%n", "a" * 257, "a" * 5000, "(a+)+$", "(" * 200,
    "[" * 200, "(a{1000}){1000}", "\\p{L}", "(?i)x",
    "otel.metric.overflow", "__name__", "alertname", "severity", "sloth_id", "le", "5m", "1h30m", "30d",
    "5ms", "0s", "-1s", "99999999999999999999w", "status", "span.", "resource.", "nil", "&&", "||", "=~",
    "!=", "::", "#", "---\n", "...\n", "- ", ": ", "? ", "%YAML 1.1\n", "\x85", "\x7f",
)  # fmt: skip
_TOKENS = re.compile(r"\s+|\w+|.", re.DOTALL)
_EDGES = bytes.fromhex("00 01 7f 80 81 c0 c2 e0 ed f4 f5 fe ff 0a 12 1a 22 2a 32 39 41 4a 7a")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def mutate_bytes(random_: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A few changes to bytes that look like protobuf, gzip or any other format with lengths."""
    for _ in range(random_.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        data = random_.choice(_BYTE_CHANGES)(random_, data, others)
    return data[:LONGEST]


def mutate_text(random_: random.Random, text: str, others: Sequence[str]) -> str:
    """A few changes to the words and signs of a text."""
    for _ in range(random_.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        tokens = _TOKENS.findall(text) or [""]
        at = random_.randrange(len(tokens))
        random_.choice(_TEXT_CHANGES)(random_, tokens, at, others)
        text = "".join(tokens)
    return text[:LONGEST]


def _span(random_: random.Random, data: bytes) -> tuple[int, int]:
    start = random_.randrange(len(data) + 1)
    return start, min(len(data), start + random_.choice((1, 1, 2, 4, 8, 30, 300)))


def _change_byte(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random_.randrange(len(data)) if data else 0
    new = random_.choice((random_.choice(_EDGES), random_.randrange(256)))
    return data[:at] + bytes([new]) + data[at + 1 :]


def _flip_bit(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = random_.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random_.randrange(8)]) + data[at + 1 :]


def _cut(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, stop = _span(random_, data)
    return data[:start] + data[stop:]


def _end(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: random_.randrange(len(data) + 1)]


def _double(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, stop = _span(random_, data)
    times = random_.choice((1, 1, 2, 50)) if stop - start < 1000 else 1
    return data[:stop] + data[start:stop] * times + data[stop:]


def _insert(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = random_.randrange(len(data) + 1)
    what = random_.choice(
        (random_.randbytes(random_.choice((1, 2, 4, 9))), random_.choice(HOSTILE).encode())
    )
    return data[:at] + what + data[at:]


def _splice(random_: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random_.choice(others)
    start, stop = sorted((random_.randrange(len(other) + 1), random_.randrange(len(other) + 1)))
    at = random_.randrange(len(data) + 1)
    return (
        data[:at] + other[start:stop] + data[at + (stop - start if random_.random() < 0.5 else 0) :]
    )


def _lie(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Another length, or number, where one may stand."""
    at = random_.randrange(len(data)) if data else 0
    value = random_.choice(LENGTHS)
    new = random_.choice((varint(value), (value & 2**32 - 1).to_bytes(4, "big")))
    return data[:at] + new + data[at + random_.choice((0, 1, 1, len(new))) :]


def _nest(random_: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Some bytes in messages within messages."""
    start, stop = _span(random_, data)
    inner = data[start:stop]
    tags = random_.choice(
        (b"\x0a", b"\x12", b"\x2a", b"\x32", b"\x0a\x2a", b"\x12\x0a\x32", b"\x0b")
    )
    for tag in (tags * random_.choice((1, 2, 8, 17, 60, 120)))[:200]:
        inner = bytes([tag]) + varint(len(inner)) + inner
    return data[:start] + inner + data[stop:]


_BYTE_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _change_byte, _change_byte, _flip_bit, _cut, _end, _double, _insert, _splice, _lie, _lie, _nest,
)  # fmt: skip


def _put(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    tokens[at] += random_.choice(HOSTILE)


def _replace(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    tokens[at] = random_.choice(HOSTILE)


def _drop(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    del tokens[at : at + random_.choice((1, 1, 2, 5, 40))]


def _repeat(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    piece = "".join(tokens[at : at + random_.choice((1, 1, 3, 9))])
    tokens[at] = piece * random_.choice((2, 2, 3, 50, 1500 if len(piece) < 9 else 9))


def _swap(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    other = random_.randrange(len(tokens))
    tokens[at], tokens[other] = tokens[other], tokens[at]


def _graft(random_: random.Random, tokens: list[str], at: int, others: Sequence[str]) -> None:
    other = _TOKENS.findall(random_.choice(others)) or [""]
    start = random_.randrange(len(other))
    tokens[at:at] = other[start : start + random_.choice((1, 2, 5, 30))]


def _character(random_: random.Random, tokens: list[str], at: int, _others: Sequence[str]) -> None:
    code = random_.choice(
        (random_.randrange(128), random_.randrange(0xD800), random_.randrange(0xE000, 0x110000))
    )
    tokens[at] += chr(code)


_TEXT_CHANGES: tuple[Callable[[random.Random, list[str], int, Sequence[str]], None], ...] = (
    _put, _replace, _drop, _drop, _repeat, _swap, _graft, _character,
)  # fmt: skip
