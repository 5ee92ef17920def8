"""`make soak-overload` and `make soak-disk` in short."""

import pytest

from tests.soak import disk, overload

pytestmark = pytest.mark.timeout(600)


def test_twice_what_it_can_take_is_refused_within_bounds_and_nothing_acknowledged_is_lost(tmp_path):
    report = overload.run(tmp_path, seconds=20.0)
    assert not report.faults, report.text()


@pytest.mark.skipif(not disk.possible(), reason="needs root, to mount a small disk, and chattr")
@pytest.mark.parametrize("fault", ["full", "read-only"])
@pytest.mark.parametrize("where", ["data", "recovery"])
@pytest.mark.xfail(
    strict=False,
    reason="waits for branch reload: the flow ends when the recovery store can't be written",
)
def test_a_failing_disk_is_waited_out_and_nothing_acknowledged_is_lost(tmp_path, fault, where):
    report = disk.run(tmp_path, fault, where, seconds=8.0)
    assert not report.faults, report.text()
