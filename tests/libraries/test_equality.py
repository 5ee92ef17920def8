"""Whatever library sent it: the same calls, errors, tokens, dollars and times to first chunk.

Of what the libraries really sent (`captures/`), through the engine's own reader.
"""

from collections import Counter

import pytest

from tests.libraries.deviations import DEVIATIONS, UNSEEN
from tests.libraries.reading import Seen, calls
from tests.libraries.truth import CALLS, Call, cost

FAULTS = {400: "caller", 429: "limit", 500: "provider", 529: "provider"}
LIBRARIES = sorted(DEVIATIONS)
# Absent and zero are the same in a sum.
MAY_BE_ABSENT = frozenset({"cache_read", "cache_write", "reasoning"})


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


@pytest.mark.parametrize("library", LIBRARIES)
def test_as_many_calls_as_were_made(library):
    observed = calls(library)
    by_provider = Counter((call.words["provider"], call.failed) for call in observed)
    truth = Counter((call.provider, expected(library, call)["failed"]) for call in made(library))
    assert by_provider == truth


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_call_is_seen_as_it_was(library):
    wrong = []
    for call, observed in zip(made(library), calls(library), strict=True):
        found = seen(observed)
        for field, value in expected(library, call).items():
            got = found[field]
            if field in MAY_BE_ABSENT:
                got, value = got or 0, value or 0
            if got != (pytest.approx(value) if isinstance(value, float) else value):
                wrong.append(f"{call.name}: {field} is {got!r}, should be {value!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", LIBRARIES)
def test_streams_alone_have_a_time_to_first_chunk(library):
    absent = {
        call
        for deviation in DEVIATIONS[library]
        if deviation.field == "first_chunk"
        for call in deviation.calls
    }
    for call, observed in zip(made(library), calls(library), strict=True):
        first = observed.numbers["first_chunk"]
        if call.stream and call not in absent:
            assert first is not None, call.name
            assert call.first_chunk_after <= first, call.name
        else:
            assert first is None, call.name
