from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from rich.console import Console

from dataflows.demo.view import MOST_GROUPS, Scene, show
from slo.burn import resolve_tiers
from slo.columns import Field
from slo.decision import Alert, Decision, SeriesKey, SliceCount
from slo.model import Objective, RollingWindow, SpanSli
from slo.traceql import parse_filter

DAY = 86400
NOW = 1_700_000_000.0
WINDOWS = (300, 1800, 3600, 21600, DAY, 30 * DAY)
SLI = SpanSli(parse_filter("{ }"), bad=parse_filter("{ status = error }"))


def _objective(name, percent, by=()):
    target = Fraction(str(percent)) / 100
    tiers, _ = resolve_tiers(target, 30 * DAY)
    window = RollingWindow(30 * DAY)
    return Objective("chat-api", name, target, window, SLI, tiers=tiers, by=by)


AVAILABILITY = _objective("availability", "99.9")
LATENCY = _objective("latency", 95, (Field("span", "gen_ai.request.model"),))
QUIET = _objective("embeddings", 99)
OBJECTIVES = (AVAILABILITY, LATENCY, QUIET)


def _decision(rows, alerts=(), *, frozen=False):
    """Rows of (key, bad and total in 5 minutes, in an hour)."""
    counts = np.array(
        [[minutes if w < 3600 else hour for w in WINDOWS] for _, minutes, hour in rows], np.int64
    ).reshape(len(rows), len(WINDOWS), 2)
    return Decision(
        shard="0",
        clock=NOW,
        live=True,
        windows=WINDOWS,
        series=tuple(key for key, _, _ in rows),
        bad=counts[:, :, 0],
        total=counts[:, :, 1],
        period=counts[:, -1],
        lifetime=counts[:, -1],
        frozen=np.full(len(rows), frozen),
        alerts=tuple(alerts),
        ended=(),
        watermarks=(NOW, 0.0),
    )


def _key(objective, group=()):
    return SeriesKey(objective.id, group, objective.generation)


PAGE = Alert(
    series=_key(AVAILABILITY),
    kind="burn",
    severity="page",
    starts_at=NOW - 7,
    ends_at=None,
    short=1800,
    long=21600,
    burn_short=42.64,
    burn_long=7.125,
    factor=6.0,
    budget_remaining=-6.1,
    slices=(
        SliceCount(
            (("span.gen_ai.request.model", "claude-sonnet-4-5"), ("span.tenant.id", "acme")),
            138,
            3320,
            5.83,
        ),
    ),
)
ROWS = (
    (_key(AVAILABILITY), (139, 3260), (143, 20_070)),
    (_key(LATENCY, None), (30, 3000), (400, 18_000)),
    (_key(LATENCY, ("gpt-5",)), (20, 800), (360, 4_000)),
    (_key(LATENCY, ("claude-sonnet-4-5",)), (10, 900), (40, 5_000)),
)
SCENE = Scene(
    now=NOW,
    status="live for 17 s, 22,917 spans, 215 calls/s",
    story="since 22:13:10 UTC claude-sonnet-4-5 answers 80% of acme's calls with RateLimitError",
    links=(("Alertmanager", "http://127.0.0.1:39093"), ("metrics", "http://127.0.0.1:41/metrics")),
    page={"alertname": "ChatApiAvailabilityBurnRate", "severity": "page", "sloth_id": "chat-api-a"},
    page_at=NOW - 6,
)


def _text(objectives, decisions, scene, width=80):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123  closed with the process
    console.print(show(objectives, decisions, scene, width))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


EIGHTY = """\
Burnline demo  22:13:20 UTC  live for 17 s, 22,917 spans, 215 calls/s
since 22:13:10 UTC claude-sonnet-4-5 answers 80% of acme's calls with
RateLimitError
SLO                  target       SLI  budget  burn 5m     1h     6h
availability         99.9 %   99.287%   -613%     42.6   7.13   7.13  PAGE
latency                95 %   97.778%     56%     0.20   0.44   0.44
  gpt-5                       91.000%    -80%     0.50   1.80   1.80
  claude-sonnet-4-5           99.200%     84%     0.22   0.16   0.16
embeddings             99 %         -       -        -      -      -  idle
 PAGE  availability  burns 42.6 / 7.1 in 30m/6h (limit 6)  for 7 s
   burning: model claude-sonnet-4-5 and tenant acme: 138 bad of 3,320, lift 5.8
Alertmanager lists the page since 22:13:14 UTC:
alertname=ChatApiAvailabilityBurnRate severity=page sloth_id=chat-api-a
Alertmanager http://127.0.0.1:39093  metrics http://127.0.0.1:41/metrics
Ctrl-C stops the demo and removes what it made."""


