"""Template banks: a few waveforms that represent a population, ready to filter with."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from gwres.layers.whiten import fade, gain, resampled
from gwres.matched.incoherent import RATE
from gwres.simulate.detectors import ORIENTATION
from gwres.simulate.population import INTRINSIC
from gwres.simulate.waveforms import (
    REFERENCE_MPC,
    REFERENCE_STRAIN,
    STEP_HZ,
    polarisations,
)
from gwres.strain import BAND, DURATION, EARTH_S, WHITENED_RATE, WHITENED_SAMPLES

APPROXIMANT = "IMRPhenomD"
SEED = 0
# 256 have the AUC of 1024, and of precessing templates, to 0.001; with light binaries
# 1024 have 0.004 more: experiments/README.md.
TEMPLATES, WIDE_TEMPLATES = 256, 1024
# Chirp mass below which a binary has so many cycles in a window that more templates
# are needed, solar masses.
LIGHT_MSUN = 6.0
# `ORIENTATION` averaged over the sky, where the mean of F+^2 + Fx^2 is 2/5.
RESPONSE = 2 / 5 * ORIENTATION
BLOCK = 32  # templates at a time, so that their series stay in the processor's cache


def wide(population):
    """Whether a population has light binaries, which need more templates."""
    return population.lightest_msun < LIGHT_MSUN


def enough(population):
    """How many templates represent a population."""
    return WIDE_TEMPLATES if wide(population) else TEMPLATES


def templates(population, count, seed=SEED):
    """Face-on binaries of a population, with spins along the orbital axis.

    They are drawn from the population, so that their mean estimates a mean over it.
    256 take 0.2 s, so they are not cached.

    Args:
        population: a `Population`.
        count: number of templates.
        seed: seed of the random draws.

    Returns:
        complex128 (count, n): plus polarisation in strain/Hz at `REFERENCE_MPC`, every
        `STEP_HZ` from 0 to 512 Hz, the merger at time zero, the lightest first.
    """
    binaries = population.draw(np.random.default_rng(seed), count, INTRINSIC)
    for name in ("phi_12", "phi_jl", "theta_jn", "phase"):
        binaries[name] = np.zeros(count)
    for body in "12":
        along = binaries[f"a_{body}"] * np.cos(binaries[f"tilt_{body}"])
        binaries[f"a_{body}"] = np.abs(along)
        binaries[f"tilt_{body}"] = np.where(along < 0, np.pi, 0.0)
    order = np.argsort(binaries["chirp_mass"])
    rows = [{k: float(v[i]) for k, v in binaries.items()} for i in order]
    made = APPROXIMANT, BAND[1], population.held_s
    return np.stack([polarisations(row, *made)[0] for row in rows])


def whitened(plus, gains, rate):
    """Whitened templates, with both quadratures.

    Args:
        plus: templates, as `templates` gives them.
        gains: whitening gain at their frequencies, (..., n).
        rate: sample rate, Hz, at least twice the last frequency.

    Returns:
        complex128 (..., count, samples): the analytic signal, with the merger at sample
        0 and the inspiral at the end.
    """
    white = plus / REFERENCE_STRAIN * gains[..., None, :]
    # Positive frequencies alone give both quadratures: real and imaginary part.
    return np.fft.ifft(2 * white, round(rate / STEP_HZ)) * rate


@dataclass(frozen=True)
class TemplateBank:
    """Whitened templates, ready to be correlated with whitened windows.

    Args:
        spectra: complex64 (3, templates, bins), conjugate DFT of the whitened, analytic
            templates.
        scale: float32 (3, templates, times), 1 / norm of the part of a template that
            lies in the window, for a merger at each of `times`.
        times: arrival at a detector, s after the window's start, (times,).
        spread: (3,), prior variance of each quadrature of a signal's SNR.
    """

    spectra: np.ndarray
    scale: np.ndarray
    times: np.ndarray
    spread: np.ndarray


def template_bank(plus, asd, population):
    """Whiten templates as windows are whitened, and normalise them at each time.

    Args:
        plus: templates, as `templates` gives them.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        population: a `Population`, for its merger times and loudness.

    Returns:
        A `TemplateBank`.
    """
    frequencies = np.arange(plus.shape[1]) * STEP_HZ
    asds = resampled(asd, frequencies)
    series = whitened(plus, gain(asds, frequencies), WHITENED_RATE)
    low, high = population.merger_s
    ticks = np.arange(
        max(0, int((low - EARTH_S) * RATE)),
        min(DURATION * RATE, int((high + EARTH_S) * RATE) + 1),
    )
    # Long enough that no lag wraps round; templates are cut to the part in use.
    half = scipy.fft.next_fast_len(DURATION * RATE + len(ticks))
    first, stop = -2 * ticks[-1], WHITENED_SAMPLES - 2 * ticks[0]
    cut = np.zeros((*series.shape[:2], 2 * half), complex)
    cut[..., :stop], cut[..., first:] = series[..., :stop], series[..., first:]
    squares = scipy.fft.rfft(np.abs(cut) ** 2 / 2)
    weight = scipy.fft.rfft(fade(WHITENED_SAMPLES)[:, 0] ** 2, 2 * half)
    norms = scipy.fft.irfft(weight * squares.conj(), 2 * half)[..., 2 * ticks]
    # A template that is almost all outside the window must not be blown up.
    norms = np.maximum(norms, 1e-3 * norms.max(axis=-1, keepdims=True))
    return TemplateBank(
        spectra=(scipy.fft.fft(cut)[..., :half].conj() / 2).astype(np.complex64),
        scale=(1 / np.sqrt(norms)).astype(np.float32),
        times=ticks / RATE,
        spread=population.loudness.spread(
            RESPONSE * REFERENCE_MPC**2 * norms.mean(axis=(1, 2))
        ),
    )


def snr_series(window, bank):
    """Complex SNR of one window with every template at every time.

    z(t) = sum over s of d(s) conj(q(s - t)) / norm(t), where q is the whitened
    template and its quadrature. In noise the real and the imaginary part are standard
    normal; a signal adds its optimal SNR times a phase.

    Args:
        window: whitened, (2048, 3), as `whiten.whiten` gives it.
        bank: a `TemplateBank`.

    Yields:
        complex64 (3, block, times) at `bank.times`, for blocks of templates.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), section III.
    """
    half = bank.spectra.shape[2]
    data = scipy.fft.rfft(window.T, 2 * half)[:, None, :half].astype(np.complex64)
    ticks = np.round(bank.times * RATE).astype(int)
    keep = slice(ticks[0], ticks[-1] + 1)
    for start in range(0, bank.spectra.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        series = scipy.fft.ifft(data * bank.spectra[:, block], overwrite_x=True)
        yield series[..., keep] * bank.scale[:, block]
