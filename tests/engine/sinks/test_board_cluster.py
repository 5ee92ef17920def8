"""The boards of a cluster: each has its share, and the result is that of one board."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine.sinks.board import CARRIED_SECONDS, SETTLE_SECONDS, Board
from engine.sinks.book import Entry, from_plain, read_book, to_plain, write_book
from engine.sinks.exposition import Exposition
from engine.sinks.shown import Burning, Change
from slo.decision import Alert, SeriesKey
from slo.model import Objective
from slo.plan import anomaly_shard_of, shard_of, whole
from tests.engine.sinks.boards import NOW, alert, decision, grouped, objective
from tests.strategies.readings import MODELS, SERVICES, incident
from tests.strategies.readings import decision as anomaly_decision

SHARDS = 4
SLO, OTHER = objective(), objective("other")
KEY, OTHER_KEY = (SeriesKey(o.id, (), o.generation) for o in (SLO, OTHER))
HERE, THERE = (shard_of(key, SHARDS) for key in (KEY, OTHER_KEY))
WATCHED = anomaly_shard_of("chat-api", SHARDS)
TICKET = incident()
PAGE = replace(TICKET, severity="page", burning=SLO.id)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def board_of(
    clock: Clock, book: Path | None = None, objectives: Sequence[Objective] = (SLO, OTHER)
) -> Board:
    return Board(
        objectives,
        book,
        clock=clock,
        wall=lambda: NOW + 1200,
        monitors=[MODELS, SERVICES],
        cluster_shards=SHARDS,
    )


def firing(board: Board) -> set[str]:
    return {shown.rendered().labels["alertname"] for shown in board.active_alerts()}


def _live(board: Board, shard: str, *alerts: Alert) -> None:
    rows = {KEY: (1, 10)} if shard == HERE else {}
    board.publish(decision(rows, shard=shard, alerts=alerts))


def test_the_shards_of_the_examples_differ() -> None:
    assert HERE != THERE


@pytest.mark.parametrize("live", [True, False])
def test_what_fired_counts_where_its_shard_is_now(clock: Clock, live: bool) -> None:  # noqa: FBT001
    board = board_of(clock)
    changes: list[Change] = []
    board.subscribe(changes.append)
    mine, theirs = alert(KEY), alert(OTHER_KEY)
    board.expect([Entry(HERE, mine), Entry(THERE, theirs)], others=[1])
    assert not board.active_alerts()
    assert set(board.told()) == {mine, theirs}, "the deciders of all shards are told"
    board.publish(decision({KEY: (1, 10)}, shard=HERE, live=live, alerts=[mine]))
    assert [shown.alert for shown in board.active_alerts()] == [mine]
    assert not changes, "it goes on: nobody is told that it began, or ended"
    # Nothing is ever said of what another process decides on.
    clock.now += 2 * CARRIED_SECONDS
    _live(board, HERE, mine)
    assert [shown.alert for shown in board.active_alerts()] == [mine]
    assert not [shown for change in changes for shown in change.ended]


def test_an_alert_that_is_over_ends_where_its_shard_is_now(clock: Clock) -> None:
    board = board_of(clock)
    changes: list[Change] = []
    board.subscribe(changes.append)
    board.expect([Entry(HERE, alert(KEY, starts_at=NOW - 60))], others=[1])
    _live(board, HERE)
    assert [shown.alert.starts_at for change in changes for shown in change.ended] == [NOW - 60]


def test_a_book_keeps_all_until_it_is_known_whose_they_are(clock: Clock, tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    write_book(book, [Entry(THERE, alert(OTHER_KEY))])
    board = board_of(clock, book)
    assert not board.active_alerts(), "the book is no word on what is this process's"
    board.expect(read_book(book), others=[1])
    _live(board, HERE, alert(KEY))
    assert {entry.shard for entry in read_book(book)} == {HERE, THERE}
    clock.now += SETTLE_SECONDS
    _live(board, HERE, alert(KEY))
    assert {entry.shard for entry in read_book(book)} == {HERE}


def test_entries_go_from_process_to_process() -> None:
    entries = [Entry(HERE, alert(KEY)), Entry("raised", PAGE)]
    assert from_plain(to_plain(entries)) == entries


def test_an_incident_is_a_page_while_an_slo_of_its_service_burns_elsewhere(clock: Clock) -> None:
    board = board_of(clock)
    board.expect([], others=[1, 2])
    board.publish_anomalies(anomaly_decision(NOW, [TICKET], shard=WATCHED))
    severities = [shown.alert.severity for shown in board.active_alerts()]
    assert severities == ["ticket"]
    board.publish_burning(1, {"chat-api": Burning(NOW + 90, SLO.id)})
    board.publish_burning(2, {"billing": Burning(NOW, "billing-x")})
    raised = next(s for s in board.active_alerts() if s.alert.severity == "page")
    assert (raised.alert.burning, raised.alert.starts_at) == (SLO.id, NOW + 90)
    board.publish_burning(1, {})
    assert [shown.alert.severity for shown in board.active_alerts()] == ["ticket"]


def test_a_page_outlives_a_restart_until_all_have_told_what_burns(clock: Clock) -> None:
    board = board_of(clock)
    burns = Entry(THERE, alert(OTHER_KEY, starts_at=NOW - 60))
    entries = [burns, Entry(f"anomalies {WATCHED}", TICKET), Entry("raised", PAGE)]
    board.expect(entries, others=[1])
    board.publish(decision({}, shard=WATCHED, live=False))
    assert [shown.alert.severity for shown in board.active_alerts()] == ["ticket", "page"]
    board.publish_anomalies(anomaly_decision(NOW, [TICKET], shard=WATCHED))
    assert [shown.alert.severity for shown in board.active_alerts()] == ["ticket", "page"]
    board.publish_burning(1, {})
    assert [shown.alert.severity for shown in board.active_alerts()] == ["ticket"]


def test_what_burns_is_told_once_all_shards_are_known(clock: Clock) -> None:
    board = board_of(clock)
    _live(board, HERE, alert(KEY))
    assert board.burning() is None
    clock.now += SETTLE_SECONDS
    assert board.burning() == {"chat-api": Burning(NOW, SLO.id)}


def test_zeros_and_what_files_say_are_shown_by_one_process(clock: Clock) -> None:
    objectives = (SLO, OTHER, grouped())
    names = []
    for mine in ({HERE}, {str(shard) for shard in range(SHARDS)} - {HERE}):
        board = board_of(clock, objectives=objectives)
        for shard in mine:
            _live(board, shard)
        clock.now += SETTLE_SECONDS
        text = Exposition().render(board.snapshot(), []).decode()
        own = {o.name for o in objectives if shard_of(whole(o), SHARDS) in mine}
        for series in ("sloth_slo_info", "slo:objective:ratio", "slo:period_burn_rate:ratio"):
            found = [line for line in text.splitlines() if line.startswith(f"{series}{{")]
            assert {o.name for o in objectives for line in found if f'"{o.name}"' in line} == own
        names.append(own)
    assert names[0] | names[1] == {o.name for o in objectives}
    assert not names[0] & names[1]
