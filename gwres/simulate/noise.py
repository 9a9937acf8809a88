"""Noise of the detectors: Gaussian as in the G2Net data, or as real detectors have it.

`gaussian` is stationary and has one spectrum. `detector` has a spectrum for every
window, measured in the third observing run, whose power drifts; it has glitches; and
what is known of the spectrum is an estimate from a minute of it, as in a search.
"""

from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from bilby.gw.detector import PowerSpectralDensity
from scipy.ndimage import median_filter
from scipy.signal import welch

from gwres import cache as caches
from gwres.engine.work import each
from gwres.errors import among
from gwres.progress import progress
from gwres.simulate import glitches
from gwres.strain import (
    ASD_SHAPE,
    BAND,
    DETECTORS,
    DURATION,
    SAMPLE_RATE,
    SAMPLES,
)

LOW_HZ = 10.0  # G2Net's noise has a sharp lower edge here
# Drawn twice as long as a window and cut, so that no window is periodic.
STREAM = 2 * SAMPLES


@cache
def _curve(detector):
    if detector == "V1":  # bilby's AdV curve is not the one of the G2Net data
        path = files("gwres.simulate") / "virgo_O4high_asd.txt"
        frequencies, asd = np.loadtxt(path, unpack=True)
    else:
        curve = PowerSpectralDensity(asd_file="aLIGO_O4_high_asd.txt")
        frequencies, asd = curve.frequency_array, curve.asd_array
    return np.log(frequencies), np.log(asd)


def asd(detector, frequencies):
    """Amplitude spectral density of a detector.

    Args:
        detector: one of `DETECTORS`.
        frequencies: Hz, any shape.

    Returns:
        One-sided ASD in strain/sqrt(Hz): zero below `LOW_HZ`, interpolated in
        logarithms, constant beyond the curve's last point.

    Source:
        LIGO-T2000012, `aligo_O4high` for H1 and L1 and `avirgo_O4high_NEW` for V1.
    """
    frequencies = np.asarray(frequencies, dtype=float)
    with np.errstate(divide="ignore"):
        curve = np.exp(np.interp(np.log(frequencies), *_curve(detector)))
    return np.where(frequencies < LOW_HZ, 0.0, curve)


def inner(first, second, frequencies, asds=None):
    """Noise-weighted inner product of signals in each detector.

    (a|b) = 4 Re sum a conj(b) / S(f) df, from the lower edge of `BAND` up, without the
    last frequency. (h|h) is the squared optimal SNR.

    Args:
        first: complex (..., 3, n), Fourier transforms in strain/Hz.
        second: the same shape.
        frequencies: Hz, (n,), evenly spaced.
        asds: of the detectors, (3, 1025), at `HERTZ`; None for `asd`.

    Returns:
        (..., 3) float64.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), equation 4.3.
    """
    band = (frequencies >= BAND[0]) & (frequencies < frequencies[-1])
    step = frequencies[1] - frequencies[0]
    if asds is None:
        asds = [asd(detector, frequencies[band]) for detector in DETECTORS]
    else:
        asds = [np.interp(frequencies[band], HERTZ, each) for each in asds]
    white = (first[..., band] / asds) * (second[..., band] / asds).conj()
    return 4 * step * white.real.sum(axis=-1)


@cache
def _stream_asds():
    frequencies = np.fft.rfftfreq(STREAM, 1 / SAMPLE_RATE)
    return np.stack([asd(detector, frequencies) for detector in DETECTORS])


def noise(rng, count):
    """Draw windows of noise, independent between windows and detectors.

    Args:
        rng: numpy Generator.
        count: number of windows.

    Returns:
        float64 strain of shape (count, 3, 4096), H1, L1, V1.
    """
    white = rng.standard_normal((count, len(DETECTORS), STREAM))
    # White noise of unit variance has the one-sided PSD 2/sample rate.
    colour = _stream_asds() * np.sqrt(SAMPLE_RATE / 2)
    stream = np.fft.irfft(np.fft.rfft(white) * colour, n=STREAM)
    start = (STREAM - SAMPLES) // 2
    return stream[..., start : start + SAMPLES]


