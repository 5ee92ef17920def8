"""From strange readings to incidents: one alert for what belongs together, and no flapping."""

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.anomalies import incidents
from slo.anomalies._parts import HOLD_INTERVALS, HOLD_SECONDS
from slo.anomalies.decision import Incident
from slo.anomalies.incidents import MOST_MEMBERS, MOST_TRACE_IDS, Incidents, Told
from slo.anomalies.messages import ReadingKey
from slo.anomalies.model import Monitor
from slo.anomalies.rendering import incident_labels
from tests.strategies.readings import (
    ERRORS,
    MODELS,
    NOW,
    P95,
    RATE,
    SERVICES,
    judged,
    key,
    monitor,
    readings,
)

MONITORS = {each.id: each for each in (MODELS, SERVICES)}
KEYS = (key(RATE), key(ERRORS), key(P95), key(RATE, "m1"), key(ERRORS, "m1"), key(P95, "m2"))
OTHER = key(RATE, service="billing")


class Day:
    """Moments one after another."""

    def __init__(self, monitors: Iterable[Monitor] = MONITORS.values()) -> None:
        self.monitors = {each.id: each for each in monitors}
        self.incidents = Incidents(self.monitors)
        self.at = NOW

    def next(
        self,
        strange: Mapping[ReadingKey, float] | Sequence[ReadingKey] = (),
        keys: Sequence[ReadingKey] = (*KEYS, OTHER),
        values: Mapping[ReadingKey, float] | None = None,
        **changes: object,
    ) -> Told:
        self.at += changes.get("every", 60)
        if not isinstance(strange, Mapping):
            strange = dict.fromkeys(strange, 1e-6)
        moment = readings(self.at, dict.fromkeys(keys, 1.0), **changes)
        return self.incidents.take(moment, judged(keys, strange, values))

    def restart(self, monitors: Iterable[Monitor] | None = None) -> None:
        kept = pickle.loads(pickle.dumps(self.incidents.state()))  # noqa: S301  just pickled
        if monitors is not None:
            self.monitors = {each.id: each for each in monitors}
        self.incidents = Incidents(self.monitors, kept)


def test_what_is_strange_together_is_one_incident_of_its_service() -> None:
    day = Day()
    assert day.next() == ((), ())
    told = day.next([KEYS[0], KEYS[4], OTHER])
    assert [(i.service, i.count, i.starts_at) for i in told.firing] == [
        ("chat-api", 2, day.at + 2),
        ("billing", 1, day.at + 2),
    ]
    told = day.next([KEYS[2], KEYS[4]])
    [chat, billing] = told.firing
    assert chat.count == 3
    assert [m.active for m in billing.members] == [False]


def test_the_identity_stays_while_members_come_and_go() -> None:
    day = Day()
    [first] = day.next([KEYS[0]]).firing
    labels = incident_labels(first)
    assert labels == {
        "alertname": "BurnlineAnomaly",
        "severity": "ticket",
        "service": "chat-api",
        "monitor": SERVICES.id,
        "team": "llm",
    }
    for strange in ([KEYS[4]], [], [KEYS[3], KEYS[5]], [KEYS[1]]):
        [now] = day.next(strange).firing
        assert incident_labels(now) == labels
        assert (now.opened, now.starts_at) == (first.opened, first.starts_at)


def test_the_first_cause_is_the_earliest_and_what_fails_before_what_is_asked_less() -> None:
    day = Day()
    [now] = day.next({KEYS[0]: 1e-9, KEYS[4]: 1e-4, KEYS[1]: 1e-4}).firing
    assert now.cause.key == KEYS[4], "errors before rates, the model before its service"
    assert now.monitor == MODELS.id
    [now] = day.next({KEYS[2]: 1e-12}).firing
    assert now.cause.key == KEYS[4]
    assert [m.key for m in now.members[1:]] == [KEYS[2], KEYS[0], KEYS[1]], "the strangest first"


def test_a_cause_may_show_an_interval_later_but_no_more() -> None:
    day = Day()
    day.next([KEYS[0]])
    [now] = day.next([KEYS[0], KEYS[4]]).firing
    assert now.cause.key == KEYS[4]
    day = Day()
    day.next([KEYS[0]])
    day.next([KEYS[0]])
    [now] = day.next([KEYS[0], KEYS[4]]).firing
    assert now.cause.key == KEYS[0]


