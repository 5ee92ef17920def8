"""Variables of the environment that somebody meant for an option."""

import pytest
import structlog

from dataflows.misspelt import misspelt, warn_of_misspelt
from dataflows.options import known_variables


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("BURNLINE_KAFKA_BROKER", "BURNLINE_KAFKA_BROKERS"),
        ("BURNLINE_PROCESSID", "BURNLINE_PROCESS_ID"),
        ("BURNLINE_OTLP_TOKENS", "BURNLINE_OTLP_TOKEN"),
    ],
)
def test_a_slip_is_told_with_the_name_that_was_meant(variable: str, near: str) -> None:
    with structlog.testing.capture_logs() as told:
        warn_of_misspelt({variable: "secret", "PATH": "x"}, known_variables())
    assert [entry["event"] for entry in told] == [
        f"the variable {variable} is no option's and has no effect; did you mean {near}?"
    ]


def test_what_is_known_or_far_from_all_is_not() -> None:
    environment = dict.fromkeys(known_variables(), "x") | {
        "BURNLINE_SERVICE_HOST": "10.0.0.1",
        "BURNLINE_PORT": "tcp://10.0.0.1:4317",
        "OTHER_KAFKA_BROKERS": "x",
    }
    assert list(misspelt(environment, known_variables())) == []
