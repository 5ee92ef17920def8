import asyncio
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from engine.service import Service, ServiceConfig, ServiceError
from engine.sinks import alertmanager as module
from engine.sinks import outbox
from engine.sinks._firing import identity
from engine.sinks.alertmanager import Replica, Sender
from engine.sinks.alertmanager import shown as address_shown
from engine.sinks.board import Board
from engine.sinks.book import read_book
from engine.sinks.outbox import Outbox, Progress, payload
from engine.sinks.shown import Change
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from slo.decision import Alert, SeriesKey, Silence
from slo.model import Objective
from slo.rendering import alert_labels, group_label_names, render
from tests.engine.sinks.boards import NOW, alert, decision, grouped, objective, shown
from tests.servers import alertmanager, alerts, eventually, free_port

SINGLE = objective(annotations={"runbook_url": "https://runbooks.example/chat"})
GROUPED = grouped(
    labels={"team": "llm"},
    alert_labels={"page": {"channel": "#page"}},
    alert_annotations={"page": {"summary": "my own"}},
)
S_KEY = SeriesKey(SINGLE.id, (), SINGLE.generation)
G_KEY = SeriesKey(GROUPED.id, ("m1", "t1"), GROUPED.generation)


def rows(*keys: SeriesKey) -> dict[SeriesKey, tuple[int, int]]:
    return dict.fromkeys(keys, (1, 10))


# Rendering


def test_labels_are_the_identity_and_nothing_that_changes() -> None:
    found = alert_labels(alert(G_KEY), GROUPED)
    assert found == {
        "alertname": "ChatApiPerModelBurnRate",
        "severity": "page",
        "sloth_severity": "page",
        "sloth_id": "chat-api-per-model",
        "sloth_service": "chat-api",
        "sloth_slo": "per-model",
        "gen_ai_request_model": "m1",
        "tenant_id": "t1",
        "team": "llm",
        "channel": "#page",
    }
    changed = replace(
        alert(G_KEY), starts_at=1.0, burn_short=1.0, budget_remaining=-3.0, slices=(), short=1800
    )
    assert alert_labels(changed, GROUPED) == found


def test_empty_group_values_are_left_out_and_names_never_clash() -> None:
    found = alert_labels(alert(G_KEY._replace(group=("m1", ""))), GROUPED)
    assert "tenant_id" not in found
    fields = ("severity", "a.b", "a_b", "sloth_id")
    clash = replace(GROUPED, by=tuple(GROUPED.by[0]._replace(name=name) for name in fields))
    assert group_label_names(clash) == ("group_severity", "a_b", "a_b_2", "group_sloth_id")


def test_the_user_may_name_the_alert_but_not_take_our_labels() -> None:
    named = objective(labels={"alertname": "Mine", "severity": "none"})
    found = alert_labels(alert(S_KEY), named)
    assert (found["alertname"], found["severity"]) == ("Mine", "page")


def test_budget_alerts_tell_their_level() -> None:
    spent = alert(S_KEY, kind="budget", severity="info", consumed=0.8, short=0, long=0)
    rendered = render(spent, SINGLE)
    assert rendered.labels["severity"] == "info"
    assert rendered.labels["consumed"] == "80%"
    assert "sloth_severity" not in rendered.labels
    assert rendered.labels["alertname"] == "ChatApiAvailabilityErrorBudget"
    assert "80%" in rendered.annotations["summary"]


def test_annotations_tell_what_burns() -> None:
    told = render(alert(S_KEY), SINGLE).annotations
    assert told["slice"] == "span.gen_ai.request.model=m1: 9 of 10 bad, lift 9"
    assert told["windows"] == "5m, 1h"
    assert told["budget_remaining"] == "40 %"
    assert told["exhausted_in"] == "2 h"
    assert told["errors"] == "timeout (9)"
    assert told["trace_ids"] == "ab" * 16
    assert told["runbook_url"] == "https://runbooks.example/chat"
    assert render(alert(G_KEY), GROUPED).annotations["summary"] == "my own"
    gone = render(alert(S_KEY, budget_remaining=-0.5, exhausted_in=None, slices=()), SINGLE)
    assert "slice" not in gone.annotations
    assert "it is gone" in gone.annotations["description"]


