"""The templates of the front ends, and their prior: made once, cached."""

import json
from dataclasses import asdict, replace

import numpy as np

from gwres import cache
from gwres.layers.evidence import Evidence, Noise, Prior, amplitude, delays
from gwres.layers.filters import Filters
from gwres.layers.inject import white
from gwres.layers.templates import (
    COARSE,
    CURVES,
    FINE,
    TESTS,
    WIDE_COARSE,
    WIDE_FINE,
    Design,
    Templates,
    design,
)
from gwres.layers.whiten import fingerprint, gain, resampled
from gwres.matched.bank import APPROXIMANT, SEED, templates, whitened, wide
from gwres.simulate.detectors import ORIENTATION, sky_response
from gwres.simulate.waveforms import REFERENCE_MPC, STEP_HZ, bank_frequencies
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES

CANDIDATES = 800  # waveforms to choose the templates from
QUIET = 256  # windows of noise to measure the maps' levels on
CHUNK = 32


def grids(population, consistent=False):
    """The grids of a population's front ends: dict of "fine" and "coarse"."""
    sizes = (WIDE_FINE, WIDE_COARSE) if wide(population) else (FINE, COARSE)
    sizes = (replace(grid, consistent=consistent) for grid in sizes)
    fine, coarse = (grid.over(*population.merger_s) for grid in sizes)
    return {"fine": fine, "coarse": coarse}


def layout(population):
    """What caches of a population's filters depend on beside it and the ASD."""
    sizes = [
        size
        for grid in grids(population).values()
        for size in (grid.count, grid.rank, grid.length, grid.tick)
    ]
    return [APPROXIMANT, SEED, *sizes, 4]


def filters(population, asd, count=CANDIDATES, consistent=False):
    """Templates that cover a population, and their prior.

    Args:
        population: a `Population`.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        count: number of waveforms to choose the templates from.
        consistent: as `Grid.consistent`.

    Returns:
        A `Filters`.
    """
    key = {
        "population": population.key,
        "asd": fingerprint(asd),
        "count": count,
        "layout": layout(population),
    }

    def make(folder):
        series = candidates(population, asd, count)
        for name, grid in grids(population).items():
            arrays = vars(design(series, grid)) | {"grid": []}
            np.savez(folder / f"{name}.npz", **arrays)

    folder = cache.folder("filters", key, make)
    made = {}
    for name, grid in grids(population, consistent).items():
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            made[name] = Design(**dict(arrays) | {"grid": grid})
    fine, coarse = made.values()
    expected = prior(fine, population)

    def measure(folder):
        found = noise(fine, expected, population.segment)
        (folder / "noise.json").write_text(json.dumps(asdict(found)))

    levels = {"filters": key, "grid": asdict(fine.grid), "windows": QUIET}
    levels |= {"tests": TESTS} if consistent else {}
    folder = cache.folder("noise", levels, measure)
    held = json.loads((folder / "noise.json").read_text())
    quiet = Noise(**{name: tuple(pair) for name, pair in held.items()})
    return Filters(fine, expected, coarse, prior(coarse, population), quiet)


def candidates(population, asd, count):
    """Whitened waveforms to choose templates from, as `templates.design` takes them."""
    plus = templates(population, count)
    frequencies = np.arange(plus.shape[1]) * STEP_HZ
    asds = resampled(asd[list(CURVES)], frequencies)
    return whitened(plus, gain(asds, frequencies), WHITENED_RATE)


def noise(designed, expected, segment, count=QUIET):
    """Measure the maps of evidence on whitened noise.

    Args:
        designed: a `Design`.
        expected: its `Prior`.
        segment: a `Population.segment`.
        count: number of windows.

    Returns:
        A `Noise`.
    """
    series = Templates(designed.grid, dtype="float32")
    evidence = Evidence(designed.grid.tick, designed.grid.pool)
    series.fit(designed)
    evidence.fit(expected)
    frequencies = bank_frequencies(segment).astype(np.float32)
    band = gain(np.ones_like(frequencies), frequencies) * np.sqrt(WHITENED_RATE / 2)
    rng, maps = np.random.default_rng(SEED), []
    for _ in range(0, count, CHUNK):
        shape = CHUNK, len(DETECTORS), len(frequencies), 2
        normals = rng.standard_normal(shape, np.float32)
        window = segment.start, WHITENED_SAMPLES
        quiet = white(normals, band.astype(np.float32), frequencies, *window)
        cells, power = evidence(series(quiet))
        maps.append([np.ravel(cells), np.ravel(amplitude(power))])
    levels = [np.concatenate(part) for part in zip(*maps)]
    return Noise(*((float(one.mean()), float(one.std())) for one in levels))


def prior(designed, population):
    """The prior of a design's templates.

    Args:
        designed: a `Design`.
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

    grid = designed.grid
    merger = grid.times[:, None] - sky.delays[:, 0]
    low, high = population.merger_s
    inside = ((low <= merger) & (merger <= high)) @ sky.weights
    # A time that the population excludes is unlikely, not impossible.
    inside = np.maximum(inside, 1e-4)
    cells = np.log(inside / inside.sum())[:, None] + np.log(designed.share)

    late = (sky.delays - sky.delays[:, :1]) * WHITENED_RATE / grid.tick
    chances, far = (
        _chances(ticks, among, sky.weights)
        for ticks, among in zip(late.T[1:], delays(grid.tick))
    )
    return Prior(
        cells.astype(np.float32),
        spread,
        float(correlation),
        chances,
        far,
        population.shared,
    )


def _chances(late, among, weights):
    """Probability of each delay `among` all, given those of weighted directions."""
    nearest = np.clip(np.round(late), among[0], among[-1]).astype(int) - among[0]
    return np.bincount(nearest, weights, len(among))
