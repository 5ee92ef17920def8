"""SLO files: each form and each error message, beside what comes of it."""

import json
import pickle
import re
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slo
from slo.anomalies.model import Monitor
from slo.document import Value, read_documents
from slo.loading import default_monitors
from slo.spec import API_VERSION, json_schema, json_schema_text
from tests.slo.golden import GOLDEN, compare

YAML_FILES = sorted(GOLDEN.glob("*.yaml"))
GOOD = ("spans.yaml", "metrics.yaml", "anomalies.yaml", "presets.yaml", "budgets.yaml")


def _described(objective: slo.Objective) -> str:
    lines = [f"{objective.id} (generation {objective.generation})"]
    for field in fields(objective):
        value = getattr(objective, field.name)
        if field.name == "tiers":
            lines += [f"  tier: {tier}" for tier in value]
        else:
            lines.append(f"  {field.name}: {value}")
    return "\n".join(lines)


def _monitor(monitor: Monitor) -> str:
    lines = [f"{monitor.id} (generation {monitor.generation})"]
    for field in fields(monitor):
        value = getattr(monitor, field.name)
        if field.name == "features":
            lines += [f"  feature: {feature}" for feature in value]
        else:
            lines.append(f"  {field.name}: {value}")
    return "\n".join(lines)


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda p: p.name)
def test_golden(path: Path) -> None:
    loaded = slo.load({path.name: path.read_text("utf-8")})
    parts = [*map(str, loaded.problems), *map(str, loaded.notes)]
    if path.name in GOOD:
        parts += map(_described, loaded.objectives)
        if loaded.watched:
            parts += map(_monitor, loaded.monitors)
        assert not loaded.problems
    else:
        assert loaded.problems
    compare(path.with_suffix(".out"), "\n".join(parts) + "\n")


def test_the_schema_in_the_repository_is_that_of_the_models() -> None:
    published = Path(slo.__file__).parent / "burnline-v1.schema.json"
    assert published.read_text("utf-8") == json_schema_text(), (
        "write it anew: python -c 'import slo; print(slo.json_schema_text(), end=\"\")' "
        "> slo/burnline-v1.schema.json"
    )


def _keys(schema: dict[str, object]) -> list[str]:
    """Places in the schema without a description, where an editor would show nothing."""
    silent = []
    for name, definition in {"file": schema, **schema["$defs"]}.items():  # type: ignore[dict-item]
        properties = definition.get("properties", {})
        silent += [
            f"{name}.{key}" for key, value in properties.items() if "description" not in value
        ]
    return silent


def test_the_schema_describes_every_key() -> None:
    assert _keys(json_schema()) == []
    definitions = json.loads(json_schema_text())["$defs"]
    assert all(definitions[name]["additionalProperties"] is False for name in ("Slos", "Budgets"))


def test_where_no_file_says_what_to_watch_the_defaults_are() -> None:
    slos = (GOLDEN / "spans.yaml").read_text("utf-8")
    assert slo.load({"a": slos}).monitors == default_monitors()
    nothing = "apiVersion: burnline/v1\nservice: s\nanomalies: []\n"
    assert slo.load({"a": slos, "b": nothing}).monitors == ()
    assert slo.load({"a": "apiVersion: burnline/v2"}).monitors == default_monitors()


def test_a_generation_is_of_what_is_measured() -> None:
    first, *_ = default_monitors()
    same = replace(first, severity="page", false_alarms=1.0, labels={"a": "b"}, name="other")
    assert same.generation == first.generation
    for change in ({"every": 30}, {"by": ()}, {"features": first.features[:1]}, {"spans": None}):
        assert replace(first, **change).generation != first.generation


FORM = """\
apiVersion: burnline/v1
service: s
slos:
  - name: n
    objective: {objective}
    window: {window}
    sli: {{spans: {{total: '{{}}', bad: '{{ .a }}'}}}}
"""


def _one(objective: str = "99", window: str = "30d") -> slo.Objective:
    loaded = slo.load({"f": FORM.format(objective=objective, window=window)})
    assert not loaded.problems
    return loaded.objectives[0]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("99.9", Fraction(999, 1000)),
        ("95", Fraction(95, 100)),
        ("99.99999999999999999999999", 1 - Fraction(1, 10**25)),
        ("0.1", Fraction(1, 1000)),
        ("9.99e1", Fraction(999, 1000)),
    ],
)
def test_targets_are_exact(text: str, target: Fraction) -> None:
    assert _one(objective=text).target == target


def test_a_target_does_not_change_the_generation_but_a_filter_does() -> None:
    assert _one("99").generation == _one("98", "28d").generation
    other = slo.load({"f": FORM.format(objective=99, window="30d").replace(".a", ".b")})
    assert other.objectives[0].generation != _one().generation


