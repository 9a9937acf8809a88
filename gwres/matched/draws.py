"""Binaries and directions drawn from a population, for `bayes` to average over."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.linalg import eigh

from gwres.layers.templates import CURVES
from gwres.layers.whiten import fade, gain, resampled
from gwres.matched.bank import whitened
from gwres.simulate import waveforms
from gwres.simulate.detectors import delays, patterns
from gwres.simulate.population import Population
from gwres.simulate.waveforms import STEP_HZ
from gwres.strain import BAND, EARTH_S, WHITENED_RATE, WHITENED_SAMPLES

BINARIES, DIRECTIONS = 4096, 40_000  # number of draws that represent the population
RISE_HZ = 1.0  # width of whitening's lower edge, where the signals begin
BEFORE, AFTER = 1792, 96  # samples of a waveform kept before and after its merger
# Principal components, as many as hold all but 0.1% of the waveforms' power, but not
# less than `RANK`, which holds it of `g2net`.
RANK, LOST, MOST = 56, 1e-3, 256
EDGE = 4  # spare ticks on each side, to interpolate over
GRID = 12  # ticks between the times at which the waveforms' power is computed


@dataclass(frozen=True)
class Binaries:
    """Waveforms of a population as sums of principal components, by noise curve.

    Args:
        spectra: (2, rank, m), conjugate DFT of the components, for H1 with L1, and V1.
        mix: (2, n, 2, rank), coefficients of each polarisation, the stronger first.
        crossed: (n,), whether the stronger one is the cross polarisation.
        power: (2, times, n, 3), every `GRID` ticks: squared optimal SNR of the first
            polarisation at `REFERENCE_MPC`, of the second, and their overlap; only what
            lies in the window counts.
        whole: (n, 3, 3), `waveforms.power` of each, window or not.
    """

    spectra: np.ndarray
    mix: np.ndarray
    crossed: np.ndarray
    power: np.ndarray
    whole: np.ndarray


@dataclass(frozen=True)
class Sky:
    """Directions on the sky, sorted by their delays in ticks.

    Args:
        late: (n, 3), arrival in each detector after H1, s.
        geocentre: (n,), arrival in H1 after the geocentre, s.
        plus: (n, 3, 2), antenna patterns at polarisation angle 0.
        cross: (n, 3, 2), antenna patterns at pi/4.
        chance: (delays of L1, delays of V1), share of the directions with both delays.
        start: index of the first of these directions, same shape.
        count: number of these directions, same shape.
    """

    late: np.ndarray
    geocentre: np.ndarray
    plus: np.ndarray
    cross: np.ndarray
    chance: np.ndarray
    start: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Model:
    """All that the Bayes factor needs beside the window.

    Args:
        population: a `Population`.
        binaries: `Binaries`.
        sky: a `Sky`.
        first: first arrival time in H1, samples at `WHITENED_RATE`.
        ticks: number of arrival times, one sample apart.
        later: float32 (2, ticks, ticks), probability of a tick in L1, and in V1 (rows),
            given the tick in H1 (columns).
    """

    population: Population
    binaries: Binaries
    sky: Sky
    first: int
    ticks: int
    later: np.ndarray


def draw(population, asd, binaries=BINARIES, seed=0):
    """Draw binaries and directions that represent a population.

    Args:
        population: a `Population`.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        binaries: number of waveforms; 4096 take half a core-minute.
        seed: seed of the random draws.

    Returns:
        A `Model`.
    """
    low, high = population.merger_s
    first = int((low - EARTH_S) * WHITENED_RATE) - EDGE
    ticks = int((high + EARTH_S) * WHITENED_RATE) + EDGE + 1 - first
    rng = np.random.default_rng(seed)
    rows, whole = _rows(population, asd, binaries, rng)
    crossed = np.diff(np.linalg.norm(rows[0], axis=-1), axis=-1)[:, 0] > 0
    rows[:, crossed] = rows[:, crossed, ::-1]
    power = np.stack([_power(series, first, ticks) for series in rows])
    parts = [_expand(series, basis) for series, basis in zip(rows, _bases(rows))]
    spectra, mix = (np.stack(part) for part in zip(*parts))
    sample = Binaries(spectra, mix, crossed, power, whole)
    sky = _sky(rng)
    return Model(population, sample, sky, first, ticks, _later(sky.chance, ticks))


def _rows(population, asd, count, rng):
    """Whitened analytic polarisations of binaries, and their `waveforms.power`.

    Returns:
        (complex64 (2, count, 2, BEFORE + AFTER), float32 (count, 3, 3)).
    """
    frequencies = np.arange(round(BAND[1] / STEP_HZ) + 1) * STEP_HZ
    gains = gain(resampled(asd[list(CURVES)], frequencies), frequencies, RISE_HZ)
    rows = np.empty((len(CURVES), count, 2, BEFORE + AFTER), np.complex64)
    whole = []
    for place in range(count):
        _, polarisations = waveforms.draw(population, rng, BAND[1])
        whole.append(waveforms.power(polarisations))
        for curve, curve_gains in enumerate(gains):
            series = whitened(polarisations, curve_gains, WHITENED_RATE)
            rows[curve, place] = np.roll(series, BEFORE, -1)[:, : BEFORE + AFTER]
    return rows, np.stack(whole).astype(np.float32)


def _power(rows, first, ticks):
    """`Binaries.power` for one noise curve, (times, n, 3), within the window."""
    starts = first - BEFORE + np.arange(0, ticks + GRID, GRID)
    places = starts[:, None] + np.arange(BEFORE + AFTER)
    inside = (places >= 0) & (places < WHITENED_SAMPLES)
    weight = fade(WHITENED_SAMPLES)[np.clip(places, 0, WHITENED_SAMPLES - 1), 0]
    weight = (weight * inside / 2).T.astype(np.float32)
    plus, cross = rows[:, 0], rows[:, 1]
    # The analytic signal's square is twice the waveform's.
    products = np.abs(plus) ** 2, np.abs(cross) ** 2, (plus * cross.conj()).real
    return np.stack([(product @ weight).T for product in products], axis=-1)


def _bases(rows):
    """Principal components of the rows of both curves, as many as are needed."""
    for most in (RANK, MOST):
        found = [_components(series, most) for series in rows]
        lost = np.max([lost for _, lost in found], axis=0)
        if lost[-1] <= LOST:
            break
    rank = min(max(int((lost > LOST).sum()) + 1, RANK), most)
    return [basis[-rank:] for basis, _ in found]


def _components(rows, most):
    """Principal components of rows, the strongest last.

    Returns:
        (complex64 (most, samples), share of the power that 1, 2, ... of them lack).
    """
    flat = rows.reshape(-1, rows.shape[-1])
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    size = flat.shape[1]
    product = unit.T @ unit.conj()
    values, vectors = eigh(product, subset_by_index=[size - most, size - 1])
    lost = 1 - np.cumsum(values[::-1]) / np.trace(product).real
    return vectors.T.astype(np.complex64), lost


def _expand(rows, basis):
    """Spectra of components of rows, and the rows' coefficients."""
    flat, size = rows.reshape(-1, rows.shape[-1]), rows.shape[-1]
    spectra = scipy.fft.fft(basis, scipy.fft.next_fast_len(WHITENED_SAMPLES + size))
    return spectra.conj(), (flat @ basis.conj().T).reshape(len(rows), 2, len(basis))


