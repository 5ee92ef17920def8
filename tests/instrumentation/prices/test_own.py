"""Own prices: what they say, and what is said of wrong ones."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from burnline_llm import prices
from burnline_llm.prices import PricesError, PriceTable, Usage, load_own
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MILLION = Usage(1_000_000, 1_000_000)


@pytest.fixture
def own(tmp_path: Path) -> "Own":
    return Own(tmp_path)


class Own:
    def __init__(self, path: Path) -> None:
        self.path = path / "prices.yaml"

    def __call__(self, text: str) -> PriceTable:
        self.path.write_text(text)
        return load_own(self.path)

    def problems(self, text: str) -> list[str]:
        with pytest.raises(PricesError) as caught:
            self(text)
        return [problem.removeprefix(f"{self.path}:") for problem in caught.value.problems]


def test_they_come_before_the_bundled_ones(own: Own) -> None:
    table = own("""\
currency: USD
prices:
  - provider: openai
    model: gpt-4o
    input: 2
    output: 8
    cache_read: 0.5
  - model: house-*
    input: 0.1
    output: 0
    request: 0.01
  - model: house-*     # the first that fits is right
    input: 1000
    output: 1000
""")
    cost = table.cost
    assert cost("openai", "GPT-4o", MILLION, NOW).usd == 10.0
    assert cost("openai", "gpt-4o", Usage(1_000_000, 0, 500_000), NOW).usd == 1.25
    assert cost("azure.ai.openai", "gpt-4o", MILLION, NOW).usd == 12.5
    assert cost("my-gpus", "house-7b", MILLION, NOW).usd == 0.11
    assert cost(None, "house-7b", MILLION, NOW).usd == 0.11
    assert cost(None, "gpt-4o", MILLION, NOW).usd == 12.5  # whose it is, is not known
    assert cost("openai", "gpt-4o-mini", MILLION, NOW).usd == 0.75


def test_the_version_tells_the_file(own: Own) -> None:
    first = own("prices: [{model: a, input: 1, output: 1}]").version
    second = own("prices: [{model: a, input: 1, output: 2}]").version
    assert first.startswith(f"{PriceTable().version} + prices.yaml ")
    assert first != second
    assert own("prices: []").cost("openai", "gpt-4o", MILLION).version.endswith("12]") is False


def test_from_until_and_shares_of_the_bundled_price(own: Own) -> None:
    table = own("""\
prices:
  - {model: o3, from: 2025-01-01, until: 2025-02-01, input: 5, output: 5}
  - {provider: openai, from: 2026-06-01, multiplier: 0.8}
  - {model: new-one, from: 2026-01-01, input: 1, output: 1}
""")
    for day, dollars in (
        ((2024, 12, 31), 50.0),
        ((2025, 1, 1), 10.0),
        ((2025, 1, 31), 10.0),
        ((2025, 2, 1), 50.0),
        ((2025, 6, 11), 10.0),
        ((2026, 5, 31), 10.0),
        ((2026, 6, 1), 8.0),
    ):
        assert table.cost("openai", "o3", MILLION, datetime(*day, tzinfo=UTC)).usd == dollars, day
    assert table.cost("x", "new-one", MILLION, NOW).usd == 2.0
    early = table.cost("x", "new-one", MILLION, datetime(2025, 1, 1, tzinfo=UTC))
    assert early.reason == "model"
    assert table.cost("openai", "no-such", MILLION, NOW).reason == "model"


def test_a_price_that_begins_later(own: Own) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    yesterday = tomorrow - timedelta(days=2)
    table = own(f"""\
prices:
  - {{model: soon, from: {tomorrow}, input: 1, output: 1}}
  - {{model: since, from: {yesterday}, input: 1, output: 1}}
""")
    assert table.cost(None, "soon", MILLION).reason == "model"
    assert table.cost(None, "since", MILLION).usd == 2.0
    assert table.cost(None, "since", MILLION).usd == 2.0  # known by now
    assert table.cost(None, "since", MILLION, NOW - timedelta(days=3650)).reason == "model"


def test_long_prompts_and_service_tiers(own: Own) -> None:
    table = own("""\
prices:
  - {model: m, service_tier: Batch, input: 1, output: 1}
  - model: m
    input: 2
    output: 4
    tiers:
      - {above: 1000, input: 3}
      - {above: 2000, input: 5, output: 6}