def test_reformatting_a_filter_keeps_the_generation() -> None:
    other = slo.load({"f": FORM.format(objective=99, window="30d").replace("{ .a }", "{.a=true}")})
    assert other.objectives[0].generation == _one().generation


def test_objectives_survive_pickling() -> None:
    text = (GOLDEN / "spans.yaml").read_text("utf-8")
    objectives = slo.load({"f": text}).objectives
    assert pickle.loads(pickle.dumps(objectives)) == objectives  # noqa: S301 - our own bytes


def test_the_same_slo_in_two_files_is_told_with_its_first_place() -> None:
    text = FORM.format(objective=99, window="30d")
    loaded = slo.load({"a.yaml": text, "b.yaml": text})
    assert [str(p) for p in loaded.problems] == [
        "b.yaml:4:11: s has an SLO n already (a.yaml:4); choose another name"
    ]


def test_ids_that_collide_are_told() -> None:
    text = FORM.format(objective=99, window="30d")
    one = text.replace("service: s", "service: a-b").replace("name: n", "name: c")
    other = text.replace("service: s", "service: a").replace("name: n", "name: b-c")
    (problem,) = slo.load({"one": one, "other": other}).problems
    assert problem.what == "a with b-c gives the id a-b-c, as a-b/c does (one:4)"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "{a: " * 3_000,
        "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{c}: &{c} [{','.join(['*' + b] * 9)}]\n"
            for b, c in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "a: &a {b: *a}",
        "a: 1\x00",
        "\ufeffapiVersion: 1",
        "!!python/object/apply:os.system [exit]",
        "%YAML 9.9\n---\na",
        "x" * (5 * 2**20),
        "- " * 5_000,
        "objective: " + "9" * 5_000,
        f"apiVersion: {API_VERSION}\nservice: s\nslos: [{{objective: {'9' * 390}}}]",
        f"apiVersion: {API_VERSION}\nservice: s\nslos: [{{objective: 1e999}}]",
    ],
    ids=range(13),
)
def test_hostile_texts_are_problems(text: str) -> None:
    assert slo.load({"f": text}).problems


_words = st.sampled_from(
    [
        "apiVersion", "service", "slos", "name", "objective", "window", "sli", "spans", "metrics",
        "total", "bad", "by", "alerts", "tiers", "page", "off", "labels", "evidence", "above",
        "histogram", "slices", "30d", "99.9", "{}", "{ .a }", "none", "é", "", "a.b", "<<",
    ]
)  # fmt: skip
_values = st.recursive(
    st.one_of(_words, st.none(), st.booleans(), st.integers(-1, 200), st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(_values, _values)
def test_any_data_is_loaded_or_told_with_a_place(slos: object, other: object) -> None:
    data = {"apiVersion": API_VERSION, "service": "s", "slos": [slos], "labels": other}
    text = json.dumps(data, ensure_ascii=False)
    for problem in slo.load({"f": text}).problems:
        assert problem.position.line == 1
        assert 1 <= problem.position.column <= len(text) + 1
        assert problem.what
        assert problem.mend


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.sampled_from("ab: -[]{}'\"\n\t#&*!|>%@`,?\\~<é\x85\u2028\ufeff\x00"), max_size=40)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    slo.load({"f": text})


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp", "Cf"]), max_size=12),
    st.integers(0, 12),
)
def test_places_inside_texts_are_exact_whatever_the_quotes(value: str, offset: int) -> None:
    offset = min(offset, len(value))
    escaped = "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value)
    doubled = value.replace("'", "''")
    for before, quote, inner in (("k: ", '"', escaped), ("k: &a !!str  ", "'", doubled)):
        (document,), _ = read_documents("f", f"{before}{quote}{inner}{quote}")
        assert document.data == {"k": value}
        start = len(before) + 2
        column = document.position(("k",), offset).column
        cut = f"k: {quote}{inner[: column - start]}{quote}"
        (shorter,), _ = read_documents("f", cut)
        assert shorter.data == {"k": value[:offset]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("1:30", "1:30"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"), ("~", None), ("", None), ("True", True), ("007", 7),
        ("'5'", "5"), ("!!str 5", "5"), (".nan", ".nan"), ("1e2", Decimal(100)),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Value) -> None:
    (document,), problems = read_documents("f", f"k: {text}")
    assert document.data == {"k": value}
    assert not problems


DOCS = Path(slo.__file__).parent.parent / "docs"


def test_the_reference_names_every_key_and_its_example_loads() -> None:
    reference = (DOCS / "slo-reference.md").read_text("utf-8")
    schema = json_schema()
    keys = {k for d in (schema, *schema["$defs"].values()) for k in d.get("properties", {})}
    assert {key for key in keys if not re.search(rf"\b{key}\b", reference)} == set()
    example = next(b for b in reference.split("```yaml\n") if b.startswith("apiVersion"))
    loaded = slo.load({"reference": example.partition("```")[0]})
    assert not loaded.problems
    assert len(loaded.objectives) == 3
