"""The default detector's kernel: one reading of one series, judged and learned from, as flat arithmetic.

A reading is judged in two ways and scored once.

1. *Rarity*: how rare a residual as large as this is in the series' own past, as `-ln(times a minute)`. Its
   parts: the season, the deviation from four levels, the tail of such deviations. It leads: up to the knee,
   about once in a few days, it counts whole.
2. *Novelty*: how far the reading, or a mean over the last 2, 4 ... 64, leaves the range of all that was seen
   (which is slowly forgotten), divided by how often this series does so. It adds to the score of what is a
   little rare at least, above all beyond the knee, where rank has little more to say.
3. *Alert*: from the rate of the series' own past episodes (their peaks of rarity, with a Gamma prior) and a
   slow feedback, so that alarms come as often as was asked, whatever the series. It does not feed back into
   the score.

Everything is causal, O(1) a reading, and allocates nothing. The state of a series is a row of `SIZE` floats,
all zeros when new. Each part works on its own places of the row, and is also an estimator on a row of
its own: `detectors.rarity`, `detectors.novelty`, `detectors.season`, `detectors.alarms`. Their entries
are here too, at the end: numba's cache sees a change in its own file only.

Sources: winsorised exponential averages (Huber 1964; Gelper, Fried and Croux 2010, Robust forecasting with
exponential and Holt-Winters smoothing); a Pareto tail above a high quantile, by Hill's estimator, trimmed
and with a prior (Hill 1975; Siffer et al. 2017, SPOT and DSPOT); the Gamma-Poisson rate of declustered peaks
(Coles 2001, An introduction to statistical modeling of extreme values, chapters 4 and 5); feedback on the
rate of alarms (Gibbs and Candès 2021, Adaptive conformal inference under distribution shift).
"""

import math

import numpy as np
from numba import njit

from detectors.verdict import Floats

DAY, MINUTE = 86400.0, 60.0

# ---- The row: what is used together lies together ------------------------------------------------
# Readings seen; time of the last; spacing in seconds, ln of it in minutes; mean of the values.
K, AT, SPACING, LOG_SPACING, MEAN = 0, 1, 2, 3, 4
# Is the season in use; the discounted loss without it and with it; its scale; its slow level.
SEASON, LOSS_PLAIN, LOSS_SEASON, SEASON_SCALE, SEASON_LEVEL = 5, 6, 7, 8, 9
# The last value; mean ln of its changes, how many there were; mean distance from the centre; the centre.
LAST, CHANGE, CHANGES, SPREAD, CENTRE = 10, 11, 12, 13, 14
FLOOR = 15  # of the scales, from CHANGE
# Five levels (last value, fast, slow, short mean, long mean), four scales, four mean deviations.
LEVELS, SCALES, MEANS = 16, 21, 25
# Readings in the tail; where its Pareto part begins, in ln z and in rarity; its shape.
TOTAL, TAIL_FROM, TAIL_RARITY, TAIL_SHAPE = 29, 30, 31, 32
# Rate of the series' own novel episodes; readings since the last.
NOVEL_RATE, NOVEL_LAST = 33, 34
# Days seen; bin + 1 of the running episode's peak; calm readings since; feedback on the alarms.
SEEN, PEAK, QUIET, TRIM = 35, 36, 37, 38
# Is an alert active; calm readings in it; the highest it came to.
ACTIVE, CALM, TOP = 39, 40, 41
STUCK = 42  # strange readings in a row
PACE, LOG_PACE = 43, 44  # min(1, spacing / 5 minutes), its ln
ALERT_Z, ALERT_BIN = (
    45,
    46,
)  # deviation at which an alert would start; its bin of the episodes' peaks
HELD = 47  # the score before it is squeezed into [0, 1]
VIEWS = 48  # two of 24 for the novelty: a centre, then means, highs and lows at seven lengths
LENGTHS, VIEW = 7, 24
LEAST = VIEWS + 15  # the smallest value seen, in a place that the first view leaves free
BINS_A_DAY = 24  # a line of eight each: count, profile, four mean deviations, plain mean, unused
DAY_BINS = VIEWS + 2 * VIEW
TAIL_BINS = 24  # a histogram of ln z
TAIL = DAY_BINS + 8 * BINS_A_DAY
TABLE = TAIL + TAIL_BINS  # rarity at the bins' lower edges
PEAK_BINS = 32  # a histogram of the episodes' peaks
PEAKS = TABLE + TAIL_BINS
# Missing readings in a row; episodes of them.
MISSING, MISSED = PEAKS + PEAK_BINS, PEAKS + PEAK_BINS + 1
SIZE = MISSED + 1

