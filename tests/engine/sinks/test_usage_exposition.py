"""The series of model calls on `/metrics`, beside what the official client writes."""

import math
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from engine.sinks.board import SETTLE_SECONDS, Board, Snapshot
from engine.sinks.exposition import Exposition
from engine.telemetry import metrics
from slo.usage.messages import (
    DURATION_US,
    DURATIONS,
    EDGES,
    ERROR,
    FIRST_TOKEN_US,
    FIRST_TOKENS,
    NANODOLLARS,
    OK,
    PRICED,
    TOKEN_TYPES,
    TOKENS,
    WIDTH,
    CallKey,
    NoteKey,
    UsageTotals,
)

LABELS = ("model", "provider", "service", "tenant")
CALLS = (
    CallKey("chat-api", "openai", "gpt-4o", "acme"),
    CallKey("chat-api", "openai", "gpt-4o", ""),
    CallKey("", "", 'say "hi"\n\\', ""),
)
NOTES = (
    NoteKey("error", "chat-api", "openai", "gpt-4o", "timeout"),
    NoteKey("unpriced", "chat-api", "openai", "gpt-4o", "model"),
    NoteKey("error", "", "", "", ""),
)


def totals(shard: str = "0", shards: int = 1, factor: int = 1, keys: int = 3) -> UsageTotals:
    counts = np.arange(keys * WIDTH, dtype=np.int64).reshape(keys, WIDTH) * factor
    noted = np.arange(1, keys + 1, dtype=np.int64) * factor
    return UsageTotals(shard, 1.0, shards, CALLS[:keys], counts, NOTES[:keys], noted)


def page(*usage: UsageTotals, **ask: bool) -> str:
    snapshot = Snapshot((), False, {}, (), {}, usage)  # noqa: FBT003
    return Exposition().render(snapshot, (), **ask).decode()


class Oracle(Collector):
    """One shard's totals through prometheus_client's own families, one plain loop each."""

    def __init__(self, usage: UsageTotals) -> None:
        self.usage = usage
        self.rows = sorted(zip(usage.keys, usage.counts.tolist(), strict=True))

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(metrics.LLM_REQUESTS.name, metrics.LLM_REQUESTS.help)
        durations = _histogram(metrics.LLM_DURATION)
        first_tokens = _histogram(metrics.LLM_FIRST_TOKEN)
        tokens = CounterMetricFamily(metrics.LLM_TOKENS.name, metrics.LLM_TOKENS.help)
        cost = CounterMetricFamily(metrics.LLM_COST.name, metrics.LLM_COST.help, unit="dollars")
        for key, row in self.rows:
            labels = {n: v for n, v in sorted(key._asdict().items()) if v}
            for status, column in (("ok", OK), ("error", ERROR)):
                name = f"{metrics.LLM_REQUESTS.name}_total"
                requests.add_sample(name, labels | {"status": status}, float(row[column]))
            _fill(durations, labels, row[DURATIONS:FIRST_TOKENS], row[DURATION_US])
            if any(row[FIRST_TOKENS:]):
                _fill(first_tokens, labels, row[FIRST_TOKENS:], row[FIRST_TOKEN_US])
            for kind, count in zip(TOKEN_TYPES, row[TOKENS:NANODOLLARS], strict=True):
                if count or kind in ("input", "output"):
                    name = f"{metrics.LLM_TOKENS.name}_total"
                    tokens.add_sample(name, labels | {"type": kind}, float(count))
            cost.add_sample(
                f"{metrics.LLM_COST.name}_total",
                labels,
                row[NANODOLLARS] / 1e9 if row[PRICED] else math.nan,
            )
        cost.samples = [sample for sample in cost.samples if not math.isnan(sample.value)]
        families = (requests, durations, first_tokens, tokens, cost)
        yield from (each for each in families if each.samples)
        yield from self._notes()

    def _notes(self) -> Iterator[Metric]:
        notes = sorted(zip(self.usage.notes, self.usage.noted.tolist(), strict=True))
        for series, kind, name in (
            (metrics.LLM_ERRORS, "error", "error_type"),
            (metrics.LLM_UNPRICED, "unpriced", "reason"),
        ):
            family = CounterMetricFamily(series.name, series.help)
            for note, count in notes:
                if note.kind == kind:
                    said = note._asdict() | {name: note.value, "value": "", "kind": ""}
                    found = {n: v for n, v in sorted(said.items()) if v}
                    family.add_sample(f"{series.name}_total", found, float(count))
            if family.samples:
                yield family


