"""The command of `make bench-detection`, its detectors, calibration and ablation, on small series."""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detection import ablation, speed
from benchmarks.detection.__main__ import main
from benchmarks.detection.baselines import BASELINES, GRACE, of_river
from benchmarks.detection.calibration import Calibration, calibrate, made_up, together
from benchmarks.detection.candidates import named, scorer
from benchmarks.detection.series import Series, numenta, operational
from detectors import Detector, _kernel

NAMES = [*BASELINES, "default", "river:LODA", "river:GaussianScorer"]


def _series(values, *windows, name="made/up.csv", every=300.0):
    values = np.array(values, float)
    return Series(name, np.arange(len(values)) * every, values, windows)


def _noisy(count=400, seed=0):
    return np.random.default_rng(seed).normal(100, 3, count)


@pytest.mark.parametrize("name", NAMES)
def test_a_burst_scores_higher_than_what_is_ordinary(name):
    values = _noisy(600)
    values[500:503] = 200.0
    score = named(name).score(_series(values))
    assert score.shape == (600,)
    assert score[500] > np.quantile(score[300:499], 0.98)


@pytest.mark.parametrize("name", NAMES)
def test_scores_know_nothing_of_what_comes_later(name):
    values = _noisy(120)
    values[60] = math.nan
    whole, part = (named(name).score(_series(v)) for v in (values, values[:100]))
    assert whole[:100].tolist() == part.tolist()


@pytest.mark.parametrize("name", list(BASELINES))
@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just(math.nan), st.sampled_from([0.0, 1.0, -1e9, 1e9]), st.floats(-100.0, 100.0)
        ),
        min_size=GRACE + 2,
        max_size=80,
    )
)
def test_scores_are_finite_and_a_missing_reading_has_none(name, values):
    score = named(name).score(_series(values))
    assert np.isfinite(score).all()
    assert (score >= 0).all()
    assert not score[np.isnan(values)].any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zsocre", "no detector 'zsocre' to judge; there are: default, zscore"),
        ("river:Nothing", "river.anomaly has no 'Nothing'; it has GaussianScorer"),
        ("river:QuantileFilter", "cannot be had without parameters"),
    ],
)
def test_an_unknown_detector_is_refused_with_those_there_are(name, message):
    with pytest.raises(ValueError, match=message):
        named(name)


def test_a_detector_of_river_as_it_ships():
    score = of_river("StandardAbsoluteDeviation")(_series(_noisy()))
    assert not score[:GRACE].any()
    assert (score[GRACE:] > 0).all()


def test_calibration_counts_alarms_outside_incidents_and_ordinary_time():
    series = [_series(np.zeros(289), (100, 199)), _series(np.zeros(289))]

    def alerts(_one, false_alarms):
        assert false_alarms == 2 / 86_400
        flags = np.zeros(289, bool)
        flags[[10, 11, 12, 99, 100, 150]] = True
        return flags

    found = calibrate(series, alerts, 2 / 86_400)
    # The first: 10 to 12 alone is false; the second: 10 to 12, 99 to 100 and 150.
    assert (found.asked, found.false) == (2, 1 + 3)
    assert (found.found, found.incidents) == (1, 1)
    both = together([found, found])
    assert (both.false, both.found, both.incidents) == (8, 2, 2)
    assert found.days == pytest.approx(1 + 1 - 100 / 289)
    assert Calibration(0.5, 10, 20.0).ratio == 1


def test_made_up_series_are_ordinary_and_the_same_each_time():
    once, again = made_up(days=2), made_up(days=2)
    assert len(once) >= 18
    assert not any(one.windows for one in once)
    assert all(np.isfinite(one.values).all() for one in once)
    assert all((a.values == b.values).all() for a, b in zip(once, again, strict=True))
    assert once[0].days == pytest.approx(2, rel=0.01)


def test_the_default_is_judged_by_what_its_detector_says():
    values = _noisy()
    values[[60, 61]] = math.nan
    series = _series(values)
    candidate, detector = named("default"), Detector(false_alarms=1 / 86_400)
    verdicts = [detector.observe(*one) for one in zip(series.at, values, strict=True)]
    assert candidate.score(series).tolist() == [
        verdict.score for verdict in map(Detector().observe, series.at, values)
    ]
    assert candidate.alerts(series, 1 / 86_400).tolist() == [one.alert for one in verdicts]


def test_each_ablation_changes_settings_of_the_kernel():
    found = ablation.configurations(["HOLD=0.5", "NOVEL_WEIGHT=-1, PEAK_NEAR=4"])
    assert next(iter(found.items())) == ("default", {})
    assert found["no hold"] == {"HOLD": 0}
    assert found["HOLD=0.5"] == {"HOLD": 0.5}
    assert found["NOVEL_WEIGHT=-1, PEAK_NEAR=4"] == {"NOVEL_WEIGHT": -1, "PEAK_NEAR": 4}
    known = ablation.settings()
    assert known["MAGNITUDE"] == _kernel.MAGNITUDE
    assert not {"SIZE", "DAY", "PEAKS", "PEAK_WITHIN"} & set(known)
    for name, constants in list(found.items())[1:]:
        assert constants, name
        for which, value in constants.items():
            assert known[which] != value, f"{name}: {which} is {value} already"


