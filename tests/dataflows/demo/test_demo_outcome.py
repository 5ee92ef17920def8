import json
from dataclasses import replace
from fractions import Fraction

import numpy as np

from dataflows.demo.board import PAGED, Board
from dataflows.demo.outcome import Outcome
from slo.decision import Alert, Decision, SeriesKey, SliceCount
from slo.model import Objective, RollingWindow, SpanSli
from slo.traceql import parse_filter

WINDOW = RollingWindow(30 * 86400)
SLI = SpanSli(parse_filter("{ }"), bad=parse_filter("{ status = error }"))
AVAILABILITY = Objective("chat-api", "availability", Fraction(999, 1000), WINDOW, SLI)
KEY = SeriesKey(PAGED, ())
PAGE = Alert(KEY, "burn", "page", 1_000.5, None, 300, 3600, 90.0, 15.0, 14.4, -3.0)
SLICES = (SliceCount((("span.tenant.id", "acme"),), 9, 10, 9.0),)


def _decision(*alerts):
    none = np.zeros((0, 0), np.int64)
    return Decision(
        shard="0",
        clock=1.0,
        live=True,
        windows=(),
        series=(),
        bad=none,
        total=none,
        period=none,
        lifetime=none,
        frozen=none.astype(bool),
        alerts=alerts,
        ended=(),
    )


def _board(*decisions):
    board = Board()
    for decision in decisions:
        board.take(decision)
    return board


def _concluded(board, **known):
    outcome = Outcome(incident_start=990.0, spans=7, **known)
    outcome.conclude(board, {PAGED: AVAILABILITY})
    return outcome


def test_without_alertmanager_the_page_is_what_the_engine_would_send():
    outcome = json.loads(_concluded(_board(_decision(replace(PAGE, slices=SLICES)))).as_json())
    assert outcome["page_at"] == "1970-01-01T00:16:40.500Z"
    assert outcome["incident_start"] == "1970-01-01T00:16:30.000Z"
    assert outcome["page_alert"]["sloth_id"] == PAGED
    assert outcome["page_alert"]["severity"] == "page"
    assert outcome["top_slice"] == {"span.tenant.id": "acme"}


def test_with_alertmanager_a_page_counts_once_it_is_listed():
    board = _board(_decision(replace(PAGE, slices=SLICES)))
    unlisted = _concluded(board, alertmanager=True)
    assert (unlisted.page_at, unlisted.page_alert, unlisted.top_slice) == (None, {}, {})
    assert unlisted.summary() == "stopped after 7 spans; no page was seen"
    board.listed, board.listed_at = {"alertname": "A"}, 1_002.0
    listed = _concluded(board, alertmanager=True)
    assert (listed.page_at, listed.page_alert) == (1_002.0, {"alertname": "A"})
    assert "the page came 12.0 s after" in listed.summary()
    assert "span.tenant.id=acme" in listed.summary()


def test_only_burning_pages_of_availability_count_and_slices_stay():
    others = (
        replace(PAGE, severity="ticket"),
        replace(PAGE, kind="budget", consumed=1.0),
        replace(PAGE, series=SeriesKey("chat-api-latency", ("m",))),
    )
    assert _board(_decision(*others)).page is None
    board = _board(
        _decision(PAGE), _decision(replace(PAGE, slices=SLICES)), _decision(PAGE), _decision()
    )
    assert board.top_slice == {"span.tenant.id": "acme"}
    assert len(board.decisions()) == 1


def test_nothing_known_is_null_and_empty():
    assert json.loads(Outcome().as_json()) == {
        "incident_start": None,
        "page_at": None,
        "page_alert": {},
        "top_slice": {},
        "alertmanager": False,
        "spans": 0,
    }
