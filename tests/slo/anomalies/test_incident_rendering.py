"""What a person reads of an incident."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from slo.anomalies.decision import Incident, Member, Reading
from slo.anomalies.rendering import incident_labels, quantity, rarity, render_incident
from tests.strategies.readings import ERRORS, MODELS, NOW, P95, RATE, key

NAN = math.nan
SLOW = Member(
    key=key(P95, "m1"),
    group=(("span.gen_ai.request.model", "m1"),),
    unit="s",
    every=60,
    since=NOW,
    strangest=Reading(NOW + 60, 3.14159, 0.81, 0.62, 1.23, 7.6e-6),
    active=True,
)
FAILING = SLOW._replace(
    key=key(ERRORS), group=(), unit="ratio", strangest=Reading(NOW, 0.31, 0.005, 0.0, 0.02, 1e-9)
)
INCIDENT = Incident(
    service="chat-api",
    severity="ticket",
    opened=NOW,
    starts_at=NOW + 2,
    ends_at=None,
    monitor=MODELS.id,
    labels=(("team", "llm"),),
    annotations=(("runbook_url", "https://runbooks.example/anomaly"),),
    members=(SLOW, FAILING),
    count=2,
    trace_ids=("ab" * 16,),
)


def test_everything_that_is_known_is_said_plainly() -> None:
    told = render_incident(INCIDENT).annotations
    assert told == {
        "summary": "chat-api p95_duration (span.gen_ai.request.model=m1) is 3.14 s, expected 0.81 s",
        "description": "chat-api p95_duration (span.gen_ai.request.model=m1) was 3.14 s at 2026-09-21 "
        "14:15:00 UTC; expected was 0.81 s, usual is 0.62 s to 1.23 s.\n"
        "A reading as strange as that comes about once in 3 months. It began in the interval from "
        "2026-09-21 14:13:00 UTC.\n"
        "Unusual with it, 1 more series of the service: errors 31 % (expected 0.5 %).",
        "first_cause": "p95_duration (span.gen_ai.request.model=m1)",
        "value": "3.14 s",
        "expected": "0.81 s",
        "band": "0.62 s to 1.23 s",
        "unusual": "about once in 3 months",
        "since": "2026-09-21 14:13:00 UTC",
        "also": "errors 31 % (expected 0.5 %)",
        "slice": "span.gen_ai.request.model=m1",
        "trace_ids": "ab" * 16,
        "runbook_url": "https://runbooks.example/anomaly",
    }


def test_nothing_that_changes_is_a_label() -> None:
    changed = replace(INCIDENT, members=(FAILING,), count=1, trace_ids=(), ends_at=NOW, burning="x")
    assert incident_labels(changed) == incident_labels(INCIDENT)


def test_the_user_may_name_the_alert_but_not_take_our_labels() -> None:
    mine = replace(
        INCIDENT, labels=(("alertname", "Mine"), ("severity", "none"), ("service", "x"), ("a", ""))
    )
    assert incident_labels(mine) == {
        "alertname": "Mine",
        "severity": "ticket",
        "service": "chat-api",
        "monitor": MODELS.id,
    }
    own = replace(INCIDENT, annotations=(("summary", "my own"),))
    assert render_incident(own).annotations["summary"] == "my own"


def test_what_the_detector_does_not_say_is_left_out() -> None:
    bare = SLOW._replace(strangest=Reading(NOW, NAN, NAN, NAN, NAN, 0.0), key=key(RATE), group=())
    told = render_incident(replace(INCIDENT, members=(bare,), count=1, trace_ids=())).annotations
    assert told["summary"] == "chat-api rate: no reading, which is unusual"
    assert told["unusual"] == "less than once in 10 years"
    assert "nan" not in " ".join(told.values())
    assert not {"value", "expected", "band", "also", "slice", "trace_ids"} & told.keys()
    one_sided = SLOW._replace(strangest=Reading(NOW, 3.0, NAN, NAN, 1.0, 1e-3))
    told = render_incident(replace(INCIDENT, members=(one_sided,), count=1)).annotations
    assert told["band"] == "at most 1 s"
    assert told["summary"].endswith("is 3 s, unusual")


def test_more_members_than_are_named_are_counted() -> None:
    told = render_incident(replace(INCIDENT, count=40)).annotations
    assert (
        "39 more series of the service: errors 31 % (expected 0.5 %), and 38 more."
        in (told["description"])
    )


def test_an_end_says_what_is_taken_for_normal() -> None:
    stays = SLOW._replace(active=False, stays=True)
    ended = replace(INCIDENT, members=(stays, FAILING), ends_at=NOW + 900)
    note = "p95_duration (span.gen_ai.request.model=m1) stays where it is, and is taken for normal"
    assert note in render_incident(ended).annotations["description"]
    assert " was 3.14 s, expected 0.81 s" in render_incident(ended).annotations["summary"]
    assert note not in render_incident(replace(ended, ends_at=None)).annotations["description"]


def test_a_page_says_which_slo_burns() -> None:
    told = render_incident(replace(INCIDENT, burning="chat-api-availability")).annotations
    assert "The SLO chat-api-availability burns" in told["description"]
    assert told["burning_slo"] == "chat-api-availability"


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1), st.integers(1, 86_400))
def test_any_probability_has_words(probability: float, every: int) -> None:
    words = rarity(probability, every)
    assert words.startswith(("about once", "less than once"))
    assert " 0 " not in words


@settings(deadline=None, max_examples=60)
@given(st.floats(), st.sampled_from(["", "s", "ratio", "1/s"]))
def test_any_value_has_words(value: float, unit: str) -> None:
    assert bool(quantity(value, unit)) == math.isfinite(value)
