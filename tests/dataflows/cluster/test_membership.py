"""Which process of a cluster this one is."""

from pathlib import Path

import pytest

from dataflows.cluster.membership import MembershipError, membership, runner_flags
from dataflows.settings import ClusterSettings

TWO = ClusterSettings(1, ("a:1", "b:2"))


@pytest.mark.parametrize(
    ("process", "addresses", "environment"),
    [
        (1, "a:1;b:2", {}),
        (1, " a:1 ; b:2;", {}),
        (None, None, {"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": "a:1;b:2"}),
        (1, None, {"BYTEWAX_PROCESS_ID": "0", "BYTEWAX_ADDRESSES": "a:1;b:2"}),
        (
            None,
            "a:1;b:2",
            {"BYTEWAX_POD_NAME": "burn-line-1", "BYTEWAX_STATEFULSET_NAME": "burn-line"},
        ),
    ],
)
def test_it_is_said_by_options_or_as_bytewax_takes_it(
    process: int | None, addresses: str | None, environment: dict[str, str]
) -> None:
    assert membership(process, addresses, environment) == TWO


def test_addresses_may_stand_in_a_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("a:1\n\nb:2\n")
    assert membership(1, None, {"BYTEWAX_HOSTFILE_PATH": str(hosts)}) == TWO


def test_without_either_it_is_alone() -> None:
    assert membership(None, None, {"BYTEWAX_WORKERS_PER_PROCESS": "2"}) is None


@pytest.mark.parametrize(
    ("process", "addresses", "environment", "said"),
    [
        (0, None, {}, "give every process the same --addresses"),
        (None, "a:1", {}, "--addresses without --process-id"),
        (2, "a:1;b:2", {}, "numbered from 0 to 1"),
        (-1, "a:1;b:2", {}, "numbered from 0 to 1"),
        (0, "a:1;a:1", {}, "has a:1 twice"),
        (0, "a;b:2", {}, "'a' among --addresses is no HOST:PORT"),
        (0, "a:0", {}, "no HOST:PORT"),
        (0, "", {}, "has 0 processes"),
        (0, None, {"BYTEWAX_HOSTFILE_PATH": "/nowhere"}, "/nowhere can't be read"),
        (None, "a:1", {"BYTEWAX_PROCESS_ID": "one"}, "BYTEWAX_PROCESS_ID 'one' is no number"),
        (None, "a:1", {"BYTEWAX_POD_NAME": "x-1"}, "BYTEWAX_STATEFULSET_NAME is not set"),
        (
            None,
            "a:1",
            {"BYTEWAX_POD_NAME": "x-1", "BYTEWAX_STATEFULSET_NAME": "y"},
            "is not BYTEWAX_STATEFULSET_NAME y and a number",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_mend(
    process: int | None, addresses: str | None, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(MembershipError, match=said):
        membership(process, addresses, environment)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-i", "1", "-a", "a:1;b:2"],
        ["-i1", "-aa:1;b:2"],
        ["--process-id=1", "--addresses", "a:1;b:2"],
    ],
)
def test_flags_of_bytewaxs_runner_are_read(arguments: list[str]) -> None:
    assert runner_flags(["dataflows.live", "-w", "2", *arguments]) == (1, "a:1;b:2")


def test_a_runner_without_flags_says_nothing() -> None:
    assert runner_flags(["dataflows.live", "-w2", "-r", "dir"]) == (None, None)
