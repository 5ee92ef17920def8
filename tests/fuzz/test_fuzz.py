"""A few seconds of fuzzing in `make test`; and that the fuzzer finds what there is to find."""

import time
from pathlib import Path

import pytest

from tests.fuzz import campaign, targets
from tests.fuzz.child import check_of, inputs
from tests.fuzz.targets import TARGETS, Target, named

# Inputs of each target here; those whose inputs take milliseconds have fewer.
FEW = {"kernel": 10, "yaml": 60, "gzip": 100, "whole": 150, "values": 150}
SEED = 20_261_124


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_hostile_inputs_are_refused_or_read(target: Target) -> None:
    check = check_of(target)
    tried = accepted = 0
    for _, data in inputs(target, SEED, range(FEW.get(target.name, 300))):
        accepted += check(data)
        tried += 1
    assert 0 < accepted < tried, "a target that only refuses, or only accepts, shows little"


@pytest.mark.parametrize("name", ["spans", "traces_json"])
def test_an_input_follows_from_its_seed_and_number(name: str) -> None:
    target = named(name)
    some = dict(inputs(target, 7, range(40)))
    assert dict(inputs(target, 7, range(20, 40))) == {n: some[n] for n in range(20, 40)}
    assert some != dict(inputs(target, 8, range(40)))
    assert len(set(some.values())) > 20


PLANTED = """
import time

def planted_seeds(random_):
    return [b"good", b"BAD"]

def planted_check(data):
    if data == b"BAD":
        {crime}
    return data == b"good"
"""
CRIMES = {
    "an exception": ('raise KeyError("planted")', "KeyError: 'planted'"),
    "a crash": ("import os; os.abort()", "the process ended with -6"),
    "a hang": ("time.sleep(100)", "it hangs"),
    "memory": ("bytearray(1 << 40)", "MemoryError"),
    "a panic": ('raise BaseException("panic")', "BaseException: panic"),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_what_is_planted_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crime: str
) -> None:
    code, told = CRIMES[crime]
    for package in ("tests", "tests/fuzz"):
        (tmp_path / package).mkdir()
    for path in Path(campaign.__file__).parent.glob("*.py"):
        (tmp_path / "tests" / "fuzz" / path.name).write_text(path.read_text())
    (tmp_path / "tests" / "fuzz" / "planted.py").write_text(PLANTED.format(crime=code))
    known = tmp_path / "tests" / "fuzz" / "targets.py"
    planted = 'TARGETS = (\n    Target("planted", "", "bytes", 1, "planted"),\n'
    known.write_text(known.read_text().replace("TARGETS = (\n", planted, 1))
    monkeypatch.setattr(campaign, "ROOT", tmp_path)
    monkeypatch.setattr(campaign, "FINDINGS", tmp_path / ".fuzz")
    monkeypatch.setattr(campaign, "HANGS_AFTER", 3.0)
    monkeypatch.setattr(campaign, "MOST_FINDINGS", 1)
    target = targets.Target("planted", "", "bytes", 1, "planted")
    end = time.monotonic() + 60
    result = campaign.fuzz(target, seed=1, start=0, count=300, end=end, guided=False)
    [found] = result.findings
    assert found.read_bytes() == b"BAD"
    text = found.with_name(f"{found.name}.txt").read_text()
    assert told in text
    assert f"--replay .fuzz/{found.name}" in text
