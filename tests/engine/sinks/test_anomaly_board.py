"""Incidents on the board: beside the alerts of SLOs, raised by them, and over restarts and reloads."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from engine.sinks.board import CARRIED_SECONDS, SETTLE_SECONDS, Board
from engine.sinks.book import Entry, read_book, write_book
from engine.sinks.outbox import Outbox
from engine.sinks.shown import Change, Shown, labels_of
from engine.telemetry.log import log_change
from slo.anomalies.decision import Incident, Reading
from slo.decision import SeriesKey
from tests.engine.sinks.boards import alert, objective
from tests.engine.sinks.boards import decision as slo_decision
from tests.strategies.readings import MODELS, NOW, SERVICES, decision, incident

SLO = objective()
KEY = SeriesKey(SLO.id, (), SLO.generation)
BURNS = alert(KEY, starts_at=NOW + 30, severity="ticket")
ROWS = {KEY: (1, 10)}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def board_of(
    clock: Clock, book: Path | None = None, wall: Callable[[], float] = lambda: NOW + 1200
):
    return Board([SLO], book, clock=clock, wall=wall, monitors=[MODELS, SERVICES])


def told(board: Board) -> list[Change]:
    changes: list[Change] = []
    board.subscribe(changes.append)
    return changes


def firing(board: Board) -> dict[tuple[str, str], Shown]:
    found = board.active_alerts()
    alerts = {(s.rendered().labels["alertname"], s.alert.severity): s for s in found}
    assert len(alerts) == len(found)
    return alerts


TICKET, PAGE = ("BurnlineAnomaly", "ticket"), ("BurnlineAnomaly", "page")


def test_an_incident_begins_goes_on_and_ends(clock: Clock, tmp_path: Path) -> None:
    board = board_of(clock, tmp_path / "alerts.json")
    changes = told(board)
    board.publish_anomalies(decision())
    board.publish_anomalies(decision(NOW + 60, [incident()]))
    board.publish_anomalies(decision(NOW + 120, [incident(count=5)]))
    assert [s.alert.count for s in board.active_alerts()] == [5]
    assert [e.alert.count for e in read_book(tmp_path / "alerts.json")] == [1]
    over = incident(count=5, ends_at=NOW + 482)
    board.publish_anomalies(decision(NOW + 480, ended=[over]))
    assert [(len(c.fired), [s.alert.ends_at for s in c.ended]) for c in changes] == [
        (1, []),
        (0, [NOW + 482]),
    ]
    assert not board.active_alerts()
    assert [s.alert for s in board.ended_lately()] == [over]
    assert read_book(tmp_path / "alerts.json") == []


def test_an_slo_s_decisions_leave_incidents_alone_and_the_other_way_round(clock: Clock) -> None:
    board = board_of(clock)
    other = incident(service="billing")
    board.publish_anomalies(decision(NOW, [other]))
    board.publish(slo_decision(ROWS, alerts=[BURNS]))
    board.publish_anomalies(decision(NOW + 60, [other]))
    board.publish_anomalies(decision(NOW + 60, [], shard="1"))
    board.publish(slo_decision(ROWS, alerts=[BURNS]))
    assert set(firing(board)) == {TICKET, ("ChatApiAvailabilityBurnRate", "ticket")}


def test_one_length_of_interval_does_not_end_another_s(clock: Clock) -> None:
    board = board_of(clock)
    board.publish_anomalies(decision(NOW, [incident()], every=300))
    board.publish_anomalies(decision(NOW, [incident()], every=60))
    assert len(board.snapshot().anomalies) == 2
    assert set(firing(board)) == {TICKET}


# A page while an SLO of the service burns


def test_it_is_a_page_while_an_slo_of_its_service_burns(clock: Clock) -> None:
    board = board_of(clock)
    changes = told(board)
    board.publish_anomalies(decision(NOW, [incident()]))
    assert set(firing(board)) == {TICKET}
    board.publish(slo_decision(ROWS, alerts=[BURNS], clock=NOW + 40))
    now = firing(board)
    ticket, page = now[TICKET], now[PAGE]
    assert dict(page.labels) == dict(ticket.labels) | {"severity": "page"}
    assert (page.alert.starts_at, ticket.alert.starts_at) == (NOW + 30, NOW + 2)
    assert page.rendered().annotations["burning_slo"] == SLO.id
    assert "burning_slo" not in ticket.rendered().annotations
    # What is said of it follows the incident, its start does not.
    board.publish_anomalies(decision(NOW + 60, [incident(count=7)]))
    assert (firing(board)[PAGE].alert.count, firing(board)[PAGE].alert.starts_at) == (7, NOW + 30)
    board.publish(slo_decision(ROWS, clock=NOW + 90))
    assert set(firing(board)) == {TICKET}
    assert changes[-1].ended[1].alert.ends_at == NOW + 90
    assert changes[-1].ended[1].labels == page.labels


def test_the_page_ends_with_the_incident(clock: Clock) -> None:
    board = board_of(clock)
    board.publish(slo_decision(ROWS, alerts=[BURNS]))
    board.publish_anomalies(decision(NOW, [incident()]))
    assert {TICKET, PAGE} < set(firing(board))
    board.publish_anomalies(decision(NOW + 480, ended=[incident(ends_at=NOW + 482)]))
    assert not {TICKET, PAGE} & set(firing(board))


@pytest.mark.parametrize(
    ("burning", "mine"),
    [
        (alert(KEY, kind="budget", severity="info", consumed=0.5), incident()),
        (alert(KEY, kind="absent", silence=None), incident()),
        (BURNS, incident(service="billing")),
    ],
)
def test_only_a_burn_of_the_same_service_raises_it(clock: Clock, burning, mine) -> None:
    board = board_of(clock)
    board.publish_anomalies(decision(NOW, [mine]))
    board.publish(slo_decision(ROWS, alerts=[burning]))
    assert PAGE not in firing(board)


def test_what_is_a_page_by_itself_is_one_page(clock: Clock) -> None:
    board = board_of(clock)
    page = incident(severity="page", starts_at=NOW + 62)
    board.publish(slo_decision(ROWS, alerts=[BURNS], clock=NOW))
    board.publish_anomalies(decision(NOW, [incident(), page]))
    assert firing(board)[PAGE].alert.burning == SLO.id
    board.publish(slo_decision(ROWS, clock=NOW + 90))
    assert firing(board)[PAGE].alert.burning == "", "it goes on without the SLO"
    board.publish_anomalies(decision(NOW + 120, [incident()]))
    assert set(firing(board)) == {TICKET}


# Restarts and reloads


def test_incidents_keep_start_and_labels_over_a_kill(clock: Clock, tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    board = board_of(clock, book)
    board.publish(slo_decision(ROWS, alerts=[BURNS], clock=NOW + 40))
    board.publish_anomalies(decision(NOW + 60, [incident()]))
    before = firing(board)
    clock = Clock()
    board = board_of(clock, book)
    assert firing(board) == before
    changes = told(board)
    # Replays say nothing outside, whatever they hold; the shards decide one after another.
    board.publish_anomalies(decision(NOW, [], live=False))
    board.publish(slo_decision(ROWS, live=False))
    board.publish(slo_decision(ROWS, alerts=[BURNS], clock=NOW + 99))
    board.publish_anomalies(decision(NOW + 120, [incident(starts_at=NOW + 62)]))
    assert not changes
    assert {k: (s.labels, s.alert.starts_at) for k, s in firing(board).items()} == {
        k: (s.labels, s.alert.starts_at) for k, s in before.items()
    }


def test_what_was_replayed_counts_once_every_shard_is_up_to_date(clock: Clock) -> None:
    board = board_of(clock)
    board.publish(slo_decision(ROWS, live=False))
    board.publish_anomalies(decision(NOW - 60, [incident(opened=NOW - 60)], live=False))
    board.publish_anomalies(decision(NOW, [incident()], live=False))
    board.publish(slo_decision(ROWS))
    assert not board.active_alerts(), "others may still replay"
    clock.now += SETTLE_SECONDS
    changes = told(board)
    board.publish(slo_decision(ROWS))
    assert [s.alert.opened for s in changes[0].fired] == [NOW]
    assert [d.at for d in board.snapshot().anomalies] == [NOW]
    board.publish_anomalies(decision(NOW + 60, [incident()]))
    assert len(changes) == 1


def test_a_replay_after_a_failure_shows_nothing_older(clock: Clock) -> None:
    board = board_of(clock)
    board.publish(slo_decision(ROWS))
    clock.now += SETTLE_SECONDS
    board.publish_anomalies(decision(NOW, [incident()]))
    changes = told(board)
    board.publish_anomalies(decision(NOW - 60, [], live=False))
    board.publish_anomalies(decision(NOW, [], live=False))
    board.publish(slo_decision(ROWS))
    assert not changes
    board.publish_anomalies(decision(NOW + 60, ended=[incident()], live=False))
    board.publish(slo_decision(ROWS))
    assert len(changes) == 1, "what is newer than it counts"


def test_after_a_kill_older_moments_end_and_begin_nothing(clock: Clock, tmp_path: Path) -> None:
    """A tick that closed an interval is in no spool: the first one after the start closes several."""
    book, wall = tmp_path / "alerts.json", lambda: NOW + 60
    board = board_of(clock, book, wall)
    gone = incident(opened=NOW - 600, service="billing")
    board.publish_anomalies(decision(NOW - 600, [gone]))
    board.publish_anomalies(decision(NOW, [incident()], [replace(gone, ends_at=NOW + 2)]))
    board = board_of(clock, book, wall)
    before = firing(board)
    changes = told(board)
    board.publish_anomalies(decision(NOW - 60, [gone]))
    assert firing(board) == before
    over = replace(gone, ends_at=NOW + 9)
    board.publish_anomalies(decision(NOW, [incident(starts_at=NOW + 9)], [over]))
    assert firing(board) == before
    assert not changes


def test_an_incident_whose_shard_is_never_heard_of_ends(clock: Clock, tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    slow = incident(members=(incident().members[0]._replace(every=600),))
    board_of(clock, book).publish_anomalies(decision(NOW, [slow], every=600))
    board = board_of(clock, book)
    board.publish(slo_decision(ROWS))
    clock.now += CARRIED_SECONDS + 1100
    board.publish(slo_decision(ROWS))
    assert set(firing(board)) == {TICKET}, "its next reading may be so far"
    clock.now += 200
    board.publish(slo_decision(ROWS, clock=NOW + 1700))
    assert not board.active_alerts()


def test_after_a_reload_its_labels_are_those_of_before(clock: Clock) -> None:
    board = board_of(clock)
    board.publish_anomalies(decision(NOW, [incident()]))
    before = firing(board)
    board.reload([SLO], [replace(MODELS, labels={"team": "other"})])
    board.publish_anomalies(decision(NOW + 60, [incident()]))
    assert firing(board) == before
    clock.now += 10_000
    board.reload([SLO], [])
    board.publish(slo_decision(ROWS))
    clock.now += CARRIED_SECONDS + 121
    board.publish(slo_decision(ROWS, clock=NOW + 900))
    assert not board.active_alerts(), "nothing watches it any more"


def test_a_second_incident_between_two_decisions_is_another(clock: Clock) -> None:
    """After a restart: what was told ended unseen, and the next has begun."""
    board = board_of(clock)
    board.publish_anomalies(decision(NOW, [incident()]))
    changes = told(board)
    fresh = incident(opened=NOW + 1080, starts_at=NOW + 1082)
    board.publish_anomalies(decision(NOW + 1080, [fresh]))
    [change] = changes
    assert (len(change.fired), len(change.ended)) == (1, 1)
    outbox = Outbox()
    outbox.update(board.active_alerts(), change.ended, NOW + 1082)
    [item] = outbox.items.values()
    assert item.shown.alert.starts_at == NOW + 1082
    assert item.shown.alert.ends_at is None


def test_outside_nothing_begins_later_than_now(clock: Clock) -> None:
    board = board_of(clock, wall=lambda: NOW - 3600)
    board.publish_anomalies(decision(NOW, [incident()]))
    [shown] = board.active_alerts()
    assert shown.alert.starts_at == NOW - 3600


def test_the_log_tells_of_beginning_and_end() -> None:
    shown = Shown(incident(), None, labels_of(incident(), None))
    over = Shown(incident(ends_at=NOW + 9), None, shown.labels)
    with capture_logs() as logs:
        log_change([shown], [over])
    assert [(line["log_level"], line["event"], line["service"]) for line in logs] == [
        ("warning", "alert fires", "chat-api"),
        ("info", "alert ended", "chat-api"),
    ]
    assert logs[0]["summary"].endswith("is 3.1 s, expected 0.8 s")


# The book

NUMBERS = st.floats(allow_infinity=False)


@settings(deadline=None, max_examples=60)
@given(st.builds(Reading, *[NUMBERS] * 6), st.sampled_from(["", "chat-api-x"]), st.booleans())
def test_the_book_holds_an_incident_whole(tmp_path_factory, reading, burning, ended) -> None:
    path = tmp_path_factory.mktemp("book") / "alerts.json"
    [member] = incident().members
    written = incident(
        members=(member, member._replace(strangest=reading, stays=True)),
        burning=burning,
        ends_at=NOW if ended else None,
    )
    write_book(path, [Entry("anomalies 3", written)])
    [(shard, found)] = read_book(path)
    assert shard == "anomalies 3"
    assert isinstance(found, Incident)
    assert repr(found) == repr(written), "NaN is not equal to itself"


def test_a_band_without_an_end_is_none_in_the_book(tmp_path: Path) -> None:
    [member] = incident().members
    endless = member._replace(strangest=member.strangest._replace(upper=math.inf))
    write_book(tmp_path / "alerts.json", [Entry("0", incident(members=(endless,)))])
    [(_, found)] = read_book(tmp_path / "alerts.json")
    assert math.isnan(found.members[0].strangest.upper)
