"""Waveforms of a population to filter with: few, face-on, in order of chirp mass."""

import numpy as np

from gwres.simulate.population import INTRINSIC
from gwres.simulate.waveforms import REFERENCE_STRAIN, STEP_HZ, polarisations
from gwres.strain import BAND

APPROXIMANT = "IMRPhenomD"
SEED = 0


def templates(population, count, seed=SEED):
    """Face-on binaries of a population, with spins laid along the orbit's axis.

    They are drawn, not placed, so that a mean over them is a mean over the population.
    256 take 0.2 s to make, so they are not cached.

    Args:
        population: a `Population`.
        count: how many.
        seed: of the draws.

    Returns:
        complex128 (count, n): plus polarisation in strain/Hz at `REFERENCE_MPC`, every
        `STEP_HZ` from 0 to 512 Hz, the merger at time zero, the lightest first.
    """
    drawn = population.draw(np.random.default_rng(seed), count, INTRINSIC)
    for name in ("phi_12", "phi_jl", "theta_jn", "phase"):
        drawn[name] = np.zeros(count)
    for body in "12":
        along = drawn[f"a_{body}"] * np.cos(drawn[f"tilt_{body}"])
        drawn[f"a_{body}"] = np.abs(along)
        drawn[f"tilt_{body}"] = np.where(along < 0, np.pi, 0.0)
    order = np.argsort(drawn["chirp_mass"])
    rows = [{k: float(v[i]) for k, v in drawn.items()} for i in order]
    return np.stack([polarisations(row, APPROXIMANT, BAND[1])[0] for row in rows])


def whitened(plus, gains, rate):
    """Templates as whitening would leave them, with both quadratures.

    Args:
        plus: as `templates` gives it.
        gains: whitening gain at its frequencies, (..., n).
        rate: of the samples, Hz: twice the last frequency, or more.

    Returns:
        complex128 (..., count, samples): the analytic signal, the merger at sample 0,
        what comes before it counted from the end.
    """
    white = plus / REFERENCE_STRAIN * gains[..., None, :]
    # Positive frequencies alone give both quadratures: real and imaginary part.
    return np.fft.ifft(2 * white, round(rate / STEP_HZ)) * rate
