"""Recordings in every format they come in, whole and broken."""

import gzip
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.recordings import _recording, _signals
from engine.recordings.files import Recorded, read_files
from tests.engine.columns.test_otlp_json import to_json
from tests.strategies import otlp


def traces(*ends: int, name: str = "chat") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    for end in ends:
        scope_spans.spans.add(name=name, end_time_unix_nano=end, trace_id=b"t" * 16)
    return request


def metrics(*times: int, kind: str = "sum") -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for at in times:
        getattr(metric, kind).data_points.add(time_unix_nano=at)
    return request


Request = ExportTraceServiceRequest | ExportMetricsServiceRequest
SAMPLE: list[Request] = [traces(10, 30), metrics(40), traces(20), traces(50, name="x" * 300)]


def json_lines(requests: list[Request]) -> bytes:
    return b"".join(orjson.dumps(to_json(request)) + b"\n" for request in requests)


def four_bytes(requests: list[Request]) -> bytes:
    bodies = [request.SerializeToString() for request in requests]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def delimited(requests: list[Request]) -> bytes:
    bodies = [request.SerializeToString() for request in requests]
    return b"".join(otlp.varint(len(body)) + body for body in bodies)


def exporter_zstd(requests: list[Request]) -> bytes:
    """The Collector's file exporter with `compression: zstd`: each message compressed by itself."""
    bodies = [zstandard.compress(request.SerializeToString()) for request in requests]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def exporter_zstd_json(requests: list[Request]) -> bytes:
    bodies = [zstandard.compress(orjson.dumps(to_json(request))) for request in requests]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


FORMATS = (json_lines, four_bytes, delimited, exporter_zstd, exporter_zstd_json)


def two_gzip_members(data: bytes) -> bytes:
    return gzip.compress(data[:70]) + gzip.compress(data[70:])


def two_zstd_frames(data: bytes) -> bytes:
    return zstandard.compress(data[:70]) + zstandard.compress(data[70:])


def plain(data: bytes) -> bytes:
    return data


def write(tmp_path: Path, data: bytes, name: str = "recording") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def parsed(recorded: Recorded) -> Request:
    kind = ExportTraceServiceRequest if recorded.signal == "traces" else ExportMetricsServiceRequest
    return kind.FromString(recorded.body)


@pytest.mark.parametrize("pack", [plain, two_gzip_members, two_zstd_frames])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format(
    tmp_path: Path, form: Callable[[list[Request]], bytes], pack: Callable[[bytes], bytes]
) -> None:
    read = list(read_files([write(tmp_path, pack(form(SAMPLE)))]))
    assert [parsed(recorded) for recorded in read] == SAMPLE
    assert [recorded.time_ns for recorded in read] == [30, 40, 40, 50]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=st.lists(otlp.requests(), max_size=4), form=st.sampled_from(FORMATS[:4]))
def test_any_traces_come_back(
    tmp_path: Path, requests: list[ExportTraceServiceRequest], form: Callable[[Any], bytes]
) -> None:
    with_times = []
    for request in requests:
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    span.end_time_unix_nano |= 1
        if any(s.spans for r in request.resource_spans for s in r.scope_spans):
            with_times.append(request)
    read = list(read_files([write(tmp_path, form(with_times))]))
    assert all(recorded.signal == "traces" for recorded in read)
    bodies = [recorded.body for recorded in read]
    if form is json_lines:  # JSON does not keep a NaN's bits
        assert len(bodies) == len(with_times)
    else:
        assert bodies == [request.SerializeToString() for request in with_times]


def test_one_object_over_many_lines(tmp_path: Path) -> None:
    pretty = orjson.dumps(to_json(SAMPLE[0]), option=orjson.OPT_INDENT_2)
    for data in (pretty, b"\xef\xbb\xbf" + pretty, pretty.replace(b"{\n", b"{", 1) + b"\n\n"):
        (recorded,) = read_files([write(tmp_path, data)])
        assert parsed(recorded) == SAMPLE[0]


