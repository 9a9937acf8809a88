"""False-alarm rates of candidates, from the events of time slides.

The rate of false alarms as loud as a candidate is (n + 1) / T: n events of the slides
are at least as loud, in the time T that all slides together are live. The candidate
itself is the 1: were it noise, it would be one more. So no rate is 0, and the lowest
that a background can tell is 1/T. The chance that noise alone makes such a candidate in
the time that was searched is p = 1 - exp(-T_foreground FAR).

There is one statistic and one search, so no factor for trials.

Slides hold the triggers of signals too, each with noise of another detector. With
them, the inclusive rates claim as many false alarms as they say, and are cautious where
there are signals. Without those of the candidates, the exclusive ones are right on
average, but loud false alarms pass for rarer than they are, for the background lost
what made them. So a claim rests on the inclusive rate; the exclusive one is for what
stands beside a loud signal.

Source:
    Usman et al., Class. Quantum Grav. 33, 215004 (2016), for the rates; Capano et al.,
    Phys. Rev. D 96, 082002 (2017), for what removal does.
"""

import numpy as np

from gwres.errors import InputError, within
from gwres.search import slides as sliding
from gwres.strain import DETECTORS

YEAR_S = 31_557_600.0  # Julian
# Half of what is left out around a candidate. The average of a merger ends 1 s from it,
# and a window reaches 1 s further.
HALF_S = 2.0
# Fewer are too few for `p_astro`. With 10 candidates that are all signals, their rate
# is known to a third; with less, the prior decides. Background and signals must fill
# the bins that their densities are read from.
LEAST_CANDIDATES = 10
LEAST_EVENTS = 100
LOUDEST = 10  # events of the background in the loudest bin, at the least
GRID = 4000  # points of the integral over the rate of signals


def louder(statistic, events):
    """How many events are at least as loud as each candidate.

    Args:
        statistic: of the candidates, finite, (n,).
        events: statistic of background events, finite, (m,).

    Returns:
        (n,) array of whole numbers.

    Raises:
        InputError: a statistic that is NaN or infinite.
    """
    statistic = _finite(statistic, "candidates")
    events = np.sort(_finite(events, "background events"))
    return len(events) - np.searchsorted(events, statistic, side="left")


def far(statistic, events, background_s):
    """False-alarm rate of each candidate, (n + 1) / T.

    Args:
        statistic: of the candidates, finite, (n,).
        events: statistic of all background events, finite, (m,).
        background_s: live time of all slides together, s, 0 or more.

    Returns:
        (n,) array, Hz; infinite where there is no background time.

    Raises:
        InputError: a statistic that is NaN or infinite, or a negative time.

    Source:
        Usman et al., Class. Quantum Grav. 33, 215004 (2016).
    """
    background_s = float(_live(background_s, "background_s"))
    counts = louder(statistic, events) + 1.0
    return counts / background_s if background_s else np.full(len(counts), np.inf)


def p_value(rate, foreground_s):
    """Chance of one false alarm or more at a rate, 1 - exp(-T_foreground FAR).

    Args:
        rate: false-alarm rate, Hz, (n,).
        foreground_s: time that was searched for the candidates, s, 0 or more.

    Raises:
        InputError: a negative time.

    Source:
        Usman et al., Class. Quantum Grav. 33, 215004 (2016).
    """
    return -np.expm1(-float(_live(foreground_s, "foreground_s")) * np.asarray(rate))


def table(candidates, events, slides, spans, half_s=HALF_S):
    """Candidates with their false-alarm rates, the loudest first.

    Args:
        candidates: DataFrame of columns time (GPS s) and statistic, and any others.
        events: DataFrame of background events: statistic, and for each detector of the
            slides its trigger time, GPS s, as `slides.triggers` gives it.
        slides: as `slides.plan` gives them: all that were searched.
        spans: those that they were planned for; see `slides`.
        half_s: half the length that the exclusive background leaves out around each
            candidate in each detector, s.

    Returns:
        DataFrame: the candidates' columns; louder, the number of background events at
        least as loud; background_s, the time they were found in; far_per_year,
        ifar_years (its inverse), p (see `p_value`); and the same with `_exclusive`:
        without the events that have a trigger of one of these candidates, and without
        the time in which there could be one. Where no time is left, that rate is
        infinite, ifar_years 0 and p 1.

    Raises:
        InputError: a missing column, a statistic or a candidate's time that is not
            finite, a negative live time, or spans that `slides.arrays` refuses.
    """
    _columns(candidates, ("time", "statistic"), "candidates")
    names = [name for name in DETECTORS if name in slides]
    _columns(events, ("statistic", *names), "background events")
    times = _finite(candidates["time"], "times of candidates")
    foreground_s = sliding.foreground_s(spans)
    own = trigger_of(events, times, half_s)
    parts = {
        "": (events, _live(slides["live_s"], "live_s")),
        "_exclusive": (events[~own], sliding.without(slides, spans, times, half_s)),
    }
    rows = candidates
    for end, (counted, live_s) in parts.items():
        background_s = float(np.sum(live_s))
        rate = far(rows["statistic"], counted["statistic"], background_s)
        columns = {
            "louder": louder(rows["statistic"], counted["statistic"]),
            "background_s": background_s,
            "far_per_year": rate * YEAR_S,
            "ifar_years": 1 / (rate * YEAR_S),
            "p": p_value(rate, foreground_s),
        }
        rows = rows.assign(**{name + end: value for name, value in columns.items()})
    order = ["statistic", "time"]
    return rows.sort_values(order, ascending=[False, True], ignore_index=True)


