"""The board while the objectives change: what is shown has no gap, and alerts no accident."""

from pathlib import Path

import pytest

from engine.sinks.board import BOOK_RETRY_SECONDS, SWITCH_SECONDS, Board
from engine.sinks.book import read_book
from engine.sinks.exposition import Exposition
from engine.sinks.shown import Change
from slo.decision import Alert, SeriesKey
from tests.engine.sinks.boards import NOW, alert, decision, grouped, objective

KEPT = objective("kept")
OTHER = objective("other")
KEPT_KEY = SeriesKey(KEPT.id, (), KEPT.generation)
OTHER_KEY = SeriesKey(OTHER.id, (), OTHER.generation)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def board_of(clock: Clock, *objectives: object, book: Path | None = None) -> Board:
    """A settled board of two shards."""
    board = Board(objectives, book, clock=clock)  # type: ignore[arg-type]
    for shard in ("0", "1"):
        board.publish(decision({}, shard=shard))
    clock.now += 6
    return board


def told(board: Board) -> list[Change]:
    changes: list[Change] = []
    board.subscribe(changes.append)
    return changes


def rows(*keys: SeriesKey) -> dict[SeriesKey, tuple[int, int]]:
    return dict.fromkeys(keys, (1, 10))


def page(board: Board) -> str:
    return Exposition().render(board.snapshot(), board.active_alerts()).decode()


def firing(board: Board) -> list[Alert]:
    return [shown.alert for shown in board.active_alerts()]


def test_the_old_is_shown_until_every_shard_has_decided_anew(clock: Clock) -> None:
    board = board_of(clock, KEPT, OTHER)
    board.publish(decision(rows(KEPT_KEY), shard="0"))
    board.publish(decision(rows(OTHER_KEY), shard="1"))
    added = objective("added", target=KEPT.target / 2)
    before = page(board)
    board.reload([KEPT, added])
    assert page(board) == before
    board.publish(decision(rows(KEPT_KEY), shard="0", clock=NOW + 1, windows=(300, 3600)))
    assert page(board) == before, "other windows, but not all shards have them yet"
    board.publish(decision({}, shard="1", clock=NOW + 1, windows=(300, 3600)))
    after = page(board)
    assert "chat-api-other" not in after
    # Every shard is known, so what has no series yet has no events: it is shown at once.
    assert 'slo:current_burn_rate:ratio{sloth_id="chat-api-added"' in after
    kept = [
        line
        for line in after.splitlines()
        if "burnline_slo_events_total" in line and "kept" in line
    ]
    assert kept == [
        line
        for line in before.splitlines()
        if "burnline_slo_events_total" in line and "kept" in line
    ]


def test_a_shard_that_never_comes_is_not_waited_for_for_ever(clock: Clock) -> None:
    board = board_of(clock, KEPT)
    board.publish(decision({}, shard="0"))
    board.publish(decision(rows(KEPT_KEY), shard="1", alerts=[alert(KEPT_KEY)]))
    board.reload([KEPT, OTHER])
    board.publish(decision({}, shard="0", clock=NOW + 1))
    assert "chat-api-other" not in page(board)
    clock.now += SWITCH_SECONDS
    board.publish(decision({}, shard="0", clock=NOW + 31))
    assert "chat-api-other" in page(board)
    assert firing(board), "its alert is kept, as after a restart"


def test_two_reloads_in_quick_succession(clock: Clock) -> None:
    board = board_of(clock, KEPT)
    board.reload([KEPT, OTHER])
    board.publish(decision({}, shard="0", clock=NOW + 1))
    board.reload([OTHER])
    board.publish(decision({}, shard="1", clock=NOW + 2))
    assert set(board.snapshot().objectives) == {KEPT.id}
    board.publish(decision({}, shard="0", clock=NOW + 2))
    assert set(board.snapshot().objectives) == {OTHER.id}
    assert board.snapshot().settled