def test_files_are_merged_by_time_and_keep_their_own_order(tmp_path: Path) -> None:
    late_first: list[Request] = [traces(30), traces(10), traces(60)]
    a = write(tmp_path, json_lines(late_first), "a")
    b = write(tmp_path, four_bytes([metrics(20), metrics(40)]), "b")
    read = list(read_files([a, b]))
    assert [recorded.time_ns for recorded in read] == [20, 30, 30, 40, 60]
    second = 4 + len(metrics(20).SerializeToString())
    assert [recorded.place for recorded in read] == [
        *(f"{b}:byte 0", f"{a}:1", f"{a}:2"),
        *(f"{b}:byte {second}", f"{a}:3"),
    ]


def test_one_line_with_both_signals_and_one_with_logs(tmp_path: Path) -> None:
    both = to_json(traces(1)) | to_json(metrics(2)) | {"resourceLogs": []}
    data = orjson.dumps(both) + b"\n" + orjson.dumps({"resourceLogs": [{}]}) + b"\n{}\n"
    read = read_files([write(tmp_path, data)])
    assert [recorded.signal for recorded in read] == ["traces", "metrics"]


def test_protobuf_logs_are_passed_over(tmp_path: Path) -> None:
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5)
    body = logs.SerializeToString()
    data = struct.pack(">I", len(body)) + body + four_bytes([traces(1)])
    assert len(list(read_files([write(tmp_path, data)]))) == 1


@pytest.mark.parametrize("kind", ["sum", "gauge", "histogram", "exponential_histogram", "summary"])
def test_signal_of_protobuf(kind: str) -> None:
    assert _signals.signal_of(metrics(7, kind=kind).SerializeToString()) == "metrics"
    assert _signals.signal_of(traces(7).SerializeToString()) == "traces"
    assert _signals.newest("metrics", metrics(7, 9, 8, kind=kind).SerializeToString()) == 9


def test_a_length_of_123_is_no_brace(tmp_path: Path) -> None:
    request = traces(1, name="")
    for length in range(200):
        request.resource_spans[0].schema_url = "u" * length
        if len(request.SerializeToString()) == 123:
            break
    data = delimited([request])
    assert data[:2] == b"{\n"
    (recorded,) = read_files([write(tmp_path, data)])
    assert parsed(recorded) == request


def test_empty_files_and_empty_messages(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"{}", bytes(8), gzip.compress(b""), four_bytes([traces()])):
        assert list(read_files([write(tmp_path, data)])) == [] or data == four_bytes([traces()])


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = write(tmp_path, gzip.compress(json_lines(SAMPLE * 50)))
    list(read_files([path, path], lambda done, total: seen.append((done, total))))
    assert seen[-1] == (2 * path.stat().st_size,) * 2
    assert seen == sorted(seen)


