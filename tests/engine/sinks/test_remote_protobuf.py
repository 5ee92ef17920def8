"""Remote write's messages, read back by the official protobuf library."""

from typing import Any

import cramjam
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from engine.sinks._families import labels_text
from engine.sinks._remote_protobuf import (
    encode_request,
    encode_series,
    encode_time,
    labels_of,
    stale,
    with_target,
)

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8"), max_size=300)
LABELS = st.dictionaries(NAMES, VALUES, max_size=8)
MESSAGES = {
    "Label": [("name", 1, "STRING", ""), ("value", 2, "STRING", "")],
    "Sample": [("value", 1, "DOUBLE", ""), ("timestamp", 2, "INT64", "")],
    "TimeSeries": [("labels", 1, "MESSAGE", "Label"), ("samples", 2, "MESSAGE", "Sample")],
    "WriteRequest": [("timeseries", 1, "MESSAGE", "TimeSeries")],
}


def _message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="rw.proto", package="rw", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            made = message.field.add(name=field, number=number)
            made.type = getattr(made, f"TYPE_{kind}")
            made.label = made.LABEL_REPEATED if of else made.LABEL_OPTIONAL
            if of:
                made.type_name = f".rw.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rw.WriteRequest"))


WriteRequest = _message()


def read(body: bytes) -> list[tuple[list[tuple[str, str]], float, int]]:
    request = WriteRequest()
    request.ParseFromString(bytes(cramjam.snappy.decompress_raw(body)))
    assert all(len(series.samples) == 1 for series in request.timeseries)
    return [
        ([(x.name, x.value) for x in s.labels], s.samples[0].value, s.samples[0].timestamp)
        for s in request.timeseries
    ]


@given(
    st.lists(st.tuples(LABELS, st.floats(allow_nan=False)), max_size=20),
    st.integers(0, (1 << 42) - 1),
)
def test_protobuf_reads_what_was_meant(
    series: list[tuple[dict[str, str], float]], milliseconds: int
) -> None:
    body = encode_request(
        [encode_series(labels) for labels, _ in series],
        np.array([value for _, value in series], np.float64),
        encode_time(milliseconds),
    )
    assert read(body) == [
        # Sorted, and an empty label is none: so receivers want it.
        (sorted((n, v) for n, v in labels.items() if v), value, milliseconds)
        for labels, value in series
    ]


@given(NAMES, st.dictionaries(NAMES, VALUES, max_size=8))
def test_rendered_labels_are_read_back(name: str, labels: dict[str, str]) -> None:
    labels.pop("__name__", None)
    head = f"\n{name}{labels_text(labels)} "
    assert labels_of(head) == {"__name__": name} | labels


def test_stale_markers_keep_their_bits() -> None:
    raw = bytes(
        cramjam.snappy.decompress_raw(
            encode_request([encode_series({"a": "b"})] * 2, stale(2), encode_time(1))
        )
    )
    assert raw.count(bytes.fromhex("02 00 00 00 00 00 f0 7f")) == 2
    assert all(np.isnan(value) for _, value, _ in read(bytes(cramjam.snappy.compress_raw(raw))))


def test_times_that_no_clock_should_say() -> None:
    for milliseconds in (-1, 1 << 42):
        with pytest.raises(ValueError, match="mend the clock"):
            encode_time(milliseconds)


def test_a_series_own_job_is_kept_as_a_scrape_keeps_it() -> None:
    target = {"job": "burnline", "instance": "h:1"}
    assert with_target({"__name__": "a", "job": "x", "exported_job": "y"}, target) == {
        "__name__": "a",
        "exported_job": "x",
        "exported_exported_job": "y",
        **target,
    }
