"""One pass over OTLP wire bytes: wanted fields into arrays, all else checked and passed over.

The kernel reads the usual forms of the protobuf encoding. Whatever is unusual (groups, tags of more
than two bytes, deep nesting, any error, invalid UTF-8) it does not judge: it stops in front of that
payload and leaves it to the official parser (`engine.columns._walk`). So it must only never be wrong about
what it accepts. Which fields are text and which are messages it reads from `schema`, made from the
official descriptors (`engine.columns._plan`).

`decode` reads what is wanted; `find_content` finds what must not be stored, and `blank` overwrites it.
They share this file because numba's cache looks for changes in the file of the entry alone.

Every function here is plain Python, too: there `byte` and `word` check every access, by which the
tests show that no input makes the kernel read outside the buffer.

Wire format: https://protobuf.dev/programming-guides/encoding/.
Well-formed UTF-8: table 3-7 of the Unicode standard.
"""

# Flat, and in the words that numba compiles well:
# ruff: noqa: C901, PLR0911, PLR0912, PLR0915, PLR1714, SIM110

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

from slo.columns import Kind

STRING, INT, FLOAT, BOOL, OTHER = (
    int(kind) for kind in (Kind.STRING, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.OTHER)
)
# What `found` holds of an array, from `BITS` to `STOP`; a column never does.
ARRAY = 6
AS_SENT, FIRST, DIGEST = range(3)
# Rows of `schema`; the messages below these are only scanned and have whatever rows follow.
REQUEST, RESOURCE_SPANS, RESOURCE, SCOPE_SPANS, SPAN, STATUS, KEY_VALUE, ANY_VALUE = range(8)
# Cells of `schema`: 0 is no text, then text, then SUBMESSAGE + the row of the message.
TEXT, SUBMESSAGE = 1, 2
ABSENT = np.uint64(255)
MAX_PROBES = 128

Bytes = NDArray[np.uint8]
Int64s = NDArray[np.int64]
Uint64s = NDArray[np.uint64]

ZERO, ONE, EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
HIGH_BITS = np.uint64(0x8080808080808080)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT_32, SHIFT_56 = np.uint64(32), np.uint64(56)
FOUR_BYTES = np.uint64(0xFFFFFFFF)


# Columns of the arrays below.
KEY_START, KEY_STOP, NEXT_KEY, FIRST_TARGET, LAST_TARGET = range(5)
RANK, KIND, BITS, STOP = range(4)
START, END, TRACE_HIGH, TRACE_LOW, NAME, SPAN_KIND, STATUS_CODE, SPAN_ID, PARENT_ID = range(9)
SPAN_COLUMNS = 9
COUNT, SEED = range(2)
# For content: cells of its schema (0, a field nobody knows, is blanked; from `BELOW` on the row of a
# message), answers, columns of the arrays, what a place holds.
KEPT, PAIR, BELOW = 1, 2, 3
PAIR_ROW = 1
UNUSUAL, FULL, DEEPER = -1, -2, -3
HEAD_START, HEAD_STOP, TAIL_STOP, STARRED, NEXT_NAME = range(5)
AT, DEPTH, DONE = range(3)
TEXT_PLACE, VALUE_PLACE = range(2)
LONG, SHORT = range(2)
NAME_SLOTS, NAME_SHIFT = 1024, 54


class Plan(NamedTuple):
    """Attribute keys to look for.

    Attributes:
        slots: `int32[256]`, a hash table of first keys; -1 where there is none.
        keys: `int64[keys, 5]`: `KEY_START` to `KEY_STOP` of the text, `NEXT_KEY` of the slot or -1,
            `FIRST_TARGET` to `LAST_TARGET` (exclusive).
        targets: `int64[targets, 2]`: a field that takes the key's value, and the key's rank there.
        text: the keys, one after the other.
    """

    slots: NDArray[np.int32]
    keys: Int64s
    targets: Int64s
    text: Bytes


class Strings(NamedTuple):
    """The distinct strings.

    Attributes:
        table: hash table (its size a power of two) of string numbers + 1.
        places: `int64[strings, 2]`, from and to in the data.
        state: `uint64[2]`: `COUNT` of strings so far, `SEED` of the hash.
    """

    table: NDArray[np.int32]
    places: Int64s
    state: Uint64s


