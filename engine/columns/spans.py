"""OTLP trace payloads to columns: by the kernel, and what that leaves by the official parser."""

import secrets
import threading
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from engine.columns import _kernel, _plan, _walk
from engine.columns.calls import IDS, PARENT_ID, SPAN_ID
from engine.columns.deriving import EXCEPTION, Deriver
from engine.columns.memory import CallMemory
from slo.columns import INTRINSICS, Column, Field, Kind, SpanBatch

_SCHEMA = _plan.schema()
_SEED = secrets.randbits(64)  # so that nobody can send colliding strings
_PIECE = 2 << 20
_THREAD = threading.local()
# Rows to make room for: spans a byte as far as seen plus a quarter, and some.
_LEAST_DENSITY, _SPARE, _LEAST_ROOM = 1 / 2048, 1.25, 256
# Messages within each other that `scan` follows; deeper ones are left to upb, which takes 100.
_MAX_DEPTH = 64
# Bytes of a payload that may be left to upb, whose messages take far more memory than columns. No
# sender writes what the kernel leaves: groups, tags of more than two bytes, JSON 20 levels deep.
_MOST_UNUSUAL = 1 << 20


class Refused(ValueError):  # noqa: N818 - it says what happened to the payload
    """A payload that is no OTLP trace request.

    Attributes:
        index: which of the payloads.
        reason: what the official parser says.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"payload {index} is no ExportTraceServiceRequest: {reason}")
        self.index = index
        self.reason = reason


class Reader:
    """Reads a set of fields out of OTLP trace payloads.

    Args:
        fields: attributes and intrinsics wanted, and fields that are worked out (`slo.llm`); a span
            attribute is also taken from its aliases (`slo.aliases`).

    Raises:
        ValueError: an intrinsic that spans do not have.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self.deriver = Deriver(fields)
        self.wanted = self.deriver.raw
        self._span = [field for field in self.wanted if field.scope == "span"]
        self._resource = [field for field in self.wanted if field.scope == "resource"]
        # What comes of a span's events has a place like its attributes.
        self._span += [field for field in self.wanted if field in self.deriver.events]
        self._span += [field for field in self.wanted if field in self.deriver.exceptions]
        self._intrinsics = [
            field for field in self.wanted if field.scope == "intrinsic" and field not in self._span
        ]
        for field in self._intrinsics:
            if field.name not in INTRINSICS and field not in IDS:
                raise ValueError(
                    f"spans have no intrinsic {field.name!r}; there are {', '.join(INTRINSICS)}"
                )
        self._wants_name = Field("intrinsic", "name") in self.wanted
        places = {field: number for number, field in enumerate(self._span)}
        self._span_plan = _plan.plan(
            (places[field], self.wanted[field]) for field in self._span if field.scope == "span"
        )
        events = {name: places[each] for each, name in self.deriver.events.items()}
        exceptions = {name: places[each] for each, name in self.deriver.exceptions.items()}
        names = [*events, *((EXCEPTION,) if exceptions else ())]
        self._event_plan = _plan.plan_names(names, events)
        self._exception = names.index(EXCEPTION) if exceptions else -1
        self._exception_plan = _plan.plan((at, (name,)) for name, at in exceptions.items())
        numbered = [
            (number, self.wanted[field])
            for number, field in enumerate(self._resource, len(self._span))
        ]
        self._resource_plan = _plan.plan(numbered)
        self._forms = np.array(
            [
                _kernel.DIGEST
                if field in self.deriver.digests
                else _kernel.FIRST
                if field in self.deriver.firsts
                else _kernel.AS_SENT
                for field in (*self._span, *self._resource)
            ],
            np.uint8,
        )
        # Spans a byte, with room to spare; counting them first would be another pass over the bytes.
        self._density = _LEAST_DENSITY

    def read(self, payloads: Sequence[bytes], memory: CallMemory | None = None) -> SpanBatch:
        """The spans of all payloads as one batch, rows in the order of the wire.

        Args:
            payloads: trace requests.
            memory: of the spans read before, so that a call counts once.

        Raises:
            Refused: the first payload that the official parser refuses, too, or that is large and
                of an encoding that nobody uses.
        """
        return self.deriver.derive(self.read_raw(payloads), memory)

    def read_raw(self, payloads: Sequence[bytes]) -> SpanBatch:
        """As `read`, before aliases are normalised and fields worked out.

        Raises:
            Refused: as `read`.
        """
        joined = _Joined(payloads)
        pieces: list[SpanBatch] = []
        first = 0
        while True:
            first, piece = self._decode(joined, first)
            pieces.append(piece)
            if first == len(payloads):
                return pieces[0] if len(pieces) == 1 else concatenate(pieces)
            if len(payloads[first]) > _MOST_UNUSUAL:
                reason = (
                    f"it is damaged, or has odd forms of encoding in over {_MOST_UNUSUAL} bytes"
                )
                raise Refused(first, reason)
            try:
                request = _walk.parse(payloads[first])
            except ValueError as error:
                raise Refused(first, str(error)) from error
            pieces.append(_walk.walk(request, self.deriver))
            first += 1

    def _decode(self, joined: "_Joined", first: int) -> tuple[int, SpanBatch]:
        size = joined.size - int(joined.offsets[first])
        room = int(size * self._density) + _LEAST_ROOM
        job = self._job(room)
        stopped, rows, strings = joined.decode(first, job)
        if stopped < len(joined.payloads):
            # It may have stopped for want of room: spans are smaller than they were so far.
            spans = joined.count(first)
            if spans > room:
                job = self._job(spans)
                stopped, rows, strings = joined.decode(first, job)
        if size:
            self._density = max(rows / size * _SPARE, _LEAST_DENSITY)
        return stopped, self._batch(joined.data, job, rows, strings)

    def _job(self, spans: int) -> _kernel.Job:
        """Room for so many spans; pages of it that are not written to cost nothing."""
        fields = len(self._span) + len(self._resource)
        # Each span has one of each text, its own or its resource's.
        texts = spans * (fields + self._wants_name)
        return _kernel.Job(
            span_fields=len(self._span),
            wants_name=self._wants_name,
            span_plan=self._span_plan,
            resource_plan=self._resource_plan,
            event_plan=self._event_plan,
            exception=self._exception,
            exception_plan=self._exception_plan,
            found=np.empty((fields, 4), np.uint64),
            spans=np.zeros((spans, _kernel.SPAN_COLUMNS), np.uint64),
            kinds=np.zeros((fields, spans), np.uint8),
            bits=np.zeros((fields, spans), np.uint64),
            strings=_kernel.Strings(
                table=np.zeros(1 << max(4, (2 * texts).bit_length()), np.int32),
                places=np.empty((texts, 2), np.int64),
                state=np.array([0, _SEED], np.uint64),
            ),
            forms=self._forms,
            schema=_SCHEMA,
            stack=np.empty((_MAX_DEPTH, 2), np.int64),
        )

    def _batch(
        self, data: bytes | bytearray, job: _kernel.Job, rows: int, strings: int
    ) -> SpanBatch:
        spans = job.spans[:rows]
        columns = {
            field: Column(job.kinds[number, :rows], job.bits[number, :rows].view(np.int64))
            for number, field in enumerate((*self._span, *self._resource))
        }
        for field in self._intrinsics:
            columns[field] = _intrinsic(field.name, spans)
        places = job.strings.places[:strings].tolist()
        traces = spans[:, _kernel.TRACE_HIGH : _kernel.TRACE_LOW + 1]
        return SpanBatch(
            start_ns=spans[:, _kernel.START].copy(),
            end_ns=spans[:, _kernel.END].copy(),
            columns={field: columns[field] for field in self.wanted},
            strings=[data[start:stop].decode() for start, stop in places],
            trace_ids=np.ascontiguousarray(traces).view(np.uint8),
        )


