"""Whitening: turns raw strain of three detectors into the network's input."""

import hashlib

import keras
import numpy as np
from keras import ops
from scipy.signal import welch

from gwres.errors import InputError
from gwres.layers.fitted import Fitted
from gwres.strain import (
    ASD_SHAPE,
    BAND,
    DETECTORS,
    SAMPLE_RATE,
    SAMPLES,
    SCALE,
    WHITENED_RATE,
    WHITENED_SAMPLES,
)

REACH = SAMPLES // 2  # samples reflected at either end
PADDED = SAMPLES + 2 * REACH
FREQUENCIES = np.arange(PADDED * WHITENED_RATE // SAMPLE_RATE // 2 + 1) * (
    SAMPLE_RATE / PADDED
)
RISE_HZ = 5.0  # width of the band's lower edge: its filter rings for only 0.2 s
WELCH_SAMPLES = SAMPLE_RATE  # 1 Hz resolution
# At the ends of a window low-frequency noise leaks into the band, with twice the
# variance of the middle: the first and last 31 ms are silenced, and 94 ms fade in.
SILENT, FADE = 32, 96  # samples at the whitened rate


def gain(asd, frequencies, rise_hz=RISE_HZ):
    """The factor by which whitening multiplies a Fourier amplitude.

    White noise of unit variance at the whitened rate has the one-sided PSD 2/rate. So
    noise of the given ASD becomes noise of unit variance per sample, less what the band
    cuts off, and the norm of a whitened signal is its optimal SNR.

    Args:
        asd: one-sided ASD in units of `SCALE`/sqrt(Hz), (..., n).
        frequencies: Hz, (n,).
        rise_hz: width of the band's lower edge, Hz.

    Returns:
        float32, the shape of `asd`: zero outside `BAND`.
    """
    low, high = BAND
    rise = np.clip((frequencies - low) / rise_hz, 0, 1)
    band = np.sin(np.pi / 2 * rise) ** 2 * (frequencies < high)
    safe = np.where(band > 0, asd, 1.0)
    return (band * np.sqrt(2 / WHITENED_RATE) / safe).astype(np.float32)


def resampled(asd, frequencies):
    """An ASD at other frequencies, by linear interpolation.

    Args:
        asd: (n, 2049), at `FREQUENCIES`.
        frequencies: Hz, (m,).

    Returns:
        (n, m), in the units of `asd`.
    """
    return np.stack([np.interp(frequencies, FREQUENCIES, row) for row in asd])


def refined(asd):
    """ASDs that callers know, at the frequencies of whitening.

    Args:
        asd: (batch, 3, 513), strain/sqrt(Hz), every Hz from 0 to 512 Hz, above zero in
            `BAND`.

    Returns:
        (batch, 3, 2049), in units of `SCALE`/sqrt(Hz), at `FREQUENCIES`; interpolated
        in logarithms.
    """
    # What callers do not know, of a missing detector and outside the band, may be zero
    # or NaN, which times zero would be NaN everywhere.
    scaled = ops.cast(asd, "float32") / SCALE
    known = ops.logical_and(scaled > 1e-12, ops.isfinite(scaled))
    log = ops.log(ops.where(known, scaled, 1e-12))
    steps = (len(FREQUENCIES) - 1) // (ASD_SHAPE[1] - 1)
    parts = np.arange(steps, dtype="float32") / steps
    low, high = log[..., :-1, None], log[..., 1:, None]
    between = low + (high - low) * parts
    shape = (-1, len(DETECTORS), len(FREQUENCIES) - 1)
    whole = ops.concatenate([ops.reshape(between, shape), log[..., -1:]], axis=-1)
    return ops.exp(whole)


def fingerprint(asd):
    """A hash of an ASD, to single precision, for the keys of caches."""
    return hashlib.sha256(np.asarray(asd, "<f4").tobytes()).hexdigest()


