"""A recording's bytes to its messages: compression, then lines or frames, recognised by content.

Formats: JSON lines, or one JSON object over many lines; protobuf messages, each after its length as
four bytes, big-endian (the Collector's file exporter), or as a varint (protobuf's own delimited
form). The file exporter's `compression: zstd` compresses each message by itself, JSON ones too, and
puts four bytes of length before each; so a frame may be zstd, and may be JSON.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import orjson
import zstandard

from engine.columns.otlp_json import loads, usual_traces
from engine.recordings import _signals
from engine.recordings._signals import Signal

Framing = Literal["four bytes", "varint"]
MAX_MESSAGE = 256 << 20
_BUFFER = 1 << 18
# Four bytes of zstd can stand for 128 KiB, and what one piece gives is held whole: up to 32 MiB.
_ZSTD_PIECE = 1 << 10
_GZIP, _ZSTD, _BOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"
# As a varint, a length of 123 is `{`, and the tag after it a line feed; but it has no name then.
_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*("[^\x00-\x1f"]*"\s*:|\})')
_CUT = "the recording was cut short: drop what is behind the last whole message"


class Message(NamedTuple):
    """One message: protobuf bytes or a parsed JSON object, and its `path:line` or `path:byte n`.

    JSON of traces in the usual form is protobuf already; the signal is named then.
    """

    content: bytes | dict[str, Any]
    place: str
    signal: Signal | None = None


def messages(path: Path, raw: BinaryIO) -> Iterator[Message]:
    """The messages of a recording.

    Args:
        path: what errors name.
        raw: the open file; it is read in pieces.

    Raises:
        ValueError: `path:line: what, and the mend`.
    """
    stream = _unpacked(io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER))
    try:
        head = stream.peek(1024)
        if _JSON.match(head) or not head.strip():
            yield from _json_objects(path, stream)
        else:
            yield from _frames(path, stream)
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise ValueError(f"{path}: cannot be read on ({error}); record or copy it anew") from error


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    magic = raw.peek(4)[:4]
    if magic.startswith(_GZIP):
        return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)), _BUFFER)
    if magic == _ZSTD:
        return io.BufferedReader(_ZstdFrames(raw), _BUFFER)
    return raw


class _ZstdFrames(io.RawIOBase):
    """Zstandard frames as one stream; unlike the package's own reader it sees a cut."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._compressed = b""
        self._plain = memoryview(b"")
        self._inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:  # noqa: ANN401 - any writable buffer
        while not self._plain:
            self._compressed = self._compressed or self._raw.read(_ZSTD_PIECE)
            if not self._compressed:
                if self._inside:
                    raise EOFError("its last zstd frame is cut short")
                return 0
            self._plain = memoryview(self._frame.decompress(self._compressed))
            self._inside = not self._frame.eof
            self._compressed = self._frame.unused_data
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        size = min(len(target), len(self._plain))
        target[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size


def _json_objects(path: Path, stream: io.BufferedReader) -> Iterator[Message]:
    first = True
    for number, line in enumerate(_lines(path, stream), 1):
        text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            yield _object(text, f"{path}:{number}")
        except orjson.JSONDecodeError as error:
            if not first:
                raise _bad_line(path, number, line, error) from error
            yield _spread_object(path, number, line, stream, error)
            return
        first = False


def _lines(path: Path, stream: io.BufferedReader) -> Iterator[bytes]:
    """Lines, none of them longer than a message may be."""
    number = 0
    while line := stream.readline(MAX_MESSAGE + 1):
        number += 1
        if len(line) > MAX_MESSAGE:
            raise _too_large(f"{path}:{number}")
        yield line


def _too_large(place: str) -> ValueError:
    return ValueError(f"{place}: over {MAX_MESSAGE} bytes; record smaller batches")


def _spread_object(
    path: Path, number: int, line: bytes, stream: io.BufferedReader, error: Exception
) -> Message:
    """The object that fills the whole file, of which one line is read."""
    second = stream.readline(MAX_MESSAGE + 1)
    if not second or _is_json(second):  # lines after all, and this one is broken
        raise _bad_line(path, number, line, error) from error
    whole = line.removeprefix(_BOM) + second + stream.read(MAX_MESSAGE + 1)
    if len(whole) > MAX_MESSAGE:
        raise _too_large(f"{path}:{number}")
    try:
        return _object(whole, f"{path}:{number}")
    except orjson.JSONDecodeError as broken:
        at = number + broken.lineno - 1
        raise ValueError(f"{path}:{at}: not JSON ({broken.msg}); {_CUT}") from broken


def _is_json(text: bytes) -> bool:
    try:
        loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _object(text: bytes, place: str) -> Message:
    encoded = usual_traces(text)
    if encoded is not None:
        return Message(encoded, place, "traces")
    loaded = loads(text)
    if not isinstance(loaded, dict):
        mend = "write one export request a line"
        raise ValueError(f"{place}: no JSON object; {mend}")  # noqa: TRY004 - one kind for callers
    return Message(loaded, place)


def _bad_line(path: Path, number: int, line: bytes, error: Exception) -> ValueError:
    mend = "write one export request a line, or drop this one" if line.endswith(b"\n") else _CUT
    return ValueError(f"{path}:{number}: not JSON ({error}); {mend}")


class _Rewindable:
    """A stream that can be read again from its start until `keep` is set to False."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._seen = bytearray()
        self.position = 0
        self.keep = True

    def read(self, size: int) -> bytes:
        part = bytes(self._seen[self.position : self.position + size])
        if len(part) < size:
            more = self._stream.read(size - len(part))
            part += more
            if self.keep:
                self._seen += more
        self.position += len(part)
        if not self.keep and self.position >= len(self._seen):
            self._seen.clear()
        return part


def _frames(path: Path, stream: io.BufferedReader) -> Iterator[Message]:
    if not stream.peek(1):
        return
    source = _Rewindable(stream)
    read_length = _LENGTHS[_framing(path, source)]
    source.position, source.keep = 0, False
    while True:
        start = source.position
        place = f"{path}:byte {start}"
        size = read_length(source)
        if size is None and source.position == start:
            return
        if size is None or size > MAX_MESSAGE:
            raise ValueError(f"{place}: no length of a message; {_CUT}")
        body = source.read(size)
        if len(body) < size:
            raise ValueError(f"{place}: {len(body)} of a message's {size} bytes; {_CUT}")
        yield _message(place, body)


def _framing(path: Path, source: _Rewindable) -> Framing:
    """The framing under which the first message that is not empty looks like an export request."""
    first = source.read(1)
    likely: list[Framing] = ["four bytes", "varint"] if first == b"\0" else ["varint", "four bytes"]
    for framing in likely:
        source.position = start = 0
        size: int | None = 0
        while size == 0 and source.position < MAX_MESSAGE:
            start = source.position
            size = _LENGTHS[framing](source)
        if size is None and source.position == start:  # nothing but empty messages
            return framing
        if size is not None and size <= MAX_MESSAGE:
            body = source.read(size)
            if len(body) == size and _is_message(body):
                return framing
    raise ValueError(
        f"{path}: neither OTLP's JSON nor protobuf messages after their lengths; "
        "record with the Collector's file exporter, or one export request a line"
    )


def _is_message(body: bytes) -> bool:
    return body.startswith(_ZSTD) or bool(_JSON.match(body)) or _signals.is_plausible(body)


def _message(place: str, body: bytes) -> Message:
    if body.startswith(_ZSTD):
        with zstandard.ZstdDecompressor().stream_reader(body) as reader:
            body = reader.read(MAX_MESSAGE + 1)
        if len(body) > MAX_MESSAGE:
            raise _too_large(place)
    if not _JSON.match(body):
        return Message(body, place)
    try:
        return _object(body, place)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON ({error}); {_CUT}") from error


def _four_bytes(source: _Rewindable) -> int | None:
    head = source.read(4)
    return int.from_bytes(head, "big") if len(head) == 4 else None


def _varint(source: _Rewindable) -> int | None:
    value = 0
    for index in range(5):
        part = source.read(1)
        if not part:
            return None
        value |= (part[0] & 127) << (7 * index)
        if part[0] < 128:
            return value
    return None


_LENGTHS: dict[Framing, Callable[[_Rewindable], int | None]] = {
    "four bytes": _four_bytes,
    "varint": _varint,
}