def test_eighty_columns_show_everything():
    assert _text(OBJECTIVES, [_decision(ROWS, [PAGE])], SCENE) == EIGHTY


def test_a_wide_terminal_shows_more_windows_and_wraps_nothing():
    lines = _text(OBJECTIVES, [_decision(ROWS, [PAGE])], SCENE, 130).splitlines()
    assert " ".join(lines[2].split()) == "SLO target SLI budget left burn 5m 30m 1h 6h 1d"
    assert (
        " ".join(lines[3].split())
        == "availability 99.9 % 99.287% -613% 42.6 42.6 7.13 7.13 7.13 PAGE"
    )
    assert len(lines) == len(EIGHTY.splitlines()) - 2


def test_before_anything_is_decided():
    notes = ("no Alertmanager on this machine: alerts are shown here and on /metrics",)
    text = _text(OBJECTIVES, [], Scene(NOW, "sending an hour of history", notes=notes))
    assert text.splitlines()[1] == notes[0]
    assert text.count("idle") == len(OBJECTIVES)
    assert "nothing fires" in text


@pytest.mark.parametrize("width", [20, 40, 79, 80, 99, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_address_is_broken(width):
    lines = _text(OBJECTIVES, [_decision(ROWS, [PAGE])], SCENE, width).splitlines()
    assert max(map(len, lines)) <= width
    if width >= 40:
        assert any("http://127.0.0.1:39093" in line for line in lines)


def test_shards_are_put_together_and_an_unknown_objective_is_left_out():
    gone = SeriesKey("chat-api-gone", ())
    one = _decision([ROWS[0], (gone, (1, 2), (1, 2))], [replace(PAGE, series=gone)])
    text = _text(OBJECTIVES, [one, _decision(ROWS[1:])], SCENE)
    assert "gpt-5" in text
    assert "nothing fires" in text
    assert "gone" not in text


def test_frozen_series_say_so():
    assert "frozen" in _text([AVAILABILITY], [_decision(ROWS[:1], frozen=True)], SCENE)


def test_many_groups_are_cut_with_the_worst_budgets_first():
    rows = [(_key(LATENCY, (f"m{i}",)), (i, 1000), (i, 1000)) for i in range(MOST_GROUPS + 3)]
    lines = _text([LATENCY], [_decision(rows)], Scene(NOW, "")).splitlines()
    assert lines[3].split()[0] == f"m{MOST_GROUPS + 2}"
    assert lines[3 + MOST_GROUPS] == "  and 3 more"


def test_of_the_levels_of_a_budget_only_the_highest_is_told_and_alerts_are_cut():
    budget = replace(PAGE, kind="budget", severity="info", short=0, long=0, slices=())
    levels = [replace(budget, consumed=level) for level in (0.8, 1.0, 0.5)]
    tickets = [replace(PAGE, severity="ticket", series=_key(LATENCY, (f"m{i}",))) for i in range(4)]
    text = _text(OBJECTIVES, [_decision(ROWS, [*levels, *tickets, PAGE])], SCENE)
    assert "100% of the budget is gone" not in text
    assert "and 2 more alerts" in text
    text = _text(OBJECTIVES, [_decision(ROWS, levels)], SCENE)
    assert text.count("of the budget is gone") == 1
    assert "100% of the budget is gone" in text


def test_values_from_outside_neither_style_nor_move_the_cursor():
    evil = "[red]x[/]\x1b[2J\n\x07" + "v" * 300
    page = replace(PAGE, slices=(SliceCount((("span.tenant.id", evil),), 1, 2, 3.0),))
    rows = [*ROWS[:1], (_key(LATENCY, (evil, "")), (0, 1), (0, 1))]
    text = _text(OBJECTIVES, [_decision(rows, [page])], SCENE, 120)
    assert "[red]x[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_without_counts_nothing_is_divided():
    rows = [(_key(AVAILABILITY), (0, 0), (0, 0))]
    line = _text([AVAILABILITY], [_decision(rows)], Scene(NOW, "")).splitlines()[2]
    assert line.split() == ["availability", "99.9", "%", "-", "100%", "-", "-", "-"]