# ---- Settings: one for every series --------------------------------------------------------------
WARM = 30.0  # readings of learning
WINSOR = 3.0  # scales beyond which a residual teaches no more
FAST, SLOW = 0.3, 0.003  # rates of two levels
SHORT, LONG = 0.15, 0.03  # rates of the means whose difference is the fourth residual
SCALE_RATE = 0.0005
FLOOR_SHARE, SPREAD_SHARE = 0.3, 0.05
USUAL_WEIGHT = 100.0  # readings that the mean over the day is worth beside those of a time of day
SEASON_GAIN = 0.9  # the season is used while its loss is below this share of the loss without
SEASON_WEIGHT = 10.0  # days after which a bin of the profile is half believed
MAGNITUDE, STEEP = (
    0.35,
    0.25,
)  # share of rarity that is plain magnitude; e-folds of z an e-fold of rarity
TAIL_LOW, TAIL_STEP = -2.0, 0.25  # ln z of the histogram's lower end, and a bin's width
TAIL_SHARE, TAIL_TRIMMED = 0.03, 0.005
TAIL_PRIOR, TAIL_PRIOR_SHAPE = 10.0, 0.25
KNEE, ABOVE = 8.5, 0.1  # the score is rarity up to the knee, and rises by a tenth of it above
GATE = 4.5  # novelty counts from this rarity on
NOVEL, NOVEL_WEIGHT, CLOSING = 14.0, 8.0, 1e-4
HOLD = 0.8  # share that a reading leaves of the unsqueezed score at least: episodes stay strange for a few
SQUEEZE, FAINT = 10.0, 1e-3  # unsqueezed score of about 0.5; squeezed one of 0
PEAK_LOW, PEAK_STEP, PEAK_NEAR = 3.0, 0.5, 5
PEAK_SLOPE = 0.75  # e-folds of the prior rate an e-fold of rarity
PEAK_WITHIN = 1.0 - math.exp(-PEAK_SLOPE * PEAK_STEP * (PEAK_NEAR - 0.5))
PRIOR_DAYS, PRIOR_RATE, PRIOR_RARITY = 10.0, 0.10, 9.0
NUDGE, COUNTED = (
    0.4,
    0.9,
)  # feedback of an alarm; the share of alarms that are false in the long run
# After so many readings or days in a row, all so rare (a minute) or rarer, a level is the new one.
ABSORB, ABSORB_DAYS, ABSORB_RARITY = 300.0, 3.0, 6.0
TAIL_MEMORY, PEAK_MEMORY = 40_000.0, 180.0  # readings, and days, after which what was counted fades
AHEAD = 3  # rows of a bank that are read ahead
LEAST_SPACING = 1e-3  # seconds
MISSING_RUN = 3.0  # readings in a row that make an episode of missing ones

_njit = njit(cache=True, nogil=True, error_model="numpy")
# Numba puts these into their callers itself: `step` is a sixth faster than with calls of them.
_njit_inline = njit(cache=True, nogil=True, error_model="numpy", inline="always")
_njit_fast = njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})


@_njit
def clip(x: float, most: float) -> float:
    """`x`, within `most` of 0."""
    return min(max(x, -most), most)


# ---- Season --------------------------------------------------------------------------------------


@_njit
def season_place(at: float) -> tuple[int, int, float]:
    """Place of the bin of the day, of its nearest neighbour, and the neighbour's weight.

    Linear between the centres of the bins.
    """
    pos = (at - DAY * math.floor(at / DAY)) * (BINS_A_DAY / DAY)
    here = min(int(pos), BINS_A_DAY - 1)
    off = pos - here - 0.5
    near = here + 1 if off > 0.0 else here - 1
    if near < 0:
        near = BINS_A_DAY - 1
    elif near >= BINS_A_DAY:
        near = 0
    return DAY_BINS + 8 * here, DAY_BINS + 8 * near, abs(off)


@_njit
def season_profile(s: Floats, i1: int, i2: int, off: float) -> float:
    """What the time of day adds to the level, as far as it is believed."""
    n1 = s[i1]
    n2 = s[i2]
    here: float = (1.0 - off) * s[i1 + 1] * n1 / (n1 + SEASON_WEIGHT)
    near: float = off * s[i2 + 1] * n2 / (n2 + SEASON_WEIGHT)
    return here + near


@_njit
def season_learn(s: Floats, x: float, p: float, i: int, k: float, dt: float) -> None:
    """Learn the profile of what a slow level (ten days) leaves, winsorised, and what it is good for.

    The profile is used as a whole, while its loss is clearly below the loss without: where there is no
    season it does no harm.
    """
    a = min(1.0, max(0.1 * dt / DAY, 1.0 / k))
    level = s[SEASON_LEVEL]
    d = x - level
    scale = s[SEASON_SCALE]
    c = WINSOR * (scale + 1e-12) if k > WARM else 1e300
    plain = min(abs(d), c)
    s[SEASON_SCALE] = scale + max(SCALE_RATE, 1.0 / k) * (plain - scale)
    s[LOSS_PLAIN] += a * (plain - s[LOSS_PLAIN])
    s[LOSS_SEASON] += a * (min(abs(d - p), c) - s[LOSS_SEASON])
    s[SEASON_LEVEL] = level + a * (clip(d - p, c) if k > WARM else d)
    n = s[i]
    q = s[i + 1]
    s[i + 1] = q + min(1.0, max(2.4 * dt / DAY, 1.0 / (n + 1.0))) * clip(d - q, c)
    s[i] = n + 1.0
    use = 1.0 if s[LOSS_SEASON] < SEASON_GAIN * s[LOSS_PLAIN] else 0.0
    if use != s[SEASON]:
        # The levels keep their distance to what is left of the value.
        shift = (use - s[SEASON]) * p
        s[SEASON] = use
        for j in range(5):
            s[LEVELS + j] -= shift
        s[LAST] -= shift
        s[CENTRE] -= shift


