"""Read every prefix of a request where readable memory ends. A program of its own: it may crash."""

import ctypes
import mmap

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns import _kernel
from engine.columns.spans import Reader
from slo.columns import Field


def main() -> None:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "s"
    for name in ("chat", "a much longer name of a span", ""):
        span = resource_spans.scope_spans.add().spans.add(name=name, trace_id=b"x" * 16)
        span.attributes.add(key="k").value.string_value = name
        span.attributes.add(key="double").value.double_value = 0.5
        span.attributes.add(key="list").value.array_value.values.add().string_value = "日"
        reasons = span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value
        reasons.values.add().string_value = name
        event = span.events.add(name="exception", time_unix_nano=7)
        event.attributes.add(key="exception.type").value.string_value = name
        span.events.add(name="First Token Stream Event", time_unix_nano=7)
        span.status.code = 2  # type: ignore[assignment]  # enums are open
    payload = request.SerializeToString()

    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    memory = np.frombuffer(pages, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    behind = ctypes.c_void_p(memory.ctypes.data + mmap.PAGESIZE)
    if libc.mprotect(behind, ctypes.c_size_t(mmap.PAGESIZE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")

    reader = Reader(
        [
            Field("intrinsic", "name"),
            Field("span", "k"),
            Field("span", "gen_ai.response.finish_reasons"),
            Field("span", "gen_ai.response.time_to_first_chunk"),
            Field("span", "error.type"),
            Field("span", "burnline.call"),
            Field("resource", "service.name"),
        ]
    )
    for size in range(len(payload) + 1):
        for tail in (payload[len(payload) - size :], payload[:size]):
            start = mmap.PAGESIZE - size
            memory[start : mmap.PAGESIZE] = np.frombuffer(tail, np.uint8)
            data = memory[start : mmap.PAGESIZE]
            data.flags.writeable = False
            offsets = np.array([0, size], np.int64)
            found = _kernel.count(data, offsets)
            _kernel.decode(data, offsets, 0, 0, reader._job(found))
    print(len(payload), "prefixes and suffixes")  # noqa: T201 - its output is its result


if __name__ == "__main__":
    main()