def _histogram(series: metrics.Series) -> HistogramMetricFamily:
    return HistogramMetricFamily(series.name, series.help, unit="seconds")


def _fill(
    family: HistogramMetricFamily, labels: dict[str, str], counts: Sequence[int], micros: int
) -> None:
    total = 0
    for edge, count in zip((*map(floatToGoString, EDGES), "+Inf"), counts, strict=True):
        total += count
        family.add_sample(
            f"{family.name}_bucket", dict(sorted((labels | {"le": edge}).items())), float(total)
        )
    family.add_sample(f"{family.name}_count", labels, float(total))
    family.add_sample(f"{family.name}_sum", labels, micros / 1e6)


COUNTS = st.sampled_from([0, 0, 1, 7, 10**6, 123_456_789, 2**40])


@st.composite
def one_shard(draw: st.DrawFn) -> UsageTotals:
    keys = tuple(draw(st.lists(st.sampled_from(CALLS), unique=True)))
    notes = tuple(draw(st.lists(st.sampled_from(NOTES), unique=True)))
    counts = [[draw(COUNTS) for _ in range(WIDTH)] for _ in keys]
    noted = np.array([draw(COUNTS) for _ in notes], np.int64)
    matrix = np.array(counts, np.int64).reshape(len(keys), WIDTH)
    return UsageTotals("0", 1.0, 1, keys, matrix, notes, noted)


@settings(deadline=None, max_examples=30, phases=[Phase.explicit, Phase.generate])
@given(one_shard(), st.booleans())
def test_the_text_is_what_the_official_client_writes(usage, openmetrics) -> None:
    registry = CollectorRegistry()
    registry.register(Oracle(usage))
    write = generate_openmetrics if openmetrics else generate_latest
    want = write(registry).decode().removesuffix("# EOF\n")
    assert page(usage, openmetrics=openmetrics) == want


def test_shards_are_added_together_and_laid_out_anew_when_there_are_more_series() -> None:
    exposition, board = Exposition(), Board([])
    labels = 'model="gpt-4o",provider="openai",service="chat-api",status="error",tenant="acme"'
    head = f"burnline_llm_requests_total{{{labels}}}"
    for number, (usage, value) in enumerate(
        [
            (totals("0", 2, keys=1), None),  # the other half is not known yet
            (totals("1", 2, factor=2, keys=1), 3),
            (totals("0", 2, factor=10), 12),
        ]
    ):
        board.publish_usage(usage)
        text = exposition.render(board.snapshot(), ()).decode()
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(head)]
        assert found == ([] if value is None else [f"{value}.0"]), number


def test_shards_of_other_processes_are_not_waited_for() -> None:
    now = [100.0]
    board = Board([], clock=lambda: now[0])
    board.publish_usage(totals("0", 2))
    assert board.snapshot().usage == ()
    now[0] += SETTLE_SECONDS
    assert len(board.snapshot().usage) == 1


def test_remote_write_has_the_same_samples() -> None:
    snapshot = Snapshot((), False, {}, (), {}, (totals(),))  # noqa: FBT003
    exposition = Exposition()
    lines = [
        f"{head.strip()} {value!r}"
        for heads, values in exposition.blocks(snapshot, ())
        for head, value in zip(heads, values.tolist(), strict=True)
    ]
    text = exposition.render(snapshot, ()).decode()
    assert lines == [line for line in text.split("\n") if line and line[0] != "#"]


def test_nothing_is_shown_where_nothing_was_counted() -> None:
    none = replace(totals(keys=1), keys=(), notes=(), counts=np.zeros((0, WIDTH), np.int64))
    assert page(replace(none, noted=np.zeros(0, np.int64))) == ""
    assert page() == ""


def test_promtool_has_nothing_to_say_against_it() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    found = subprocess.run(
        [promtool, "check", "metrics"],
        input=page(totals()).encode(),
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")
