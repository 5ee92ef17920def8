"""Presets: what each stands for, and that nothing a user writes to one is lost or misread."""

import dataclasses
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import slo
from slo import llm
from slo.columns import Field, SpanBatch
from slo.masks import fields, mask
from slo.model import SpanSli
from slo.presets.library import plain, presets
from slo.presets.listing import catalogue, table, written_out
from slo.spec import PresetForm, json_schema
from tests.slo.golden import GOLDEN, compare
from tests.strategies.columns import encode

HEAD = "apiVersion: burnline/v1\nservice: chat-api\nslos:\n"
NEEDED = {"evaluation": {"evaluation": "Relevance"}, "evaluation-label": {"evaluation": "Safe"}}
NAMES = sorted(presets())
OURS, STATUS, NAME = "resource.service.name", "intrinsic.status", "intrinsic.name"


def _load(*written: dict[str, Any]) -> slo.Loaded:
    document = {"apiVersion": "burnline/v1", "service": "chat-api", "slos": list(written)}
    # JSON is YAML in which every text is quoted: PyYAML leaves 1e100 bare, which is a number in YAML 1.2. But
    # some line breaks of Unicode are nothing special to JSON, and folded by YAML.
    text = json.dumps(document, ensure_ascii=False)
    return slo.load({"f": re.sub("[\x85\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", text)})


def _one(**written: Any) -> slo.Objective:
    loaded = _load(NEEDED.get(written["preset"], {}) | written)
    assert not loaded.problems
    return loaded.objectives[0]


