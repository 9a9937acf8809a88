"""Stationary Gaussian detector noise with the spectrum of the G2Net data."""

from functools import cache
from importlib.resources import files

import numpy as np
from bilby.gw.detector import PowerSpectralDensity

from gwres.strain import BAND, DETECTORS, SAMPLE_RATE, SAMPLES

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


def inner(first, second, frequencies):
    """Noise-weighted inner product of signals in each detector.

    (a|b) = 4 Re sum a conj(b) / S(f) df, from the lower edge of `BAND` up, without the
    last frequency. (h|h) is the squared optimal SNR.

    Args:
        first: complex (..., 3, n), Fourier transforms in strain/Hz.
        second: the same shape.
        frequencies: Hz, (n,), evenly spaced.

    Returns:
        (..., 3) float64.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), equation 4.3.
    """
    band = (frequencies >= BAND[0]) & (frequencies < frequencies[-1])
    step = frequencies[1] - frequencies[0]
    asds = np.stack([asd(detector, frequencies[band]) for detector in DETECTORS])
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