def test_times_on_the_wire() -> None:
    firing = payload(shown(alert(S_KEY), SINGLE), NOW, "http://engine")
    assert datetime.fromisoformat(firing["startsAt"]) == datetime.fromtimestamp(NOW, UTC)
    assert datetime.fromisoformat(firing["endsAt"]) == datetime.fromtimestamp(NOW + 900, UTC)
    assert firing["generatorURL"] == "http://engine"
    ended = payload(shown(alert(S_KEY, ends_at=NOW - 5), SINGLE), NOW, "")
    assert ended["endsAt"] > ended["startsAt"]  # a clock that was set back


# The board


def _alerts(board: Board) -> list[Alert]:
    return [shown.alert for shown in board.active_alerts()]


def test_changes_are_told_once() -> None:
    board = Board([SINGLE, GROUPED])
    changes: list[Change] = []
    board.subscribe(lambda _change: (_ for _ in ()).throw(RuntimeError("a broken listener")))
    unsubscribe = board.subscribe(changes.append)
    board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)], live=False))
    assert not board.active_alerts()
    assert board.snapshot().decisions == ()
    for seconds in range(3):
        burn = alert(S_KEY, burn_long=20.0 + seconds)
        board.publish(decision(rows(S_KEY), alerts=[burn], clock=NOW + seconds))
    assert [a.burn_long for a in _alerts(board)] == [22.0]
    over = alert(S_KEY, ends_at=NOW + 9)
    board.publish(decision(rows(S_KEY), ended=[over], clock=NOW + 9))
    assert not board.active_alerts()
    assert [(len(c.fired), [a.alert.ends_at for a in c.ended]) for c in changes] == [
        (1, []),
        (0, [NOW + 9]),
    ]
    unsubscribe()
    board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
    assert len(changes) == 2


def test_an_alert_in_two_shards_fires_until_both_end_it() -> None:
    board = Board([GROUPED])
    changes: list[Change] = []
    board.subscribe(changes.append)
    key = G_KEY._replace(group=("otel.metric.overflow",) * 2)
    board.publish(decision(rows(key), shard="1", alerts=[alert(key)]))
    board.publish(decision(rows(key), shard="2", alerts=[alert(key, starts_at=NOW + 5)]))
    assert [a.starts_at for a in _alerts(board)] == [NOW]
    board.publish(decision(rows(key), shard="1", clock=NOW + 9))
    assert [a.starts_at for a in _alerts(board)] == [NOW]
    board.publish(decision(rows(key), shard="2", clock=NOW + 10))
    assert not board.active_alerts()
    assert [(len(c.fired), len(c.ended)) for c in changes] == [(1, 0), (0, 1)]


def test_a_restart_keeps_the_start_of_what_still_fires(tmp_path: Path) -> None:
    book = tmp_path / "state" / "alerts.json"
    before = Board([SINGLE, GROUPED], book)
    before.publish(decision(rows(S_KEY), shard="1", alerts=[alert(S_KEY)]))
    before.publish(decision(rows(G_KEY), shard="2", alerts=[alert(G_KEY, severity="ticket")]))
    # Killed here. Until its shard is live again an alert is what it was.
    after = Board([SINGLE, GROUPED], book)
    changes: list[Change] = []
    after.subscribe(changes.append)
    assert {a.series for a in _alerts(after)} == {S_KEY, G_KEY}
    after.publish(decision(rows(S_KEY), shard="1", live=False, clock=NOW - 60))
    assert len(after.active_alerts()) == 2
    later = alert(S_KEY, starts_at=NOW + 77)
    after.publish(decision(rows(S_KEY), shard="1", alerts=[later], clock=NOW + 100))
    assert not changes
    assert {a.starts_at for a in _alerts(after) if a.series == S_KEY} == {NOW}
    # The other one ended while the engine was down: resolved with its shard's first live decision.
    after.publish(decision(rows(G_KEY), shard="2", clock=NOW + 101))
    [over] = [shown.alert for change in changes for shown in change.ended]
    assert (over.series, over.starts_at, over.ends_at) == (G_KEY, NOW, NOW + 101)
    assert [entry.alert.series for entry in read_book(book)] == [S_KEY]


