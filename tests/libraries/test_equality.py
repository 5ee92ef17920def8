"""Whatever library sent it: the same calls, errors, tokens, dollars and times to first chunk.

Of what the libraries really sent, through the engine's own reader: kept in `captures/`, and in `make
test-libraries` sent anew.
"""

import os
from collections import Counter
from functools import cache

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from slo import load
from tests.libraries import capture, venvs
from tests.libraries.deviations import DEVIATIONS, UNSEEN
from tests.libraries.reading import Seen, calls, captured
from tests.libraries.truth import CALLS, Call, cost

FAULTS = {400: "caller", 429: "limit", 500: "provider", 529: "provider"}
LIBRARIES = sorted(DEVIATIONS)
# Absent and zero are the same in a sum.
MAY_BE_ABSENT = frozenset({"cache_read", "cache_write", "reasoning"})
SLOS = """\
apiVersion: burnline/v1
service: chat
slos:
  - name: availability
    objective: 99
    sli:
      spans: {total: "{ span.burnline.call = true }", bad: "{ status = error }"}
    by: [span.gen_ai.request.model]
"""


@cache
def sent_anew(library: str) -> bytes:
    return capture.run(library)["traces"]


@pytest.fixture(
    params=[f"{source}-{name}" for source in ("captured", "live") for name in LIBRARIES]
)
def run(request) -> tuple[str, bytes]:
    """A library and the spans that it sent."""
    source, _, library = request.param.partition("-")
    if source == "captured":
        return library, captured(library)
    if "BURNLINE_LIBRARIES" not in os.environ or not venvs.is_built(library):
        pytest.skip("`make test-libraries` runs the real libraries anew")
    return library, sent_anew(library)


def made(library: str) -> list[Call]:
    """The calls that a library observes."""
    return [call for call in CALLS if call not in UNSEEN.get(library, ())]


def expected(library: str, call: Call) -> dict[str, object]:
    """What is true of a call, but for what the library does not send."""
    known = call.input is not None
    truth: dict[str, object] = {
        "failed": call.failed,
        "provider": call.provider,
        "operation": call.operation,
        "model": call.model,
        "answered_by": None if call.failed else call.answered_by,
        "input": call.input,
        "output": call.output,
        "cache_read": call.cache_read if known else None,
        "cache_write": call.cache_write if known else None,
        "reasoning": call.reasoning if known else None,
        "cost": cost(call),
        "finish": None if call.failed or call.operation == "embeddings" else call.finish,
        "fault": FAULTS.get(call.status),
    }
    for deviation in DEVIATIONS[library]:
        if call in deviation.calls and deviation.field in truth:
            truth[deviation.field] = deviation.seen
    return truth


def seen(call: Seen) -> dict[str, object]:
    return {"failed": call.failed} | call.numbers | call.words


def same(field: str, got: object, value: object) -> bool:
    if field in MAY_BE_ABSENT:
        return (got or 0) == (value or 0)
    return got == (pytest.approx(value) if isinstance(value, float) else value)


def test_as_many_calls_as_were_made(run):
    library, sent = run
    observed = calls(sent)
    by_operation = Counter((call.words["operation"], call.failed) for call in observed)
    truth = Counter((call.operation, expected(library, call)["failed"]) for call in made(library))
    assert by_operation == truth


def test_each_call_is_seen_as_it_was(run):
    library, sent = run
    wrong = []
    for call, observed in zip(made(library), calls(sent), strict=True):
        found = seen(observed)
        wrong += [
            f"{call.name}: {field} is {found[field]!r}, should be {value!r}"
            for field, value in expected(library, call).items()
            if not same(field, found[field], value)
        ]
    assert not wrong, "\n".join(wrong)


def test_streams_alone_have_a_time_to_first_chunk(run):
    library, sent = run
    absent = {
        call
        for deviation in DEVIATIONS[library]
        if deviation.field == "first_chunk"
        for call in deviation.calls
    }
    for call, observed in zip(made(library), calls(sent), strict=True):
        first = observed.numbers["first_chunk"]
        if call.stream and call not in absent:
            assert first is not None, call.name
            assert call.first_chunk_after <= first, call.name
        else:
            assert first is None, call.name


def test_service_levels_by_model_are_those_of_the_calls(run):
    library, sent = run
    objectives = load({"slos.yaml": SLOS}).objectives
    clock = _newest_end(sent) + 1
    counts = Counter()
    for _, deposit in Measurer(objectives, 4, 30.0).measure(Arrivals(clock=clock, traces=(sent,))):
        for row, _, (bad, total) in zip(*(part.tolist() for part in deposit.entries), strict=True):
            counts[deposit.keys[row].group, "bad"] += bad
            counts[deposit.keys[row].group, "total"] += total
    truth = Counter()
    for call in made(library):
        for group in (None, (call.model,)):
            truth[group, "total"] += 1
            truth[group, "bad"] += expected(library, call)["failed"]
    assert +counts == +truth


def _newest_end(sent: bytes) -> float:
    request = ExportTraceServiceRequest.FromString(sent)
    spans = (s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
    return max(span.end_time_unix_nano for span in spans) / 1e9