# ---- Levels, scales, deviation -------------------------------------------------------------------


@_njit
def scale_floor(s: Floats, y: float, k: float) -> float:
    """Least scale, without FLOOR.

    No scale is below a share of the typical (geometric mean) change, nor of the long-run distance from the
    centre: without that a nearly constant or binary series has a scale of zero, and every change is a wonder.
    """
    dx = abs(y - s[LAST])
    s[LAST] = y
    # One change in four will do, once there are some: logarithms are dear.
    if dx > 0.0 and (k < 64.0 or (int(k) & 3) == 0):
        n = s[CHANGES] + 1.0
        s[CHANGES] = n
        if n == 1.0:
            s[CHANGE] = math.log(dx)
        else:
            s[CHANGE] += max(0.004, 1.0 / n) * (math.log(dx) - s[CHANGE])
        if k < 64.0 or (int(k) & 15) == 0:
            s[FLOOR] = FLOOR_SHARE * math.exp(s[CHANGE])
    base: float = 1e-9 * abs(y) + 1e-12 + SPREAD_SHARE * s[SPREAD]
    d = y - s[CENTRE]
    s[SPREAD] += max(0.001, 1.0 / k) * (abs(d) - s[SPREAD])
    s[CENTRE] += max(0.002, 1.0 / k) * d
    return base


@_njit
def deviation(
    s: Floats, y: float, k: float, i1: int, i2: int, off: float
) -> tuple[float, float, float]:
    """Largest of four residuals in their own scales, and the bounds of `y` that an alert would need to leave.

    The residuals: to the last value, to a fast level, to a slow one, and of a short mean to a longer one. A
    scale is a slow winsorised mean of the residual's size, times what is usual at this time of day.
    """
    base = scale_floor(s, y, k)
    w = 1.0 / k
    w1 = 1.0 / (k - 1.0)
    n1 = min(s[i1], 333.0)
    n2 = min(s[i2], 333.0)
    g1 = (1.0 - off) / (n1 + USUAL_WEIGHT)
    g2 = off / (n2 + USUAL_WEIGHT)
    g0 = USUAL_WEIGHT * (g1 + g2)
    g1 *= n1
    g2 *= n2
    learn = 1.0 / (n1 + 1.0)
    rate = max(SCALE_RATE, w)
    share = max(SHORT, w)
    top = 0.0
    low = -1e300
    high = 1e300
    was = s[LEVELS + 3]
    short = was + share * (y - was)
    s[LEVELS + 3] = short
    for j in range(4):
        if j < 3:
            level = s[LEVELS + j]
            r = y - level
            scale = s[SCALES + j] + base + s[FLOOR]
        else:
            level = s[LEVELS + 4]
            r = short - level
            scale = s[SCALES + 3] + base + 0.285 * s[FLOOR]
        mean = s[MEANS + j] if k > 2.0 else 1.0
        usual = max(g1 * s[i1 + 2 + j] + g2 * s[i2 + 2 + j] + g0 * mean, 0.1 * mean) + 1e-9
        times = usual / (mean + 1e-9)
        here = abs(r) / (scale * times)
        z = here * times
        if here > top:
            top = here
        half = s[ALERT_Z] * scale * times
        if j < 3:
            low = max(low, level - half)
            high = min(high, level + half)
        elif abs(was - level) < half:
            # Of a mean, in which this reading has a share; once it is out, no reading can bring it back.
            low = max(low, was + (level - half - was) / share)
            high = min(high, was + (level + half - was) / share)
        z = min(z, 3.0)
        s[MEANS + j] = mean + max(1e-4, w1) * (z - mean)
        s[i1 + 2 + j] += (z - s[i1 + 2 + j]) * learn
        c = WINSOR * scale if k > 10.0 else 1e300
        if j == 0:
            s[LEVELS] = y
            c *= 33.0
        elif j == 1:
            s[LEVELS + 1] = level + max(FAST, w) * clip(r, c)
        elif j == 2:
            s[LEVELS + 2] = level + max(SLOW, w) * clip(r, c)
        else:
            s[LEVELS + 4] = level + max(LONG, w) * clip(y - level, 3.0 * c)
        s[SCALES + j] += rate * (min(abs(r), c) - s[SCALES + j])
    return top, low, high


# ---- Tail ----------------------------------------------------------------------------------------