class Job(NamedTuple):
    """All that one call works with; fields of the span first, the resource's from `span_fields`.

    Attributes:
        event_plan: names of span events; the targets of each take the time of the first of them.
        exception: the key among them whose events' attributes are read, too, or -1.
        exception_plan: the keys of those.
        found: `uint64[fields, 4]`, the values of the span at hand: `RANK` of the key, `KIND`,
            `BITS` (where a string starts in the data), `STOP` (of the string).
        spans: `uint64[spans, SPAN_COLUMNS]`, zeros: columns `START` to `PARENT_ID`.
        kinds: `uint8[fields, spans]`, zeros.
        bits: `uint64[fields, spans]`, zeros.
        forms: `uint8[fields]`: `AS_SENT`, `FIRST` where the first element of an array is taken, `DIGEST`
            where a digest of a text is.
        schema: `uint8[messages, field numbers]`, what the field holds.
        stack: `int64[depth, 2]`, room for `scan`.
    """

    span_fields: int
    wants_name: bool
    span_plan: Plan
    resource_plan: Plan
    event_plan: Plan
    exception: int
    exception_plan: Plan
    found: Uint64s
    spans: Uint64s
    kinds: Bytes
    bits: Uint64s
    strings: Strings
    forms: Bytes
    schema: Bytes
    stack: Int64s


class Names(NamedTuple):
    """Attribute names that mean content, each a head and, where it has a star, a tail.

    Attributes:
        slots: `int32[2, NAME_SLOTS]`, hash tables of first names over the first eight bytes (`LONG`), and
            over the first four of names with an early star (`SHORT`); -1 where there is none.
        patterns: `int64[names, 5]`: `HEAD_START` to `HEAD_STOP` and on to `TAIL_STOP` of the text, `STARRED`,
            `NEXT_NAME` of the slot or -1.
        others: where the names begin that win over those before.
        text: the names, one after the other.
    """

    slots: NDArray[np.int32]
    patterns: Int64s
    others: int
    text: Bytes


def byte(data: Bytes, position: int) -> int:
    """The byte at `position`; compiled, a bare load that the caller has checked."""
    if not 0 <= position < data.size:
        raise IndexError(f"byte {position} of {data.size}")
    return int(data[position])


def word(data: Bytes, position: int) -> np.uint64:
    """The eight bytes at `position`, little-endian; compiled, a load the caller has checked."""
    if not 0 <= position <= data.size - 8:
        raise IndexError(f"bytes {position} to {position + 8} of {data.size}")
    return np.uint64(int.from_bytes(data[position : position + 8].tobytes(), "little"))


def _loader(bits: int, result: Any) -> Any:  # noqa: ANN401 - numba's own objects
    @intrinsic
    def load(_typing: Any, data: Any, _position: Any) -> Any:  # noqa: ANN401 - numba's own objects
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(array.data, [arguments[1]])
            cell = ir.IntType(bits)
            value = builder.load(builder.bitcast(place, cell.as_pointer()), typ=cell)
            value.align = 1
            return builder.zext(value, ir.IntType(64)) if bits < 64 else value

        return result(data, types.intp), generate

    return load


_load_byte = _loader(8, types.int64)
_load_word = _loader(64, types.uint64)


@overload(byte, strict=False)
def _byte(data: Any, position: Any) -> Any:  # noqa: ANN401, ARG001 - the shape numba asks for
    return lambda data, position: _load_byte(data, position)  # noqa: PLW0108 - numba compiles it


@overload(word, strict=False)
def _word(data: Any, position: Any) -> Any:  # noqa: ANN401, ARG001 - the shape numba asks for
    return lambda data, position: _load_word(data, position)  # noqa: PLW0108 - numba compiles it


# Both say everything: options left open are taken from each caller, and compiled once for each.
_inlined = register_jitable(forceinline=True, nogil=True, _nrt=False)
_called = register_jitable(forceinline=False, nogil=True, _nrt=False)
# Without reference counts (`_nrt`): those of two dozen arrays a call cost more than the reading.
# Numba documents the option for `register_jitable`; its stubs omit it.
_entry: Any = njit(nogil=True, cache=True, _nrt=False)  # type: ignore[call-overload]


@_inlined
def signed(value: np.generic) -> int:
    """A number to count and index with; plain `int` would stay unsigned when compiled."""
    return np.int64(value)  # type: ignore[return-value]  # as good as an int


