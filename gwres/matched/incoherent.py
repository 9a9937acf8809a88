"""Statistics of a matched filter that ignore the phase between detectors."""

import numpy as np
from scipy.ndimage import convolve1d, maximum_filter1d

from gwres.strain import APART_S, DETECTORS, WHITENED_RATE

# A complex series at this rate holds all frequencies from 0 to 512 Hz.
RATE = WHITENED_RATE // 2


def coincident(squares, spread):
    """Highest sum of squared SNRs of one template at coincident times.

    Args:
        squares: squared SNRs, (3, templates, times), times at `RATE`.
        spread: not used; a missing detector's squares are zero.

    Returns:
        float.
    """
    total = squares[0]
    for detector, square in zip(DETECTORS[1:], squares[1:]):
        near = 2 * int(APART_S[detector] * RATE) + 1
        total = total + maximum_filter1d(square, near, axis=-1, mode="constant")
    return float(total.max())


def marginal(squares, spread):
    """Log of the likelihood ratio's mean over template, time, delays and amplitude.

    The prior of a signal's complex SNR in a detector is normal, with variance s in a
    quadrature, and independent between detectors:
    L = mean over template and time of the product over detectors of the mean over
    delays of exp(s / (1 + s) |z|^2 / 2) / (1 + s).

    Args:
        squares: squared SNRs, (3, templates, times), times at `RATE`.
        spread: s of each detector, (3,), zero where it is missing.

    Returns:
        float.

    Source:
        Searle, Sutton & Tinto, Class. Quantum Grav. 26, 155017 (2009).
    """
    return _mean(squares, spread / (1 + spread) / 2) - float(np.log1p(spread).sum())


def flat(squares, spread):
    """`marginal` without prior on the amplitude: large s, factor 1 / (1 + s) left out.

    The exponent is |z|^2 / 2, the maximum over amplitude and phase, which trusts an
    insensitive detector too much.

    Args:
        squares: as for `marginal`.
        spread: as for `marginal`; only which detectors are missing counts.

    Returns:
        float.
    """
    return _mean(squares, (spread > 0) / 2)


def _mean(squares, weights):
    """Log of the mean over template, time and delays of exp(weights x squares)."""
    total = weights[0] * squares[0].astype(float)
    for detector, square, weight in zip(DETECTORS[1:], squares[1:], weights[1:]):
        near = np.ones(2 * int(APART_S[detector] * RATE) + 1)
        exponent = weight * square.astype(float)
        peak = exponent.max()
        # Not a running sum, which would carry the peak's rounding errors along.
        mean = convolve1d(np.exp(exponent - peak), near, axis=-1, mode="constant")
        mean /= convolve1d(np.ones(square.shape[-1]), near, mode="constant")
        total += peak + np.log(np.maximum(mean, np.finfo(float).tiny))
    peak = total.max()
    return float(peak + np.log(np.exp(total - peak).mean()))


# Functions of squared SNRs and spread, by name.
STATISTICS = {"marginal": marginal, "flat": flat, "coincident": coincident}