@_njit
def tail_fit(s: Floats) -> None:
    """Fit the Pareto tail of the deviations, from their histogram.

    It begins at the upper 3 % (at least 10 readings); its shape is the mean excess of ln z there, where the
    top half percent of the readings counts as no higher than the rest (they may be incidents), with a prior.
    Below it, rarity at the edges of the bins.
    """
    n = s[TOTAL]
    need = max(10.0, TAIL_SHARE * n)
    skip = TAIL_TRIMMED * n
    inverse = 1.0 / (n + 1.0)
    count = 0.0
    total = 0.0
    waiting = 0.0
    skipped = 0.0
    j = TAIL_BINS - 1
    while j > 0:
        h = s[TAIL + j]
        if h > 0.0:
            out = max(0.0, min(h, skip - skipped))
            skipped += out
            count += h
            waiting += out
            if h > out:
                total += (waiting + h - out) * (j + 0.5) * TAIL_STEP
                waiting = 0.0
        if count >= need:
            break
        j -= 1
    edge = j * TAIL_STEP
    total += waiting * edge
    s[TAIL_SHAPE] = (TAIL_PRIOR_SHAPE * TAIL_PRIOR + (total - count * edge)) / (TAIL_PRIOR + count)
    s[TAIL_FROM] = edge + TAIL_LOW
    s[TAIL_RARITY] = -math.log((count + 0.5) * inverse)
    s[TABLE + j] = s[TAIL_RARITY]
    while j > 0:
        j -= 1
        h = s[TAIL + j]
        if h > 0.0:
            count += h
            s[TABLE + j] = -math.log(min(1.0, (count + 0.5) * inverse))
        else:
            s[TABLE + j] = s[TABLE + j + 1]


@_njit
def tail_rarity(s: Floats, u: float) -> float:
    """`-ln` of the share of the series' readings with a deviation of at least `e^u`."""
    begin = s[TAIL_FROM]
    found: float = 0.0
    x = (u - TAIL_LOW) / TAIL_STEP
    if u >= begin:
        found = s[TAIL_RARITY] + (u - begin) / s[TAIL_SHAPE]
    elif x > 0.0:
        # Before the first fit, at a series' second reading, there is no table yet, and u may lie beyond it.
        b = min(int(x), TAIL_BINS - 2)
        found = s[TABLE + b] + (x - b) * (s[TABLE + b + 1] - s[TABLE + b])
    return found


@_njit
def tail_learn(s: Floats, u: float, k: float) -> None:
    """Count a deviation; the fit follows every 64 readings, oftener while there are few.

    Beyond its memory the older half fades, so that drift is followed.
    """
    s[TAIL + min(max(int((u - TAIL_LOW) / TAIL_STEP), 0), TAIL_BINS - 1)] += 1.0
    s[TOTAL] += 1.0
    if k < 128.0 or (int(k) & (15 if k < 4096.0 else 63)) == 0:
        if s[TOTAL] > TAIL_MEMORY:
            for j in range(TAIL_BINS):
                s[TAIL + j] *= 0.5
            s[TOTAL] *= 0.5
        tail_fit(s)


@_njit
def rarity(s: Floats, u: float, k: float) -> float:
    """Rarity of a deviation, as `-ln(share of readings)`: its rank in the tail, and its plain magnitude.

    Rank alone learns the incidents themselves; magnitude alone knows nothing of the series.
    """
    mixed = MAGNITUDE / STEEP * (u + 1.0) + (1.0 - MAGNITUDE) * tail_rarity(s, u)
    return min(1.0, k / WARM) * mixed


@_njit_inline
def residual_rarity(
    s: Floats, y: float, k: float, i1: int, i2: int, off: float
) -> tuple[float, float, float]:
    """Rarity of what the levels leave of `y`, then learn it; and the bounds, as of `deviation`."""
    z, low, high = deviation(s, y, k, i1, i2, off)
    u = math.log(z + 1e-5)
    rare = rarity(s, u, k)
    tail_learn(s, u, k)
    return rare, low, high


# ---- Novelty -------------------------------------------------------------------------------------


@_njit_fast
def view_novelty(s: Floats, o: int, v: float, k: float, pace: float) -> float:
    """How far `v`, or a mean over 2, 4 ... 64 readings, lies outside all that was seen, in envelope's widths.

    The largest over the lengths, which are of five minutes where readings come faster. An envelope closes by
    1e-4 of the way to the centre a reading.
    """
    best = 0.0
    w = 1.0 / k
    close = CLOSING * pace
    c = s[o]
    tiny = 1e-9 * abs(c) + 1e-12
    r = pace
    for j in range(LENGTHS):
        m = s[o + 1 + j]
        hi = s[o + 8 + j]
        lo = s[o + 16 + j]
        m += (r if r > w else w) * (v - m)
        r *= 0.5
        above = m - hi
        below = lo - m
        out = above if above > below else below
        if out > 0.0:
            share = out / (hi - lo + tiny)
            if share > best:
                best = share
        hi -= close * (hi - c)
        lo += close * (c - lo)
        s[o + 1 + j] = m
        s[o + 8 + j] = m if m > hi else hi
        s[o + 16 + j] = m if m < lo else lo
    s[o] = c + max(0.001 * pace, w) * (v - c)
    return best


