"""Moments of real detectors, ready for live injection: spectra, estimates, glitches."""

from dataclasses import dataclass

import numpy as np

from gwres import cache
from gwres.layers.whiten import RISE_HZ, gain
from gwres.simulate import glitches
from gwres.simulate.noise import DETECTOR, HERTZ, measured, states
from gwres.simulate.population import TAPER_S
from gwres.simulate.waveforms import REFERENCE_STRAIN, bank_frequencies
from gwres.strain import ASD_SHAPE, BAND, DETECTORS, DURATION, SCALE, WHITENED_RATE

ROWS = 120  # glitches of each kind in each detector
APART_S = 2.5  # how far from the window the middle of a long glitch may be, at most
FILES = ("gains", "colour", "curve", "shapes", "snr", "brief")


@dataclass(frozen=True)
class Moments:
    """What live injection draws detector noise from; n frequencies of the bank.

    Args:
        gains: float16 (3, states, n), whitening gain by what is known of the spectrum.
        colour: float16 (3, states, n), amplitude that whitened noise has then, 1 where
            the estimate is right.
        curve: int (3, states), row of `waveforms.powers` that belongs to it.
        shapes: float16 (3, glitches, n, 2), transforms of glitches of SNR 1 by the mean
            spectrum, their middle in the middle of a window where they are brief;
            in the bank's units; real and imaginary part last.
        snr: (3, glitches).
        brief: bool (3, glitches), whether it may be moved in time.
    """

    gains: np.ndarray
    colour: np.ndarray
    curve: np.ndarray
    shapes: np.ndarray
    snr: np.ndarray
    brief: np.ndarray

    @classmethod
    def load(cls, folder):
        """Load what `moments` has written."""
        read = {
            name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in FILES
        }
        return cls(**read)

    def draw(self, rng, count, config, merger_s):
        """Draw moments, and glitches in them.

        Args:
            rng: numpy Generator.
            count: number of windows.
            config: a `settings.Live`.
            merger_s: times at which a binary may merge, s, (first, last).

        Returns:
            (state of each detector in each window, (count, 3) int32; `Disturbance`).
        """
        state = rng.integers(self.curve.shape[1], size=(count, len(DETECTORS)))
        window, detector = np.nonzero(rng.random(state.shape) < config.glitches)
        row = rng.integers(self.snr.shape[1], size=len(window))
        times = np.array([glitches.aim(rng, merger_s) for _ in window])
        late = np.where(self.brief[detector, row], times - DURATION / 2, 0.0)
        return state.astype(np.int32), Disturbance(
            window.astype(np.int32),
            detector.astype(np.int32),
            row.astype(np.int32),
            self.snr[detector, row].astype(np.float32),
            late.astype(np.float32),
        )


@dataclass(frozen=True)
class Disturbance:
    """Glitches of a batch, a row each.

    Args:
        window: which window of the batch, (glitches,).
        detector: which detector.
        row: which of `Moments.shapes`.
        snr: optimal SNR.
        late: s after the middle of the window.
    """

    window: np.ndarray
    detector: np.ndarray
    row: np.ndarray
    snr: np.ndarray
    late: np.ndarray


def moments(seed, segment):
    """The folder of `Moments`, made once and cached.

    Args:
        seed: that of the `states`, and of the glitches.
        segment: the `Segment` of the bank's waveforms.
    """
    known = states(seed)

    def make(folder):
        frequencies = bank_frequencies(segment)
        asds = _at(known.asd, HERTZ, frequencies)
        # As `whiten.refined` interpolates what it is given.
        logs = _at(np.log(known.estimate), np.arange(ASD_SHAPE[1]), frequencies)
        gains = gain(np.exp(logs) / SCALE, frequencies)
        np.save(folder / "gains.npy", gains.astype(np.float16))
        colour = gains * asds / SCALE * np.sqrt(WHITENED_RATE / 2)
        np.save(folder / "colour.npy", colour.astype(np.float16))
        before = np.cumsum([0] + [len(measured(name)) for name in DETECTORS])[:-1]
        np.save(folder / "curve.npy", known.curve + before[:, None])
        mean = np.exp(np.log(np.maximum(known.asd, 1e-30)).mean(axis=1))
        rows = [_glitches(seed, place, asd, segment) for place, asd in enumerate(mean)]
        for name, column in zip(("shapes", "snr", "brief"), zip(*rows)):
            np.save(folder / f"{name}.npy", np.stack(column))

    key = {"seed": seed, "rows": ROWS, "rise_hz": RISE_HZ, "taper_s": TAPER_S}
    key |= {
        "segment": [segment.samples, segment.start],
        "layout": 1,
    } | DETECTOR.described()
    return cache.folder("moments", key, make)


def _at(rows, known, frequencies):
    """Spectra (3, states, n) at other frequencies."""
    shape = *rows.shape[:2], len(frequencies)
    flat = rows.reshape(-1, rows.shape[-1])
    return np.stack([np.interp(frequencies, known, row) for row in flat]).reshape(shape)


def _glitches(seed, place, asd, segment):
    """`Moments.shapes`, `snr` and `brief` of one detector, `ROWS` of each kind."""
    detector, fine = DETECTORS[place], np.interp(glitches.FREQUENCIES, HERTZ, asd)
    shapes, snrs, brief = [], [], []
    names = [name for name in glitches.KINDS for _ in range(ROWS)]
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, place, number, 4])
        glitch, kind = glitches.draw(rng, name, detector, 0.0), glitches.KINDS[name]
        away = 0.0 if kind.brief else rng.uniform(-APART_S, APART_S)
        unit = glitch.transform / glitches.snr(glitch.transform, fine)
        shapes.append(_cut(unit, DURATION / 2 + away, segment))
        snrs.append(glitch.snr)
        brief.append(kind.brief)
    return np.stack(shapes), np.array(snrs), np.array(brief)


def _cut(transform, middle_s, segment):
    """Cut a glitch to the bank's segment, its middle so long after a window's start.

    Returns:
        float16 (n, 2) at `bank_frequencies`, as `waveforms.bank` has waveforms.
    """
    kept = transform[: round(BAND[1] * glitches.PERIOD_S) + 1] / REFERENCE_STRAIN
    series = np.fft.irfft(kept) * WHITENED_RATE
    middle = segment.start + round(middle_s * WHITENED_RATE)
    series = np.roll(series, middle)[: segment.samples]
    rise = int(TAPER_S * WHITENED_RATE)
    edge = np.sin(np.pi / 2 * np.arange(rise) / rise) ** 2
    series[:rise] *= edge
    series[-rise:] *= edge[::-1]
    transform = np.fft.rfft(series)
    first = round(BAND[0] * segment.samples / WHITENED_RATE)
    kept = transform[first : first + len(bank_frequencies(segment))]
    return np.stack([kept.real, kept.imag], axis=-1).astype(np.float16)
