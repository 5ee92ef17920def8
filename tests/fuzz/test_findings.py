"""What fuzzing and reading with a fuzzer's eyes has found, each once more."""

import gzip
import time

import pytest

from engine.receivers.holding import Refusal
from engine.receivers.otlp_http import gunzip
from engine.telemetry.log import hide_secrets
from slo import load
from tests.fuzz.child import check_of
from tests.fuzz.targets import named

FINDINGS = {
    # A search that began anew at each digit: a minute for 45,000 of them.
    "digits without a unit": ("values", b"9" * 400_000),
    "digits with a unit": ("values", b"9" * 400_000 + b"s"),
    "a decimal beyond decimals": ("values", b"9" * 1_500_000 + b"h"),
    # Python's stack ended before orjson's bound on nesting.
    "spans in spans": ("traces_json", b'{"spans":' * 1000 + b"{}" + b"}" * 1000),
    "lists of spans": ("traces_json", b'{"spans":[' * 500 + b"]}" * 500),
    "data points in data points": ("metrics_json", b'{"dataPoints":[' * 500 + b"]}" * 500),
    # A recording of zeros was copied for each empty message.
    "zeros": ("recording", bytes(400_000)),
    # The parser of PromQL panics, which is no Exception.
    "an offset beyond durations": ("promql", b"x offset " + b"9" * 400),
    "quotes without end": ("promql", b'\\"' * 4_900),
    "escapes without end": ("traceql", b'{ name = "' + b"\\" * 9_000),
    "an attribute of quotes": ("traceql", b"{ span." + b'""' * 4_900 + b" = 1 }"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_found_once(name: str) -> None:
    target, data = FINDINGS[name]
    check = check_of(named(target))
    began = time.process_time()
    check(data)
    assert time.process_time() - began < 5


def test_empty_gzip_members() -> None:
    """What zlib leaves of its input was copied for each of them: hours for 64 MiB."""
    began = time.process_time()
    with pytest.raises(Refusal, match="members"):
        gunzip(gzip.compress(b"", mtime=0) * 300_000, 1 << 26)
    assert time.process_time() - began < 5


SLO = """\
apiVersion: burnline/v1
service: {service}
slos:
  - name: {name}
    objective: {objective}
    window: {window}
    sli:
      spans: {{total: '{total}', bad: '{{ status = error }}'}}
"""
USUAL = {"service": "s", "name": "n", "objective": "99", "window": "30d", "total": "{ }"}


@pytest.mark.parametrize(
    "odd",
    [
        {"service": "../../../etc/passwd"},
        {"name": "../up"},
        {"name": '"a\\0b"'},
        {"name": '"a\\nb"'},
        {"name": "n" * 201},
        {"objective": "99." + "9" * 1_000_000},  # took hours to reckon with
        {"objective": "1" + "0" * 1_000_000 + ".5"},
        {"objective": "1e-999"},
        {"objective": "9" * 400},
        {"objective": "1e999"},
        {"objective": ".nan"},
        {"window": "9" * 100_000 + "d"},
        {"window": "{calendar: day, time_zone: ../../../etc/passwd}"},
        {"window": "{calendar: day, time_zone: /etc/passwd}"},
        {"window": '{calendar: day, time_zone: "Europe/Berlin\\0"}'},
        {"window": "{calendar: day, time_zone: Europe}"},
        {"window": "{calendar: day, time_zone: " + "a/" * 500 + "b}"},
        {"window": "{calendar: day, time_zone: " + "." * 1000 + "}"},
        {"window": "{calendar: day, time_zone: " + "x" * 100_000 + "}"},
        {"total": '{ name =~ "(a{1000}){1000}" }'},
        {"total": '{ name =~ "' + "(" * 3000 + '" }'},
    ],
    ids=lambda odd: f"{next(iter(odd))}={next(iter(odd.values()))[:30]!r}",
)
def test_odd_slos_are_problems_with_a_place_and_a_mend(odd: dict[str, str]) -> None:
    began = time.process_time()
    loaded = load({"a.yaml": SLO.format(**(USUAL | odd))})
    assert time.process_time() - began < 5
    if odd == {"objective": "1e-999"}:
        return  # odd, and a percentage
    assert loaded.problems
    for problem in loaded.problems:
        assert problem.what
        assert problem.mend
        assert len(str(problem)) < 1000


def test_a_billion_laughs_are_a_problem() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for n in range(9):
        inner = ",".join(["*" + chr(97 + n)] * 9)
        lines.append(f"{chr(98 + n)}: &{chr(98 + n)} [{inner}]")
    [problem] = load({"a.yaml": "\n".join(lines)}).problems
    assert "aliases" in problem.what


def test_masking_of_long_texts_takes_no_longer_than_reading_them() -> None:
    began = time.process_time()
    for text in ("://" * 300_000, "://" + "a" * 1_000_000, "a://b:c" * 100_000 + "@"):
        hide_secrets(None, "info", {"event": text})
    assert time.process_time() - began < 3


def test_regular_expressions_take_time_as_the_text_is_long() -> None:
    check = check_of(named("promql"))
    for pattern in ("(a+)+$", "(a|aa)+$", "(.*a){25}", "([a-z]+)*b"):
        began = time.process_time()
        check(b'm{a=~"' + pattern.encode() + b'",status=~"' + pattern.encode() + b'"}')
        assert time.process_time() - began < 3
