"""Glitches: short disturbances that one detector records and no other.

Each kind has its shape, its rate and its loudness. Blips, low-frequency blips, tomtes
and koi fish follow fits of real ones, `o3_glitch_fits.csv`: 3,843 glitches of the third
observing run with SNR 5 or more, from github.com/andrew-lundgren/antiglitch at de319c4
(MIT licence). The others follow what is known of their origin or their looks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.signal.windows import tukey

from gwres.strain import BAND, DETECTORS, DURATION, SAMPLE_RATE

# Columns of tables of windows: kind and SNR of the loudest glitch in each detector, ""
# and 0 without.
GLITCHES = tuple(f"glitch_{detector}" for detector in DETECTORS)
GLITCH_SNRS = tuple(f"glitch_snr_{detector}" for detector in DETECTORS)
# A glitch is a Fourier transform over this time, its middle at time zero: half of it is
# before the middle, at the end of the period.
PERIOD_S = 8
FREQUENCIES = np.arange(PERIOD_S * SAMPLE_RATE // 2 + 1) / PERIOD_S
REACH_S = PERIOD_S / 2
SECONDS = np.fft.fftfreq(PERIOD_S * SAMPLE_RATE, 1 / PERIOD_S)
HIGH_PASS_HZ = 15.0  # nothing is below
LOWEST_SNR = 7.5  # the rates count glitches from here up
HIGHEST_SNR = 3000.0
FOLLOWED = 0.1  # share that another of the same kind follows
WITHIN_S = 10.0  # how soon


def power_law(rng, exponent, low=LOWEST_SNR):
    """An SNR whose survival function goes as SNR^-exponent, `HIGHEST_SNR` at most."""
    return min(low * rng.random() ** (-1 / exponent), HIGHEST_SNR)


@cache
def fits():
    """The fits: dict of (kind, detector) to float64 (n, 4): f0, gbw, phase, SNR."""
    table = pd.read_csv(files("gwres.simulate") / "o3_glitch_fits.csv")
    table = table[table["snr"] >= LOWEST_SNR]
    groups = table.groupby(["kind", "detector"])
    return {key: rows[["f0", "gbw", "phase", "snr"]].to_numpy() for key, rows in groups}


def bump(f0, gbw, phase):
    """The transform of a fitted glitch: |h(f)| = exp(-gbw / 2 ln^2(f / f0)).

    Args:
        f0: frequency at which the strain is loudest, Hz.
        gbw: the larger, the narrower.
        phase: the same at all frequencies, rad.

    Returns:
        complex128, at `FREQUENCIES`.
    """
    distance = np.log(np.maximum(FREQUENCIES, 1 / PERIOD_S) / f0)
    return np.exp(-gbw / 2 * distance**2 + 1j * phase)


def _fitted(kind, rng, detector):
    """Shape and SNR of one of the fits, drawn together.

    The fits are of the clearest of their kind, so their SNRs are not nature's; of koi
    fish they are all that is known.
    """
    # There are no fits of low-frequency blips in V1.
    rows = fits().get((kind, detector), fits()[kind, "L1"])
    f0, gbw, phase, snr = rows[rng.integers(len(rows))]
    return bump(f0, gbw, phase), snr


def _shaped(kind, rng, detector):
    """Shape of one of the fits, as loud as blips are found to be."""
    shape, _ = _fitted(kind, rng, detector)
    return shape, power_law(rng, 1.33)


def koi_fish(rng, detector):
    """A koi fish: of a fit of one part, a fifth to a third of the amplitude is left."""
    first, snr = _fitted("koi_fish", rng, detector)
    second, _ = _fitted("koi_fish", rng, detector)
    second = second * np.exp(-2j * np.pi * FREQUENCIES * rng.normal(0, 0.03))
    low, high = (round(PERIOD_S * edge) for edge in BAND)
    ratio = np.linalg.norm(first[low:high]) / np.linalg.norm(second[low:high])
    return first + rng.uniform(0.2, 0.35) * ratio * second, snr


def scattered_light(rng, detector):
    """Light scattered back by something that swings slowly: arches of frequency.

    The sum over k of a_k sin(k phi), phi(t) = peak / f_m sin(2 pi f_m t) + phi_0, whose
    frequency is the peak times cos(2 pi f_m t).

    Source:
        Accadia et al., Class. Quantum Grav. 27, 194011 (2010).
    """
    return _scattered(rng, rng.uniform(0.05, 0.3), 7.0), power_law(rng, 1.42)


def fast_scattering(rng, detector):
    """As `scattered_light`, with two to five arches in a second."""
    # Each swing makes two arches.
    swing, seconds = rng.uniform(1.0, 2.5), rng.uniform(0.8, 3.0)
    return _scattered(rng, swing, seconds), power_law(rng, 1.42)


def _scattered(rng, swing, seconds):
    phase = rng.uniform(20, 60) / swing * np.sin(2 * np.pi * swing * SECONDS)
    phase += rng.uniform(0, 2 * np.pi)
    harmonics, fall = rng.integers(1, 5), rng.uniform(0.3, 0.7)
    series = sum(fall**k * np.sin((k + 1) * phase) for k in range(harmonics))
    return np.fft.rfft(series * _around(seconds, 0.6))


def _around(seconds, taper):
    """A Tukey window around time zero, of a length and a tapered share of it."""
    window = tukey(round(seconds * SAMPLE_RATE), taper)
    padded = np.pad(window, (0, len(SECONDS) - len(window)))
    return np.roll(padded, -(len(window) // 2))


def whistle(rng, detector):
    """A beat of two radio frequencies: down and up again in less than a second."""
    low, high, half = rng.uniform(30, 150), rng.uniform(200, 900), rng.uniform(0.1, 0.5)
    phase = 2 * np.pi * (low * SECONDS + (high - low) / 3 * SECONDS**3 / half**2)
    series = np.sin(phase + rng.uniform(0, 2 * np.pi)) * _around(2 * half, 0.4)
    return np.fft.rfft(series), power_law(rng, 1.33)


def low_frequency_burst(rng, detector):
    """A burst of noise between 10 and 40 Hz, a tenth of a second to one second long."""
    middle, width = rng.uniform(18, 28), rng.uniform(2, 8)
    long = rng.uniform(0.05, 0.4)
    noise = np.fft.rfft(rng.standard_normal(len(SECONDS)))
    noise *= np.exp(-(((FREQUENCIES - middle) / width) ** 2) / 2)
    series = np.fft.irfft(noise) * np.exp(-((SECONDS / long) ** 2) / 2)
    return np.fft.rfft(series), power_law(rng, 1.33)


def extremely_loud(rng, detector):
    """A few cycles with others inside them, far above the noise."""
    transform = np.zeros(len(FREQUENCIES), complex)
    for part in (1.0, rng.uniform(0.1, 0.5)):
        middle = np.exp(rng.uniform(np.log(20), np.log(300)))
        width = middle / rng.uniform(1, 8)
        shape = np.exp(-(((FREQUENCIES - middle) / width) ** 2) / 2) / np.sqrt(width)
        transform += part * shape * np.exp(2j * np.pi * rng.random())
    return transform, power_law(rng, 1.0, low=100.0)


def unlabelled(rng, detector):
    """A sine-Gaussian: short, between 100 and 450 Hz, of half a cycle to three."""
    middle = np.exp(rng.uniform(np.log(100), np.log(450)))
    width = middle / rng.uniform(1, 6)
    shape = np.exp(-(((FREQUENCIES - middle) / width) ** 2) / 2)
    return shape * np.exp(2j * np.pi * rng.random()), power_law(rng, 1.33)


@dataclass(frozen=True)
class Kind:
    """A kind of glitch.

    Args:
        draw: function of (rng, detector) to a complex transform at `FREQUENCIES`, of
            any scale, and an optimal SNR.
        per_hour: number an hour with an SNR of `LOWEST_SNR` or more, in H1 and in L1.
        brief: whether it lasts about a second at most.
    """

    draw: Callable
    per_hour: tuple[float, float]
    brief: bool = True

    def rate(self, detector):
        """Number an hour in a detector. V1, for which no list is at hand: the mean."""
        hanford, livingston = self.per_hour
        both = {"H1": hanford, "L1": livingston}
        return both.get(detector, (hanford + livingston) / 2)


# Those with a label come to 22.5 an hour in H1 and 39 in L1 in the third observing run;
# whistles and bursts share what the others leave of that. But with these alone one
# second in 450 exceeds 6 sigma, and in real strain it is one in 170: the rest is short
# and without a label, at the rate that makes it so (experiments/README.md).
KINDS = {
    "blip": Kind(partial(_shaped, "blip"), (1.0, 0.6)),
    "low_frequency_blip": Kind(partial(_shaped, "low_frequency_blip"), (0.33, 2.1)),
    "tomte": Kind(partial(_shaped, "tomte"), (0.18, 4.9)),
    "koi_fish": Kind(koi_fish, (1.7, 1.4)),
    "scattered_light": Kind(scattered_light, (11.6, 8.4), brief=False),
    "fast_scattering": Kind(fast_scattering, (0.35, 10.0), brief=False),
    "whistle": Kind(whistle, (2.1, 3.4)),
    "low_frequency_burst": Kind(low_frequency_burst, (4.87, 7.83)),
    "extremely_loud": Kind(extremely_loud, (0.37, 0.37)),
    "unlabelled": Kind(unlabelled, (18.0, 18.0)),
}


@dataclass(frozen=True)
class Glitch:
    """A glitch in a stretch of strain.

    Args:
        kind: a name of `KINDS`.
        time_s: its middle, s after the stretch's start.
        snr: its optimal SNR from 20 to 512 Hz, all of it, in the stretch or not.
        transform: complex at `FREQUENCIES`, of any scale.
    """

    kind: str
    time_s: float
    snr: float
    transform: np.ndarray

    def add(self, strain, asd):
        """Add it to strain, in place.

        Args:
            strain: (samples,), of any length, at 2048 Hz.
            asd: the noise's one-sided ASD at `FREQUENCIES`, in the strain's units per
                sqrt(Hz); `snr` is meant with this.
        """
        first, part = divmod((self.time_s - REACH_S) * SAMPLE_RATE, 1)
        shift = np.exp(-2j * np.pi * FREQUENCIES * part / SAMPLE_RATE)
        scale = self.snr / snr(self.transform, asd)
        shift[: round(PERIOD_S * HIGH_PASS_HZ)] = 0
        series = np.fft.irfft(scale * self.transform * shift) * SAMPLE_RATE
        series = np.roll(series, len(series) // 2)
        start = max(int(first), 0)
        stop = min(int(first) + len(series), len(strain))
        if start < stop:
            strain[start:stop] += series[start - int(first) : stop - int(first)]


def snr(transform, asd):
    """Optimal SNR of a transform at `FREQUENCIES`, from 20 to 512 Hz.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), equation 4.3.
    """
    low, high = (round(PERIOD_S * edge) for edge in BAND)
    white = np.abs(transform[low:high] / asd[low:high])
    return np.sqrt(4 / PERIOD_S * (white**2).sum())


def draw(rng, kind, detector, time_s):
    """A `Glitch` of a kind."""
    transform, loudness = KINDS[kind].draw(rng, detector)
    return Glitch(kind, time_s, loudness, transform)


def catalogue(rng, detector, seconds, busy=1.0):
    """The glitches of a detector that reach into a stretch of strain.

    A Poisson process, in which one in ten is followed by another of its kind.

    Args:
        rng: numpy Generator.
        detector: one of `DETECTORS`.
        seconds: length of the stretch.
        busy: factor on the rates of nature.

    Returns:
        list of `Glitch`, in the order of their times.
    """
    rates = np.array([kind.rate(detector) for kind in KINDS.values()])
    # Those from before may have followers within; they start that much earlier.
    early, late = -REACH_S - WITHIN_S, seconds + REACH_S
    hours = (late - early) / 3600
    count = rng.poisson(busy * rates.sum() * hours / (1 + FOLLOWED))
    found = []
    for time_s in rng.uniform(early, late, count):
        kind = str(rng.choice(list(KINDS), p=rates / rates.sum()))
        times = [time_s]
        if rng.random() < FOLLOWED:
            times.append(time_s + rng.uniform(0, WITHIN_S))
        found += [
            draw(rng, kind, detector, time)
            for time in times
            if -REACH_S < time < seconds + REACH_S
        ]
    return sorted(found, key=lambda glitch: glitch.time_s)


def aim(rng, merger_s):
    """A time of a glitch that is hard to tell: half of the time close to a merger.

    Args:
        rng: numpy Generator.
        merger_s: times at which a binary may merge, s, (first, last).

    Returns:
        float, s after the window's start.
    """
    if rng.random() < 0.5:
        return rng.uniform(*merger_s) + rng.normal(0, 0.1)
    return rng.uniform(0, DURATION)


def describe():
    """All that draws of glitches depend on, for the keys of caches."""
    rates = {name: kind.per_hour for name, kind in KINDS.items()}
    return {"rates": rates, "lowest": LOWEST_SNR, "followed": FOLLOWED, "layout": 2}