def test_it_ends_after_some_quiet_and_not_before() -> None:
    day = Day()
    day.next([KEYS[0]])
    for _ in range(4):
        assert len(day.next().firing) == 1
    assert len(day.next([KEYS[0]]).firing) == 1, "the wait begins anew"
    for _ in range(4):
        assert day.next().ended == ()
    told = day.next()
    assert told.firing == ()
    [ended] = told.ended
    assert ended.ends_at == day.at + 2
    assert day.next() == ((), ())


def test_members_wait_by_their_own_intervals() -> None:
    slow = monitor("slow", every=600)
    day = Day([*MONITORS.values(), slow])
    mine = key(RATE, "m1", of=slow)
    day.next([mine], keys=[mine], every=600)
    for _ in range(40):
        assert day.next().firing, "another interval's readings are not its own"
    for _ in range(2):
        assert day.next(keys=[mine], every=600).firing
    assert day.next(keys=[mine], every=600).ended


def test_frozen_readings_neither_begin_nor_end_anything() -> None:
    day = Day()
    assert not day.next([KEYS[0]], frozen=True).firing
    day.next([KEYS[0]])
    for _ in range(50):
        told = day.next(frozen=True)
        assert (len(told.firing), told.ended) == (1, ())
    assert [day.next().ended == () for _ in range(5)] == [True] * 4 + [False]


def test_a_level_that_stays_ends_it_and_says_so() -> None:
    day = Day()
    day.next([KEYS[0], KEYS[2]], values={KEYS[0]: 9.0})
    for _ in range(4):
        day.next(values={KEYS[0]: 8.0})
    [ended] = day.next(values={KEYS[0]: float("nan")}).ended
    assert {m.key: m.stays for m in ended.members} == {KEYS[0]: True, KEYS[2]: False}


def test_missing_values_are_no_return_to_before() -> None:
    day = Day()
    day.next([KEYS[0]], values={KEYS[0]: float("nan")})
    [now] = day.next(values={KEYS[0]: float("nan")}).firing
    assert not now.cause.stays


def test_of_many_members_some_are_named() -> None:
    keys = [key(RATE, f"m{n}") for n in range(50)]
    day = Day()
    ids = {k.entity: tuple(f"{k.entity.group[0]}-{n}" for n in range(3)) for k in keys}
    strange = {k: 1e-3 / (n + 1) for n, k in enumerate(keys)}
    [now] = day.next(strange, keys=keys, trace_ids=ids).firing
    assert (now.count, len(now.members), len(now.trace_ids)) == (50, MOST_MEMBERS, MOST_TRACE_IDS)
    assert now.members[0].key == keys[49], "of equals the most improbable"
    assert now.trace_ids[:3] == ids[keys[49].entity]


def test_of_a_long_incident_what_is_over_is_forgotten_but_for_its_number(monkeypatch) -> None:
    monkeypatch.setattr(incidents, "MOST_PARTS", 20)
    keys = [key(RATE, f"m{n}") for n in range(100)]
    day = Day()
    ids = {k.entity: ("ab",) for k in keys}
    day.next({keys[0]: 1e-9}, keys=keys, trace_ids=ids)
    for each in keys[1:]:
        [now] = day.next({each: 1e-6}, keys=keys, trace_ids=ids).firing
    assert now.count == 100
    assert now.cause.key == keys[0]
    [kept] = day.incidents.state().values()
    assert len(kept.parts) == 20
    assert kept.parts.keys() >= {keys[0], *keys[-5:]}
    assert kept.trace_ids.keys() == {k.entity for k in kept.parts}


def test_a_page_joins_a_ticket_and_nothing_joins_a_page() -> None:
    loud = monitor("loud", severity="page", labels={"team": "night"})
    day = Day([*MONITORS.values(), loud])
    shout = key(ERRORS, "m1", of=loud)
    keys = (*KEYS, shout)
    [ticket] = day.next([KEYS[0]], keys=keys).firing
    both = day.next([shout], keys=keys).firing
    assert [(i.severity, i.starts_at) for i in both] == [
        ("ticket", ticket.starts_at),
        ("page", day.at + 2),
    ]
    assert incident_labels(both[1]) == incident_labels(ticket) | {"severity": "page"}
    for _ in range(4):
        assert len(day.next(keys=keys).firing) == 2
    assert len(day.next(keys=keys).ended) == 2
    [page] = day.next([shout, KEYS[0]], keys=keys).firing
    assert page.severity == "page"
    assert len(day.next([KEYS[0]], keys=keys).firing) == 1


