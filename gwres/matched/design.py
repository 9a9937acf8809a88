"""The templates of the front ends, and their prior: made once, cached."""

from dataclasses import asdict

import numpy as np

from gwres import cache
from gwres.layers.evidence import DELAYS, FAR, Prior
from gwres.layers.filters import Filters
from gwres.layers.templates import COARSE, CURVES, FINE, FIRST_S, Design, design
from gwres.layers.whiten import fingerprint, gain, resampled
from gwres.matched.bank import APPROXIMANT, SEED, templates, whitened
from gwres.simulate.detectors import ORIENTATION, sky_response
from gwres.simulate.waveforms import REFERENCE_MPC, STEP_HZ
from gwres.strain import WHITENED_RATE

CANDIDATES = 800  # waveforms to choose the templates from
# What caches depend on.
LAYOUT = [APPROXIMANT, SEED, *asdict(FINE).values(), *asdict(COARSE).values(), 4]

GRIDS = {"fine": FINE, "coarse": COARSE}


def filters(population, asd, count=CANDIDATES):
    """Templates that cover a population, and their prior.

    Args:
        population: a `Population`.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        count: number of waveforms to choose the templates from.

    Returns:
        A `Filters`.
    """
    key = {
        "population": asdict(population),
        "asd": fingerprint(asd),
        "count": count,
        "layout": LAYOUT,
    }

    def make(folder):
        plus = templates(population, count)
        frequencies = np.arange(plus.shape[1]) * STEP_HZ
        asds = resampled(asd[list(CURVES)], frequencies)
        series = whitened(plus, gain(asds, frequencies), WHITENED_RATE)
        for name, grid in GRIDS.items():
            np.savez(folder / f"{name}.npz", **vars(design(series, grid)))

    folder = cache.folder("filters", key, make)
    made = {}
    for name in GRIDS:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            made[name] = Design(**arrays)
    fine, coarse = made.values()
    return Filters(fine, prior(fine, population), coarse, prior(coarse, population))


def prior(designed, population):
    """The prior of a design's templates.

    Args:
        designed: a `Design`; all grids have SNRs at the same times.
        population: a `Population`, for its loudness and merger times.

    Returns:
        A `Prior`.
    """
    sky = sky_response(population.loudness.sky_index)
    power = designed.power[[0, 0, 1]] * REFERENCE_MPC**2
    heard = ORIENTATION * np.diag(sky.covariance)[:, None]
    spread = population.loudness.spread(heard * power)
    correlation = sky.covariance[0, 1]
    correlation /= np.sqrt(sky.covariance[0, 0] * sky.covariance[1, 1])

    ticks = FIRST_S + np.arange(FINE.ticks) * FINE.tick / WHITENED_RATE
    merger = ticks[:, None] - sky.delays[:, 0]
    low, high = population.merger_s
    inside = ((low <= merger) & (merger <= high)) @ sky.weights
    # A time that the population excludes is unlikely, not impossible.
    inside = np.maximum(inside, 1e-4)
    cells = np.log(inside / inside.sum())[:, None] + np.log(designed.share)

    chances, far = (
        _chances(sky, detector, delays) for detector, delays in ((1, DELAYS), (2, FAR))
    )
    return Prior(cells.astype(np.float32), spread, float(correlation), chances, far)


def _chances(sky, detector, delays):
    """Probability of each delay of a detector after H1, in ticks."""
    late = (sky.delays[:, detector] - sky.delays[:, 0]) * WHITENED_RATE / FINE.tick
    nearest = np.clip(np.round(late), delays[0], delays[-1]).astype(int) - delays[0]
    return np.bincount(nearest, sky.weights, len(delays))