def _verdicts(objective: slo.Objective, *rows: dict[str, object]) -> list[str]:
    """`good`, `bad` or `-` (no event) for spans of the service, ended calls unless told otherwise."""
    sli = objective.sli
    assert isinstance(sli, SpanSli)
    judge = sli.bad or sli.good
    assert judge is not None
    usual = {OURS: "chat-api", STATUS: 0, NAME: "chat m", f"span.{llm.CALL.name}": True}
    strings: list[str] = []
    columns = {}
    for field in fields(sli.total) | fields(judge):
        key = f"intrinsic.{field.name}" if field.scope == "intrinsic" else str(field)
        columns[field] = encode([(usual | row).get(key) for row in rows], strings)
    none = np.zeros(len(rows), np.uint64)
    traces = np.zeros((len(rows), 16), np.uint8)
    batch = SpanBatch(none, none, columns, strings, traces)
    total, judged = mask(sli.total, batch), mask(judge, batch)
    bad = judged if sli.bad is not None else ~judged
    return [("bad" if b else "good") if t else "-" for t, b in zip(total, bad, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_written_out_it_is_the_same_slo(name: str) -> None:
    compare(GOLDEN / "presets" / f"{name}.out", written_out(presets()[name], "chat-api"))
    example = {n: p.example for n, p in presets()[name].parameters.items() if p.default is None}
    [printed] = slo.load({"f": written_out(presets()[name], "chat-api")}).objectives
    [named] = _load({"preset": name, **example}).objectives
    assert named == printed


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_nothing_that_validate_would_remark_on(name: str) -> None:
    sli = _one(preset=name).sli
    assert isinstance(sli, SpanSli)
    parts = [part for part in (sli.total, sli.bad, sli.good) if part is not None]
    assert [caution for part in parts for caution in part.cautions] == []


def test_names_of_parameters_are_no_keys_of_slos() -> None:
    names = {name for preset in presets().values() for name in preset.parameters}
    assert names & PresetForm.model_fields.keys() == set()


CALLS = {
    "availability": [({}, "good"), ({STATUS: 2}, "bad"), ({"span.burnline.call": False}, "-")],
    "latency": [
        ({"intrinsic.duration": 10 * 10**9}, "good"),
        ({"intrinsic.duration": 10 * 10**9 + 1}, "bad"),
        ({"intrinsic.duration": 60 * 10**9, STATUS: 2}, "-"),
    ],
    "first-token": [
        ({"span.gen_ai.response.time_to_first_chunk": 1.9}, "good"),
        ({"span.gen_ai.response.time_to_first_chunk": 3}, "bad"),
        ({}, "-"),
    ],
    "time-per-output-token": [
        ({"span.burnline.time_per_output_token": 0.1}, "good"),
        ({"span.burnline.time_per_output_token": 0.11}, "bad"),
        ({}, "-"),
    ],
    "refusals": [
        ({"span.burnline.finish_reason": "stop"}, "good"),
        ({"span.burnline.finish_reason": "length"}, "good"),
        ({"span.burnline.finish_reason": "refusal"}, "bad"),
        ({"span.burnline.finish_reason": "content_filter"}, "bad"),
        ({STATUS: 2}, "-"),
    ],
    "truncation": [
        ({"span.burnline.finish_reason": "stop"}, "good"),
        ({"span.burnline.finish_reason": "length"}, "bad"),
        ({}, "-"),
    ],
    "tool-calls": [
        ({"span.gen_ai.operation.name": "execute_tool", "span.burnline.call": False}, "good"),
        ({"span.gen_ai.operation.name": "execute_tool", STATUS: 2}, "bad"),
        ({"span.gen_ai.operation.name": "chat"}, "-"),
    ],
    "provider-availability": [
        ({}, "good"),
        ({STATUS: 2, "span.burnline.fault": "provider"}, "bad"),
        (
            {STATUS: 0, "span.burnline.fault": "provider"},
            "good",
        ),  # tried again, and well in the end
        ({STATUS: 2}, "-"),
        *[
            ({STATUS: 2, "span.burnline.fault": fault}, "-")
            for fault in ("caller", "limit", "network", "unknown")
        ],
    ],
    "evaluation": [
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.value": 0.5}, "good"),
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.value": 0}, "bad"),
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.value": "high"}, "-"),
        (
            {NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.value": float("nan")},
            "-",
        ),
        ({NAME: "gen_ai.evaluation.result"}, "-"),
        ({"span.gen_ai.evaluation.score.value": 0.1}, "-"),
        (
            {
                NAME: "gen_ai.evaluation.result",
                "span.gen_ai.evaluation.name": "Other",
                "span.gen_ai.evaluation.score.value": 0.1,
            },
            "-",
        ),
    ],
    "evaluation-label": [
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.label": "pass"}, "good"),
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.label": "fail"}, "bad"),
        ({NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.score.value": 1}, "-"),
    ],
}


def test_there_is_a_table_of_spans_for_every_preset() -> None:
    assert CALLS.keys() == presets().keys()


@pytest.mark.parametrize("name", NAMES)
def test_which_spans_are_good_bad_and_no_events(name: str) -> None:
    named = NEEDED.get(name, {}).get("evaluation")
    rows = [{"span.gen_ai.evaluation.name": named} | row for row, _ in CALLS[name]]
    assert _verdicts(_one(preset=name), *rows) == [verdict for _, verdict in CALLS[name]]
    assert set(_verdicts(_one(preset=name), *({**r, OURS: "other"} for r in rows))) == {"-"}
    everywhere = _one(preset=name, scope="{ }")
    elsewhere = [{**row, OURS: "other"} for row in rows]
    assert _verdicts(everywhere, *elsewhere) == [verdict for _, verdict in CALLS[name]]


@given(
    st.sampled_from(NAMES),
    st.sampled_from(["{ span.a = 1 || span.b = 1 }", "{ !span.c }", "{}", "{ true }"]),
    st.none() | st.sampled_from(["{ span.d = 1 || span.e = 1 }", "{ }"]),
)
def test_where_narrows_and_scope_replaces(name: str, where: str, scope: str | None) -> None:
    """As if all of them stood side by side, each in parentheses of its own."""
    objective = _one(preset=name, where=where, **({} if scope is None else {"scope": scope}))
    everywhere = _one(preset=name, scope="{ }").sli
    assert isinstance(everywhere, SpanSli)
    ours = '{ resource.service.name = "chat-api" }' if scope is None else scope
    inner = [part.strip()[1:-1].strip() or "true" for part in (ours, where, everywhere.total.text)]
    oracle = slo.parse_filter("{ " + " && ".join(f"({part})" for part in inner) + " }")
    sli = objective.sli
    assert isinstance(sli, SpanSli)
    assert sli.total.fields() == oracle.fields()
    rows = [
        dict(zip(sorted(oracle.fields()), bits, strict=True))
        for bits in _some_values(len(oracle.fields()))
    ]
    strings: list[str] = []
    columns = {f: encode([row[f] for row in rows], strings) for f in oracle.fields()}
    none, traces = np.zeros(len(rows), np.uint64), np.zeros((len(rows), 16), np.uint8)
    batch = SpanBatch(none, none, columns, strings, traces)
    assert mask(sli.total, batch).tolist() == mask(oracle, batch).tolist()


def _some_values(count: int) -> list[list[object]]:
    chosen = np.random.default_rng(count)
    values: list[object] = [1, 0, True, None, "chat-api", "execute_tool", 0.4]
    picks = chosen.integers(len(values), size=(200, count))
    return [[values[i] for i in row] for row in picks]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip),
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
            str.strip
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_any_text_means_itself(name: str, good: list[str]) -> None:
    """Quotes, backslashes and what means something in regular expressions are no special case."""
    loaded = _load({"preset": "evaluation-label", "name": "n", "evaluation": name, "good": good})
    if loaded.problems:  # a character that YAML cannot hold
        assert all("YAML" in problem.what for problem in loaded.problems)
        return
    event = {NAME: "gen_ai.evaluation.result", "span.gen_ai.evaluation.name": name}
    labels = [*good, "|".join([*good, "x"]), f"{good[0]}x"]
    rows = [{**event, "span.gen_ai.evaluation.score.label": label} for label in labels]
    verdicts = _verdicts(loaded.objectives[0], *rows)
    assert verdicts == ["good" if label in good else "bad" for label in labels]


@given(st.decimals("0.001", 86400, places=3))
def test_any_threshold_means_itself(seconds: Decimal) -> None:
    written = f"{seconds:f}s"
    latency, first = (_one(preset=name, threshold=written) for name in ("latency", "first-token"))
    assert isinstance(latency.sli, SpanSli)
    assert isinstance(first.sli, SpanSli)
    assert latency.sli.bad == slo.parse_filter(f"{{ duration > {int(seconds * 10**9)} }}")
    at = "span.gen_ai.response.time_to_first_chunk"
    rows = ({at: float(seconds)}, {at: float(np.nextafter(float(seconds), np.inf))})
    assert _verdicts(first, *rows) == ["good", "bad"]


def test_what_is_written_wins_over_the_preset() -> None:
    written = _one(
        preset="provider-availability", name="n", objective=90, window="7d", by=["span.a"],
        labels={"x": "y"}, evidence="none", slices={"target": 99, "length": "5m"}, absent="5m",
        description="Other.", explain=[],
    )  # fmt: skip
    assert (written.name, written.target.numerator, written.period) == ("n", 9, 7 * 86400)
    assert written.by == (Field("span", "a"),)
    assert written.slices is not None
    assert written.slices.seconds == 300
    assert (written.labels, written.evidence, written.explain) == ({"x": "y"}, None, ())
    assert written.absent is not None


def test_a_change_of_the_target_alone_keeps_the_history() -> None:
    first, second = _one(preset="latency"), _one(preset="latency", objective=99, name="other")
    assert first.generation == second.generation
    assert _one(preset="latency", threshold="9s").generation != first.generation
    assert dataclasses.replace(first, labels={}) == first


def test_notes_stand_where_the_user_wrote_what_they_are_about() -> None:
    text = HEAD + "  - preset: latency\n    where: '{ span.x > 1s }'\n"
    [note] = slo.load({"f": text}).notes
    assert (note.position.line, note.position.column) == (5, 13)


def test_a_filter_that_grew_too_long_is_told_where_it_was_written() -> None:
    where = "{ " + " || ".join(["span.a = 1"] * 710) + " }"
    text = HEAD + f"  - preset: latency\n    where: '{where}'\n"
    [problem] = slo.load({"f": text}).problems
    assert "characters" in problem.what
    assert (problem.position.line, problem.position.column) == (5, 13)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_takes_a_preset_and_refuses_what_it_has_not(name: str) -> None:
    checker = Draft202012Validator(json_schema())
    written = {"preset": name, "name": "n", "objective": 99, "by": ["span.a"], "where": "{ }"}
    written |= NEEDED.get(name, {})
    document = {"apiVersion": "burnline/v1", "service": "s"}
    assert checker.is_valid({**document, "slos": [written]})
    assert not checker.is_valid({**document, "slos": [{**written, "sli": {}}]})
    assert not checker.is_valid({**document, "slos": [{**written, "treshold": 1}]})
    defaults = {n: plain(p.default) for n, p in presets()[name].parameters.items()}
    given_all = {n: value for n, value in defaults.items() if value is not None}
    assert checker.is_valid({**document, "slos": [written | given_all]})


def test_the_page_has_the_table_of_the_data_files() -> None:
    page = Path(slo.__file__).parent.parent / "docs" / "presets.md"
    text = page.read_text("utf-8")
    assert table() in text, f"copy into {page.name}:\n{table()}"
    assert set(re.findall(r"^([a-z-]+): ", catalogue(), re.MULTILINE)) == set(NAMES)
    for preset in presets().values():
        assert preset.why in text, f"{page.name} does not say why: {preset.why}"
