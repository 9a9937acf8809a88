"""Is the simulated noise of detectors like the real one?

    mlflow run . -e experiment -P name=noise

Stretches of 36 s of H1 and L1, whitened by what 1 s segments of them say: how many
seconds exceed 6 sigma, and how far the power of 4 s between 30 and 170 Hz lies from the
stretch's median. Real strain of the second and third observing run has 0.60% (0.4 to
0.9), and 0.93, 1.09, 1.23, 2.9 at 5, 95, 99, 99.9%. Beside them how many glitches of
each kind came in an hour, and a picture of two of each kind.
Time: two core-minutes. Result: README.md.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from gwres.experiment import Measured
from gwres.layers.whiten import FREQUENCIES, RISE_HZ, gain, refined, whiten
from gwres.pages import gallery
from gwres.progress import progress
from gwres.simulate import glitches
from gwres.simulate.glitches import KINDS
from gwres.simulate.noise import ESTIMATE_S, HERTZ, HOP_S, estimate, stretch
from gwres.strain import ASD_SHAPE, BAND, DETECTORS, SAMPLE_RATE, SAMPLES

COUNT, SECONDS = 2000, 36
SIGMA = 6.0
POWER_HZ, POWER_S = (30, 170), 4  # Gaussian noise has a standard deviation of 0.042
QUANTILES = (0.05, 0.95, 0.99, 0.999)
# Of this many glitches the one that is the nearest to an SNR is shown: it is clearly
# seen, and not all over the picture.
DRAWN, CLEAR = 20, 25.0


def measure(smoke=False):
    """Draw stretches of each detector and look at them."""
    count = 4 if smoke else COUNT
    rows, rates, metrics, every = [], {}, {}, []
    for detector in ("H1", "L1"):
        rng = np.random.default_rng([5, ord(detector[0])])
        loud, power, kinds = [], [], Counter()
        stretches = ((1, stretch(rng, detector, SECONDS)) for _ in range(count))
        for strain, _, disturbed in progress(stretches, count, detector, "stretch"):
            loud.append(exceeding(strain))
            power.append(band_power(strain))
            kinds.update(g.kind for g in disturbed if 0 <= g.time_s < SECONDS)
        every.append((loud, power))
        found = summary(loud, power)
        metrics |= {f"{detector}/{name}": value for name, value in found.items()}
        rows.append({"detector": detector} | found)
        hours = count * SECONDS / 3600
        rates[detector] = {kind: kinds[kind] / hours for kind in KINDS}
    both = [sum(parts, []) for parts in zip(*every)]
    rows.append({"detector": "both"} | summary(*both))
    columns = {"detector": [row["detector"] for row in rows]}
    columns["over 6 sigma"] = [f"{row['over_6_sigma']:.2%}" for row in rows]
    for quantile in QUANTILES:
        name = _name(quantile)
        columns[f"{quantile:.1%}"] = [f"{row[name]:.2f}" for row in rows]
    for kind, about in KINDS.items():
        columns[kind] = [
            f"{own[kind]:.1f} of {about.rate(detector)}"
            for detector, own in rates.items()
        ] + [""]
    figures = {"glitches.png": gallery.kinds(examples())}
    return Measured(pd.DataFrame(columns), metrics, figures)


def examples():
    """Two glitches of each kind, as `gallery.kinds` takes them."""
    rng = np.random.default_rng(6)
    shown = {kind: [] for kind in KINDS}
    for kind, pair in shown.items():
        for detector in ("H1", "L1"):
            drawn = [glitches.draw(rng, kind, detector, 0.0) for _ in range(DRAWN)]
            chosen = min(drawn, key=lambda glitch: abs(np.log(glitch.snr / CLEAR)))
            pair.append((detector, chosen.snr, window(rng, detector, chosen)))
    return shown


def window(rng, detector, glitch):
    """A window of noise with a glitch in its middle, as a network sees it.

    Args:
        rng: numpy Generator.
        detector: one of `DETECTORS`.
        glitch: a `glitches.Glitch`.

    Returns:
        float32 (2048,), whitened by what is known from the 64 s around.
    """
    strain, asds, _ = stretch(rng, detector, ESTIMATE_S, busy=0.0)
    middle_s = ESTIMATE_S // 2
    fine = np.interp(glitches.FREQUENCIES, HERTZ, asds[middle_s // HOP_S])
    replace(glitch, time_s=float(middle_s)).add(strain, fine)
    start = middle_s * SAMPLE_RATE - SAMPLES // 2
    # Whitening takes three detectors: three times the same.
    alone = np.tile(strain[start : start + SAMPLES], (1, len(DETECTORS), 1))
    known = np.tile(estimate(strain), (1, len(DETECTORS), 1))
    gains = gain(np.asarray(refined(known)), FREQUENCIES)
    return np.asarray(whiten(alone, gains))[0, :, 0]


def summary(loud, power):
    """What is compared with real strain.

    Args:
        loud: list of what `exceeding` gives, of each stretch.
        power: list of what `band_power` gives.

    Returns:
        dict of over_6_sigma, a share, and power_q5 and others.
    """
    powers = np.concatenate(power)
    quantiles = {_name(q): float(np.quantile(powers, q)) for q in QUANTILES}
    return {"over_6_sigma": float(np.concatenate(loud).mean())} | quantiles


def _name(quantile):
    return f"power_q{100 * quantile:g}"


def whitened(strain, band=BAND):
    """A stretch whitened by its own estimate, of unit variance, 1 s less at each end.

    Args:
        strain: (samples,), 2048 Hz, 32 s or more.
        band: Hz.

    Returns:
        (samples - 4096,).
    """
    seconds = np.arange(len(strain)) / SAMPLE_RATE
    edge = np.sin(np.pi / 2 * np.clip(seconds, 0, 1)) ** 2
    frequencies = np.fft.rfftfreq(len(strain), 1 / SAMPLE_RATE)
    known = np.interp(frequencies, np.arange(ASD_SHAPE[1]), estimate(strain))
    inside = (max(band[0], BAND[0]) <= frequencies) & (frequencies < band[1])
    rise = np.sin(np.pi / 2 * np.clip((frequencies - BAND[0]) / RISE_HZ, 0, 1)) ** 2
    shape = np.where(inside, rise, 0.0)
    # A one-sided PSD of 1 has as variance the width of its band.
    width = (shape**2).sum() * frequencies[1]
    gains = np.divide(shape, known, out=np.zeros_like(shape), where=inside)
    white = np.fft.irfft(np.fft.rfft(strain * edge * edge[::-1]) * gains, len(strain))
    return white[SAMPLE_RATE:-SAMPLE_RATE] / np.sqrt(width)


def exceeding(strain):
    """Whether each second of a stretch has a sample above `SIGMA`: bool (seconds,)."""
    return np.abs(_pieces(whitened(strain), 1)).max(axis=1) > SIGMA


def band_power(strain):
    """Power of pieces of `POWER_S` in `POWER_HZ`, over their median: (pieces,)."""
    power = (_pieces(whitened(strain, POWER_HZ), POWER_S) ** 2).mean(axis=1)
    return power / np.median(power)


def _pieces(series, seconds):
    length = seconds * SAMPLE_RATE
    return series[: len(series) // length * length].reshape(-1, length)
