"""The default detector is made of its parts, and each of them is of use alone."""

import math

import numpy as np
import pytest

from detectors import Bank, Detector, _kernel
from detectors.adapter import Adapter
from detectors.alarms import Alarms
from detectors.calibrated import Calibrated
from detectors.conformal import Conformal
from detectors.novelty import Novelty
from detectors.rarity import Rarity
from detectors.season import Season

WEEK, DAY, START = 604_800.0, 86_400.0, 1_700_000_000.0


def _times(count, every):
    return START + every * np.arange(count)


def _streams():
    rng = np.random.default_rng(21)
    size = 4_000
    for every in (10.0, 300.0, 3_600.0):
        at = _times(size, every)
        day = 100 + 30 * np.sin(2 * math.pi * at / DAY)
        yield f"normal, {every}", every, rng.normal(100, 5, size)
        yield f"walk, {every}", every, np.cumsum(rng.standard_t(3, size))
        yield f"season, {every}", every, day + rng.normal(0, 3, size)
        leaps = day + rng.normal(0, 3, size) + 80 * (rng.random(size) < 0.003)
        leaps[2_000:] += 200
        yield f"season, leaps and a shift, {every}", every, leaps
        yield f"counts, {every}", every, rng.poisson(0.5, size).astype(float)
        yield f"constant, then not, {every}", every, np.where(np.arange(size) < 3_000, 7.0, 9.0)
        gaps = rng.lognormal(0, 2, size)
        gaps[rng.random(size) < 0.1] = math.nan
        yield f"gaps, {every}", every, gaps


STREAMS = {name: (every, values) for name, every, values in _streams()}


def _score(rarities, novelties, every):
    """Of docs/detectors.md: rarity up to the knee, novelty above the gate, 80 % held, squeezed."""
    scores, held = [], 0.0
    for number, (rare, new) in enumerate(zip(rarities, novelties, strict=True), 2):
        per = rare + math.log(every / 60)
        score = min(per, 8.5) + 0.1 * max(per - 8.5, 0)
        passed = min(1.0, per - 4.5 + math.log(min(1, every / 300)))
        if new > 14 and passed > 0 and number >= 30:
            score += 8 * math.log(new / 14) * passed
        if held > 0:
            score = max(score, 0.8 * held)
        held = score
        scores.append(0.001 + 0.999 * score / (score + 10) if score > 0 else 0.001 / (1 - score))
    return scores


@pytest.mark.parametrize("name", STREAMS)
def test_the_default_is_rarity_novelty_and_alarms(name):
    every, values = STREAMS[name]
    default, rarity, novelty = Detector(1 / WEEK, every), Rarity(every), Novelty(every)
    wanted, rarities, novelties = [], [], []
    for at, value in zip(_times(len(values), every), values, strict=True):
        verdict = default.observe(at, value)
        rare, new = rarity.observe(at, value), novelty.observe(at, value)
        if math.isnan(value):
            assert math.isnan(rare)
            assert math.isnan(new)
            continue
        if not rarities:  # the first reading is judged by nothing
            assert (verdict.score, rare, new) == (0, 0, 0)
        wanted.append(verdict)
        rarities.append(rare)
        novelties.append(new)
    found = _score(rarities[1:], novelties[1:], every)
    np.testing.assert_allclose(found, [v.score for v in wanted[1:]], atol=1e-9)
    assert len({round(v.score, 6) for v in wanted}) > 1


@pytest.mark.parametrize("name", [name for name in STREAMS if not name.startswith("gaps")])
def test_the_defaults_alerts_are_those_of_its_alarms(name):
    every, values = STREAMS[name]
    default, rarity, alarms = Detector(1 / DAY), Rarity(), Alarms(1 / DAY)
    for at, value in zip(_times(len(values), every), values, strict=True):
        verdict = default.observe(at, value)
        step = alarms.learn_one(rarity.observe(at, value), at)
        assert verdict.alert == alarms.open == (step in {"start", "continue"})
        if not verdict.learning:
            assert verdict.probability == pytest.approx(alarms.probability, abs=1e-12)


@pytest.mark.parametrize("part", [Rarity, Novelty, Detector])
def test_observing_is_scoring_and_learning(part):
    one, other = part(), part()
    for number, value in enumerate(np.random.default_rng(2).normal(100, 5, 200)):
        at = 60.0 * number
        x = {"value": 150.0 if number == 150 else float(value)}
        asked = other.score_one(x, at=at)
        found = one.observe(at, x["value"])
        if part is Detector:
            assert asked == found.score
        else:
            half = 10.0 if part is Rarity else 14.0
            assert asked == (found / (found + half) if found > 0 else 0)
        other.learn_one(x, at=at)