def trigger_of(events, times, half_s=HALF_S):
    """Which events have a trigger of a candidate in any detector.

    Args:
        events: DataFrame with a column of trigger times for each detector, GPS s, NaN
            where it was not used.
        times: of the candidates, GPS s, (n,).
        half_s: how near a trigger must be, s, 0.001 to 60.

    Returns:
        (m,) boolean array.

    Raises:
        InputError: `half_s` out of range.
    """
    within("half_s", half_s, 0.001, 60)
    edges = np.concatenate([[-np.inf], np.sort(times), [np.inf]])
    found = np.zeros(len(events), dtype=bool)
    for name in DETECTORS:
        if name in events:
            own = events[name].to_numpy(dtype=float)
            used = np.flatnonzero(~np.isnan(own))
            after = np.searchsorted(edges, own[used])
            nearest = np.minimum(edges[after] - own[used], own[used] - edges[after - 1])
            found[used] |= nearest <= half_s
    return found


def p_astro(statistic, events, signals, foreground_s, background_s):
    """Chance that each candidate is a signal and not noise.

    The candidates are a Poisson mixture of two: noise, at the rate of the slides, and
    signals, at a rate that is marginalised with Jeffreys' prior, 1/sqrt(rate), over the
    posterior that all candidates give it. The rate of noise is held at its value: it
    rests on far more events. Only candidates above the quietest background event count.

    Densities are read from bins that hold half, a quarter, ... of the background, and
    at last its loudest `LOUDEST` or more: nothing is taken beyond what was measured, so
    that a candidate louder than all background has the value of that bin, not 1.

    Args:
        statistic: of the candidates, finite, (n,).
        events: statistic of background events, finite, (m,), found with the same
            threshold.
        signals: statistic of simulated signals of the population, those that were
            found, finite, (k,).
        foreground_s: time that was searched for the candidates, s, above 0.
        background_s: live time of all slides together, s, above 0.

    Returns:
        (p, reason): p of shape (n,), 0 to 1, NaN for candidates below all background;
        reason None. Where candidates are fewer than `LEAST_CANDIDATES`, or background
        or signals fewer than `LEAST_EVENTS`, p is NaN and reason says which.

    Raises:
        InputError: a statistic that is NaN or infinite, or a time that is not above 0.

    Source:
        Farr et al., Phys. Rev. D 91, 023005 (2015), who marginalise over both rates.
    """
    statistic = _finite(statistic, "candidates")
    events = np.sort(_finite(events, "background events"))[::-1]
    signals = _finite(signals, "signals")
    for name, value in (("foreground_s", foreground_s), ("background_s", background_s)):
        if not _live(value, name) > 0:
            raise InputError(f"{name} must be above 0; received {value}")
    unknown = np.full(len(statistic), np.nan)
    if len(events) < LEAST_EVENTS:
        return unknown, _too_few("background events", len(events), LEAST_EVENTS)
    counted = statistic >= events[-1]
    signals = signals[signals >= events[-1]]
    if counted.sum() < LEAST_CANDIDATES:
        return unknown, _too_few("candidates", counted.sum(), LEAST_CANDIDATES)
    if len(signals) < LEAST_EVENTS:
        return unknown, _too_few("signals found", len(signals), LEAST_EVENTS)
    ranks = len(events) // 2 ** np.arange(int(np.log2(len(events) / LOUDEST)) + 1)
    edges = np.unique(np.append(events[ranks - 1], np.inf))
    noise, signal = (_shares(values, edges) for values in (events, signals))
    place = np.searchsorted(edges, statistic[counted], side="right") - 1
    own = noise * len(events) * foreground_s / background_s
    # Jeffreys' prior is flat in the root of the rate.
    most = np.sqrt(len(place) + 10 * np.sqrt(len(place)) + 10)
    rate = ((np.arange(GRID) + 0.5) / GRID * most) ** 2
    theirs = rate[:, None] * signal
    weight = np.log(theirs + own) @ np.bincount(place, minlength=len(own)) - rate
    weight = np.exp(weight - weight.max())
    share = weight @ (theirs / (theirs + own)) / weight.sum()
    unknown[counted] = share[place]
    return unknown, None


def _shares(values, edges):
    """Share of values in each bin, with half a count more in each: never 0."""
    counts = np.histogram(values, edges)[0] + 0.5
    return counts / counts.sum()


def _too_few(what, count, least):
    return f"p_astro needs {least} {what}, received {count}"


def _finite(values, what):
    """Values as float64; raises `InputError` for NaN and infinity."""
    values = np.asarray(values, dtype=float)
    broken = int((~np.isfinite(values)).sum())
    if broken:
        raise InputError(
            f"{what} must be finite; received {broken:,} of {len(values):,} that are "
            "NaN or infinite"
        )
    return values


def _live(seconds, name):
    """Live times as float64; raises `InputError` for a negative one, NaN, infinity."""
    seconds = np.asarray(seconds, dtype=float)
    bad = ~(np.isfinite(seconds) & (seconds >= 0))
    if bad.any():
        raise InputError(
            f"{name} must be a live time of 0 s or more; received {seconds[bad][0]}"
        )
    return seconds


def _columns(rows, names, what):
    if any(name not in rows for name in names):
        raise InputError(
            f"{what} need the columns {', '.join(names)}; received "
            f"{', '.join(map(str, rows.columns))}"
        )