def test_a_reload_before_the_first_decision_is_shown_at_once(clock: Clock) -> None:
    board = Board([KEPT], clock=clock)
    board.reload([OTHER])
    assert 'slo:objective:ratio{sloth_id="chat-api-other"' in page(board)
    assert "kept" not in page(board)


def test_what_is_read_again_after_a_failure_changes_nothing_that_is_shown(clock: Clock) -> None:
    unseen = objective("unseen")
    board = board_of(clock, KEPT, unseen)
    board.publish(decision(rows(KEPT_KEY), shard="0", alerts=[alert(KEPT_KEY)]))
    before = page(board)
    for shard in ("0", "1"):
        board.publish(decision({}, shard=shard, live=False, clock=NOW - 5))
    assert page(board) == before
    assert board.snapshot().settled


def test_alerts_of_what_did_not_change_keep_start_and_labels(clock: Clock) -> None:
    board = board_of(clock, KEPT, OTHER)
    board.publish(decision(rows(KEPT_KEY), shard="0", alerts=[alert(KEPT_KEY)]))
    changes = told(board)
    [before] = board.active_alerts()
    # A target changed; the annotations, too.
    changed = objective("kept", target=KEPT.target / 2, annotations={"runbook_url": "https://new"})
    board.reload([changed, OTHER])
    assert board.active_alerts() == (before,)
    later = alert(KEPT_KEY, starts_at=NOW + 50)
    board.publish(decision(rows(KEPT_KEY), shard="0", clock=NOW + 60, alerts=[later]))
    [after] = board.active_alerts()
    assert (after.labels, after.alert.starts_at) == (before.labels, NOW)
    assert after.objective is changed
    assert not changes


def test_alerts_of_what_is_gone_end_as_they_were_shown(clock: Clock, tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    board = board_of(clock, KEPT, OTHER, book=book)
    board.publish(
        decision(rows(KEPT_KEY, OTHER_KEY), shard="0", alerts=[alert(KEPT_KEY), alert(OTHER_KEY)])
    )
    changes = told(board)
    shown = {s.alert.series: s for s in board.active_alerts()}
    board.reload([KEPT])
    board.publish(decision({}, shard="1", clock=NOW + 9))
    assert len(firing(board)) == 2, "its own shard has the word"
    board.publish(decision(rows(KEPT_KEY), shard="0", clock=NOW + 9, alerts=[alert(KEPT_KEY)]))
    [change] = changes
    [over] = change.ended
    assert not change.fired
    assert (over.labels, over.objective) == (shown[OTHER_KEY].labels, OTHER)
    assert (over.alert.starts_at, over.alert.ends_at) == (NOW, NOW + 9)
    assert [entry.alert.series for entry in read_book(book)] == [KEPT_KEY]


def test_another_generation_ends_the_alert_though_it_fires_anew_at_once(clock: Clock) -> None:
    by = grouped()
    key = SeriesKey(by.id, ("m1", "t1"), by.generation)
    board = board_of(clock, by)
    board.publish(decision(rows(key), shard="0", alerts=[alert(key)]))
    changes = told(board)
    board.reload([grouped()])
    fresh = key._replace(generation="another")
    # In another shard, before the shard of the old one has decided.
    began = alert(fresh, starts_at=NOW + 9)
    board.publish(decision(rows(fresh), shard="1", clock=NOW + 9, alerts=[began]))
    [change] = changes
    assert [s.alert.series.generation for s in change.ended] == [by.generation]
    assert [s.alert.starts_at for s in change.fired] == [NOW + 9]
    board.publish(decision({}, shard="0", clock=NOW + 9))
    assert len(changes) == 1
    assert [a.series for a in firing(board)] == [fresh]


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"team": "other"}},
        {"labels": {"team": "llm", "alertname": "Mine"}},
        {"alert_labels": {"page": {"channel": "#page"}}},
    ],
)
def test_other_labels_are_another_alert(clock: Clock, changes: dict[str, object]) -> None:
    board = board_of(clock, KEPT)
    board.publish(decision(rows(KEPT_KEY), shard="0", alerts=[alert(KEPT_KEY)]))
    seen = told(board)
    [before] = board.active_alerts()
    board.reload([objective("kept", **changes)])
    board.publish(decision(rows(KEPT_KEY), shard="0", clock=NOW + 9, alerts=[alert(KEPT_KEY)]))
    [change] = seen
    [over], [fired] = change.ended, change.fired
    assert over.labels == before.labels
    assert over.alert.ends_at == NOW + 9
    assert fired.labels != before.labels
    assert fired.alert.starts_at == NOW, "it has burned since then"