def test_a_reading_without_a_time_is_a_step_after_the_last():
    timed, untimed = Rarity(every=300), Rarity(every=300)
    for number, value in enumerate(np.random.default_rng(3).normal(size=300)):
        x = {"a": float(value)}
        assert timed.score_one(x, at=300.0 * number) == untimed.score_one(x)
        timed.learn_one(x, at=300.0 * number)
        untimed.learn_one(x, at=math.nan)


def test_a_missing_reading_is_nan_and_a_feature_left_out_was_not_read():
    steady = np.random.default_rng(4).normal(10, 1, 5_000)
    detector = Detector(1 / DAY, every=60)
    for value in steady:
        detector.learn_one({"a": float(value), "b": 1.0})
    for _ in range(5):
        detector.learn_one({"b": 1.0})
        assert detector.score_one({"b": 1.0}) < 0.1
    for _ in range(5):
        detector.learn_one({"a": math.nan, "b": 1.0})
    assert detector.score_one({"a": math.nan}) > 0.3
    assert detector.score_one({"a": None}) > 0.3


def test_season_takes_the_day_off_where_there_is_one():
    rng = np.random.default_rng(5)
    season = Season()
    at = _times(30 * 288, 300.0)
    day = 50 * np.sin(2 * math.pi * at / DAY)
    noise = rng.normal(0, 3, len(at))
    left = []
    for time, busy, other in zip(at, day, noise, strict=True):
        x = {"daily": 100 + busy + other, "not": 100 + other, "host": "a"}
        less = season.transform_one(x, at=time)
        season.learn_one(x, at=time)
        assert less["host"] == "a"
        assert less["not"] == x["not"]
        left.append(less["daily"] - other)
    # The profile is of 24 straight pieces, and a little behind.
    assert np.std(left[-288:]) < 0.1 * np.std(day)
    assert season.transform_one({"daily": math.nan})["daily"] != 0
    assert math.isnan(season.transform_one({"daily": math.nan})["daily"])


def test_season_is_a_step_of_a_pipeline():
    """It is told the time by what calibrates the pipeline; river's own pipelines tell it nothing."""
    rng = np.random.default_rng(6)
    plain, less = Adapter(Conformal()), Adapter(Season() | Conformal())
    for number in range(20 * 288):
        at = START + 300.0 * number
        x = {"rate": 100 + 50 * math.sin(2 * math.pi * at / DAY) + float(rng.normal())}
        plain.learn(x, at)
        less.learn(x, at)
    morning = START - START % DAY + 20 * DAY + DAY / 4
    evening_value = {"rate": 50.5}
    usual, strange = plain.score(evening_value, morning), less.score(evening_value, morning)
    assert usual < 3
    assert strange > 4  # of 500 readings it is the strangest


def test_rarity_can_be_calibrated():
    rng = np.random.default_rng(7)
    detector = Calibrated(Rarity(), every=60, false_alarms=1 / DAY)
    for minute in range(3_000):
        verdict = detector.observe(60.0 * minute, {"p95": float(rng.normal(100, 5))})
    assert not verdict.alert
    assert detector.observe(180_000.0, {"p95": 300.0}).alert
    assert not detector.failures