@_njit
def novelty(s: Floats, x: float, y: float, k: float, pace: float) -> float:
    """Has the series been here before? About 14 is noteworthy.

    The range novelty of the reading `x` and of the reading less its time of day's mean `y`, worth `k / (k +
    500)`, divided by how often the series' own novelty has passed .03.
    """
    if k == 1.0:
        # The second view starts at the first value, too: at first its envelope spans the value's own size.
        for i in range(VIEWS, VIEWS + 2 * VIEW):
            s[i] = x
    total = view_novelty(s, VIEWS, x, k, pace) + view_novelty(s, VIEWS + VIEW, y, k, pace)
    seen = k + 500.0 / pace
    rate = s[NOVEL_RATE]
    hit = 0.0
    found = 0.0
    if total > 0.0:
        total *= k / seen
        found = total * pace * math.sqrt(pace) / (0.001 * pace + rate)
    if total > 0.03:
        if s[NOVEL_LAST] > 50.0 / pace or s[NOVEL_LAST] == 0.0:
            hit = 1.0
        s[NOVEL_LAST] = 1.0
    elif s[NOVEL_LAST] > 0.0:
        s[NOVEL_LAST] += 1.0
    s[NOVEL_RATE] = rate + max(0.0005 * pace, 1.0 / seen) * (hit - rate)
    return found


@_njit_inline
def day_novelty(s: Floats, x: float, k: float, dt: float, i1: int, i2: int, off: float) -> float:
    """Novelty of the reading `x` and of what its time of day's plain mean leaves of it, then learn that.

    The mean is of 28 days; of all readings until there is one on both sides.
    """
    plain = s[MEAN]
    if s[i1] > 0.0 and s[i2] > 0.0:
        plain = (1.0 - off) * s[i1 + 6] + off * s[i2 + 6]
    s[MEAN] += max(0.002, 1.0 / k) * (x - s[MEAN])
    s[i1 + 6] += (x - s[i1 + 6]) / (min(s[i1], 1e5 / dt) + 1.0)
    return novelty(s, x, x - plain, k, s[PACE])


# ---- Episodes and alerts -------------------------------------------------------------------------


@_njit
def prior_rate(per: float, dt: float) -> float:
    """Episodes a day at a rarity `per` minute, before anything is known of the series."""
    return min(PRIOR_RATE * math.exp(-PEAK_SLOPE * (per - PRIOR_RARITY)), DAY / dt)


@_njit
def episode_rate(s: Floats, rare: float, per: float, dt: float) -> float:
    """False alarms a day that a threshold at a rarity (a reading; `per`: a minute) would bring.

    The series' own episodes whose peak lies there or some bins above, blown up by the share that an
    exponential tail has there, and the prior. Peaks far above are taken for incidents, not for the tail: they
    must not use up the budget for false alarms.
    """
    b = min(int((rare - PEAK_LOW) / PEAK_STEP), PEAK_BINS - 1)
    count = 0.0
    for j in range(b, min(PEAK_BINS, b + PEAK_NEAR)):
        count += s[PEAKS + j]
    running = int(s[PEAK]) - 1
    if b <= running < b + PEAK_NEAR:
        # An incident that builds up does not count itself.
        count -= 1.0
    seen: float = PRIOR_DAYS + s[SEEN]
    return (PRIOR_DAYS * prior_rate(per, dt) + count / PEAK_WITHIN) / seen


@_njit
def episode_learn(s: Floats, rare: float) -> None:
    """Keep the histogram of the episodes' peaks; a running one moves up, and ends after 5 quiet readings."""
    if s[SEEN] > PEAK_MEMORY:
        for j in range(PEAK_BINS):
            s[PEAKS + j] *= 0.5
        s[SEEN] *= 0.5
        s[MISSED] *= 0.5
    if rare >= PEAK_LOW:
        b = min(int((rare - PEAK_LOW) / PEAK_STEP), PEAK_BINS - 1)
        before = int(s[PEAK]) - 1
        s[QUIET] = 0.0
        if before < 0:
            s[PEAKS + b] += 1.0
            s[PEAK] = b + 1
        elif b > before:
            s[PEAKS + before] = max(s[PEAKS + before] - 1.0, 0.0)
            s[PEAKS + b] += 1.0
            s[PEAK] = b + 1
    elif s[PEAK] > 0.0:
        s[QUIET] += 1.0
        if s[QUIET] > 5.0:
            s[PEAK] = 0.0


@_njit
def alert(s: Floats, lift: float, ask: float, days: float, dt: float, k: float) -> None:
    """Start, keep or end the alert.

    It starts where a reading is rarer than asked and ends after up to six that are an e-fold below that. Each
    alarm that was no clear incident raises the threshold a little, and quiet time lowers it, so that in the
    long run alarms come as often as asked.

    Args:
        s: the row.
        lift: ln of how much rarer than asked.
        ask: false alarms a day that are accepted.
        days: since the last reading.
        dt: seconds from reading to reading.
        k: readings seen.
    """
    excess = lift - s[TRIM]
    if s[ACTIVE] > 0.0:
        if lift > s[TOP]:
            s[TOP] = lift
        if excess < -1.0:
            s[CALM] += 1.0
            if s[CALM] >= min(6.0, 0.1 * DAY / (ask * dt)):
                s[ACTIVE] = 0.0
                if s[TOP] - s[TRIM] < 2.0:
                    s[TRIM] = min(s[TRIM] + NUDGE, 3.0)
        else:
            s[CALM] = 0.0
    else:
        trim = s[TRIM] - NUDGE * COUNTED * ask * days
        if trim < -0.5:
            trim = max(trim, -1.5, min(-0.5, math.log(ask * dt / (0.1 * DAY))))
        s[TRIM] = trim
        if excess >= 0.0 and k > WARM:
            s[ACTIVE] = 1.0
            s[CALM] = 0.0
            s[TOP] = lift


