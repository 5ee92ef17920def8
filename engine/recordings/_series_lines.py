"""The lines of a series' file, as they come; what is no text of lines is refused."""

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_LINE = 1 << 20
_CHUNK = 1 << 16
_MAGICS = {
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"\x1f\x8b": "compressed; unpack it with gzip -d",
    b"\x28\xb5": "compressed; unpack it with zstd -d",
    b"PK": "an archive or a workbook; unpack it, or save the sheet as CSV",
}


class BadSeries(Exception):  # noqa: N818  reads as what it says
    """A file that can't be used, or not further: `path:line: what; mend`."""


@dataclass(slots=True)
class Lines:
    """Lines of a stream, without their line feeds.

    Attributes:
        stream: the open file or pipe.
        name: what messages call it.
        heard: told the number of bytes of each piece that was read.
        waiting: the next line has to be read from the stream.
    """

    stream: io.BufferedIOBase
    name: str
    heard: Callable[[int], None]
    waiting: bool = False

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        rest, number, first = "", 0, True
        while chunk := self.stream.read1(_CHUNK):
            self.heard(len(chunk))
            if first:
                self._refuse_other_formats(chunk)
                first = False
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            number += len(lines)
            if len(rest) > MAX_LINE:
                raise BadSeries(
                    f"{self.name}:{number + 1}: a line of over {MAX_LINE} characters; "
                    "write a row a line"
                )
            if lines:
                yield from lines[:-1]
                self.waiting = True
                yield lines[-1]
                self.waiting = False
        if rest:
            self.waiting = True
            yield rest

    def _refuse_other_formats(self, chunk: bytes) -> None:
        for magic, what in _MAGICS.items():
            if chunk.startswith(magic):
                raise BadSeries(f"{self.name}: this is {what}")