def test_labels_in_another_order_or_of_another_severity_are_the_same_alert(clock: Clock) -> None:
    two = objective("kept", labels={"a": "1", "b": "2"})
    board = board_of(clock, two)
    board.publish(decision(rows(KEPT_KEY), shard="0", alerts=[alert(KEPT_KEY)]))
    changes = told(board)
    board.reload(
        [objective("kept", labels={"b": "2", "a": "1"}, alert_labels={"ticket": {"queue": "x"}})]
    )
    board.publish(decision(rows(KEPT_KEY), shard="0", clock=NOW + 9, alerts=[alert(KEPT_KEY)]))
    assert not changes


def test_an_overflow_series_in_two_shards_is_renewed_once(clock: Clock) -> None:
    by = grouped()
    key = SeriesKey(by.id, ("otel.metric.overflow",) * 2, by.generation)
    board = board_of(clock, by)
    for shard in ("0", "1"):
        board.publish(decision(rows(key), shard=shard, alerts=[alert(key)]))
    changes = told(board)
    board.reload([grouped(labels={"team": "other"})])
    for shard in ("0", "1"):
        board.publish(decision(rows(key), shard=shard, clock=NOW + 1, alerts=[alert(key)]))
    assert [(len(c.fired), len(c.ended)) for c in changes] == [(1, 1)]
    board.publish(decision(rows(key), shard="0", clock=NOW + 2))
    assert len(firing(board)) == 1
    board.publish(decision(rows(key), shard="1", clock=NOW + 2))
    assert not firing(board)


def test_a_book_that_could_not_be_written_is_once_there_is_room(
    clock: Clock, tmp_path: Path
) -> None:
    book = tmp_path / "missing" / "alerts.json"
    failures: list[int] = []
    board = Board([KEPT], None, clock=clock, on_book_failure=lambda: failures.append(1))
    board.book = book
    (tmp_path / "missing").write_text("in the way")
    for _ in range(3):  # no more tries than need be
        board.publish(decision(rows(KEPT_KEY), alerts=[alert(KEPT_KEY)]))
    assert len(failures) == 1
    (tmp_path / "missing").unlink()
    clock.now += BOOK_RETRY_SECONDS
    board.publish(decision(rows(KEPT_KEY), alerts=[alert(KEPT_KEY)]))
    assert [entry.alert.series for entry in read_book(book)] == [KEPT_KEY]
    assert len(failures) == 1


def test_outside_nothing_begins_or_ends_later_than_now():
    """The engine's time is ahead of a wall clock that was set back."""
    single, key = KEPT, KEPT_KEY
    now = [NOW - 3600.0]
    board = Board([single], wall=lambda: now[0])
    changes = []
    board.subscribe(changes.append)
    board.publish(decision(rows(key), alerts=[alert(key, starts_at=NOW)]))
    now[0] += 60
    board.publish(decision(rows(key), alerts=[alert(key, starts_at=NOW)], clock=NOW + 30))
    (fired,) = board.active_alerts()
    assert fired.alert.starts_at == NOW - 3600
    now[0] += 60
    board.publish(decision(rows(key), clock=NOW + 60))
    (ended,) = changes[-1].ended
    assert (ended.alert.starts_at, ended.alert.ends_at) == (NOW - 3600, NOW - 3480)
