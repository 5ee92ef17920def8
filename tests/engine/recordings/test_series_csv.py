"""Recorded series as people export them, and as nobody should."""

import contextlib
import csv
import io
import itertools
import math
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.recordings import _series_lines
from engine.recordings._timestamps import form_of
from engine.recordings.series_csv import BadSeries, Rows, SeriesReader


class Pieces(io.BufferedIOBase):
    """A stream that gives its bytes in the pieces it is told, as a pipe does."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = (piece for piece in pieces if piece)

    def read1(self, _size: int = -1, /) -> bytes:
        return next(self._pieces, b"")


def read(data: bytes | str, **names: str) -> Rows:
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return joined(SeriesReader(stream, "x.csv", **names))


def joined(reader: SeriesReader) -> Rows:
    whole = Rows()
    for rows in reader.batches():
        assert rows
        for name in ("times", "shown", "at", "values"):
            getattr(whole, name).extend(getattr(rows, name))
    return whole


# A piece of a long header that begins as an archive does.
LONG = "a" * 65_536 + "PK,timestamp,value\n1,1,2.5\n1,2,3\n"
FORMS = {
    "a long name": LONG,
    "plain": "timestamp,value\n1,2.5\n2,3\n",
    "no end of the last line": "timestamp,value\n1,2.5\n2,3",
    "CRLF": "timestamp,value\r\n1,2.5\r\n2,3\r\n",
    "BOM": "\ufefftimestamp,value\n1,2.5\n2,3\n",
    "semicolons": "timestamp;value\n1;2.5\n2;3\n",
    "tabs": "timestamp\tvalue\n1\t2.5\n2\t3\n",
    "quoted": '"timestamp","value"\n"1","2.5"\n"2","3"\n',
    "a separator in a name": '"a;b;c",timestamp,value\nx,1,2.5\nx,2,3\n',
    "other order and columns": "host,Value,note,TIMESTAMP\na,2.5,,1\nb,3,x,2\n",
    "spaces": "timestamp, value\n 1, 2.5 \n2 , 3\n",
    "empty lines": "\n\ntimestamp,value\n\n1,2.5\n\n2,3\n\n",
    "a line end in quotes": 'note,timestamp,value\n"one\ntwo",1,2.5\n"",2,3\n',
    "no UTF-8 elsewhere": b"timestamp,value,\xe9t\xe9\n1,2.5,\xff\n2,3,\xfe\n",
    "time": "time,value\n1,2.5\n2,3\n",
    "ts": "TS,value\n1,2.5\n2,3\n",
    "timestamp goes before date": "date,timestamp,value\nx,1,2.5\ny,2,3\n",
    "longer rows": "timestamp,value\n1,2.5,7\n2,3,8,9\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_files(form: str) -> None:
    rows = read(FORMS[form])
    assert (rows.times, rows.shown) == (["1", "2"], ["2.5", "3"])
    assert (rows.at, rows.values) == ([1.0, 2.0], [2.5, 3.0])


@pytest.mark.parametrize("form", FORMS)
def test_bytes_may_come_in_any_pieces(form: str) -> None:
    whole = FORMS[form]
    data = whole.encode() if isinstance(whole, str) else whole
    bytewise = SeriesReader(Pieces(data[i : i + 1] for i in range(len(data))), "x.csv")
    assert joined(bytewise) == read(data)


def test_columns_that_are_named() -> None:
    data = "Time,ts,value,p99 (ms)\n9,1,7,2.5\n9,2,7,3\n"
    assert read(data, time_column="TS", value_column="P99 (ms)").values == [2.5, 3.0]


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    extra=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=20
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=20),
)
def test_what_is_written_is_read(
    values: list[float], separator: str, end: str, quoting: int, extra: str, cuts: list[int]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(["note", "timestamp", "value"])
    writer.writerows((extra, 60 * i, repr(value)) for i, value in enumerate(values))
    data = text.getvalue().encode()
    places = [0, *sorted(cuts), len(data) + 2000]
    pieces = (data[a:b] for a, b in itertools.pairwise(places))
    rows = joined(SeriesReader(Pieces(pieces), "x.csv"))
    assert rows.at == [60.0 * i for i in range(len(values))]
    assert [repr(value) for value in rows.values] == [repr(value) for value in values]


@pytest.mark.parametrize(
    "text", ["", "NaN", "nan", "null", "NULL", "None", "NA", "n/a", "-", " ", '""', "-nan"]
)
def test_missing_readings(text: str) -> None:
    rows = read(f"value,timestamp\n{text},1\n5,2\n")
    assert rows.shown == ["", "5"]
    assert math.isnan(rows.values[0])


def test_infinities_are_values() -> None:
    assert read("timestamp,value\n1,inf\n2,-Infinity\n3,1e999\n").values == [
        math.inf,
        -math.inf,
        math.inf,
    ]


def test_rows_are_there_when_their_line_ends() -> None:
    """Not when the next one comes: a pipe may be silent for an hour."""
    heard: list[int] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"timestamp,value\n", b"1,2", b".5\n", b"2,3\n3,4\n4", b",5\n"):
            heard.append(len(piece))
            yield piece

    reader = SeriesReader(Pieces(pieces()), "x.csv")
    seen = [(len(heard), rows.values) for rows in reader.batches()]
    assert seen == [(3, [2.5]), (4, [3.0, 4.0]), (5, [5.0])]


def test_a_long_stream_takes_no_memory() -> None:
    def pieces(count: int) -> Iterator[bytes]:
        yield b"timestamp,value\n"
        for i in range(count):
            yield b"".join(b"%d,%d\n" % (i * 1000 + j, j) for j in range(1000))

    def peak(count: int) -> int:
        tracemalloc.start()
        rows = sum(len(rows) for rows in SeriesReader(Pieces(pieces(count)), "x").batches())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert rows == count * 1000
        return most

    assert peak(60) < 1.5 * peak(3)


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moment=MOMENTS, zone=OFFSETS)
@example(moment=datetime(2014, 2, 14, 14, 30, tzinfo=UTC), zone=UTC)
def test_a_moment_in_every_form(moment: datetime, zone: timezone) -> None:
    seconds = moment.timestamp()
    naive, zoned = moment.replace(tzinfo=None), moment.astimezone(zone)
    millis = round(seconds * 1000)
    forms = {
        naive.isoformat(): "ISO 8601 without a zone",
        naive.isoformat(" "): "ISO 8601 without a zone",
        zoned.isoformat(): "ISO 8601 with a zone",
        moment.isoformat().replace("+00:00", "Z"): "ISO 8601 with a zone",
        f"{seconds:.3f}": "Unix time in s",
    }
    if millis >= 10**11:  # in 1973
        forms |= {
            f"{millis}": "Unix time in ms",
            f"{millis}000": "Unix time in µs",
            f"{millis}000000": "Unix time in ns",
            f"{millis}.0": "Unix time in ms",
        }
    for text, name in forms.items():
        form = form_of(text)
        assert form.name == name
        assert form.seconds(text) == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20140214", 1_392_336_000),
        ("201402141430", 1_392_388_200),
        ("20140214143000", 1_392_388_200),
        ("2014-02-14", 1_392_336_000),
        ("2014-02-14T14:30", 1_392_388_200),
        ("2014-02-14T14:30:00,5Z", 1_392_388_200.5),
        ("2014-02-14T14:30:00.123456789+02:00", 1_392_381_000.123456),
        ("0", 0),
        ("-86400", -86_400),
        ("1.392388200e9", 1_392_388_200),
    ],
)
def test_timestamps(text: str, seconds: float) -> None:
    assert form_of(text).seconds(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "nan",
            "inf",
            "-inf",
            "1e30",
            "1_000",
            "2014-13-45",
            "14:30",
            "14.02.2014",
        ),
        *("2014-02-14 25:00", "02/14/2014", "0x10", "tomorrow"),
    ],
)
def test_what_is_no_timestamp(text: str) -> None:
    with pytest.raises(ValueError, match=r"write ISO 8601 .* or Unix time in s, ms, µs or ns"):
        form_of(text)


HEADS = "the first line names the columns: timestamp,value"
BROKEN = {
    "nothing": (b"", f"x.csv: empty; {HEADS}"),
    "blank lines": (b"\n\r\n  \n", f"x.csv: empty; {HEADS}"),
    "no value": (
        b"time,latency,host\n1,2,a\n",
        "x.csv:1: no column value among time, latency, host; rename one, or name it with --value-column",
    ),
    "no time": (
        b"\nwhen,value\n1,2\n",
        (
            "x.csv:2: no column timestamp or time or ts or date or datetime among when, value; "
            "rename one, or name it with --time-column"
        ),
    ),
    "times": (
        b"time,date,value\n",
        (
            "x.csv:1: more than one column of time (time, date); "
            "rename all but one, or choose with --time-column"
        ),
    ),
    "values": (
        b"ts,value,Value\n",
        (
            "x.csv:1: more than one column of value (value, Value); "
            "rename all but one, or choose with --value-column"
        ),
    ),
    "no header": (
        b"1503917220,31.07\n",
        "x.csv:1: no names of columns (1503917220, 31.07); write a first line: timestamp,value",
    ),
    "no header, ISO": (
        b"2014-02-14 14:30:00,3\n",
        "x.csv:1: no names of columns (2014-02-14 14:30:00, 3); write a first line: timestamp,value",
    ),
    "text": (
        b"timestamp,value\n1,2\n2,high\n3,4\n",
        "x.csv:3: 'high' is no number; write one, or nothing where a reading is missing",
    ),
    "Python's digits": (
        b"timestamp,value\n1,1_000\n",
        "x.csv:2: '1_000' is no number; write one, or nothing where a reading is missing",
    ),
    "decimal comma": (
        b"timestamp;value\n1;2,5\n",
        "x.csv:2: '2,5' is no number; write a point before decimals and nothing between thousands",
    ),
    "thousands": (
        b'timestamp,value\n1,"1,234,567"\n',
        (
            "x.csv:2: '1,234,567' is no number; "
            "write a point before decimals and nothing between thousands"
        ),
    ),
    "first time": (
        b"timestamp,value\n14.02.2014,2\n",
        (
            "x.csv:2: '14.02.2014' is no timestamp; "
            "write ISO 8601 (2014-02-14T14:30:00Z) or Unix time in s, ms, µs or ns"
        ),
    ),
    "no time in a row": (
        b"timestamp,value\n1,2\n,3\n",
        (
            "x.csv:3: '' is no timestamp like that of the first row (1, Unix time in s); "
            "write all of them alike"
        ),
    ),
    "mixed forms": (
        b"timestamp,value\n2014-02-14 14:30:00,2\n1392388500,3\n",
        (
            "x.csv:3: '1392388500' is no timestamp like that of the first row "
            "(2014-02-14 14:30:00, ISO 8601 without a zone); write all of them alike"
        ),
    ),
    "mixed zones": (
        b"timestamp,value\n2014-02-14T14:30:00Z,2\n2014-02-14T14:35:00,3\n",
        (
            "x.csv:3: '2014-02-14T14:35:00' is no timestamp like that of the first row "
            "(2014-02-14T14:30:00Z, ISO 8601 with a zone); write all of them alike"
        ),
    ),
    "mixed units": (
        b"timestamp,value\n1392388200000,2\n1392388500,3\n",
        (
            "x.csv:3: '1392388500' is no timestamp like that of the first row "
            "(1392388200000, Unix time in ms); write all of them alike"
        ),
    ),
    "short row": (
        b"timestamp,value\n1,2\n2\n",
        "x.csv:3: only 1 of the header's columns; complete the row or drop it",
    ),
    "line numbers with quotes": (
        b'note,timestamp,value\n"a\nb",1,2\n"c\nd",2,x\n',
        "x.csv:5: 'x' is no number; write one, or nothing where a reading is missing",
    ),
    "UTF-16": ("timestamp,value\n".encode("utf-16"), "x.csv: this is UTF-16; save it as UTF-8"),
    "gzip": (b"\x1f\x8b\x08\0", "x.csv: this is compressed; unpack it with gzip -d"),
    "zstd": (b"\x28\xb5\x2f\xfd", "x.csv: this is compressed; unpack it with zstd -d"),
    "workbook": (
        b"PK\x03\x04",
        "x.csv: this is an archive or a workbook; unpack it, or save the sheet as CSV",
    ),
    "old Mac": (
        b"timestamp,value\r1,2\r2,3\r",
        (
            "x.csv:1: carriage returns inside a line; "
            "end lines with a line feed, as Unix or Windows do"
        ),
    ),
    "zeros": (bytes(100), None),
    "a field too long": (b"timestamp,value\n1," + b"9" * 200_000 + b"\n", "write a row a line"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_place_problem_and_mend(case: str) -> None:
    data, message = BROKEN[case]
    with pytest.raises(BadSeries) as caught:
        read(data)
    if message is None:
        assert "no column timestamp" in str(caught.value)
    elif message.startswith("x.csv"):
        assert str(caught.value) == message
    else:
        assert message in str(caught.value)


def test_rows_before_a_bad_one_are_handed_on() -> None:
    batches = SeriesReader(io.BytesIO(b"timestamp,value\n1,2\n2,3\n3,x\n4,5\n"), "x.csv").batches()
    assert next(batches).values == [2.0, 3.0]
    with pytest.raises(BadSeries, match=r"x\.csv:4: 'x' is no number"):
        next(batches)


def test_a_line_without_an_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_series_lines, "MAX_LINE", 1 << 17)

    def endless() -> Iterator[bytes]:
        yield b"timestamp,value\n1,"
        while True:
            yield b"1" * 65_536

    with pytest.raises(BadSeries, match=r"x\.csv:2: a line of over 131072 characters"):
        joined(SeriesReader(Pieces(endless()), "x.csv"))


@given(st.binary(max_size=400))
@example(b"timestamp,value\n1,\x00\n")
@example(b'timestamp,value\n"1,2\n')
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for body in (data, b"timestamp,value\n1,2\n" + data):
        with contextlib.suppress(BadSeries):
            read(body)