def test_what_ended_just_before_a_restart_is_known_after_it(tmp_path: Path) -> None:
    """Who was killed before the end was sent must send it then; else it fires on until it expires."""
    book = tmp_path / "alerts.json"
    now = [NOW]

    def board(*objectives: Objective) -> Board:
        return Board(objectives, book, wall=lambda: now[0])

    before = board(SINGLE, GROUPED)
    before.publish(decision(rows(S_KEY), shard="1", alerts=[alert(S_KEY)]))
    before.publish(decision(rows(G_KEY), shard="2", alerts=[alert(G_KEY)]))
    now[0] = NOW + 6
    before.publish(decision(rows(S_KEY), shard="1", clock=NOW + 5))
    before.publish(decision(rows(G_KEY), shard="2", clock=NOW + 6))
    again = alert(G_KEY, starts_at=NOW + 6)
    before.publish(decision(rows(G_KEY), shard="2", alerts=[again], clock=NOW + 6))
    after = board(SINGLE, GROUPED)
    [over] = [shown.alert for shown in after.ended_lately()]
    assert (over.series, over.starts_at, over.ends_at) == (S_KEY, NOW, NOW + 5)
    assert [a.series for a in _alerts(after)] == [G_KEY]
    # Once it has expired in every Alertmanager it is forgotten.
    now[0] = NOW + 6 + outbox.EXPIRY_SECONDS
    after.publish(decision(rows(G_KEY), shard="2", clock=now[0]))
    assert [shown.alert.series for shown in after.ended_lately()] == [G_KEY]
    assert [shown.alert.ends_at for shown in board(GROUPED).ended_lately()] == [now[0]]
    assert board(SINGLE).ended_lately() == ()


def test_an_alert_of_a_shard_that_never_comes_back_is_ended(tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    Board([SINGLE], book).publish(decision(rows(S_KEY), shard="old", alerts=[alert(S_KEY)]))
    now = [0.0]
    board = Board([SINGLE], book, clock=lambda: now[0])
    board.publish(decision({}, shard="new"))
    assert len(board.active_alerts()) == 1
    now[0] = 301.0
    board.publish(decision({}, shard="new", clock=NOW + 301))
    assert not board.active_alerts()
    assert not read_book(book)


def test_alerts_of_objectives_that_are_gone_are_dropped(tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    Board([SINGLE], book).publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
    board = Board([GROUPED], book)
    assert not board.active_alerts()
    board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
    assert not board.active_alerts()


def test_missing_traffic_is_an_alert_beside_the_burn_of_its_series(tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    board = Board([SINGLE], book)
    changes: list[Change] = []
    board.subscribe(changes.append)
    missing = alert(S_KEY, kind="absent", slices=(), silence=Silence(NOW - 900, NOW - 950, 900.0))
    board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY), missing]))
    assert {shown.alert.kind for shown in board.active_alerts()} == {"burn", "absent"}
    board.publish(decision(rows(S_KEY), alerts=[missing], clock=NOW + 1))
    ended = [[shown.alert.kind for shown in change.ended] for change in changes]
    assert ended == [[], ["burn"]]
    assert [entry.alert for entry in read_book(book)] == [missing]


