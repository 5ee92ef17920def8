"""One call counts once, whatever spans come of it."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from engine.columns import _descent
from engine.columns.measure import Measurer
from engine.columns.memory import CallMemory
from engine.columns.spans import Reader
from engine.spool.arrivals import GENERATION, Arrivals
from slo import llm, load

READER = Reader([llm.CALL])


def payload(*spans: Span, service: str = "s") -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    resource_spans.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def span(
    id_: int, parent: int = 0, end: int = 100, trace: int = 1, name: str = "a", **attributes: Any
) -> Span:
    made = Span(
        trace_id=bytes(15) + bytes([trace]) if trace else b"",
        span_id=id_.to_bytes(8, "big") if id_ else b"",
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        start_time_unix_nano=1,
        end_time_unix_nano=end,
    )
    for key, value in attributes.items():
        made.attributes.add(key=f"gen_ai.{key.replace('__', '.')}").value.string_value = value
    return made


def chat(id_: int, parent: int = 0, **more: Any) -> Span:
    return span(id_, parent, operation__name="chat", **more)


def counted(memory: CallMemory, *payloads: bytes) -> list[list[bool]]:
    return [(READER.read([each], memory).columns[llm.CALL].bits == 1).tolist() for each in payloads]


def test_the_innermost_counts() -> None:
    memory = CallMemory()
    spans = [chat(3, 2), chat(2, 1), chat(1)]
    assert counted(memory, *map(payload, spans)) == [[True], [False], [False]]


def test_in_one_payload_the_order_is_that_of_their_ends() -> None:
    assert counted(CallMemory(), payload(chat(1, end=30), chat(3, 2, end=10), span(2, 1, end=20)))[
        0
    ] == [False, True, False]


def test_through_spans_that_are_no_operation() -> None:
    spans = [chat(4, 3), span(3, 2), span(2, 1), chat(1)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True], [False], [False], [False]]


def test_not_through_a_tool() -> None:
    """A tool that asks a model is another call than the one that had it run."""
    spans = [chat(3, 2), span(2, 1, operation__name="execute_tool"), chat(1)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True], [False], [True]]


def test_attempts_with_spans_of_their_own_are_calls() -> None:
    spans = [chat(2, 1), chat(3, 1), chat(1)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True], [True], [False]]


def test_a_parent_that_comes_first_counts_instead() -> None:
    spans = [chat(1), span(2, 1), chat(3, 2), chat(4, 1)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True], [False], [False], [False]]


def test_embeddings_within_a_chat_are_another_call() -> None:
    spans = [span(2, 1, operation__name="embeddings"), chat(1)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True], [True]]


def test_sent_again() -> None:
    assert counted(CallMemory(), payload(chat(1)), payload(chat(1))) == [[True], [False]]


def test_each_service_sees_its_own() -> None:
    child, parent = payload(chat(2, 1), service="worker"), payload(chat(1), service="gateway")
    assert counted(CallMemory(), child, parent) == [[True], [True]]


def test_without_ids_all_count() -> None:
    spans = [chat(0), chat(0), chat(1, trace=0), chat(1, trace=0)]
    assert counted(CallMemory(), *map(payload, spans)) == [[True]] * 4


def test_two_libraries_in_traces_of_their_own() -> None:
    """OpenLLMetry beside the spans that Anthropic's SDK makes by itself."""
    spans = [
        chat(1, trace=1, name="sdk", response__id="msg_1"),
        chat(2, trace=2, name="library", response__id="msg_1"),
        chat(3, trace=3, name="sdk", response__id="msg_1"),  # answered from a cache
        chat(4, trace=4, name="library", response__id="msg_1"),
        chat(5, trace=5, name="sdk"),  # failed
        chat(6, trace=6, name="library"),
        chat(7, trace=7, name="another"),
    ]
    assert counted(CallMemory(), *map(payload, spans)) == [
        [True], [False], [True], [False], [True], [False], [True],
    ]  # fmt: skip


times = st.one_of(st.integers(0, 3), st.integers(0, 5000), st.integers(0, 2**64 - 1))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(times, times), max_size=40))
def test_order_of_time(drawn: list[tuple[int, int]]) -> None:
    starts, ends = np.array(drawn, np.uint64).reshape(-1, 2).T.copy()
    assert _descent.in_time(starts, ends).tolist() == np.lexsort((~starts, ends)).tolist()


def test_what_is_old_is_forgotten() -> None:
    memory = CallMemory()
    memory.move_to(0)
    assert counted(memory, payload(chat(1))) == [[True]]
    memory.move_to(GENERATION * 1.5)
    assert counted(memory, payload(chat(1))) == [[False]]
    memory.move_to(GENERATION)  # time never goes back
    memory.move_to(GENERATION * 3)
    assert counted(memory, payload(chat(1))) == [[True]]


def test_memory_is_bounded() -> None:
    told: list[None] = []
    memory = CallMemory(1 << 10, lambda: told.append(None))
    spans = [chat(n, end=n) for n in range(1, 5000)]
    assert all(counted(memory, payload(*spans))[0])
    assert len(told) >= 2
    assert memory._new.keys.size <= 1 << 12
    assert counted(memory, payload(spans[-1])) == [[False]], "the newest are remembered"


lines = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(("chat", "embeddings", "execute_tool", ""))),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(lines, st.data())
def test_against_a_tree(drawn: list[tuple[int, str]], data: st.DataObject) -> None:
    """Where children end before their parents, exactly those count that have none of their like below."""
    parents = [min(parent, number) for number, (parent, _) in enumerate(drawn)]
    kinds = [kind for _, kind in drawn]
    expected = []
    for number, kind in enumerate(kinds):
        below = [number + 1]
        covered = False
        while below:
            top = below.pop()
            for child, parent in enumerate(parents):
                if parent == top:
                    covered |= kinds[child] == kind
                    if kinds[child] in ("", "embeddings", "chat"):
                        below.append(child + 1)
        expected.append(kind in ("chat", "embeddings") and not covered)
    spans = [
        span(number + 1, parents[number], end=1000 - number, operation__name=kind) if kind
        else span(number + 1, parents[number], end=1000 - number)
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
    memory = CallMemory()
    cut = data.draw(st.integers(0, len(spans)))
    later, sooner = (counted(memory, payload(*part))[0] for part in (spans[cut:], spans[:cut]))
    assert sooner + later == expected


SLO = """
apiVersion: burnline/v1
service: s
slos:
  - name: calls
    objective: 99
    sli:
      spans: {total: '{ span.burnline.call = true }', bad: '{ status = error }'}
"""


def test_what_a_restart_recalls_is_not_counted_again() -> None:
    measurer = Measurer(load({"slos.yaml": SLO}).objectives, 1, 10)
    first = Arrivals(clock=1.0, traces=(payload(chat(2, 1, end=10**9)),), recalled=True)
    assert measurer.measure(first) == []
    second = Arrivals(clock=1.0, traces=(payload(chat(1, end=10**9), chat(5, end=10**9)),))
    ((_, deposit),) = measurer.measure(second)
    assert deposit.entries.counts.tolist() == [[0, 1]]  # type: ignore[union-attr]