HERTZ = np.arange(SAMPLE_RATE // 2 + 1)  # frequencies of the measured curves
# What a search takes away before it cuts windows, which would leak it into all of the
# band: V1's violins near 450 Hz are 2,000 times what is around them, its noise at 10 Hz
# is 5,000 times that at 100 Hz. So lines are lowered to this many times the median of
# this wide a band, and the lowest frequencies are left out.
LINE, LINE_HZ = 10.0, 41
HIGH_PASS_HZ = glitches.HIGH_PASS_HZ
ESTIMATE_S = 64  # of strain, that an estimate is made from
BLOCK_S = 8  # pieces of a stretch, each with a spectrum of its own; the next begins
HOP_S = BLOCK_S // 2  # this much later
# Slow drift of the power: standard deviation of its logarithm at a frequency, and how
# long it stays as it is, s.
DRIFT, DRIFT_S = 0.03, 60.0
BROAD_V1 = 0.1  # the two curves of V1 stand for more: its range went from 40 to 60 Mpc


@cache
def measured(detector):
    """Amplitude spectral densities that a detector had in the third observing run.

    Returns:
        float64 (n, 1025), strain/sqrt(Hz), at `HERTZ`; zero below `HIGH_PASS_HZ`,
        with lines of `LINE` times what is around them at most.

    Source:
        H1 and L1, 20 each: the noise curves of the first machine learning
        gravitational-wave search mock data challenge, github.com/gwastro/
        ml-mock-data-challenge-1 at 6d5e62f. V1: the curves of O3 and of GPS
        1265246178 that PyPI's gwfast 1.1.2 ships, averaged to 1 Hz.
    """
    with np.load(files("gwres.simulate") / "o3_asd.npz", allow_pickle=False) as curves:
        # Thousandths of a decade above this, from 10 Hz up.
        known = 1e-26 * 10 ** (curves[detector] / 1000)
    around = median_filter(known, (1, LINE_HZ), mode="nearest")
    curves = np.pad(np.minimum(known, LINE * around), [(0, 0), (10, 0)])
    return np.where(HERTZ < HIGH_PASS_HZ, 0.0, curves)


def _drifts(rng, steps):
    """Logarithm of a slowly changing factor on power, (steps, 1025), every `HOP_S`.

    A first-order autoregression of a few slow functions of the frequency's logarithm.
    """
    kept = np.exp(-HOP_S / DRIFT_S)
    octaves = np.log(np.maximum(HERTZ, LOW_HZ) / LOW_HZ) / np.log(HERTZ[-1] / LOW_HZ)
    waves = np.cos(np.pi * np.arange(4)[:, None] * octaves)
    waves *= DRIFT / np.sqrt((waves**2).sum(axis=0).mean())
    shares = np.empty((steps, len(waves)))
    shares[0] = rng.standard_normal(len(waves))
    for step in range(1, steps):
        fresh = rng.standard_normal(len(waves))
        shares[step] = kept * shares[step - 1] + np.sqrt(1 - kept**2) * fresh
    return shares @ waves


def _coloured(rng, asd, frequencies, samples):
    """Noise with an ASD, periodic in `samples`."""
    normals = rng.standard_normal((2, *np.shape(asd)[:-1], len(frequencies)))
    # A bin of white noise of unit one-sided PSD has the variance samples * rate / 4
    # in its real and in its imaginary part.
    spectrum = (normals[0] + 1j * normals[1]) * asd * np.sqrt(samples * SAMPLE_RATE / 4)
    return np.fft.irfft(spectrum, samples)


def stretch(rng, detector, seconds, curve=None, busy=1.0):
    """A continuous stretch of a detector's noise, glitches and all.

    Args:
        rng: numpy Generator.
        detector: one of `DETECTORS`.
        seconds: its length, a multiple of `HOP_S`.
        curve: ASD at `HERTZ` that its power drifts around; None draws one.
        busy: factor on the rates of glitches.

    Returns:
        (float64 strain (seconds * 2048,); the ASD every `HOP_S` s, (seconds / HOP_S +
        1, 1025) at `HERTZ`; list of `glitches.Glitch`).
    """
    if curve is None:
        curve = measured(detector)[_curve_index(rng, detector)]
    blocks = seconds // HOP_S + 1
    asds = curve * np.exp(_drifts(rng, blocks) / 2)
    size, hop = BLOCK_S * SAMPLE_RATE, HOP_S * SAMPLE_RATE
    fine = np.stack([np.interp(glitches.FREQUENCIES, HERTZ, each) for each in asds])
    strain = np.zeros((blocks + 1) * hop)
    # Squares of neighbouring weights add up to 1, and so do the powers of the noise.
    weight = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    for block, row in enumerate(fine):
        series = _coloured(rng, row, glitches.FREQUENCIES, size)
        strain[block * hop : block * hop + size] += weight * series
    strain = strain[hop : hop + seconds * SAMPLE_RATE]
    disturbed = glitches.catalogue(rng, detector, seconds, busy)
    for glitch in disturbed:
        block = int(np.clip(round(glitch.time_s / HOP_S), 0, blocks - 1))
        glitch.add(strain, fine[block])
    return strain, asds, disturbed


def _curve_index(rng, detector):
    return int(rng.integers(len(measured(detector))))


def estimate(strain):
    """The ASD of a stretch, as a search measures it.

    Welch's method over Hann segments of 1 s with the median in place of the mean, which
    neither a signal nor a glitch moves.

    Args:
        strain: (..., samples), 2048 Hz, 64 s or more.

    Returns:
        float64 (..., 513), strain/sqrt(Hz), every Hz from 0 to 512 Hz.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), appendix B.
    """
    _, power = welch(
        strain, SAMPLE_RATE, nperseg=SAMPLE_RATE, detrend=False, average="median"
    )
    return np.sqrt(power[..., : ASD_SHAPE[1]])


@dataclass(frozen=True)
class States:
    """Moments of each detector: its spectrum, and what is known of it.

    Args:
        curve: int (3, n), which of `measured` the spectrum drifts around.
        asd: float32 (3, n, 1025), strain/sqrt(Hz), at `HERTZ`.
        estimate: float32 (3, n, 513), from the 64 s around, as `estimate` gives it.
    """

    curve: np.ndarray
    asd: np.ndarray
    estimate: np.ndarray


STATES = 600  # of each detector
CHUNK = 20  # of them in a job of a worker


def _state(seed, place, number):
    detector = DETECTORS[place]
    rng = np.random.default_rng([seed, place, number])
    index = _curve_index(rng, detector)
    curve = measured(detector)[index]
    if detector == "V1":
        curve = curve * np.exp(BROAD_V1 * rng.standard_normal())
    strain, asds, _ = stretch(rng, detector, ESTIMATE_S, curve)
    return index, asds[len(asds) // 2], estimate(strain)


def _chunk(job):
    seed, place, first = job
    return [_state(seed, place, number) for number in range(first, first + CHUNK)]


def _called(job):
    _, place, first = job
    return f"states {first} to {first + CHUNK - 1} of {DETECTORS[place]}"


def states(seed):
    """`STATES` states of each detector, made once and cached.

    Args:
        seed: those of training and those of judged windows have different ones.

    Returns:
        `States`, memory maps.
    """

    def make(folder):
        count = len(DETECTORS) * STATES
        starts = range(0, STATES, CHUNK)
        jobs = [(seed, place, n) for place in range(len(DETECTORS)) for n in starts]
        finished = ((len(chunk), chunk) for chunk in each(_chunk, jobs, _called))
        rows = []
        for chunk in progress(finished, count, "states of the detectors", "state"):
            rows += chunk
        for name, column in zip(States.__dataclass_fields__, zip(*rows)):
            array = np.stack(column).astype(np.int64 if name == "curve" else "<f4")
            shape = len(DETECTORS), STATES, *array.shape[1:]
            np.save(folder / f"{name}.npy", array.reshape(shape))

    key = {"seed": seed} | DETECTOR.described()
    folder = caches.folder("states", key, make)
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in States.__dataclass_fields__
    }
    return States(**arrays)


@dataclass(frozen=True)
class Noise:
    """A kind of noise that windows are recorded in.

    Args:
        name: name in settings, runs and caches.
        busy: factor on the rates of glitches in nature; 0: none, and one spectrum.
        aimed: probability of one more glitch in each detector, of any kind alike, half
            of them close to where a merger may be: such windows are hard.
    """

    name: str
    busy: float = 0.0
    aimed: float = 0.0

    @property
    def real(self):
        """Whether it is as real detectors have it."""
        return bool(self.busy)

    def described(self):
        """All that draws of it depend on, for the keys of caches; {} for Gaussian."""
        if not self.real:
            return {}
        own = asdict(self) | {"states": STATES, "drift": [DRIFT, DRIFT_S, BROAD_V1]}
        own["cut"] = [HIGH_PASS_HZ, LINE, LINE_HZ]
        return {"noise": own | {"kinds": glitches.describe(), "layout": 1}}

    def window(self, rng, known, merger_s):
        """Draw a window.

        Args:
            rng: numpy Generator.
            known: `States` to draw from; None where `real` is false.
            merger_s: times at which a binary may merge, s, (first, last).

        Returns:
            `Recorded`.
        """
        if not self.real:
            return Recorded(noise(rng, 1)[0], None, None, {})
        chosen = rng.integers(known.asd.shape[1], size=len(DETECTORS))
        rows = np.arange(len(DETECTORS)), chosen
        asds = known.asd[rows].astype(float)
        fine = np.stack([np.interp(glitches.FREQUENCIES, HERTZ, asd) for asd in asds])
        length = glitches.PERIOD_S * SAMPLE_RATE
        strain = _coloured(rng, fine, glitches.FREQUENCIES, length)[:, :SAMPLES]
        disturbed = {}
        for place, detector in enumerate(DETECTORS):
            own = glitches.catalogue(rng, detector, DURATION, self.busy)
            if rng.random() < self.aimed:
                kind = str(rng.choice(list(glitches.KINDS)))
                time_s = glitches.aim(rng, merger_s)
                own.append(glitches.draw(rng, kind, detector, time_s))
            for glitch in own:
                glitch.add(strain[place], fine[place])
            disturbed[detector] = own
        return Recorded(strain, asds, known.estimate[rows], disturbed)


@dataclass(frozen=True)
class Recorded:
    """A window of noise, and what is true and what is known of it.

    Args:
        strain: float64 (3, 4096).
        asds: (3, 1025), strain/sqrt(Hz), at `HERTZ`; None: `asd`.
        estimate: float32 (3, 513), as `estimate` gives it; None where nothing is known
            of the moment.
        glitches: dict of detector to list of `glitches.Glitch`.
    """

    strain: np.ndarray
    asds: np.ndarray | None
    estimate: np.ndarray | None
    glitches: dict

    def loudest(self, detector):
        """(kind, SNR) of the loudest glitch that lies in the window, or ("", 0)."""
        inside = [
            (glitch.snr, glitch.kind)
            for glitch in self.glitches.get(detector, [])
            if 0 <= glitch.time_s <= DURATION
        ]
        snr, kind = max(inside, default=(0.0, ""))
        return kind, snr


GAUSSIAN, DETECTOR = Noise("gaussian"), Noise("detector", busy=1.0)
NOISES = {noise.name: noise for noise in (GAUSSIAN, DETECTOR)}


def named(name):
    """The `Noise` of that name; `InputError` if there is none."""
    among("noise", name, NOISES)
    return NOISES[name]