def test_a_book_of_before_there_was_missing_traffic_is_read(tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    Board([SINGLE], book).publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
    data = json.loads(book.read_text())
    del data["alerts"][0]["alert"]["silence"]
    book.write_text(json.dumps(data))
    assert [entry.alert for entry in read_book(book)] == [alert(S_KEY)]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version":2,"alerts":[]}', '{"version":1,"al'])
def test_an_unreadable_book_is_set_aside(tmp_path: Path, text: str) -> None:
    book = tmp_path / "alerts.json"
    book.write_text(text)
    assert not Board([SINGLE], book).active_alerts()
    assert (tmp_path / "alerts.json.unreadable").read_text() == text
    assert not book.exists()


def test_a_book_that_cannot_be_written_does_not_stop_paging(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    failures: list[int] = []
    changes: list[Change] = []
    board = Board([SINGLE], None, on_book_failure=lambda: failures.append(1))
    board.book = blocked / "alerts.json"
    board.subscribe(changes.append)
    board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
    assert (len(changes), failures) == (1, [1])


# The outbox


def test_what_is_due_to_a_replica() -> None:
    outbox, progress = Outbox(), Progress({})
    outbox.update([shown(alert(S_KEY), SINGLE)], [], NOW)
    due = progress.due(outbox, 0.0)
    progress.accept(due, outbox, 0.0)
    outbox.update([shown(alert(S_KEY, burn_long=99.0), SINGLE)], [], NOW)
    assert not progress.due(outbox, 59.9)
    assert progress.wait(50.0) == pytest.approx(10.0)
    again = progress.due(outbox, 60.0)
    assert again[0][1].shown.alert.burn_long == 99.0
    ended = shown(alert(S_KEY, ends_at=NOW + 61), SINGLE)
    outbox.update([], [ended], NOW + 61)
    assert [item.shown for _, item in progress.due(outbox, 61.0)] == [ended]
    progress.accept(progress.due(outbox, 61.0), outbox, 61.0)
    assert progress.due(outbox, 122.0), "the end is said again, too"
    # Firing again replaces the end; long after an end it is forgotten.
    outbox.update([shown(alert(S_KEY, starts_at=NOW + 99), SINGLE)], [ended], NOW + 99)
    assert [item.shown.alert.ends_at for item in outbox.items.values()] == [None]
    outbox.update([], [ended], NOW + 61)
    outbox.update([], [], NOW + 61 + 1199)
    assert outbox.items, "a replica may still take it for firing"
    outbox.update([], [], NOW + 61 + 1201)
    assert not outbox.items
    progress.accept([], outbox, 0.0)
    assert not progress.accepted


def test_an_end_is_told_for_longer_than_a_replica_can_take_it_for_firing() -> None:
    assert outbox.KEEP_ENDED_SECONDS > outbox.EXPIRY_SECONDS > 10 * 60 + module.LONGEST_RETRY


def test_what_a_replica_may_have_lost_is_sent_again_after_the_news() -> None:
    outbox, progress = Outbox(), Progress({})
    outbox.update([shown(alert(S_KEY), SINGLE)], [], NOW)
    progress.accept(progress.due(outbox, 5.0), outbox, 5.0)
    assert not progress.due(outbox, 6.0)
    progress.doubted = 6.0
    outbox.update([shown(alert(S_KEY), SINGLE), shown(alert(G_KEY), GROUPED)], [], NOW + 1)
    due = progress.due(outbox, 7.0)
    assert [item.shown.alert.series for _, item in due] == [G_KEY, S_KEY]
    progress.accept(due, outbox, 7.0)
    assert not progress.due(outbox, 8.0), "once, not for ever"


def test_an_alert_that_a_replica_never_heard_of_is_missed_once() -> None:
    over = shown(alert(S_KEY, ends_at=NOW + 5), SINGLE)
    outbox, progress = Outbox(), Progress({})
    outbox.update([shown(alert(G_KEY), GROUPED)], [over], NOW + 6)
    due = progress.due(outbox, 0.0)
    assert progress.missed(due) == [over.labels]
    progress.accept(due, outbox, 0.0)
    outbox.update([], [shown(alert(G_KEY, ends_at=NOW + 9), GROUPED)], NOW + 9)
    assert progress.missed(progress.due(outbox, 61.0)) == []


# Replicas


def test_urls() -> None:
    replica = Replica("https://user:hunter2@example.org:9093/prefix/")
    assert str(replica.endpoint) == "https://example.org:9093/prefix/api/v2/alerts"
    assert "hunter2" not in replica.name
    assert "user" not in replica.name
    assert replica.headers["Authorization"] == "Basic dXNlcjpodW50ZXIy"
    for bad in ("localhost:9093", "", "ftp://x", "http://"):
        with pytest.raises(ValueError, match="write http://HOST:PORT"):
            Replica(bad)
    assert "hunter2" not in address_shown(URL("x:hunter2@y"))
    assert Replica("http://am:9093/p/?token=hunter2#hunter2").name == "http://am:9093/p/"
    assert Replica("http://u:hunter%2F%402@am").name == "http://am"
    for unescaped in ("hunter/2", "hunter?2", "hunter#2", "/hunter2", "#hunter2"):
        for user in ("", "user:"):
            with pytest.raises(ValueError, match="can't be read; write http://HOST:PORT") as caught:
                Replica(f"http://{user}{unescaped}@am:9093")
            assert "hunter" not in str(caught.value)
    with pytest.raises(ServiceError, match="--alertmanager"):
        Service.start(ServiceConfig(Board([]), alertmanagers=("nonsense",)))


class Picky:
    """An Alertmanager that refuses every batch with a certain alert, or answers as told."""

    def __init__(self) -> None:
        self.status = 200
        self.accepted: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []

    async def post(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        batch = json.loads(await request.read())
        if self.status != 200:
            return web.Response(status=self.status, text="told so")
        if any(posted["labels"]["sloth_slo"] == "poison" for posted in batch):
            return web.Response(status=400, text="bad label")
        self.accepted += batch
        return web.Response()


async def _with_picky(work: Any) -> None:
    picky = Picky()
    app = web.Application()
    app.router.add_post("/am/api/v2/alerts", picky.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await work(picky, f"http://u:p@127.0.0.1:{runner.addresses[0][1]}/am")
    finally:
        await runner.cleanup()


async def _until(true: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for knows no events
            await asyncio.sleep(0.01)


def test_one_bad_alert_does_not_poison_the_batch() -> None:
    poison = objective("poison")
    key = SeriesKey(poison.id, ())

    async def work(picky: Picky, url: str) -> None:
        board, metrics = Board([SINGLE, poison, GROUPED]), EngineMetrics()
        board.publish(
            decision(rows(S_KEY, key, G_KEY), alerts=[alert(S_KEY), alert(key), alert(G_KEY)])
        )
        sender = Sender([url], board, metrics)
        await sender.start()
        await _until(lambda: len(picky.accepted) == 2)
        assert {a["labels"]["sloth_slo"] for a in picky.accepted} == {"availability", "per-model"}
        await asyncio.sleep(0.1)
        assert len(picky.requests) == 4, "the bad one is not tried again at once"
        name = sender.replicas[0].name
        assert (
            metrics.registry.get_sample_value(
                "burnline_alertmanager_refused_alerts_total", {"replica": name}
            )
            == 1
        )
        assert picky.requests[0].headers["Authorization"] == "Basic dTpw"
        await sender.stop()

    asyncio.run(_with_picky(work))


def test_errors_are_tried_again_with_the_newest_state() -> None:
    async def work(picky: Picky, url: str) -> None:
        board, metrics = Board([SINGLE]), EngineMetrics()
        picky.status = 503
        sender = Sender([url], board, metrics)
        await sender.start()
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
        await _until(lambda: len(picky.requests) >= 2)
        end = time.time()
        board.publish(decision(rows(S_KEY), clock=end))
        picky.status = 200
        await _until(lambda: picky.accepted)
        await asyncio.sleep(0.05)
        assert len(picky.accepted) == 1, "the end alone: the latest state wins"
        name = {"replica": sender.replicas[0].name}
        missed = metrics.registry.get_sample_value(
            "burnline_alertmanager_missed_alerts_total", name
        )
        assert missed == 1
        assert datetime.fromisoformat(picky.accepted[0]["endsAt"]).timestamp() == pytest.approx(end)
        await sender.stop()

    asyncio.run(_with_picky(work))


def test_an_end_is_not_said_again_while_another_has_not_heard_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "RESEND_SECONDS", 0.1)
    monkeypatch.setattr(module, "LONGEST_RETRY", 0.1)

    async def first(one: Picky, url: str) -> None:
        async def second(other: Picky, other_url: str) -> None:
            board = Board([SINGLE])
            sender = Sender([url, other_url], board, EngineMetrics())
            board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
            await sender.start()
            await _until(lambda: one.accepted and other.accepted)
            other.status = 503
            board.publish(decision(rows(S_KEY), clock=time.time()))
            await _until(lambda: _ends(one))
            tried = len(other.requests)
            await _until(lambda: len(other.requests) > tried + 5)
            assert _ends(one) == 1
            other.status = 200
            await _until(lambda: _ends(other) > 1 and _ends(one) > 1)
            await sender.stop()

        await _with_picky(second)

    asyncio.run(_with_picky(first))


def _ends(picky: Picky) -> int:
    return sum(
        datetime.fromisoformat(posted["endsAt"]).timestamp() < time.time()
        for posted in picky.accepted
    )


def test_a_fault_of_our_own_is_told_and_does_not_end_paging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    configure(log, json=True)
    faults = [RuntimeError("a fault of our own")]

    def faulty(*args: Any) -> dict[str, Any]:
        if faults:
            raise faults.pop()
        return payload(*args)

    monkeypatch.setattr(module, "payload", faulty)

    async def work(picky: Picky, url: str) -> None:
        board = Board([SINGLE])
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
        sender = Sender([url], board, EngineMetrics())
        await sender.start()
        await _until(lambda: picky.accepted)
        await sender.stop()

    asyncio.run(_with_picky(work))
    assert "a fault of our own" in log.getvalue()
    assert "Traceback" in log.getvalue()


def test_one_that_is_reached_again_has_the_others_tried_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 3600.0)
    monkeypatch.setattr(module, "LONGEST_RETRY", 3600.0)

    async def first(one: Picky, url: str) -> None:
        async def second(other: Picky, other_url: str) -> None:
            one.status = other.status = 503
            board = Board([SINGLE])
            sender = Sender([url, other_url], board, EngineMetrics())
            board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
            await sender.start()
            await _until(lambda: one.requests and other.requests)
            one.status = other.status = 200
            sender.replicas[0].retry.set()  # its back-off is over
            await _until(lambda: one.accepted and other.accepted)
            await sender.stop()

        await _with_picky(second)

    asyncio.run(_with_picky(first))


@pytest.mark.parametrize("steps", range(6))
def test_stopping_while_a_change_comes_ends(steps: int) -> None:
    """The change wakes the task that is being cancelled, so many steps of the loop before."""

    async def work(picky: Picky, url: str) -> None:
        board = Board([SINGLE])
        sender = Sender([url], board, EngineMetrics())
        await sender.start()
        await asyncio.sleep(0.1)  # it waits for a change
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await sender.stop()
        assert len(picky.accepted) == 1

    asyncio.run(_with_picky(work))


@pytest.mark.parametrize("status", [301, 302, 307])
def test_being_led_elsewhere_is_no_success(status: int) -> None:
    """A login page answers 200 to the GET that a POST becomes; the alert would be lost."""

    async def work() -> None:
        seen: list[str] = []

        async def login(request: web.Request) -> web.Response:
            seen.append(request.path)
            if request.path == "/login":
                return web.Response(text="who are you?")
            return web.Response(status=status, headers={"Location": "/login"})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", login)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        board = Board([SINGLE])
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY)]))
        sender = Sender([f"http://127.0.0.1:{runner.addresses[0][1]}"], board, EngineMetrics())
        await sender.start()
        await _until(lambda: sender.replicas[0].up is False)
        assert "/login" not in seen
        await sender.stop()
        await runner.cleanup()

    asyncio.run(work())