def _later(chances, ticks):
    later = np.zeros((2, ticks, ticks), np.float32)
    for matrix, chance in zip(later, (chances.sum(axis=1), chances.sum(axis=0))):
        for delay, probability in enumerate(chance, -(len(chance) // 2)):
            matrix += probability * np.eye(ticks, k=-delay, dtype=np.float32)
    return later


def _sky(rng):
    ra = rng.uniform(0, 2 * np.pi, DIRECTIONS)
    dec = np.arcsin(rng.uniform(-1, 1, DIRECTIONS))
    arrival = delays(ra, dec)
    late = arrival - arrival[:, :1]
    steps = np.round(late[:, 1:] * WHITENED_RATE).astype(int)
    reach = np.abs(steps).max(axis=0)
    shape = tuple(2 * reach + 1)
    pair = np.ravel_multi_index(tuple((steps + reach).T), shape)
    order = np.argsort(pair, kind="stable")
    count = np.bincount(pair, minlength=np.prod(shape))
    start = np.cumsum(count) - count
    plus, cross = (
        patterns(ra, dec, np.full(DIRECTIONS, psi))[order] for psi in (0.0, np.pi / 4)
    )
    return Sky(
        late[order],
        arrival[order, 0],
        plus,
        cross,
        (count / DIRECTIONS).reshape(shape),
        start.reshape(shape),
        count.reshape(shape),
    )