def check(payload: bytes) -> int:
    """The number of spans in a payload.

    Raises:
        Refused: it is no OTLP trace request; its index is 0.
    """
    return len(_CHECKER.read([payload]))


def count(*payloads: bytes) -> int:
    """The number of spans in payloads, as far as they are well formed; dearer to read than to count."""
    joined = _Joined(payloads)
    return joined.count(0)


def concatenate(batches: Sequence[SpanBatch]) -> SpanBatch:
    """Batches of the same fields as one, in their order; equal strings become one."""
    numbers: dict[str, int] = {}
    columns: dict[Field, list[Column]] = {field: [] for field in batches[0].columns}
    for batch in batches:
        places = [numbers.setdefault(text, len(numbers)) for text in batch.strings]
        renumbered = np.array(places, np.int64)
        for field, (kinds, bits) in batch.columns.items():
            is_text = kinds == Kind.STRING
            new_bits = bits.copy()
            new_bits[is_text] = renumbered[bits[is_text]]
            columns[field].append(Column(kinds, new_bits))
    return SpanBatch(
        start_ns=np.concatenate([batch.start_ns for batch in batches]),
        end_ns=np.concatenate([batch.end_ns for batch in batches]),
        columns={
            field: Column(
                np.concatenate([part.kinds for part in parts]),
                np.concatenate([part.bits for part in parts]),
            )
            for field, parts in columns.items()
        },
        strings=list(numbers),
        trace_ids=np.concatenate([batch.trace_ids for batch in batches]),
    )


