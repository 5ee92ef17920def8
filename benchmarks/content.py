"""Spans a second on one core of accepting a payload: the check alone, and with content blanked after it.

On spans as `benchmarks.traffic` makes them, without content, and on the same with 4.5 KB of it: as few
long attributes, and as many indexed ones.
"""

import time
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.pinning import one_core
from benchmarks.traffic import payload
from engine.columns.content import Redactor
from engine.columns.spans import Reader

SPANS = 1000
ROUNDS, CALLS = 9, 10
FEW = {
    "gen_ai.input.messages": 2000,
    "gen_ai.output.messages": 1500,
    "gen_ai.system_instructions": 700,
    "gen_ai.tool.definitions": 300,
}
INDEXED = {
    f"gen_ai.prompt.{n}.{part}": size
    for n in range(6)
    for part, size in (("role", 4), ("content", 700))
}


def with_content(body: bytes, sizes: dict[str, int]) -> bytes:
    """The payload with texts of these sizes on every span."""
    request = ExportTraceServiceRequest.FromString(body)
    for span in request.resource_spans[0].scope_spans[0].spans:
        for key, size in sizes.items():
            span.attributes.add(key=key).value.string_value = "x" * size
    return request.SerializeToString()


def fastest(call: Callable[[], object]) -> float:
    """Seconds of one call, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - began) / CALLS)
    return best


def main() -> None:
    """Measure and print."""
    one_core()
    plain = payload(SPANS, time.time_ns(), 1)
    redactor, reader = Redactor(tuple, b"key"), Reader(())
    for name, body in (
        ("no content", plain),
        ("4 content attributes", with_content(plain, FEW)),
        ("12 content attributes", with_content(plain, INDEXED)),
    ):
        check = fastest(lambda body=body: reader.read([body]))  # type: ignore[misc]
        blank = fastest(lambda body=body: redactor.redact("traces", body))  # type: ignore[misc]
        values = redactor.redact("traces", body).values
        print(
            f"accepting, {len(body) / SPANS:,.0f} bytes a span, {name} ({values} values blanked): "
            f"check {SPANS / check / 1e6:.2f} M spans/s, blanking {SPANS / blank / 1e6:.2f} M, "
            f"both {SPANS / (check + blank) / 1e6:.2f} M"
        )


if __name__ == "__main__":
    main()
