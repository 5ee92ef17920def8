"""From batches of spans to the lines of `/metrics`, against one call at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.columns.usage import CallCounter, Gathered, used
from engine.sinks.board import Snapshot
from engine.sinks.exposition import Exposition
from engine.spool.arrivals import Arrivals
from slo import llm
from slo.admitted import Admitted
from slo.decision import OVERFLOW
from slo.usage.ledger import Ledger
from slo.usage.messages import EDGES, MODES, MOST, CallKey, Mode, UsageTotals
from tests.strategies.calls import FIELDS, STATUS, Call, Sums, by_hand, counted, one, samples, total

# Shrinking would take longer than it tells.
LENIENT = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
)
SHARDS = 3
LABELS = ("service", "provider", "model", "tenant")


class Counting:
    """Measurer and shards in one, without a flow between them."""

    def __init__(self, mode: Mode = "full", limit: int = 10_000) -> None:
        self.mode, self.limit = mode, limit
        self.unusable: Counter[str] = Counter()
        self.admitted = Admitted()
        self.counter = CallCounter(mode, SHARDS, self.admitted, self._unusable)
        self.ledgers = {str(n): self._ledger() for n in range(SHARDS)}

    def _unusable(self, name: str, count: int) -> None:
        self.unusable[name] += count

    def _ledger(self) -> Ledger:
        return Ledger(SHARDS, self.limit, self.admitted, tenants=self.mode == "full")

    def take(self, calls: Sequence[Call], *, live: bool = True) -> None:
        for shard, gathered in counted(self.counter, calls).items():
            self._send(shard, gathered, Arrivals(1.0, live=live))

    def _send(self, shard: str, gathered: Gathered | None, arrivals: Arrivals):
        return self.ledgers[shard].take(used(arrivals, shard, gathered))

    def tell(self) -> list[UsageTotals]:
        told = [self._send(shard, None, Arrivals(2.0, tick=True)) for shard in self.ledgers]
        return [each for each in told if each is not None]

    def restart(self) -> None:
        saved = {shard: ledger.state() for shard, ledger in self.ledgers.items()}
        fresh = Counting(self.mode, self.limit)
        self.admitted, self.counter, self.ledgers = fresh.admitted, fresh.counter, fresh.ledgers
        for shard, state in saved.items():
            self.ledgers[shard].restore(state)


def page(usage: Sequence[UsageTotals], **ask: bool) -> str:
    snapshot = Snapshot((), False, {}, (), {}, tuple(usage))  # noqa: FBT003
    return Exposition().render(snapshot, (), **ask).decode()


def _head(name: str, key: Sequence[str], names: Sequence[str]) -> str:
    labels = sorted((n, v) for n, v in zip(names, key, strict=True) if v)
    text = ",".join(
        f'{n}="{v.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'.replace(
            "\n", "\\n"
        )
        for n, v in labels
    )
    return f"{name}{{{text}}}" if text else name


def _histogram(name: str, key: Sequence[str], values: Sequence[Fraction]) -> dict[str, float]:
    lines: dict[str, float] = {}
    for edge in EDGES:
        # Durations are whole nanoseconds; what was sent as a float is compared as one.
        at_most = sum(value <= Fraction(str(edge)) or value == Fraction(edge) for value in values)
        lines[_head(f"{name}_bucket", (*key, str(edge)), (*LABELS, "le"))] = at_most
    lines[_head(f"{name}_bucket", (*key, "+Inf"), (*LABELS, "le"))] = len(values)
    lines[_head(f"{name}_count", key, LABELS)] = len(values)
    seconds = pytest.approx(float(sum(values)), abs=1e-6 * (len(values) + 1), rel=1e-12)
    lines[_head(f"{name}_sum", key, LABELS)] = seconds
    return lines


def expected(sums: Sums) -> dict[str, float]:
    lines: dict[str, float] = {}
    for key in {key[:4] for key in sums.requests}:
        for status in ("ok", "error"):
            head = _head("burnline_llm_requests_total", (*key, status), (*LABELS, "status"))
            lines[head] = sums.requests[*key, status]
        durations, first_tokens = sums.durations.get(key, []), sums.first_tokens.get(key)
        lines |= _histogram("burnline_llm_request_duration_seconds", key, durations)
        if first_tokens is not None:
            lines |= _histogram("burnline_llm_time_to_first_token_seconds", key, first_tokens)
        if key in sums.cost:
            dollars = pytest.approx(float(sums.cost[key]), rel=1e-15)
            lines[_head("burnline_llm_cost_dollars_total", key, LABELS)] = dollars
    for (*key, name), count in sums.tokens.items():
        if count or name in ("input", "output"):
            lines[_head("burnline_llm_tokens_total", (*key, name), (*LABELS, "type"))] = count
    for (*key, value), count in sums.errors.items():
        names = (*LABELS[:3], "error_type")
        lines[_head("burnline_llm_errors_total", (*key, value), names)] = count
    for (*key, value), count in sums.unpriced.items():
        names = (*LABELS[:3], "reason")
        lines[_head("burnline_llm_unpriced_total", (*key, value), names)] = count
    return lines


@pytest.mark.parametrize("mode", ["full", "no-tenant"])
@LENIENT
@given(batches=st.lists(st.lists(one(), max_size=12), max_size=4))
def test_the_series_equal_those_by_hand(mode: Mode, batches: list[list[Call]]) -> None:
    counting = Counting(mode)
    for calls in batches:
        counting.take(calls)
    sums = by_hand((call for calls in batches for call in calls), tenants=mode == "full")
    assert samples(page(counting.tell())) == expected(sums)


@LENIENT
@given(
    calls=st.lists(one(), max_size=20),
    cut=st.integers(0, 20),
    order=st.randoms(use_true_random=False),
)
def test_any_order_split_and_restart_gives_the_same(calls, cut, order) -> None:
    whole, parts = Counting(), Counting()
    whole.take(calls)
    shuffled = list(calls)
    order.shuffle(shuffled)
    parts.take(shuffled[:cut])
    parts.restart()
    for call in shuffled[cut:]:
        parts.take([call])
    assert total(parts.tell()) == total(whole.tell())
    assert parts.unusable.keys() <= whole.unusable.keys()


def _call(**values: object) -> Call:
    named = {f.name: f for f in FIELDS}
    names = {"model": "gen_ai.request.model", "service": "service.name", "tenant": "tenant.id"}
    said = {named[names.get(name, name)]: value for name, value in values.items()}
    return Call(dict.fromkeys(FIELDS) | {llm.CALL: True, STATUS: 1} | said)


def test_tenants_beyond_the_limit_share_a_series_of_their_model() -> None:
    counting = Counting(limit=4)
    for number in range(50):
        calls = [_call(service="s", model=f"m{number % 2}", tenant=f"t{number}") for _ in range(3)]
        counting.take(calls)
    found = total(counting.tell())
    assert sum(row[0] for row in found.values()) == 150
    assert len(found) <= SHARDS * (4 + 2)
    for model in ("m0", "m1"):
        of_model = [row[0] for key, row in found.items() if key.model == model]
        assert sum(of_model) == 75
        assert CallKey("s", "", model, OVERFLOW) in found


def test_models_beyond_the_limit_share_one_too() -> None:
    counting = Counting(limit=4)
    counting.take([_call(service="s", model=f"m{n}", tenant=f"t{n}") for n in range(200)])
    counting.take([_call(service="s", model=f"m{n}") for n in range(200, 300)])
    found = total(counting.tell())
    assert sum(row[0] for row in found.values()) == 300
    # Each shard has four of each kind at most, and the widest ones.
    assert len(found) <= SHARDS * (4 + 4) + 2
    assert CallKey(OVERFLOW, OVERFLOW, OVERFLOW, OVERFLOW) in found


def test_what_the_measurer_knows_of_full_shards_changes_nothing() -> None:
    calls = [[_call(service="s", model=f"m{n % 7}", tenant=f"t{n % 31}")] for n in range(200)]
    knowing, blind = Counting(limit=2), Counting(limit=2)
    blind.counter = CallCounter("full", SHARDS, Admitted())
    for each in calls:
        knowing.take(each)
        blind.take(each)
    assert total(knowing.tell()) == total(blind.tell())


def test_kinds_of_errors_are_bounded() -> None:
    counting = Counting(limit=4)
    failed = [
        _call(service="s", model="m", **{"error.type": f"e{n}", "status": 2}) for n in range(100)
    ]
    counting.take(failed)
    text = page(counting.tell())
    errors = {k: v for k, v in samples(text).items() if k.startswith("burnline_llm_errors_total")}
    assert sum(errors.values()) == 100
    assert len(errors) <= SHARDS * 4 + 1
    assert f'burnline_llm_errors_total{{error_type="{OVERFLOW}",model="m",service="s"}}' in errors


def test_tenants_that_are_turned_off_are_added_together() -> None:
    counting = Counting()
    counting.take([_call(service="s", model="m", tenant=f"t{n}") for n in range(9)])
    counting.mode = "no-tenant"
    counting.restart()
    counting.take([_call(service="s", model="m", tenant="t1")])
    text = page(counting.tell())
    assert "tenant" not in text
    assert samples(text)['burnline_llm_requests_total{model="m",service="s",status="ok"}'] == 10


def test_sums_stop_before_they_wrap() -> None:
    ledger = Ledger(1, 10, Admitted())
    counting = Counting()
    gathered = next(iter(counted(counting.counter, [_call(model="m")]).values()))
    gathered.counts = [row * 0 + MOST for row in gathered.counts]
    for _ in range(3):
        ledger.take(used(Arrivals(1.0), "0", gathered))
    gathered.keys, gathered.counts = gathered.keys * 2, gathered.counts * 2
    ledger.take(used(Arrivals(1.0), "0", gathered))
    told = ledger.take(used(Arrivals(1.0, tick=True), "0", None))
    assert told is not None
    assert (told.counts == MOST).all()
    assert (total([told, replace(told, shard="1")])[CallKey("", "", "m")][0]) == 2 * MOST
    assert min(samples(page([told, replace(told, shard="1")])).values()) > 0


def test_what_was_left_out_is_told() -> None:
    counting = Counting()
    counting.take(
        [
            _call(**{"gen_ai.usage.input_tokens": -5, "burnline.cost.usd": float("nan")}),
            _call(**{"gen_ai.usage.input_tokens": "many", "burnline.cost.usd": 1e12}),
            replace(_call(), start_ns=0),
        ]
    )
    assert counting.unusable == {"input": 2, "cost": 2, "duration": 1}


def test_nothing_is_told_twice_nor_while_it_is_read_again() -> None:
    counting = Counting()
    assert len(counting.tell()) == SHARDS  # also where there is nothing: the board waits for all
    assert counting.tell() == []
    counting.take([_call(model="m")], live=False)
    again = used(Arrivals(2.0, tick=True, live=False), "0", None)
    assert all(ledger.take(again) is None for ledger in counting.ledgers.values())
    assert len(counting.tell()) == 1


def test_off_counts_nothing_and_reads_nothing() -> None:
    assert MODES[-1] == "off"
    counter = CallCounter("off", SHARDS, Admitted())
    assert not counter.fields
    assert counted(counter, [_call(model="m")]) == {}