def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache: some seconds, or a third of one."""
    _CHECKER.read([b""])
    count(b"")


class _Joined:
    """Payloads one after the other in one piece of memory, as the kernel reads them.

    They are copied there just before they are read, some megabytes at a time, while they are in the cache.
    The memory is kept: fresh memory of this size comes page by page from the system, at twenty times the
    price of the copy.
    """

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self.payloads = payloads
        self.offsets = np.array([0, *accumulate(map(len, payloads))], np.int64)
        self.size = int(self.offsets[-1])
        self.data: bytes | bytearray
        if len(payloads) == 1 and type(payloads[0]) is bytes:
            self.data, self._copied = payloads[0], 1
        else:
            self.data, self._copied = _buffer(self.size), 0
        self._target = np.frombuffer(self.data, np.uint8, self.size)
        self._view = self._target.view()
        self._view.flags.writeable = False  # as that of bytes, for which the kernel is compiled

    def decode(self, first: int, job: _kernel.Job) -> tuple[int, int, int]:
        """What `_kernel.decode` makes of the payloads from `first` on."""
        rows, strings = 0, 0
        while first < len(self.payloads):
            until = int(np.searchsorted(self.offsets, self.offsets[first] + _PIECE))
            until = min(max(until, first + 1), len(self.payloads))
            self._copy(until)
            offsets = self.offsets[: until + 1]
            first, rows, strings = _kernel.decode(self._view, offsets, first, rows, job)
            if first < until:
                break
        return first, rows, strings

    def count(self, first: int) -> int:
        """Spans in the payloads from `first` on."""
        self._copy(len(self.payloads))
        return int(_kernel.count(self._view, self.offsets[first:]))

    def _copy(self, until: int) -> None:
        if isinstance(self.data, bytearray):
            for number in range(self._copied, until):
                start, stop = self.offsets[number : number + 2].tolist()
                # As arrays: other workers of the process run meanwhile.
                self._target[start:stop] = np.frombuffer(self.payloads[number], np.uint8)
        self._copied = max(self._copied, until)


def _buffer(size: int) -> bytearray:
    """Memory of this thread, of at least so many bytes."""
    buffer: bytearray | None = getattr(_THREAD, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _THREAD.buffer = bytearray(size)
    return buffer


def _intrinsic(name: str, spans: NDArray[np.uint64]) -> Column:
    match name:
        case "name":
            bits = spans[:, _kernel.NAME].astype(np.int64)
        case "duration":
            bits = (spans[:, _kernel.END] - spans[:, _kernel.START]).view(np.int64)
        case SPAN_ID.name | PARENT_ID.name:
            which = _kernel.SPAN_ID if name == SPAN_ID.name else _kernel.PARENT_ID
            bits = spans[:, which].astype(np.int64)
        case _:  # the wire has enums as 64 bits, of which 32 count
            number = spans[:, _kernel.SPAN_KIND if name == "kind" else _kernel.STATUS_CODE]
            bits = number.astype(np.uint32).view(np.int32).astype(np.int64)
    kind = Kind.STRING if name == "name" else Kind.INT
    return Column(np.full(len(spans), kind, np.uint8), bits)


_CHECKER = Reader(())