@pytest.fixture(scope="module")
def scorers():
    """The default's own, of its kernel compiled anew, and of that without hold."""
    return [scorer(one) for one in (_kernel, ablation.kernel({}), ablation.kernel({"HOLD": 0}))]


def test_a_kernel_without_a_part_scores_without_it(scorers):
    values = _noisy(600)
    values[500] = 200.0
    default, anew, let_go = (score(_series(values)) for score in scorers)
    assert anew.tolist() == default.tolist()
    assert let_go[500] == default[500]
    assert let_go[502] < default[502]


@pytest.mark.parametrize("constants", ablation.LEFT_OUT.values(), ids=ablation.LEFT_OUT)
def test_an_ablated_kernel_is_never_taken_for_the_default(constants):
    module = ablation.kernel(constants)
    assert {name: getattr(module, name) for name in constants} == constants
    assert all(getattr(module, name).stats.cache_path is None for name in ("step", "view_novelty"))


def test_a_replaced_setting_counts_in_what_is_calculated_from_it():
    assert ablation.kernel({"PEAK_STEP": 1.0}).PEAK_WITHIN > _kernel.PEAK_WITHIN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HOLD", "'HOLD' should be NAME=VALUE with one of: WARM, WINSOR"),
        ("HOLDS=1", "with one of: WARM"),
        ("SIZE=1", "with one of: WARM"),
        ("HOLD=fast", "'fast' is no number"),
    ],
)
def test_a_configuration_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ablation.configurations([text])


def test_the_table_of_ablation_says_how_many_were_scored():
    values = np.ones(1000)
    values[500:510] = 9.0

    def changed(constants):
        return lambda one: (one.values > 5) * (0.0 if constants else 2.0)

    series = [_series(values, (500, 509))]
    found = {"default": {}, "no hold": {"HOLD": 0}}
    text = ablation.ablate(found, changed, series, [*series, *series])
    assert "| default |  | 1.000 / 1.000 | 1.000 |" in text
    assert "| no hold | HOLD=0 | 0.000 / 1.000 | 0.000 |" in text
    assert "2 configurations scored on labelled series" in text


@pytest.fixture
def data(tmp_path):
    """A folder of labelled series as the real ones are: two of each."""
    for group, seed in (("cloud", 1), ("kpi", 2)):
        folder = tmp_path / "ops" / group
        folder.mkdir(parents=True)
        values = _noisy(600, seed)
        values[500:510] += 60
        with (folder / "a.csv").open("w") as file:
            file.write("timestamp,value,label\n")
            for i, value in enumerate(values):
                shown = "" if i == 20 else value
                file.write(f"{1_700_000_000 + 60 * i},{shown},{int(500 <= i < 510)}\n")
    windows = {}
    for name in ("realTweets/a.csv", "realTweets/b.csv"):
        path = tmp_path / "nab" / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = _noisy(300)
        values[200] = 300
        stamps = [f"2026-01-01 {i // 60:02}:{i % 60:02}:00" for i in range(300)]
        rows = [f"{s},{v}" for s, v in zip(stamps, values, strict=True)]
        path.write_text("\n".join(["timestamp,value", *rows]))
        windows[name] = [[f"{stamps[195]}.000000", f"{stamps[215]}.000000"]]
    (tmp_path / "nab" / "labels").mkdir()
    (tmp_path / "nab" / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return tmp_path


def test_labelled_series_are_read(data):
    first, second = operational(data)
    assert (first.name, first.group, second.group) == ("cloud/a.csv", "cloud", "kpi")
    assert first.windows == ((500, 509),)
    assert (first.every, np.isnan(first.values).nonzero()[0].tolist()) == (60, [20])
    assert [one.windows for one in numenta(data)] == [((195, 215),), ((195, 215),)]


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_judges_and_writes_scores(data, tmp_path):
    output = tmp_path / "scores"
    ran = _run(
        "--data", data, "--output", output, "--detector", "zscore", "--only", "ops", "--only", "nab"
    )
    assert ran.exit_code == 0, ran.output
    assert "Operational series: 2, 2 incidents" in ran.output
    assert "| zscore | 1.00 / " in ran.output
    assert "NAB, 2 files; standard / reward_low_FP_rate / reward_low_FN_rate." in ran.output
    with (output / "zscore" / "realTweets" / "zscore_a.csv").open() as file:
        assert len(list(csv.reader(file))) == 301
    assert (output / "zscore-muted" / "realTweets" / "zscore-muted_b.csv").exists()
    assert json.loads((output / "figures.json").read_text())["zscore"]["muted"]


def test_without_labelled_series_it_says_so(tmp_path):
    ran = _run("--data", tmp_path, "--only", "ops", "--only", "nab")
    assert ran.exit_code == 0
    assert "no labelled series in" in ran.output
    ran = _run("--data", tmp_path, "--ablate")
    assert ran.exit_code == 1
    assert "nothing can be ablated" in ran.output


def test_a_detector_that_is_none_is_an_error_of_use():
    ran = _run("--detector", "zsocre")
    assert ran.exit_code == 2
    assert "there is no detector 'zsocre' to judge" in ran.output


def test_a_bank_is_measured_by_its_points():
    run, made = speed.bank(1000)
    assert run() > 0
    assert made.rows == 1000
    assert 0 < speed.state_bytes(made) < speed.LIMIT