BROKEN = {
    "second line": (json_lines(SAMPLE[:1]) + b'{"a": [}\n', r":2: not JSON .*drop this"),
    "cut line": (json_lines(SAMPLE)[:-9], r":4: not JSON .*cut short"),
    "first line": (b'{"resourceSpans": [}\n' + json_lines(SAMPLE), r":1: not JSON .*drop this"),
    "cut object": (b'{\n"resourceSpans": [\n{\n', r":\d: not JSON .*cut short"),
    "list": (b"{}\n[]\n", r":2: no JSON object; write one"),
    "other JSON": (
        b'{"log": "x"}\n',
        r":1: neither resourceSpans, resourceMetrics nor resourceLogs .*\(log\)",
    ),
    "bad id": (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"x"}]}]}]}\n',
        r":1: resourceSpans\[0\].scopeSpans\[0\].spans\[0\].traceId: 'x' is no id .*drop it",
    ),
    "cut frame": (four_bytes(SAMPLE)[:-3], r":byte \d+: \d+ of a message's \d+ bytes; .*cut short"),
    "cut length": (four_bytes(SAMPLE) + b"\0\0", r":byte \d+: no length of a message; .*cut short"),
    "bad frame": (
        four_bytes(SAMPLE[:1]) + struct.pack(">I", 3) + b"\xff\xff\xff",
        r":byte \d+: no .*drop it",
    ),
    "text": (b"ts,value\n1,2\n", ": neither OTLP's JSON nor protobuf"),
    "cut gzip": (gzip.compress(json_lines(SAMPLE))[:-12], ": cannot be read on"),
    "cut zstd": (zstandard.compress(json_lines(SAMPLE))[:-5], ": cannot be read on .*cut short"),
    "bad zstd": (zstandard.compress(json_lines(SAMPLE))[:20] + b"xxxxxxxx", ": cannot be read on"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_file_place_and_mend(tmp_path: Path, case: str) -> None:
    data, message = BROKEN[case]
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=message) as caught:
        list(read_files([path]))
    assert str(caught.value).startswith(str(path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_files([tmp_path / "none"]))


HOSTILE = {
    "a long line": (
        b'{"resourceSpans":[{"scopeSpans":"' + b"x" * (3 << 20),
        ":1: over 1048576 bytes",
    ),
    "a bomb": (gzip.compress(b'{"resourceSpans":[' + bytes(200 << 20)), ":1: over 1048576 bytes"),
    "a zstd bomb": (
        zstandard.compress(b'{"resourceSpans":[' + b" " * (200 << 20)),
        ":1: over 1048576 bytes",
    ),
    "a spread bomb": (
        gzip.compress(b'{"resourceSpans":[\n{\n' + b" \n" * (40 << 20)),
        ":1: over 1048576 bytes",
    ),
    "a bomb in a frame": (
        framed(zstandard.compress(b"{" + b" " * (200 << 20))),
        ":byte 0: over 1048576 bytes",
    ),
    "a long frame": (struct.pack(">I", 2**31) + b"x" * 100, ": neither OTLP's JSON nor protobuf"),
    "deep JSON": (b'{"resourceSpans":' * 900 + b"1" + b"}" * 900, ":1: .*drop it"),
    "surrogates": (
        b'{"resourceMetrics":[{"x":1,"resource":{"attributes":[{"key":3}]}}]}',
        ":1: .*drop it",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_would_fill_the_memory_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(_recording, "MAX_MESSAGE", 1 << 20)
    data, message = HOSTILE[case]
    path = write(tmp_path, data)
    began = time.process_time()
    with pytest.raises(ValueError, match=message):
        list(read_files([path]))
    assert time.process_time() - began < 5


def test_zeros_are_empty_messages_and_read_in_time(tmp_path: Path) -> None:
    path = write(tmp_path, bytes(1 << 20))
    began = time.process_time()
    assert not list(read_files([path]))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_the_events_in_recorded_logs_are_read_as_traces(tmp_path: Path, form: str) -> None:
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(time_unix_nano=5).body.string_value = "a line"
    records.add(time_unix_nano=20, event_name="gen_ai.evaluation.result")
    body = logs.SerializeToString()
    data = (
        json_lines([logs, traces(10)])
        if form == "json"
        else framed(body) + four_bytes([traces(10)])
    )  # type: ignore[list-item]
    first, second = read_files([write(tmp_path, data)])
    assert (first.signal, first.time_ns, second.time_ns) == ("traces", 20, 20)
    [span] = parsed(first).resource_spans[0].scope_spans[0].spans
    assert span.name == "gen_ai.evaluation.result"


def test_broken_recorded_logs_are_told(tmp_path: Path) -> None:
    broken = b'{"resourceLogs": 3}\n'
    with pytest.raises(ValueError, match=r":1: not an OTLP request.*; drop it or record it anew"):
        list(read_files([write(tmp_path, broken)]))