@_njit_inline
def alarms(s: Floats, rare: float, ask: float, days: float, dt: float, k: float) -> float:
    """Alert where a reading is too rare for the budget; then learn of it. Its probability.

    Args:
        s: the row.
        rare: rarity of the reading.
        ask: false alarms a day that are accepted.
        days: since the last reading.
        dt: seconds from reading to reading.
        k: readings seen.
    """
    s[SEEN] += days
    if rare >= PEAK_LOW:
        rate = episode_rate(s, rare, rare + s[LOG_SPACING], dt)
        lift = -math.log(rate / ask)
        probability = min(1.0, rate * dt / DAY)
    else:
        # The rate matters only where an alert may be; elsewhere the share of readings will do.
        lift = -50.0
        probability = math.exp(-max(rare, 0.0))
    alert(s, lift, ask, days, dt, k)
    episode_learn(s, rare)
    return probability


@_njit
def absorb(s: Floats, per: float, dt: float) -> None:
    """Take a level that has been strange for so long as the new one: it was reported.

    Args:
        s: the row.
        per: rarity a minute of the reading.
        dt: seconds from reading to reading.
    """
    if per < ABSORB_RARITY:
        s[STUCK] = 0.0
        return
    s[STUCK] += 1.0
    if s[STUCK] <= min(ABSORB, ABSORB_DAYS * DAY / dt):
        return
    # The short mean: the other levels are winsorised, and may still be on their way.
    level = s[LEVELS + 3]
    s[SEASON_LEVEL] += level - s[LEVELS + 2]
    s[LEVELS + 1] = s[LEVELS + 2] = s[LEVELS + 4] = s[CENTRE] = level
    s[STUCK] = 0.0


@_njit
def alert_level(s: Floats, ask: float, dt: float) -> None:
    """Find the deviation at which an alert would start, for the band.

    The budget of alarms, turned round through the episodes' rate, the rarity and the tail. The bin of the
    rate moves by a few a call, so that a call is cheap; it is called every few readings.
    """
    budget = ask * math.exp(-s[TRIM]) * (PRIOR_DAYS + s[SEEN])
    b = int(s[ALERT_BIN])
    count = 0.0
    for j in range(b, min(PEAK_BINS, b + PEAK_NEAR)):
        count += s[PEAKS + j]
    for _ in range(4):
        per = PEAK_LOW + PEAK_STEP * b + s[LOG_SPACING]
        upper = PRIOR_DAYS * prior_rate(per + PEAK_STEP, dt) + count / PEAK_WITHIN
        if upper > budget and b < PEAK_BINS - 1:
            # Even the upper end of the bin comes too often.
            if b + PEAK_NEAR < PEAK_BINS:
                count += s[PEAKS + b + PEAK_NEAR]
            count -= s[PEAKS + b]
            b += 1
        elif b > 0:
            below = count + s[PEAKS + b - 1]
            if b + PEAK_NEAR - 1 < PEAK_BINS:
                below -= s[PEAKS + b + PEAK_NEAR - 1]
            if PRIOR_DAYS * prior_rate(per, dt) + below / PEAK_WITHIN > budget:
                break
            count = below
            b -= 1
        else:
            break
    s[ALERT_BIN] = b
    left = (budget - count / PEAK_WITHIN) / PRIOR_DAYS
    rare = PEAK_LOW + PEAK_STEP * b
    if left > 0.0:
        exact = PRIOR_RARITY + math.log(PRIOR_RATE / left) / PEAK_SLOPE - s[LOG_SPACING]
        rare = min(max(rare, exact), rare + PEAK_STEP)
    magnitude = MAGNITUDE / STEEP
    slope = (1.0 - MAGNITUDE) / s[TAIL_SHAPE]
    fixed = magnitude + (1.0 - MAGNITUDE) * s[TAIL_RARITY] - slope * s[TAIL_FROM]
    u = (rare - fixed) / (magnitude + slope)
    if u < s[TAIL_FROM]:
        # Below the Pareto part there is only the table: halve.
        lower = TAIL_LOW
        u = s[TAIL_FROM]
        for _ in range(10):
            middle = 0.5 * (lower + u)
            if magnitude * (middle + 1.0) + (1.0 - MAGNITUDE) * tail_rarity(s, middle) < rare:
                lower = middle
            else:
                u = middle
    s[ALERT_Z] = math.exp(min(u, 300.0))


# ---- Score ---------------------------------------------------------------------------------------


