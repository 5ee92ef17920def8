"""Gzip bodies, and recordings in all their forms."""

import gzip
import random
import tempfile
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import orjson
import zstandard
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.receivers.holding import Refusal
from engine.receivers.otlp_http import gunzip
from engine.recordings import _recording
from engine.recordings.files import read_files
from tests.engine.columns.test_otlp_json import to_json
from tests.fuzz.messages import random_message
from tests.fuzz.mutation import varint
from tests.fuzz.targets import zipped

LIMIT = 1 << 16
NOW_NS = 1_700_000_000 * 10**9
_DIRECTORY = tempfile.TemporaryDirectory()
_FILE = Path(_DIRECTORY.name) / "recording"


def gzip_seeds(random_: random.Random) -> Sequence[bytes]:
    plain = [random_.randbytes(9), bytes(LIMIT), bytes(LIMIT + 1), b"a" * 300, b"", bytes(2 << 20)]
    return [
        *(zipped(data, level) for data in plain for level in (0, 1, 9)),
        zipped(b"a") + zipped(b"") + zipped(b"b"),
        zipped(zipped(b"a")),
        zlib.compress(b"a"),
        b"\x1f\x8b\x08\x1f" + random_.randbytes(30),
    ]


def gzip_check(data: bytes) -> bool:
    try:
        ours = gunzip(data, LIMIT)
    except Refusal as refusal:
        if refusal.reason == "too_large":
            return False
        ours = None
    try:
        theirs = gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        theirs = None
    # The standard library passes over zeros between members and behind them, where we refuse.
    if ours != theirs and not (ours is None and b"\0" in data):
        raise AssertionError(f"{ours!r:.80} and not {theirs!r:.80}")
    return ours is not None


def recording_seeds(random_: random.Random) -> Sequence[bytes]:
    requests = [
        random_message(random_, kind(), NOW_NS)
        for kind in (ExportTraceServiceRequest, ExportMetricsServiceRequest)
        for _ in range(6)
    ]
    found: list[bytes] = [b"", b"\n", b"\0" * 40, b"{}", b"\x28\xb5\x2f\xfd"]
    for request in requests:
        body, text = request.SerializeToString(), orjson.dumps(to_json(request))
        packed = zstandard.compress(text)
        found += [
            text + b"\n" + text + b"\n",
            orjson.dumps(to_json(request), option=orjson.OPT_INDENT_2),
            len(body).to_bytes(4, "big") + body,
            varint(len(body)) + body + varint(len(body)) + body,
            len(packed).to_bytes(4, "big") + packed,
            zipped(text + b"\n"),
            zstandard.compress(body),
        ]
    return found


def recording_check(data: bytes) -> bool:
    _recording.MAX_MESSAGE = 1 << 20  # so that a message at the bound can be tried
    _FILE.write_bytes(data)
    try:
        for _ in islice(read_files([_FILE]), 10_000):
            pass
    except ValueError as error:
        if not str(error).startswith(str(_FILE)):
            raise AssertionError(f"an error that names no place: {error}") from error
        return False
    return True