@_inlined
def read_tag(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """(tag, next position); (-1, -1) where there is none of one or two bytes."""
    if position < end:
        first = byte(data, position)
        if first < 128:
            return first, position + 1
        if position + 1 < end:
            second = byte(data, position + 1)
            if second < 128:
                return (first & 127) | (second << 7), position + 2
    return -1, -1


@_inlined
def read_length(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """(start, stop) of a length-delimited value; (-1, -1) where it does not lie before `end`."""
    if position >= end:
        return -1, -1
    length = byte(data, position)
    if length >= 128:
        return read_long_length(data, position, end)
    if length > end - position - 1:
        return -1, -1
    return position + 1, position + 1 + length


@_called
def read_long_length(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """`read_length` of up to five bytes."""
    length = 0
    for index in range(5):
        if position >= end:
            return -1, -1
        part = byte(data, position)
        position += 1
        length |= (part & 127) << (7 * index)
        if part < 128:
            if length > end - position:
                return -1, -1
            return position, position + length
    return -1, -1


@_inlined
def read_varint(data: Bytes, position: int, end: int) -> tuple[np.uint64, int]:
    """(value, next position) of a varint cut to 64 bits; (0, -1) where none of up to ten bytes."""
    if position >= end:
        return ZERO, -1
    value = byte(data, position)
    if value < 128:
        return np.uint64(value), position + 1
    return read_long_varint(data, position, end)


@_called
def read_long_varint(data: Bytes, position: int, end: int) -> tuple[np.uint64, int]:
    """`read_varint` of several bytes."""
    value = ZERO
    for index in range(10):
        if position >= end:
            return ZERO, -1
        part = byte(data, position)
        position += 1
        value |= np.uint64(part & 127) << np.uint64(7 * index)
        if part < 128:
            return value, position
    return ZERO, -1


@_inlined
def low_bytes(data: Bytes, start: int, size: int) -> np.uint64:
    """Fewer than eight bytes as a word, zeros above."""
    if start + 8 <= data.size:
        return word(data, start) & ((ONE << (EIGHT * np.uint64(size))) - ONE)
    return last_bytes(data, start, size)


@_called
def last_bytes(data: Bytes, start: int, size: int) -> np.uint64:
    """`low_bytes` where no whole word is left to read."""
    value = ZERO
    for index in range(size):
        value |= np.uint64(byte(data, start + index)) << (EIGHT * np.uint64(index))
    return value


@_inlined
def is_utf8(data: Bytes, start: int, stop: int) -> bool:
    """Whether the bytes are well-formed UTF-8; words first, as most text is ASCII."""
    if stop - start < 8:
        high = low_bytes(data, start, stop - start)
    else:
        high = word(data, stop - 8)
        position = start
        while position < stop - 8:
            high |= word(data, position)
            position += 8
    if high & HIGH_BITS == ZERO:
        return True
    return is_utf8_beyond_ascii(data, start, stop)


@_called
def is_utf8_beyond_ascii(data: Bytes, start: int, stop: int) -> bool:
    """`is_utf8` by Unicode's table of well-formed sequences."""
    position = start
    while position < stop:
        first = byte(data, position)
        if first < 0x80:
            position += 1
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if position + more >= stop:
            return False
        second = byte(data, position + 1)
        lowest = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        highest = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if second < lowest or second > highest:
            return False
        for index in range(2, more + 1):
            if byte(data, position + index) & 0xC0 != 0x80:
                return False
        position += more + 1
    return True


@_inlined
def same(data: Bytes, start: int, other: Bytes, begin: int, size: int) -> bool:
    """Whether `size` bytes of `data` and of `other` are equal."""
    if size < 8:
        return bool(low_bytes(data, start, size) == low_bytes(other, begin, size))
    offset = 0
    while offset < size - 8:
        if word(data, start + offset) != word(other, begin + offset):
            return False
        offset += 8
    return bool(word(data, start + size - 8) == word(other, begin + size - 8))


@_inlined
def mix(value: np.uint64) -> np.uint64:
    """One step of a multiplicative hash."""
    value *= MULTIPLIER
    return value ^ (value >> SHIFT_32)


@_inlined
def intern(data: Bytes, start: int, stop: int, strings: Strings) -> int:
    """The number of a string among the distinct ones; -1 where the hash table is under attack."""
    size = stop - start
    code = strings.state[SEED] ^ np.uint64(size)
    if size < 8:
        code = mix(code ^ low_bytes(data, start, size))
    else:
        position = start
        while position < stop - 8:
            code = mix(code ^ word(data, position))
            position += 8
        code = mix(code ^ word(data, stop - 8))
    mask = strings.table.size - 1
    slot = signed(mix(code) >> ONE) & mask
    for _ in range(MAX_PROBES):
        number = signed(strings.table[slot]) - 1
        if number < 0:
            number = signed(strings.state[COUNT])
            if number >= strings.places.shape[0]:
                return -1
            strings.state[COUNT] = np.uint64(number + 1)
            strings.places[number, 0] = start
            strings.places[number, 1] = stop
            strings.table[slot] = number + 1
            return number
        begin = strings.places[number, 0]
        if strings.places[number, 1] - begin == size and same(data, start, data, begin, size):
            return number
        slot = (slot + 1) & mask
    return -1


@_called
def scan(data: Bytes, position: int, end: int, message: int, schema: Bytes, stack: Int64s) -> bool:
    """Whether a message and all below it are well formed, without recursion."""
    top = 0
    stack[0, 0] = end
    stack[0, 1] = message
    while True:
        end = stack[top, 0]
        message = stack[top, 1]
        if position == end:
            if top == 0:
                return True
            top -= 1
            continue
        tag, position = read_tag(data, position, end)
        wire = tag & 7
        number = tag >> 3
        if number <= 0:
            return False
        if wire == 0:
            _, position = read_varint(data, position, end)
            if position < 0:
                return False
        elif wire == 1 or wire == 5:
            position += 8 if wire == 1 else 4
            if position > end:
                return False
        elif wire == 2:
            start, stop = read_length(data, position, end)
            if start < 0:
                return False
            action = schema[message, number] if number < schema.shape[1] else 0
            if action >= SUBMESSAGE:
                top += 1
                if top == stack.shape[0]:
                    return False
                stack[top, 0] = stop
                stack[top, 1] = action - SUBMESSAGE
                position = start
            else:
                if action == TEXT and not is_utf8(data, start, stop):
                    return False
                position = stop
        else:
            return False


@_called
def pass_over(
    data: Bytes, position: int, end: int, tag: int, message: int, schema: Bytes, stack: Int64s
) -> int:
    """The position after an unwanted field, checked; -1 where it is not well formed."""
    wire = tag & 7
    number = tag >> 3
    if number <= 0:
        return -1
    if wire == 0:
        _, position = read_varint(data, position, end)
        return position
    if wire == 1 or wire == 5:
        position += 8 if wire == 1 else 4
        return position if position <= end else -1
    if wire != 2:
        return -1
    start, stop = read_length(data, position, end)
    if start < 0:
        return -1
    action = schema[message, number] if number < schema.shape[1] else 0
    if action == TEXT:
        return stop if is_utf8(data, start, stop) else -1
    if action >= SUBMESSAGE:
        return stop if scan(data, start, stop, action - SUBMESSAGE, schema, stack) else -1
    return stop


@_inlined
def find_key(data: Bytes, start: int, stop: int, plan: Plan) -> int:
    """The wanted key that stands here, or -1."""
    size = stop - start
    last = word(data, stop - 8) if size >= 8 else low_bytes(data, start, size)
    slot = signed(((last ^ np.uint64(size)) * MULTIPLIER) >> SHIFT_56)
    key = signed(plan.slots[slot])
    while key >= 0:
        begin = plan.keys[key, KEY_START]
        if plan.keys[key, KEY_STOP] - begin == size and same(data, start, plan.text, begin, size):
            return key
        key = signed(plan.keys[key, NEXT_KEY])
    return -1


@_inlined
def read_attribute(data: Bytes, position: int, end: int, plan: Plan, job: Job) -> bool:
    """Read a KeyValue, keep its value where its key is wanted; False where it is not well formed.

    A repeated `value` continues the AnyValue before it, as protobuf merges messages.
    """
    key_start, key_stop = 0, 0
    kind, bits, stop = OTHER, ZERO, 0
    while position < end:
        tag, position = read_tag(data, position, end)
        if tag == 0x0A:
            key_start, key_stop = read_length(data, position, end)
            if key_start < 0 or not is_utf8(data, key_start, key_stop):
                return False
            position = key_stop
            continue
        if tag != 0x12:
            position = pass_over(data, position, end, tag, KEY_VALUE, job.schema, job.stack)
            if position < 0:
                return False
            continue
        inner, position = read_length(data, position, end)
        if inner < 0:
            return False
        while inner < position:
            tag, inner = read_tag(data, inner, position)
            if tag == 0x0A:
                start, stop = read_length(data, inner, position)
                if start < 0 or not is_utf8(data, start, stop):
                    return False
                kind, bits, inner = STRING, np.uint64(start), stop
            elif tag == 0x18 or tag == 0x10:
                bits, inner = read_varint(data, inner, position)
                if inner < 0:
                    return False
                kind = INT
                if tag == 0x10:
                    kind, bits = BOOL, (ZERO if bits == ZERO else ONE)
            elif tag == 0x21:
                if position - inner < 8:
                    return False
                kind, bits = FLOAT, word(data, inner)
                inner += 8
            else:
                if tag == 0x2A:
                    if kind == ARRAY:  # they are merged
                        return False
                    start, stop = read_length(data, inner, position)
                    kind, bits = ARRAY, np.uint64(start)
                elif tag == 0x32 or tag == 0x3A or tag == 0x40:
                    kind, bits = OTHER, ZERO
                inner = pass_over(data, inner, position, tag, ANY_VALUE, job.schema, job.stack)
                if inner < 0:
                    return False
    key = find_key(data, key_start, key_stop, plan)
    if key >= 0:
        for target in range(plan.keys[key, FIRST_TARGET], plan.keys[key, LAST_TARGET]):
            field = plan.targets[target, 0]
            rank = np.uint64(plan.targets[target, 1])
            if rank <= job.found[field, RANK]:
                job.found[field, RANK] = rank
                job.found[field, KIND] = np.uint64(kind)
                job.found[field, BITS] = bits
                job.found[field, STOP] = np.uint64(stop)
    return True


@_called
def digest(data: Bytes, start: int, stop: int) -> np.uint64:
    """A number that stands for a text, the same everywhere."""
    code = np.uint64(stop - start)
    position = start
    while position + 8 <= stop:
        code = mix(code ^ word(data, position))
        position += 8
    return mix(code ^ low_bytes(data, position, stop - position)) | ONE


@_called
def first_element(data: Bytes, position: int, end: int) -> tuple[int, np.uint64, int]:
    """(kind, bits, stop) of the first value in an ArrayValue that was scanned, as in `Job.found`."""
    while position < end:
        tag, inner, position = next_field(data, position, end)
        if tag != 0x0A:
            continue
        stop = position
        kind, bits, text_stop = OTHER, ZERO, 0
        while inner < stop:
            tag, start, following = next_field(data, inner, stop)
            if tag == 0x0A:
                kind, bits, text_stop = STRING, np.uint64(start), following
            elif tag == 0x18 or tag == 0x10:
                bits, _ = read_varint(data, start, stop)
                kind = INT
                if tag == 0x10:
                    kind, bits = BOOL, (ZERO if bits == ZERO else ONE)
            elif tag == 0x21:
                kind, bits = FLOAT, word(data, start)
            elif tag == 0x2A or tag == 0x32 or tag == 0x3A or tag == 0x40:
                kind, bits = OTHER, ZERO
            inner = following
        return kind, bits, text_stop
    return OTHER, ZERO, 0


@_inlined
def settle(data: Bytes, field: int, first_row: int, row: int, job: Job) -> bool:
    """Write a found value, if any, into rows; False where a string could not be interned."""
    if job.found[field, RANK] == ABSENT:
        return True
    kind = signed(job.found[field, KIND])
    bits = job.found[field, BITS]
    stop = signed(job.found[field, STOP])
    if kind == ARRAY:
        kind, start, bits = OTHER, signed(bits), ZERO
        if job.forms[field] == FIRST:
            kind, bits, stop = first_element(data, start, stop)
    if kind == STRING and job.forms[field] == DIGEST:
        kind, bits = INT, digest(data, signed(bits), stop)
    if kind == STRING:
        number = intern(data, signed(bits), stop, job.strings)
        if number < 0:
            return False
        bits = np.uint64(number)
    for target in range(first_row, row):
        job.kinds[field, target] = kind
        job.bits[field, target] = bits
    return True


@_called
def read_status(
    data: Bytes, position: int, end: int, row: int, spans: Uint64s, schema: Bytes, stack: Int64s
) -> bool:
    """Read a Status into its row; False where it is not well formed."""
    while position < end:
        tag, position = read_tag(data, position, end)
        if tag == 0x18:
            spans[row, STATUS_CODE], position = read_varint(data, position, end)
        else:
            position = pass_over(data, position, end, tag, STATUS, schema, stack)
        if position < 0:
            return False
    return True


@_called
def read_event(data: Bytes, position: int, end: int, job: Job) -> bool:
    """Take what is wanted of an Event that was scanned; False where it is unusual."""
    name_start, name_stop, when = 0, 0, ZERO
    start = position
    while position < end:
        tag, inner, position = next_field(data, position, end)
        if tag == 0x09:
            when = word(data, inner)
        elif tag == 0x12:
            name_start, name_stop = inner, position
    key = find_key(data, name_start, name_stop, job.event_plan)
    if key < 0:
        return True
    for target in range(
        job.event_plan.keys[key, FIRST_TARGET], job.event_plan.keys[key, LAST_TARGET]
    ):
        field = job.event_plan.targets[target, 0]
        if job.found[field, RANK] == ABSENT or when < job.found[field, BITS]:
            job.found[field, RANK] = ZERO
            job.found[field, KIND] = np.uint64(INT)
            job.found[field, BITS] = when
    if key == job.exception:
        position = start
        while position < end:
            tag, inner, position = next_field(data, position, end)
            if tag == 0x1A and not read_attribute(data, inner, position, job.exception_plan, job):
                return False
    return True


@_called
def read_span(data: Bytes, position: int, end: int, row: int, job: Job) -> bool:
    """Read a Span into its row, which is zeros; False where it is not well formed."""
    for field in range(job.span_fields):
        job.found[field, RANK] = ABSENT
    name_start, name_stop = 0, 0
    while position < end:
        tag, position = read_tag(data, position, end)
        if tag == 0x4A:
            start, position = read_length(data, position, end)
            if start < 0 or not read_attribute(data, start, position, job.span_plan, job):
                return False
        elif tag == 0x39 or tag == 0x41:
            if end - position < 8:
                return False
            if tag == 0x39:
                job.spans[row, START] = word(data, position)
            else:
                job.spans[row, END] = word(data, position)
            position += 8
        elif tag == 0x0A:
            start, position = read_length(data, position, end)
            if start < 0:
                return False
            whole = position - start == 16
            job.spans[row, TRACE_HIGH] = word(data, start) if whole else ZERO
            job.spans[row, TRACE_LOW] = word(data, start + 8) if whole else ZERO
        elif tag == 0x2A:
            name_start, name_stop = read_length(data, position, end)
            if name_start < 0 or not is_utf8(data, name_start, name_stop):
                return False
            position = name_stop
        elif tag == 0x12 or tag == 0x22:
            start, position = read_length(data, position, end)
            if start < 0:
                return False
            code = word(data, start) if position - start == 8 else ZERO
            if tag == 0x12:
                job.spans[row, SPAN_ID] = code
            else:
                job.spans[row, PARENT_ID] = code
        elif tag == 0x30:
            job.spans[row, SPAN_KIND], position = read_varint(data, position, end)
            if position < 0:
                return False
        elif tag == 0x7A:
            start, position = read_length(data, position, end)
            if start < 0 or not read_status(
                data, start, position, row, job.spans, job.schema, job.stack
            ):
                return False
        else:
            start = position
            position = pass_over(data, position, end, tag, SPAN, job.schema, job.stack)
            if position < 0:
                return False
            if tag == 0x5A and job.event_plan.keys.shape[0] > 0:
                start, _ = read_length(data, start, end)
                if not read_event(data, start, position, job):
                    return False
    if job.wants_name:
        number = intern(data, name_start, name_stop, job.strings)
        if number < 0:
            return False
        job.spans[row, NAME] = np.uint64(number)
    for field in range(job.span_fields):
        if not settle(data, field, row, row + 1, job):
            return False
    return True


@_called
def read_resource(data: Bytes, position: int, end: int, job: Job) -> bool:
    """Read a Resource's attributes; False where it is not well formed."""
    while position < end:
        tag, position = read_tag(data, position, end)
        if tag == 0x0A:
            start, position = read_length(data, position, end)
            if start < 0 or not read_attribute(data, start, position, job.resource_plan, job):
                return False
        else:
            position = pass_over(data, position, end, tag, RESOURCE, job.schema, job.stack)
            if position < 0:
                return False
    return True


@_called
def next_field(data: Bytes, position: int, end: int) -> tuple[int, int, int]:
    """(tag, start of the value, next position); the last is -1 where it is not well formed."""
    tag, position = read_tag(data, position, end)
    wire = tag & 7
    start = position
    if wire == 2:
        start, position = read_length(data, position, end)
    elif wire == 0:
        _, position = read_varint(data, position, end)
    elif wire == 1 or wire == 5:
        position += 8 if wire == 1 else 4
        if position > end:
            position = -1
    else:
        position = -1
    return tag, start, position


@_entry  # type: ignore[untyped-decorator]  # see `_entry`
def count(data: Bytes, offsets: Int64s) -> int:
    """Spans in all payloads, as far as each is well formed.

    Payload i is bytes `offsets[i]` to `offsets[i + 1]` of the data.
    """
    spans = 0
    for payload in range(offsets.size - 1):
        outer, outer_end = offsets[payload], offsets[payload + 1]
        while 0 <= outer < outer_end:
            tag, middle, outer = next_field(data, outer, outer_end)
            if tag != 0x0A:
                continue
            while 0 <= middle < outer:
                tag, inner, middle = next_field(data, middle, outer)
                if tag != 0x12:
                    continue
                while 0 <= inner < middle:
                    tag, _, inner = next_field(data, inner, middle)
                    if tag == 0x12:
                        spans += 1
    return spans


@_entry  # type: ignore[untyped-decorator]  # see `_entry`
def decode(data: Bytes, offsets: Int64s, first: int, row: int, job: Job) -> tuple[int, int, int]:
    """Read payloads from `first` on, up to one that the kernel does not judge, into rows from `row` on.

    Returns:
        (payload in front of which it stopped, rows written, distinct strings); all payloads were
        read where the first is `offsets.size - 1`.
    """
    schema, stack = job.schema, job.stack
    for payload in range(first, offsets.size - 1):
        known = signed(job.strings.state[COUNT])
        stopped = (payload, row, known)
        new_row = row
        outer, end = offsets[payload], offsets[payload + 1]
        while outer < end:  # the request
            tag, outer = read_tag(data, outer, end)
            if tag != 0x0A:
                outer = pass_over(data, outer, end, tag, REQUEST, schema, stack)
                if outer < 0:
                    return stopped
                continue
            middle, outer = read_length(data, outer, end)
            if middle < 0:
                return stopped
            first_row = new_row
            for field in range(job.span_fields, job.found.shape[0]):
                job.found[field, RANK] = ABSENT
            while middle < outer:  # one ResourceSpans
                tag, middle = read_tag(data, middle, outer)
                if tag == 0x0A:
                    start, middle = read_length(data, middle, outer)
                    if start < 0 or not read_resource(data, start, middle, job):
                        return stopped
                    continue
                if tag != 0x12:
                    middle = pass_over(data, middle, outer, tag, RESOURCE_SPANS, schema, stack)
                    if middle < 0:
                        return stopped
                    continue
                inner, middle = read_length(data, middle, outer)
                if inner < 0:
                    return stopped
                while inner < middle:  # one ScopeSpans
                    tag, inner = read_tag(data, inner, middle)
                    if tag != 0x12:
                        inner = pass_over(data, inner, middle, tag, SCOPE_SPANS, schema, stack)
                        if inner < 0:
                            return stopped
                        continue
                    start, inner = read_length(data, inner, middle)
                    if start < 0 or new_row == job.spans.shape[0]:
                        return stopped
                    if not read_span(data, start, inner, new_row, job):
                        return stopped
                    new_row += 1
            for field in range(job.span_fields, job.found.shape[0]):
                if new_row > first_row and not settle(data, field, first_row, new_row, job):
                    return stopped
        row = new_row
    return offsets.size - 1, row, signed(job.strings.state[COUNT])


@_inlined
def fits(data: Bytes, start: int, stop: int, pattern: int, names: Names) -> bool:
    """Whether a name is that of the pattern, or its star's any text makes it so."""
    begin = names.patterns[pattern, HEAD_START]
    middle = names.patterns[pattern, HEAD_STOP]
    head, tail = middle - begin, names.patterns[pattern, TAIL_STOP] - middle
    if names.patterns[pattern, STARRED] == 0:
        return stop - start == head and same(data, start, names.text, begin, head)
    return (
        stop - start >= head + tail
        and same(data, start, names.text, begin, head)
        and same(data, stop - tail, names.text, middle, tail)
    )


@_inlined
def has_name(data: Bytes, start: int, stop: int, head: np.uint64, which: int, names: Names) -> bool:
    """Whether a name with these first bytes is in one of the hash tables."""
    slot = signed((head * MULTIPLIER) >> np.uint64(NAME_SHIFT))
    pattern = signed(names.slots[which, slot])
    while pattern >= 0:
        if fits(data, start, stop, pattern, names):
            return True
        pattern = signed(names.patterns[pattern, NEXT_NAME])
    return False


@_inlined
def is_content(data: Bytes, start: int, stop: int, names: Names) -> bool:
    """Whether an attribute of this name holds content."""
    size = stop - start
    head = word(data, start) if size >= 8 else low_bytes(data, start, size)
    if not has_name(data, start, stop, head, LONG, names) and (
        size < 4 or not has_name(data, start, stop, head & FOUR_BYTES, SHORT, names)
    ):
        return False
    for pattern in range(names.others, names.patterns.shape[0]):
        if fits(data, start, stop, pattern, names):
            return False
    return True


@_inlined
def is_one_scalar(data: Bytes, position: int, end: int) -> bool:
    """Whether an AnyValue is empty or one text, number or truth, with nothing beside it."""
    if position == end:
        return True
    tag = byte(data, position)
    if tag == 0x0A:
        _, position = read_length(data, position + 1, end)
        return position == end
    if tag == 0x10 or tag == 0x18:
        _, position = read_varint(data, position + 1, end)
        return position == end
    return tag == 0x21 and end - position == 9


@_inlined
def add_place(start: int, stop: int, kind: int, places: Int64s, count: int) -> int:
    """How many places there are with this one; `FULL` where there is no room for it."""
    if count == places.shape[0]:
        return FULL
    places[count, 0] = start
    places[count, 1] = stop
    places[count, 2] = kind
    return count + 1


@_called
def find_in_pair(
    data: Bytes, start: int, stop: int, names: Names, places: Int64s, count: int
) -> int:
    """Places to blank of a KeyValue: all that its name, the last of several, does not say.

    Returns:
        places so far, `UNUSUAL`, `FULL`, or `DEEPER`: it is no content, but has more than a scalar in it.
    """
    key_start, key_stop = 0, 0
    deeper = False
    position = start
    while position < stop:
        tag, position = read_tag(data, position, stop)
        if tag & 7 == 2:
            inner, position = read_length(data, position, stop)
            if inner < 0:
                return UNUSUAL
            if tag == 0x0A:
                key_start, key_stop = inner, position
            else:
                deeper |= tag != 0x12 or not is_one_scalar(data, inner, position)
        else:
            position = pass_number(data, position, stop, tag)
            if position < 0:
                return UNUSUAL
    if not is_content(data, key_start, key_stop, names):
        return DEEPER if deeper else count
    position = start
    while position < stop:
        tag, inner, position = next_field(data, position, stop)
        if tag & 7 != 2 or inner == position or inner == key_start:  # noqa: SIM109 - compiles better
            continue
        if tag == 0x12 and position - inner < 2:
            return UNUSUAL
        kind = VALUE_PLACE if tag == 0x12 else TEXT_PLACE
        count = add_place(inner, position, kind, places, count)
        if count < 0:
            return count
    return count


@_inlined
def pass_number(data: Bytes, position: int, end: int, tag: int) -> int:
    """The position after a number; -1 where there is none of the wire types 0, 1 and 5."""
    wire = tag & 7
    if tag < 8:
        return -1
    if wire == 0:
        _, position = read_varint(data, position, end)
        return position
    if wire == 1 or wire == 5:
        position += 8 if wire == 1 else 4
        return position if position <= end else -1
    return -1


@_entry  # type: ignore[untyped-decorator]  # see `_entry`
def find_content(
    data: Bytes, schema: Bytes, names: Names, state: Int64s, stack: Int64s, places: Int64s
) -> int:
    """Places of a checked payload that hold content, or what nobody knows.

    Args:
        data: the payload.
        schema: (message, field number) -> 0, `KEPT`, `PAIR` or `BELOW` + message; `PAIR_ROW` is KeyValue.
        names: of attributes that hold content.
        state: zeros, then where to go on: `AT`, `DEPTH`; `DONE` once all was read.
        stack: `int64[depth, 2]`, room for what lies within each other; kept between calls.
        places: `int64[places, 3]`, room for them: from, to, `TEXT_PLACE` or `VALUE_PLACE`.

    Returns:
        the number of places, or `UNUSUAL` where this payload is left to the official parser.
    """
    position, top = state[AT], state[DEPTH]
    count = 0
    if position == 0:
        stack[0, 0] = data.size
        stack[0, 1] = 0
    while True:
        end = stack[top, 0]
        message = stack[top, 1]
        if position == end:
            if top == 0:
                state[DONE] = 1
                return count
            top -= 1
            continue
        field = position
        tag, position = read_tag(data, position, end)
        if tag & 7 != 2:
            position = pass_number(data, position, end, tag)
            if position < 0:
                return UNUSUAL
            continue
        start, position = read_length(data, position, end)
        if start < 0 or tag < 8:
            return UNUSUAL
        number = tag >> 3
        cell = schema[message, number] if number < schema.shape[1] else 0
        if cell == KEPT or start == position:
            continue
        below, found = cell - BELOW, DEEPER
        if cell == PAIR:
            below, found = PAIR_ROW, find_in_pair(data, start, position, names, places, count)
        elif cell == 0:
            found = add_place(start, position, TEXT_PLACE, places, count)
        if found >= 0:
            count = found
            continue
        if found == FULL and count > 0:
            state[AT] = field
            state[DEPTH] = top
            return count
        if found != DEEPER:
            return UNUSUAL
        top += 1
        if top == stack.shape[0]:
            return UNUSUAL
        stack[top, 0] = position
        stack[top, 1] = below
        position = start


@_entry  # type: ignore[untyped-decorator]  # see `_entry`
def blank(data: Bytes, places: Int64s, count: int, filler: int) -> None:
    """Overwrite places with a filler, an ASCII character; an AnyValue becomes a text of the same size.

    The length in front of that text takes as many bytes as make it end where the value ended.
    """
    for place in range(count):
        position, stop = places[place, 0], places[place, 1]
        if places[place, 2] == VALUE_PLACE:
            data[position] = 0x0A
            position += 1
            width = 1
            while (stop - position - width) >> (7 * width) > 0:
                width += 1
            length = stop - position - width
            for index in range(width):
                more = 128 if index < width - 1 else 0
                data[position + index] = (length >> (7 * index)) & 127 | more
            position += width
        data[position:stop] = filler
