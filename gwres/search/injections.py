"""Signals added to a recording: what share of them a search finds, and how far away."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from gwres.errors import InputError
from gwres.judging.metrics import wilson
from gwres.search import background, psd
from gwres.search.slides import LEAST, arrays, covered
from gwres.simulate import waveforms
from gwres.simulate.dataset import record
from gwres.simulate.noise import HERTZ
from gwres.simulate.population import SnrPowerLaw
from gwres.strain import DETECTORS, SAMPLE_RATE

APART_S = 12.0  # between signals at the least: what a search sees of one is 8 s long
BEFORE_S = 3  # of a signal that is added before its last second
HELD_S = 3.5  # of a signal that is there, and that its SNR is of
WITHIN_S = 0.3  # of a merger in which a candidate is its own
MONTH_S = 2_592_000.0  # 30 days, as the challenge MLGWSC-1 has it
RATES = (1000.0, 100.0, 10.0, 1.0)  # false alarms a month


def draw(recording, spans, population, count, seed, gates=None):
    """Draw signals, evenly over the time that is searched.

    Args:
        recording: `strain.Recording`.
        spans: dict of detector to GPS spans, see `slides`: where two detectors or more
            are live a signal may merge.
        population: a `Population`, for its masses, spins, sky and loudness. Signals
            last `HELD_S`, and their SNR is that in the detectors that are live, by the
            local PSD.
        count: number of signals.
        seed: of the random draws.
        gates: as for `psd.along`.

    Returns:
        DataFrame, a row for each: number, time (GPS of the merger at the geocentre, s),
        luminosity_distance (Mpc), network_snr, chirp_mass and what else describes it.

    Raises:
        InputError: there is no room for so many.
    """
    live = covered([(own, 1) for own in arrays(spans).values()], LEAST)
    total = float(np.diff(live).sum())
    if count * APART_S > total:
        raise InputError(
            f"injections are {APART_S:g} s apart: expected {int(total / APART_S):,} or "
            f"fewer in {total:,.0f} s; received {count:,}"
        )
    rng = np.random.default_rng([seed, 0])
    step = total / count
    places = (np.arange(count) + 0.5) * step + (rng.random(count) - 0.5) * (
        step - APART_S
    )
    times = _at(live, places)
    rows = []
    longer = replace(population, held_s=HELD_S)
    waiting = list(enumerate(times))
    for spectrum in psd.along(recording, gates=gates):
        while waiting and waiting[0][1] < spectrum.stop:
            number, time = waiting.pop(0)
            there = [
                any(start <= time < stop for start, stop in spans.get(name, []))
                for name in DETECTORS
            ]
            rows.append(_drawn(longer, seed, number, time, spectrum.asd, there))
    return pd.DataFrame(rows)


def _at(spans, places):
    """GPS times of places in the live time, s from its start on."""
    starts, stops = np.transpose(spans)
    ends = np.cumsum(stops - starts)
    which = np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
    return stops[which] - (ends[which] - places)


def _drawn(population, seed, number, time, asd, there):
    """One signal's row."""
    rng = np.random.default_rng([seed, 1, number])
    truth, both = waveforms.draw(population, rng, SAMPLE_RATE / 2)
    # What is not measured, above 512 Hz or of no detector, adds nothing to an SNR.
    asds = np.ones((len(DETECTORS), len(HERTZ)))
    asds[:, : asd.shape[1]] = np.where(asd > 0, asd, 1.0)
    power = waveforms.power(both, asds)
    present = np.array([there], float)
    extrinsic = waveforms.place(population, power[None], rng, present)
    truth |= {name: float(values[0]) for name, values in extrinsic.items()}
    snrs = record(truth, both, asds)[1] * present[0]
    row = truth | {f"snr_{name}": x for name, x in zip(DETECTORS, snrs)}
    row |= {"number": number, "time": time}
    return row | {"network_snr": float(np.sqrt((snrs**2).sum()))}