def test_stopping_sends_what_is_due_and_resolves_nothing() -> None:
    async def work(picky: Picky, url: str) -> None:
        board = Board([SINGLE])
        sender = Sender([url, f"http://127.0.0.1:{free_port()}"], board, EngineMetrics())
        await sender.start()
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY, starts_at=time.time())]))
        await sender.stop()
        assert len(picky.accepted) == 1
        assert datetime.fromisoformat(picky.accepted[0]["endsAt"]).timestamp() > time.time() + 200

    asyncio.run(_with_picky(work))


# Real servers


@pytest.fixture
def shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RESEND_SECONDS", 0.5)
    monkeypatch.setattr(module, "LONGEST_RETRY", 0.5)


@pytest.fixture
def board() -> Board:
    return Board([SINGLE, GROUPED])


def serve(board: Board, *urls: str) -> Iterator[Service]:
    service = Service.start(
        ServiceConfig(
            board,
            otlp_grpc=None,
            otlp_http=None,
            listen=None,
            alertmanagers=urls,
            external_url="http://burnline.example",
        )
    )
    yield service
    service.stop()


def listed(url: str, slo: str) -> list[dict[str, Any]]:
    return [a for a in alerts(url) if a["labels"]["sloth_slo"] == slo]


@pytest.mark.servers
@pytest.mark.usefixtures("shortened")
def test_a_real_alertmanager_keeps_one_alert_and_resolves_it(board: Board, tmp_path: Path) -> None:
    began = time.time() - 1
    burn: Alert = alert(G_KEY, starts_at=began)
    with alertmanager(tmp_path) as url:
        running = serve(board, url)
        next(running)
        board.publish(decision(rows(G_KEY), alerts=[burn]))
        [found] = eventually(lambda: listed(url, "per-model"))
        assert found["labels"] == alert_labels(burn, GROUPED)
        assert found["annotations"]["slice"].startswith("span.gen_ai.request.model=m1")
        assert found["generatorURL"] == "http://burnline.example"
        assert datetime.fromisoformat(found["startsAt"]).timestamp() == pytest.approx(
            began, abs=1e-3
        )
        first = found["updatedAt"]
        # Figures change; sent again it is still the one alert, with the new figures.
        board.publish(decision(rows(G_KEY), alerts=[replace(burn, burn_long=7.0)]))
        eventually(lambda: listed(url, "per-model")[0]["annotations"]["burn_long"] == "7")
        [again] = listed(url, "per-model")
        assert again["fingerprint"] == found["fingerprint"]
        assert again["startsAt"] == found["startsAt"]
        assert again["updatedAt"] > first
        board.publish(
            decision(rows(G_KEY), ended=[replace(burn, ends_at=time.time())], clock=time.time())
        )
        eventually(lambda: not listed(url, "per-model"))
        list(running)