@pytest.mark.parametrize("false_alarms", [-1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(false_alarms):
    for kind in (Detector, Alarms, lambda rate: Bank(60.0, rate)):
        with pytest.raises(ValueError, match="`false_alarms` must be how many a second"):
            kind(false_alarms)


@pytest.mark.parametrize("every", [0.0, -1.0, math.nan, math.inf])
def test_a_spacing_that_is_none_is_refused(every):
    for kind in (Detector, Alarms, Bank, Rarity, Novelty, Season):
        with pytest.raises(ValueError, match="`every` must be a number of seconds above 0"):
            kind(every=every)


def _verdicts(values, at=None, every=0.0, false_alarms=1 / WEEK):
    values = np.asarray(values, np.float64)
    out = np.empty((len(values), 7))
    at = _times(len(values), every or 60.0) if at is None else np.asarray(at, np.float64)
    _kernel.series(at, values, every, false_alarms, out)
    return out


def _is_sound(out):
    assert ((out[:, 0] >= 0) & (out[:, 0] < 1)).all()
    assert ((out[:, 1] >= 0) & (out[:, 1] <= 1)).all()
    judged = np.isfinite(out[:, 2])
    assert (out[judged, 3] <= out[judged, 2]).all()
    assert (out[judged, 2] <= out[judged, 4]).all()


EXTREMES = {
    "huge": lambda rng, n: 9e99 * rng.uniform(-1, 1, n),
    "huge, once": lambda rng, n: np.where(np.arange(n) % 97 == 96, 9e99, rng.normal(size=n)),
    "huge beside tiny": lambda _, n: np.where(np.arange(n) % 2, 9e99, 1e-300),
    "growing tenfold": lambda _, n: 10.0 ** (np.arange(n) % 100),
    "tiny": lambda rng, n: 5e-324 * rng.integers(0, 9, n),
    "zero, then huge": lambda _, n: np.where(np.arange(n) < n // 2, 0.0, -9e99),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("every", [1e-300, 1e-3, 1.0, 86_400.0, 1e12, 1e308])
def test_extremes_of_values_and_spacings(name, every):
    values = EXTREMES[name](np.random.default_rng(8), 1_500)
    at = _times(len(values), 60.0)
    for false_alarms in (0.0, 5e-324, 1 / WEEK, 1.0, 1e300):
        _is_sound(_verdicts(values, at, every, false_alarms))


def test_no_false_alarm_accepted_is_no_alarm():
    values = np.concatenate(
        [np.random.default_rng(9).normal(size=2_000), [1e9] * 50, [math.nan] * 50]
    )
    assert not _verdicts(values, false_alarms=0.0)[:, 5].any()


def test_after_an_alarm_a_reading_in_a_billion_is_still_found_where_many_are_accepted():
    values = np.concatenate([np.random.default_rng(9).normal(size=2_000), [1e9]])
    assert _verdicts(values, false_alarms=1.0)[-1, 5]


CLOCKS = {
    "before 1970": lambda n: -1e9 + 60.0 * n,
    "just before midnight": lambda n: -1e-20 * (n + 1),
    "far": lambda n: 9e14 + 60 * n,
    "back and forth": lambda n: 1e9 + 60 * n - 1e6 * (n % 10 == 5),
    "backwards": lambda n: 1e9 - 60.0 * n,
    "stands": lambda n: 1e9 + 0 * n,
    "leaps": lambda n: 1e9 + 60 * n + 1e12 * (n > 700),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_any_clock(name):
    values = np.random.default_rng(10).normal(100, 5, 1_500)
    _is_sound(_verdicts(values, CLOCKS[name](np.arange(1_500)), 0.0))


def test_readings_of_one_time_say_nothing_of_the_spacing():
    """A first time that comes twice made all the next few hundred readings count as milliseconds apart."""
    values = np.random.default_rng(11).normal(100, 5, 400)
    at = _times(400, 60.0)
    twice = np.concatenate([at[:1], at[:-1]])
    plain, found = _verdicts(values, at), _verdicts(values, twice)
    assert np.abs(found[100:, 0] - plain[100:, 0]).max() < 0.02


def test_a_higher_score_is_never_squeezed_below_a_lower_one():
    scores = np.concatenate(
        [-np.geomspace(1e-9, 1e3, 200)[::-1], [0.0], np.geomspace(1e-9, 1e3, 200)]
    )
    squeezed = [_kernel.squeezed(score) for score in scores]
    assert (np.diff(squeezed) > 0).all()
    assert squeezed[0] > 0
    assert squeezed[-1] < 1


def test_what_was_missing_long_ago_fades_with_the_time_it_is_held_against():
    """The days seen were halved every half year and the episodes of missing readings were not."""
    row, out = np.zeros(_kernel.SIZE), np.empty(7)
    rng = np.random.default_rng(12)
    for hour in range(24 * 800):
        missing = hour % 480 in {0, 1, 2} and hour > 0
        value = math.nan if missing else rng.normal(100, 5)
        _kernel.step(row, START + 3_600.0 * hour, value, 3_600.0, 1 / WEEK, out)
    assert row[_kernel.MISSED] / row[_kernel.SEEN] == pytest.approx(1 / 20, rel=0.2)


def test_readings_of_a_bank_may_be_of_any_type_and_layout():
    banks = [Bank(60.0) for _ in range(3)]
    for bank in banks:
        bank.grow(2)
    for number in range(50):
        values = np.array([[number % 7, 0], [number % 5, 0]])
        scores = [
            bank.observe(60.0 * number, one).score
            for bank, one in zip(
                banks,
                (values[:, 0], values[:, 0].astype(np.float32), values[:, 0].astype(float)),
                strict=True,
            )
        ]
        np.testing.assert_array_equal(scores[0], scores[1])
        np.testing.assert_array_equal(scores[0], scores[2])