@dataclass(frozen=True)
class Injected:
    """A recording with signals added; it is read as `strain.Recording` is.

    Args:
        recording: `strain.Recording`.
        table: as `draw` gives it.
        population: the one they were drawn from.
        seed: that they were drawn with.
    """

    recording: object
    table: pd.DataFrame
    population: object
    seed: int
    _held: dict = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self):
        """What is sent to a worker: what the signals are made of, not the signals."""
        return vars(self) | {"_held": {}}

    def __getattr__(self, name):
        if name in ("start", "stop", "spans", "cuts", "detectors"):
            return getattr(self.recording, name)
        raise AttributeError(name)

    def read(self, start, stop):
        """As `Recording.read`; signals are added where strain is usable."""
        strain, good = self.recording.read(start, stop)
        near = self.table["time"].between(start - 2, stop + BEFORE_S + 2)
        for row in self.table[near].to_dict("records"):
            signal = self._signal(row)
            begin = round((row["time"] - BEFORE_S - 1 - start) * SAMPLE_RATE)
            low, high = max(begin, 0), min(begin + signal.shape[1], strain.shape[1])
            if low < high:
                own = signal[:, low - begin : high - begin]
                strain[:, low:high] += own * good[:, low:high]
        return strain, good

    def _signal(self, row):
        number = row["number"]
        if number not in self._held:
            # As many as a part of the strain, and its surroundings, may hold.
            while len(self._held) >= 32:
                del self._held[next(iter(self._held))]
            longer = replace(self.population, held_s=HELD_S)
            rng = np.random.default_rng([self.seed, 1, number])
            _, both = waveforms.draw(longer, rng, SAMPLE_RATE / 2)
            truth = row | {"merger_time": 1.0}
            self._held[number] = record(truth, both, before_s=BEFORE_S)[0]
        return self._held[number]


def found(table, candidates, events, background_s):
    """What a search found of the signals.

    Args:
        table: as `draw` gives it.
        candidates: of the search of the `Injected` recording: columns time, statistic.
        events: statistic of the background's events.
        background_s: its live time, s.

    Returns:
        The table with the columns statistic (NaN where there is no candidate within
        `WITHIN_S`) and far_per_month (infinite there).
    """
    times = candidates["time"].to_numpy(float)
    statistic = np.full(len(table), np.nan)
    for place, time in enumerate(table["time"]):
        own = np.flatnonzero(np.abs(times - time) <= WITHIN_S)
        if len(own):
            statistic[place] = candidates["statistic"].to_numpy()[own].max()
    rate = np.full(len(table), np.inf)
    known = ~np.isnan(statistic)
    rate[known] = background.far(statistic[known], events, background_s) * MONTH_S
    return table.assign(statistic=statistic, far_per_month=rate)


def reached(rows, population, background_s, rates=RATES):
    """The share found, and the sensitive distance, at some false-alarm rates.

    The sensitive distance is the radius of a ball whose volume is that in which signals
    are found: over a uniform density of binaries, the mean of where each was found.
    Signals whose SNR is drawn by a power law stand for a uniform density by weights
    rho^(-4 - index), each for the ball in which it is louder than the floor.

    Args:
        rows: as `found` gives them.
        population: the one they were drawn from.
        background_s: live time of the background, s.
        rates: false alarms a month.

    Returns:
        DataFrame, a row for each rate: far_per_month, found, injections, fraction,
        fraction_low, fraction_high (Wilson, 95%), distance_mpc, distance_mpc_low,
        distance_mpc_high (95%). NaN where the background is too short for the rate.

    Source:
        Schäfer et al., Phys. Rev. D 107, 023021 (2023), section III D.
    """
    loudness, lines = population.loudness, []
    if isinstance(loudness, SnrPowerLaw):
        snr = rows["network_snr"].to_numpy()
        radius = rows["luminosity_distance"].to_numpy() * snr / loudness.floor
        weight = snr ** (-4.0 - loudness.index)
        volume = radius**3 * weight / weight.mean()
    else:
        volume = np.full(len(rows), loudness.far_mpc**3)
    for rate in rates:
        line = {"far_per_month": rate, "injections": len(rows)}
        if rate * background_s / MONTH_S >= 1:
            heard = (rows["far_per_month"] <= rate).to_numpy()
            share = wilson(heard.sum(), len(rows))
            each = volume * heard
            mean = each.mean()
            error = 1.96 * each.std() / np.sqrt(len(each))
            ends = np.maximum([mean, mean - error, mean + error], 0) ** (1 / 3)
            line |= {"found": int(heard.sum()), "fraction": share.value}
            line |= {"fraction_low": share.low, "fraction_high": share.high}
            line |= dict(
                zip(("distance_mpc", "distance_mpc_low", "distance_mpc_high"), ends)
            )
        lines.append(line)
    columns = ["far_per_month", "found", "injections", "fraction", "fraction_low"]
    columns += ["fraction_high", "distance_mpc", "distance_mpc_low"]
    return pd.DataFrame(lines, columns=[*columns, "distance_mpc_high"])