def fit_asd(windows):
    """Estimate the ASD of each detector from windows of noise.

    Welch's mean over Hann segments of 1 s, in float64, one window at a time.

    Args:
        windows: iterable of strain of shape (3, 4096). Rows of zeros (missing
            detectors) are left out.

    Returns:
        float64 (3, 2049) in units of `SCALE`/sqrt(Hz), at `FREQUENCIES`.

    Raises:
        InputError: a detector has no data.

    Source:
        Welch, IEEE Trans. Audio Electroacoust. 15, 70 (1967).
    """
    total = np.zeros((len(DETECTORS), WELCH_SAMPLES // 2 + 1))
    counts = np.zeros(len(DETECTORS))
    for window in windows:
        scaled = np.asarray(window, dtype=np.float64) / SCALE
        frequencies, power = welch(
            scaled, SAMPLE_RATE, nperseg=WELCH_SAMPLES, detrend=False
        )
        total += power
        counts += scaled.any(axis=1)
    for detector, count in zip(DETECTORS, counts):
        if not count:
            raise InputError(
                f"fitting the PSD needs noise windows with {detector}; received none"
            )
    mean = total / counts[:, None]
    with np.errstate(divide="ignore"):
        logs = [np.interp(FREQUENCIES, frequencies, np.log(row)) for row in mean]
    return np.exp(np.stack(logs) / 2)


def fade(samples):
    """The weight of each sample of a whitened window: 0 at its ends, else 1.

    Returns:
        float32 (samples, 1).
    """
    inside = np.minimum(np.arange(samples), np.arange(samples)[::-1])
    rise = np.clip((inside - SILENT) / FADE, 0, 1)
    return (np.sin(np.pi / 2 * rise) ** 2).astype(np.float32)[:, None]


def whiten(strain, gains):
    """Scale, whiten, band-limit and resample strain in one pass of the FFT.

    Each end is extended by its odd reflection, which keeps value and slope, and
    tapered. Bins above 512 Hz are dropped, and then the extensions.

    Args:
        strain: (batch, 3, 4096), dimensionless strain.
        gains: `gain` at `FREQUENCIES`, (3, 2049), or one of each window.

    Returns:
        (batch, 2048, 3) at 1024 Hz, unit variance for noise, `fade` at the ends.
    """
    x = ops.cast(strain, "float32") / SCALE
    before = 2 * x[..., :1] - ops.flip(x[..., 1 : REACH + 1], axis=-1)
    after = 2 * x[..., -1:] - ops.flip(x[..., -REACH - 1 : -1], axis=-1)
    x = ops.concatenate([before, x, after], axis=-1)
    ramp = np.sin(np.pi / 2 * np.arange(REACH) / REACH) ** 2
    window = np.concatenate([ramp, np.ones(SAMPLES), ramp[::-1]])
    real, imaginary = ops.rfft(x * ops.convert_to_tensor(window, "float32"))
    keep = len(FREQUENCIES)
    gains = gains * (WHITENED_RATE / SAMPLE_RATE)
    spectrum = real[..., :keep] * gains, imaginary[..., :keep] * gains
    start = (PADDED - SAMPLES) // 2 * WHITENED_RATE // SAMPLE_RATE
    x = ops.irfft(spectrum)[..., start : start + WHITENED_SAMPLES]
    return ops.transpose(x, (0, 2, 1)) * fade(WHITENED_SAMPLES)


@keras.saving.register_keras_serializable("gwres")
class Whiten(Fitted):
    """`whiten` with a fitted ASD, which is saved as a non-trainable weight.

    Raises:
        ValueError: called before `fit`.
    """

    def __init__(self, **kwargs):
        # Whitening in half precision would lose the signal under the 10 Hz noise.
        super().__init__(**{"dtype": "float32", "autocast": False} | kwargs)

    def build(self, strain_shape, asd_shape=None):
        """Make the weight; strain of another shape is refused."""
        expected = (len(DETECTORS), SAMPLES)
        if tuple(strain_shape[1:]) != expected:
            raise ValueError(
                f"expected strain of shape {expected}, received {strain_shape}"
            )
        self.unset(asd=(len(DETECTORS), len(FREQUENCIES)))

    def fit(self, asd):
        """Set the ASD, as `fit_asd` gives it."""
        self.set((None, len(DETECTORS), SAMPLES), asd=asd)

    def call(self, strain, asd=None):
        """Strain (batch, 3, 4096) to whitened (batch, 2048, 3).

        Args:
            strain: dimensionless.
            asd: that of each window, as `refined` takes it, in place of the fitted one.
        """
        self.demand("PSD: call fit with noise windows")
        own = ops.maximum(self.asd, 1e-12) if asd is None else refined(asd)
        return whiten(strain, gain(np.ones(len(FREQUENCIES)), FREQUENCIES) / own)

    def compute_output_shape(self, strain_shape, asd_shape=None):
        """(batch, 2048, 3)."""
        return strain_shape[0], WHITENED_SAMPLES, len(DETECTORS)