def test_a_restart_goes_on_where_it_was() -> None:
    day = Day()
    [before] = day.next([KEYS[0], KEYS[4]]).firing
    day.restart()
    [after] = day.next([KEYS[4]]).firing
    assert (after.opened, after.starts_at, after.count) == (before.opened, before.starts_at, 2)


@pytest.mark.parametrize("change", [{"features": (RATE,)}, {"alerts": False}, None])
def test_what_is_watched_no_longer_ends(change: dict[str, object] | None) -> None:
    day = Day()
    [before] = day.next([KEYS[3], KEYS[4]]).firing
    day.restart([SERVICES, *([replace(MODELS, **change)] if change else [])])
    told = day.next(keys=KEYS[:3])
    assert not told.firing
    [ended] = told.ended
    assert incident_labels(ended) == incident_labels(before)
    assert ended.count == 2


def test_a_label_that_changes_is_that_of_the_next_incident() -> None:
    day = Day()
    [before] = day.next([KEYS[3]]).firing
    day.restart([SERVICES, replace(MODELS, labels={"team": "other"}, annotations={"a": "b"})])
    [now] = day.next([KEYS[3]]).firing
    assert incident_labels(now) == incident_labels(before)
    assert [len(day.next().ended) for _ in range(5)] == [0, 0, 0, 0, 1]
    [then] = day.next([KEYS[3]]).firing
    assert dict(then.labels) == {"team": "other"}


def test_a_series_that_is_gone_keeps_nothing_open() -> None:
    day = Day()
    day.next([KEYS[4]])
    assert len(day.next(keys=KEYS[:3]).ended) == 1


def test_a_monitor_without_alerts_opens_nothing() -> None:
    day = Day([SERVICES, replace(MODELS, alerts=False)])
    assert not day.next([KEYS[3]]).firing
    [now] = day.next([KEYS[0], KEYS[3]]).firing
    assert now.count == 1


def test_the_same_feature_of_another_service_is_another_incident() -> None:
    day = Day()
    mine = key(RATE, "m1", of=MODELS, service="b")
    told = day.next([KEYS[3], mine], keys=[KEYS[3], mine])
    assert {i.service for i in told.firing} == {"chat-api", "b"}


# Any sequence

PARTS = (*KEYS[:4], OTHER)
MOMENTS = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(PARTS), st.sampled_from([1e-3, 1e-6, 0.0]), max_size=len(PARTS)
        ),
        st.booleans(),  # frozen
        st.integers(0, 7),  # quiet moments after it
    ),
    max_size=12,
)


def _play(moments: Iterable[tuple], restart_at: int | None = None) -> list[tuple[float, Told]]:
    day, told = Day(), []
    for number, (strange, frozen, pause) in enumerate(moments):
        if number == restart_at:
            day.restart()
        for each in (strange, *[{}] * pause):
            moment = day.next(each, keys=PARTS, frozen=frozen and each is strange)
            told += [(day.at, moment)]
    return told


@settings(deadline=None, max_examples=60)
@given(MOMENTS)
def test_alerts_live_once_and_never_flap(moments) -> None:
    firing: dict[tuple, Incident] = {}
    over: dict[str, float] = {}
    for at, told in _play(moments):
        now = {incident_labels(i)["service"]: i for i in told.firing}
        assert len(now) == len(told.firing), "two open incidents with one identity"
        for ended in told.ended:
            assert firing.pop(ended.service).starts_at == ended.starts_at <= ended.ends_at
            over[ended.service] = at
        for service, incident in now.items():
            if service in firing:
                assert incident.starts_at == firing[service].starts_at
                assert incident_labels(incident) == incident_labels(firing[service])
            else:
                assert any(m.active for m in incident.members)
                assert at > over.get(service, 0.0)
        assert now.keys() >= firing.keys()
        firing = now


@settings(deadline=None, max_examples=60)
@given(MOMENTS)
def test_no_incident_ends_before_its_hold(moments) -> None:
    strange_at: dict[str, float] = {}
    times = iter(_play(moments))
    for strange, frozen, pause in moments:
        for number in range(pause + 1):
            at, told = next(times)
            if number == 0 and not frozen:
                strange_at |= {k.entity.service: at for k in strange}
            for ended in told.ended:
                assert at - strange_at[ended.service] >= max(HOLD_SECONDS, HOLD_INTERVALS * 60)


@settings(deadline=None, max_examples=60)
@given(MOMENTS, st.integers(0, 11))
def test_a_snapshot_at_any_point_changes_nothing(moments, restart_at) -> None:
    assert _play(moments, restart_at) == _play(moments)
