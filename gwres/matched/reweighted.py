"""A matched filter that doubts glitches: Allen's chi-squared test, and a gate.

A signal spreads its SNR over frequency as its template does, a glitch as it likes. The
test splits a template into bands of equal power, compares the SNR of each with its
share of the whole, and the SNR counts the less the worse they agree.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import distance_transform_edt

from gwres.errors import InputError
from gwres.layers.whiten import fade
from gwres.matched.bank import TemplateBank, snr_series
from gwres.matched.incoherent import RATE
from gwres.strain import WHITENED_RATE, WHITENED_SAMPLES

BINS = 16  # as in PyCBC's searches
FREEDOM = 2 * BINS - 2  # degrees of freedom: both quadratures, less the SNR itself
CHUNK = 32  # cells at a time, so that their spectra stay in the processor's cache
# SNR of a detector from which a template is tested at a time. Around a glitch lie many
# SNRs that are far below its peak and still too high, and `marginal` takes their mean:
# 4 costs 0.02 to 0.03 of the TPR at FPR 0.01 among glitches, and 3 brings no more. What
# is not tested decides nothing: noise alone has SNRs above 5.
LOUD = 3.5
# What `pycbc.strain.detect_loud_glitches` takes by itself, in the same unit: whitened
# strain of unit variance. No signal comes near: one of SNR 30, all of it in one
# detector, peaks at 9.
GATE = 50.0
# On either side of an excursion, as in PyCBC's searches.
ZERO_S, TAPER_S = 0.25, 0.25
LAYOUT = [BINS, LOUD, GATE, ZERO_S, TAPER_S]  # what caches depend on


@dataclass(frozen=True)
class Bands:
    """The bands of each template, and what share of its power each has.

    Args:
        bank: the `TemplateBank`.
        edges: int (3, templates, `BINS` + 1), bins of the spectra: band j has those
            from edge j up to edge j + 1. In the middle of the bank's times all bands
            have the same power, to the width of a bin.
        shares: float32 (3, templates, `BINS`, times), share of the power that lies in
            the window, whose ends cut a template's low frequencies; the sum is 1.
        turns: complex64 (times, bins), what a spectrum is multiplied with so that its
            sum is the series at a time.
    """

    bank: TemplateBank
    edges: np.ndarray
    shares: np.ndarray
    turns: np.ndarray


def bands(bank):
    """Split templates into bands of equal power.

    Args:
        bank: a `TemplateBank`.

    Returns:
        `Bands`.
    """
    detectors, count, half = bank.spectra.shape
    ticks = np.round(bank.times * RATE).astype(int)
    edges = np.empty((detectors, count, BINS + 1), int)
    shares = np.empty((detectors, count, BINS, len(ticks)), np.float32)
    # A signal has been faded once with its window, and its template not at all.
    weight = scipy.fft.fft(fade(WHITENED_SAMPLES)[:, 0].astype(float), 2 * half)
    spectrum = np.zeros(2 * half, complex)
    parts = np.empty((BINS, 2 * half), complex)
    for row in np.ndindex(detectors, count):
        spectrum[:half] = bank.spectra[row].conj()
        series = scipy.fft.ifft(spectrum)
        edges[row] = _edges(series, spectrum[:half], 2 * ticks[len(ticks) // 2])
        parts[:] = 0
        for part, first, stop in zip(parts, edges[row], edges[row][1:]):
            part[first:stop] = spectrum[first:stop]
        products = scipy.fft.fft(series * scipy.fft.ifft(parts).conj())
        power = scipy.fft.ifft(weight * products.conj())[:, 2 * ticks].real
        shares[row] = power / power.sum(axis=0)
    turns = np.exp(2j * np.pi * np.outer(ticks, np.arange(half)) / half) / half
    return Bands(bank, edges, shares, turns.astype(np.complex64))


def _edges(series, spectrum, merger):
    """Edges of bands of equal power for a merger at a sample, (`BINS` + 1,)."""
    half = len(spectrum)
    inside = np.roll(series, merger)[:WHITENED_SAMPLES] * fade(WHITENED_SAMPLES)[:, 0]
    seen = scipy.fft.fft(inside, 2 * half)[:half]
    turn = np.exp(2j * np.pi * merger / (2 * half) * np.arange(half))
    total = np.cumsum(np.maximum((seen * turn * spectrum.conj()).real, 0))
    place = np.arange(BINS + 1)
    edges = np.searchsorted(total, place / BINS * total[-1], side="right")
    edges[0], edges[-1] = 0, half
    # No band is empty: each has at least one bin of its own.
    edges = np.maximum.accumulate(edges - place) + place
    return np.minimum(edges, half - BINS + place)


def chi_squared(parts, shares):
    """Allen's chi-squared of the SNRs of a template's bands.

    chi^2 = sum over j of |z_j - p_j z|^2 / p_j, with z the sum of the z_j. In Gaussian
    noise, with or without a signal of the template's shape, its mean is 2 n - 2.

    Args:
        parts: complex SNRs z_j of the bands, (n, ...), whose sum has quadratures of
            unit variance in noise.
        shares: p_j, the same shape: share of the template's power in each.

    Returns:
        float (...).

    Source:
        Allen, Phys. Rev. D 71, 062001 (2005), bands of unequal power included.
    """
    excess = parts - shares * parts.sum(axis=0)
    return ((excess.real**2 + excess.imag**2) / shares).sum(axis=0)


def reweighted(squares, reduced):
    """Squared SNRs, less where chi-squared says that they are no signal's.

    rho_hat = rho / [(1 + chi_r^6) / 2]^(1/6) where chi_r^2 > 1, else rho.

    Args:
        squares: rho^2, any shape.
        reduced: chi_r^2, chi-squared over its degrees of freedom, the same shape.

    Returns:
        rho_hat^2, the same shape.

    Source:
        Babak et al., Phys. Rev. D 87, 024033 (2013); Usman et al., Class. Quantum
        Grav. 33, 215004 (2016).
    """
    # In double precision: a monster's sixth power overflows single.
    reduced = np.maximum(np.asarray(reduced, float), 1.0)
    return squares / ((1 + reduced**3) / 2) ** (1 / 3)


def squares(window, bands):
    """Squared re-weighted SNRs of one window with every template at every time.

    Every SNR from `LOUD` up is tested, however many there are: a window where glitches
    lift all of them in all detectors costs as much as 60 quiet ones, and no more.

    Args:
        window: whitened, (2048, 3), as `whiten.whiten` gives it.
        bands: as `bands` gives them.

    Returns:
        float32 (3, templates, times) at `bank.times`; zero where a detector is missing.
    """
    bank = bands.bank
    found = np.hstack([z.real**2 + z.imag**2 for z in snr_series(window, bank)])
    half = bank.spectra.shape[2]
    data = scipy.fft.rfft(window.T, 2 * half)[:, :half].astype(np.complex64)
    cells = np.argwhere(found >= LOUD**2)
    for start in range(0, len(cells), CHUNK):
        detector, template, tick = cells[start : start + CHUNK].T
        terms = data[detector] * bank.spectra[detector, template]
        terms *= bands.turns[tick]
        # Band by band, one cell's spectrum after the other's.
        first = bands.edges[detector, template, :-1]
        first = first + half * np.arange(len(tick))[:, None]
        sums = np.add.reduceat(terms.ravel(), first.ravel()).reshape(first.shape)
        parts = sums.T * bank.scale[detector, template, tick]
        shares = bands.shares[detector, template, :, tick].T
        reduced = chi_squared(parts, shares) / FREEDOM
        place = detector, template, tick
        found[place] = reweighted(found[place], reduced)
    return found


def gate(white, level=GATE, zero_s=ZERO_S, taper_s=TAPER_S):
    """Silence the extreme, which no chi-squared can be trusted with.

    Around every sample beyond the level a detector is set to zero, with a cosine taper
    outside. A sample that is not finite is beyond every level.

    Args:
        white: whitened, unit variance in noise, (time, detector) at `WHITENED_RATE`, of
            any length.
        level: the modulus of a sample that is let through at the most.
        zero_s: what is zero on either side of it, s.
        taper_s: length of the taper outside, s.

    Returns:
        (a copy of `white` with the gates, bool (time, detector): where it differs).

    Raises:
        InputError: not of the shape (time, detector).

    Source:
        Usman et al., Class. Quantum Grav. 33, 215004 (2016).
    """
    white = np.asarray(white)
    if white.ndim != 2:
        raise InputError(
            f"white: expected shape (time, detector), received {white.shape}"
        )
    beyond = ~(np.abs(white) <= level)
    weight = np.ones_like(white)
    for detector in np.flatnonzero(beyond.any(axis=0)):
        away = distance_transform_edt(~beyond[:, detector]) / WHITENED_RATE
        rise = np.clip((away - zero_s) / max(taper_s, 1 / WHITENED_RATE), 0, 1)
        weight[:, detector] = np.sin(np.pi / 2 * rise) ** 2
    return np.where(beyond, 0, white) * weight, weight < 1