@_njit_inline
def combined(s: Floats, per: float, new: float, k: float) -> float:
    """The score, before it is squeezed: rarity up to the knee, a tenth of it above, and there novelty.

    Novelty is added as far as rarity has passed the gate, and a reading leaves 80 % of its score to the next
    one at least.

    Args:
        s: the row.
        per: rarity a minute.
        new: novelty.
        k: readings seen.
    """
    gate = per - GATE + s[LOG_PACE]
    score = per if per < KNEE else KNEE + ABOVE * (per - KNEE)
    if new > NOVEL and gate > 0.0 and k >= WARM:
        score += NOVEL_WEIGHT * math.log(new / NOVEL) * min(1.0, gate)
    if s[HELD] > 0.0:
        score = max(score, HOLD * s[HELD])
    s[HELD] = score
    return score


# ---- One reading ---------------------------------------------------------------------------------


@_njit
def squeezed(score: float) -> float:
    """A score as a number in [0, 1); a higher one is never lower."""
    if score > 0.0:
        return FAINT + (1.0 - FAINT) * score / (score + SQUEEZE)
    return FAINT / (1.0 - score)


@_njit
def start(s: Floats, at: float, x: float) -> None:
    """Begin a row with its first reading."""
    s[K] = 1.0
    s[AT] = at
    s[MEAN] = x
    s[TAIL_FROM] = 1e9
    s[SEASON_LEVEL] = x
    s[LAST] = x
    s[CENTRE] = x
    for j in range(5):
        s[LEVELS + j] = x
    novelty(s, x, x, 1.0, 1.0)


@_njit
def pace(s: Floats, at: float, every: float, k: float) -> tuple[float, float]:
    """Learn the spacing of the readings; returns it, in seconds, and the days since the last reading."""
    gap = max(at - s[AT], 0.0)
    s[AT] = at
    dt = every
    if not every > 0.0:
        dt = s[SPACING]
        if dt <= LEAST_SPACING:
            dt = gap
        elif gap > 0.0:
            # Where time stands or goes back, nothing is learned of the spacing.
            dt += max(0.01, 1.0 / (k - 1.0)) * (min(gap, 3.0 * dt) - dt)
    dt = max(dt, LEAST_SPACING)
    if dt != s[SPACING]:
        s[SPACING] = dt
        s[LOG_SPACING] = math.log(dt / MINUTE)
        s[PACE] = min(1.0, dt / 300.0)
        s[LOG_PACE] = math.log(s[PACE])
    return dt, min(gap, 10.0 * dt) / DAY


@_njit
def missing(s: Floats, ask: float, out: Floats) -> None:
    """Judge a reading that is not there: strange where some in a row are, which has seldom been so."""
    out[0] = 0.0
    out[1] = 1.0
    out[2] = math.nan
    out[3] = math.nan
    out[4] = math.nan
    out[6] = 1.0 if s[K] < WARM else 0.0
    s[MISSING] += 1.0
    if s[MISSING] == MISSING_RUN:
        s[MISSED] += 1.0
    if s[MISSING] >= MISSING_RUN and s[K] >= WARM:
        # Episodes a day, the first of which is this one.
        rate = s[MISSED] / (s[SEEN] + 1e-9)
        dt = s[SPACING]
        out[1] = min(1.0, rate * dt / DAY)
        out[0] = squeezed(min(-math.log(rate / (DAY / MINUTE)), KNEE))
        if rate < ask and s[ACTIVE] == 0.0:
            s[ACTIVE] = 1.0
            s[CALM] = 0.0
            s[TOP] = 3.0
    out[5] = s[ACTIVE]


@_njit
def judge(
    s: Floats,
    at: float,
    i1: int,
    i2: int,
    off: float,
    value: float,
    every: float,
    false_alarms: float,
    out: Floats,
) -> None:
    """As `step`, with the place of the time of day, which is the same for all rows of a bank."""
    ask = false_alarms * DAY
    if not (abs(value) < 1e100) or not (abs(at) < 1e15):
        missing(s, ask, out)
        return
    s[MISSING] = 0.0
    k = s[K] + 1.0
    x = value
    if k == 1.0:
        start(s, at, x)
        out[0] = 0.0
        out[1] = 1.0
        out[2] = out[3] = out[4] = math.nan
        out[5] = 0.0
        out[6] = 1.0
        return
    s[K] = k
    dt, days = pace(s, at, every, k)
    p = season_profile(s, i1, i2, off)
    y = x - p if s[SEASON] > 0.0 else x
    shift = x - y
    expected = s[LEVELS + 1] + shift
    rare, low, high = residual_rarity(s, y, k, i1, i2, off)
    per = rare + s[LOG_SPACING]
    s[LEAST] = min(s[LEAST], x)
    new = day_novelty(s, x, k, dt, i1, i2, off)
    score = combined(s, per, new, k)
    probability = alarms(s, rare, ask, days, dt, k)
    absorb(s, per, dt)
    out[0] = squeezed(score)
    out[1] = probability
    low += shift
    high += shift
    if k < WARM:
        out[1] = 1.0
        out[2] = out[3] = out[4] = math.nan
    else:
        if low > high:
            # Nothing would be ordinary now.
            low = high = expected
        if s[LEAST] >= 0.0:
            # What has never been negative is not expected to be.
            low = max(low, 0.0)
            high = max(high, 0.0)
        out[2] = min(max(expected, low), high)
        out[3] = low
        out[4] = high
    if (int(k) & 15) == 0 or k < 64.0:
        alert_level(s, ask, dt)
    out[5] = s[ACTIVE]
    out[6] = 1.0 if k < WARM else 0.0
    season_learn(s, x, p, i1, k, dt)