@pytest.mark.servers
@pytest.mark.usefixtures("shortened")
def test_a_replica_that_is_down_delays_nobody_and_catches_up(board: Board, tmp_path: Path) -> None:
    late_port = free_port()
    (tmp_path / "late").mkdir()
    with alertmanager(tmp_path) as url:
        running = serve(board, f"http://127.0.0.1:{late_port}", url)
        next(running)
        published = time.monotonic()
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY, starts_at=time.time())]))
        eventually(lambda: listed(url, "availability"))
        assert time.monotonic() - published < 1.0
        time.sleep(1.0)
        with alertmanager(tmp_path / "late", late_port) as late:
            eventually(lambda: listed(late, "availability"), 5)
            # Each is told of the end, too.
            board.publish(decision(rows(S_KEY), clock=time.time()))
            eventually(lambda: not listed(late, "availability") and not listed(url, "availability"))
        list(running)


@pytest.mark.servers
@pytest.mark.usefixtures("shortened")
def test_a_restart_neither_resolves_nor_doubles(tmp_path: Path) -> None:
    began = time.time() - 30
    with alertmanager(tmp_path) as url:
        for shift in (0.0, 11.0):  # after the restart the flow says another start
            board = Board([SINGLE], tmp_path / "alerts.json")
            running = serve(board, url)
            next(running)
            if shift:
                assert len(listed(url, "availability")) == 1
            board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY, starts_at=began + shift)]))
            [found] = eventually(lambda: listed(url, "availability"))
            time.sleep(0.7)
            list(running)
            [still] = listed(url, "availability")
            assert still["startsAt"] == found["startsAt"]
            assert datetime.fromisoformat(still["startsAt"]).timestamp() == pytest.approx(
                began, abs=1e-3
            )