""")
    for counted, output, dollars in (
        (1000, 0, 0.002),
        (1001, 1000, 0.007003),
        (2001, 1000, 0.016005),
    ):
        assert table.cost(None, "m", Usage(counted, output)).usd == dollars
    assert table.cost(None, "m", Usage(2001, 0), tier="batch").usd == 0.002001
    assert table.cost(None, "m", Usage(1000, 0), tier="flex").usd == 0.002


def test_tiers_that_the_package_knows() -> None:
    standard = PriceTable().cost("openai", "gpt-5", MILLION, NOW).usd
    batch = PriceTable().cost("openai", "gpt-5", MILLION, NOW, "batch").usd
    assert standard is not None
    assert batch == standard / 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: is empty; write `prices:` and a list"),
        ("a: [", "1:5: no YAML: "),
        ("[]", "1:1: is no mapping; "),
        ("x", "1:1: 'x' is no mapping; "),
        ("prises: []", "1:1: `prises` is no key of a file of prices; did you mean `prices`?"),
        ("prices: {}", "1:9: is no list; "),
        ("currency: EUR\nprices: []", "1:11: 'EUR' prices are in US dollars; "),
        ("prices: [{model: a}]", "1:10: says no price; "),
        ("prices: [{model: a, input: 1}]", "1:10: has no `output`; write `output: 0` if"),
        ("prices: [{model: a, cache_read: 1}]", "1:10: has no `input`; "),
        ("prices: [{input: 1, output: 1}]", "1:10: names no `model` and no `provider`; "),
        ("prices: [{model: a, input: -1, output: 1}]", "1:28: '-1' is no price; "),
        ("prices: [{model: a, input: .nan, output: 1}]", "1:28: '.nan' is no price; "),
        ("prices: [{model: a, input: [1], output: 1}]", "1:28: is no price; "),
        (
            "prices: [{model: a, inptu: 1, output: 1}]",
            "1:21: `inptu` is no key of a price; did you mean `input`?",
        ),
        (
            "prices: [{model: a, input: 1, input: 1, output: 1}]",
            "1:31: `input` stands here twice; delete one",
        ),
        ("prices: [{model: a, input: 1, output: 1, from: soon}]", "1:48: 'soon' is no day; "),
        (
            "prices: [{model: a, input: 1, output: 1, from: 2026-01-02, until: 2026-01-02}]",
            "1:67: '2026-01-02' is not after `from`; ",
        ),
        (
            "prices: [{model: a, input: 1, output: 1, multiplier: 2}]",
            "1:28: '1' stands beside `multiplier`; ",
        ),
        ("prices: [{model: '', input: 1, output: 1}]", "1:18: '' is no name; "),
        ("prices: [{model: a, input: 1, output: 1, tiers: [{input: 1}]}]", "1:50: needs `above`, "),
        (
            "prices: [{model: a, input: 1, output: 1, tiers: [{above: 9}, {above: 9}]}]",
            "1:70: '9' is not above the tier before; sort them",
        ),
    ],
)
def test_wrong_files(own: Own, text: str, problem: str) -> None:
    found = own.problems(text)
    assert any(line.startswith(problem) for line in found), found


def test_every_problem_is_told(own: Own) -> None:
    assert len(own.problems("prices: [{model: a, input: x, output: y}, {model: b}]")) == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match=r"can't be read \(No such file"):
        load_own(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"prices: \xff")
    with pytest.raises(PricesError, match="no UTF-8"):
        load_own(tmp_path / "latin.yaml")
    (tmp_path / "deep.yaml").write_text("[" * 500)
    with pytest.raises(PricesError, match="no YAML"):
        load_own(tmp_path / "deep.yaml")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(PricesError, match="no JSON"):
        load_own(tmp_path / "deep.json")


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text("prices:[]{}-a1,&*?!|>\n \"'"))
def test_any_text_is_read_or_refused(text: str) -> None:
    from burnline_llm.prices._yaml_prices import read_yaml  # noqa: PLC0415

    problems: tuple[str, ...] = ()
    try:
        read_yaml(text, "f")
    except PricesError as error:
        problems = error.problems
    assert all(problem.startswith("f:") for problem in problems)


LITELLM = {
    "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of many"},
    "house/tiny": {
        "litellm_provider": "house",
        "mode": "chat",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "input_cost_per_token_above_200k_tokens": 5e-06,
        "input_cost_per_token_batches": 1e-06,
        "output_cost_per_token_batches": 1e-06,
        "max_tokens": "many",
    },
    "painter": {"litellm_provider": "house", "output_cost_per_image": 0.04},
}


def test_litellms_format(tmp_path: Path) -> None:
    path = tmp_path / "model_prices.json"
    path.write_text(json.dumps(LITELLM))
    table = load_own(path)
    for provider, model in (("house", "tiny"), ("house", "house/tiny"), ("litellm", "house/tiny")):
        if provider == "house":
            assert table.cost(provider, model, Usage(10_000, 1_000, 8_000)).usd == 0.025
        else:
            assert table.cost(provider, model, Usage(10_000, 1_000)).usd == 0.035
    assert table.cost("house", "tiny", Usage(200_001, 0)).usd == 1.000005
    assert table.cost("house", "tiny", Usage(200_001, 0), tier="batch").usd == 0.200001
    assert table.cost("house", "painter", Usage(1, 1)).reason == "model"
    assert table.cost("openai", "gpt-4o", Usage(10_000, 1_000)).usd == 0.035


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "1:2: no JSON"),
        ("[]", "is no object of models"),
        ("{}", "has no model with"),
        ('{"a": {"input_cost_per_token": -1}}', "a: input_cost_per_token: -1 is no price"),
        ('{"a": {"input_cost_per_token": NaN}}', "input_cost_per_token: nan is no price"),
        ('{"a": {"input_cost_per_token": "1"}}', "input_cost_per_token: '1' is no price"),
        ('{"a": {"input_cost_per_token": true}}', "input_cost_per_token: True is no price"),
    ],
)
def test_wrong_files_of_litellms(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PricesError) as caught:
        load_own(path)
    assert problem in str(caught.value)


def test_use(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    from burnline_llm.prices import _current  # noqa: PLC0415

    monkeypatch.setattr(_current, "_used", [])
    assert prices.table() is prices.table()
    mine = own("prices: [{model: a, input: 1, output: 1}]")
    prices.use(mine)
    assert prices.table() is mine


def test_the_file_in_the_documentation_loads(own: Own) -> None:
    page = Path(__file__).parents[3] / "docs" / "costs.md"
    text = page.read_text().partition("```yaml\n")[2].partition("```")[0]
    table = own(text)
    assert table.cost("az.ai.openai", "chat-prod", Usage(1_000_000, 0), NOW).usd == 5.0
    assert table.cost("my-gpus", "llama-9", MILLION, datetime(2026, 2, 1, tzinfo=UTC)).usd == 0.201
    assert table.cost("openai", "gpt-4o", MILLION, NOW).usd == 11.25
    batch = table.cost("openai", "gpt-5", MILLION, NOW, "batch").usd
    assert batch == pytest.approx(0.45 * 5.625)