@_njit
def step(
    s: Floats, at: float, value: float, every: float, false_alarms: float, out: Floats
) -> None:
    """Judge a reading, then learn from it.

    Args:
        s: the series' row.
        at: Unix seconds.
        value: the reading; NaN, infinite and absurd ones count as missing.
        every: seconds from reading to reading; 0 to learn that.
        false_alarms: accepted, a second.
        out: takes score, probability, expected, lower, upper, alert, learning.
    """
    i1, i2, off = season_place(at if abs(at) < 1e15 else 0.0)
    judge(s, at, i1, i2, off, value, every, false_alarms, out)


@_njit
def touch(s: Floats, i1: int, i2: int) -> float:
    """Read what a step will need of a row: it is under way while the rows before are worked on."""
    read: float = (
        (s[0] + s[8] + s[16] + s[24] + s[32] + s[40] + s[i1] + s[i2])
        + (s[VIEWS] + s[VIEWS + 8] + s[VIEWS + 16] + s[VIEWS + 24] + s[VIEWS + 32] + s[VIEWS + 40])
        + (s[TAIL] + s[TAIL + 8] + s[TAIL + 16] + s[TABLE] + s[TABLE + 8] + s[TABLE + 16])
    )
    return read


@_njit
def bank(
    rows: Floats, at: float, values: Floats, every: float, false_alarms: float, out: Floats
) -> float:
    """One reading of each series: `step`, row by row. The number that is returned means nothing."""
    n = len(rows)
    read = 0.0
    i1, i2, off = season_place(at if abs(at) < 1e15 else 0.0)
    for i in range(n):
        read += touch(rows[min(i + AHEAD, n - 1)], i1, i2)
        judge(rows[i], at, i1, i2, off, values[i], every, false_alarms, out[i])
    return read


@_njit
def series(at: Floats, values: Floats, every: float, false_alarms: float, out: Floats) -> None:
    """All readings of one series, in order, from a new row."""
    row = np.zeros(SIZE)
    for i in range(len(values)):
        step(row, at[i], values[i], every, false_alarms, out[i])


# ---- The parts alone -----------------------------------------------------------------------------


@_njit
def next_reading(s: Floats, at: float, x: float) -> float:
    """Count a reading of a part's row, and begin the row with the first; 0 where there is none."""
    if not (abs(x) < 1e100) or not (abs(at) < 1e15):
        return 0.0
    k: float = s[K] + 1.0
    if k == 1.0:
        start(s, at, x)
    s[K] = k
    return k


@_njit
def rarity_step(s: Floats, at: float, x: float, every: float) -> float:
    """Rarity of a reading, then learn it; NaN where there is none."""
    k = next_reading(s, at, x)
    if k < 2.0:
        return 0.0 if k == 1.0 else math.nan
    dt, _ = pace(s, at, every, k)
    i1, i2, off = season_place(at)
    p = season_profile(s, i1, i2, off)
    y = x - p if s[SEASON] > 0.0 else x
    rare, _, _ = residual_rarity(s, y, k, i1, i2, off)
    absorb(s, rare + s[LOG_SPACING], dt)
    season_learn(s, x, p, i1, k, dt)
    return rare


@_njit
def novelty_step(s: Floats, at: float, x: float, every: float) -> float:
    """Novelty of a reading, then learn it; NaN where there is none."""
    k = next_reading(s, at, x)
    if k < 2.0:
        return 0.0 if k == 1.0 else math.nan
    dt, _ = pace(s, at, every, k)
    i1, i2, off = season_place(at)
    new = day_novelty(s, x, k, dt, i1, i2, off)
    s[i1] += 1.0
    return new


@_njit
def season_step(s: Floats, at: float, x: float, every: float) -> float:
    """A reading less what the time of day adds to it, then learn it; itself where there is none."""
    k = next_reading(s, at, x)
    if k < 2.0:
        return x
    dt, _ = pace(s, at, every, k)
    i1, i2, off = season_place(at)
    p = season_profile(s, i1, i2, off)
    y = x - p if s[SEASON] > 0.0 else x
    season_learn(s, x, p, i1, k, dt)
    return y


@_njit
def alarms_step(s: Floats, at: float, rare: float, every: float, false_alarms: float) -> float:
    """Probability of a reading of such a rarity; NaN where there is none. The row has the alarm."""
    k = next_reading(s, at, rare)
    if k < 2.0:
        return 1.0 if k == 1.0 else math.nan
    dt, days = pace(s, at, every, k)
    probability: float = alarms(s, rare, false_alarms * DAY, days, dt, k)
    return probability