@pytest.mark.servers
@pytest.mark.usefixtures("shortened")
def test_an_end_that_a_kill_kept_from_being_sent_is_sent_after_the_restart(tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    began = time.time() - 30
    with alertmanager(tmp_path) as url:
        board = Board([SINGLE], book)
        running = serve(board, url)
        next(running)
        board.publish(decision(rows(S_KEY), alerts=[alert(S_KEY, starts_at=began)]))
        eventually(lambda: listed(url, "availability"))
        list(running)
        # Killed between the book and the request.
        board.publish(decision(rows(S_KEY), clock=time.time()))
        assert listed(url, "availability")
        running = serve(Board([SINGLE], book), url)
        service = next(running)
        eventually(lambda: not listed(url, "availability"))
        # Its beginning had been told, as far as anybody knows.
        missed = service.config.metrics.registry.get_sample_value(
            "burnline_alertmanager_missed_alerts_total", {"replica": url}
        )
        assert not missed
        list(running)


def test_identity_is_labels_in_short() -> None:
    other = alert(S_KEY._replace(generation="changed"), burn_long=1.0)
    assert identity(alert(S_KEY)) == identity(other)
    assert shown(alert(S_KEY), SINGLE).labels == shown(other, SINGLE).labels
    spent = [alert(S_KEY, kind="budget", severity="info", consumed=c) for c in (0.5, 0.8)]
    assert identity(spent[0]) != identity(spent[1])
