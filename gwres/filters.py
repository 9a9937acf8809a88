"""The templates that a front end filters with: chosen once for a PSD, and cached."""

from dataclasses import asdict

import numpy as np

from gwres import cache
from gwres.layers.templates import CURVES, LENGTH, RANK, Design, design
from gwres.layers.whiten import fingerprint, gain, resampled
from gwres.simulate.templates import APPROXIMANT, SEED, templates, whitened
from gwres.simulate.waveforms import STEP_HZ
from gwres.strain import WHITENED_RATE

CANDIDATES = 400  # of which the templates are chosen


def filters(population, asd, count=CANDIDATES):
    """Templates that cover a population, for the front end of that name.

    Args:
        population: a `Population`.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        count: of how many to choose them.

    Returns:
        A `layers.templates.Design`.
    """
    key = {
        "population": asdict(population),
        "asd": fingerprint(asd),
        "count": count,
        "layout": [APPROXIMANT, SEED, LENGTH, RANK, 1],
    }

    def make(folder):
        plus = templates(population, count)
        frequencies = np.arange(plus.shape[1]) * STEP_HZ
        asds = resampled(asd[list(CURVES)], frequencies)
        series = whitened(plus, gain(asds, frequencies), WHITENED_RATE)
        np.savez(folder / "design.npz", **vars(design(series)))

    path = cache.folder("filters", key, make) / "design.npz"
    with np.load(path, allow_pickle=False) as found:
        return Design(found["basis"], found["mix"])
