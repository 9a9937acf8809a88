"""The Bayes factor of a population's signal, which no other statistic can beat.

By the lemma of Neyman and Pearson no function of the data finds more signals at any
false-alarm rate than the ratio of the likelihoods of the two ways in which windows are
made. Here that ratio is summed over the population itself: precessing binaries, sky,
time and distance are drawn, and weighed by the probability that they had.
"""

import numpy as np
import scipy.fft
from scipy.special import i0e, logsumexp

from gwres.matched.draws import (
    BEFORE,
    BINARIES,
    CURVE,
    DIRECTIONS,
    EDGE,
    GRID,
    RANK,
    RISE_HZ,
)
from gwres.simulate.waveforms import REFERENCE_MPC
from gwres.strain import WHITENED_RATE

DRAWS = 20_000  # for a window; a hundred or more of them carry weight, as a rule
CARRIER_HZ = 110.0  # taken out before interpolation, which is for slow series
STEPS = 48  # distances
WIDE = 0.1  # share of the draws that cover waveforms and times evenly
EAGER = 0.8  # delays are drawn by a detector's likelihood to this power
LOUDEST = 29.0  # log likelihood in the proposal: a product of three is a float32
LAYOUT = [BINARIES, DIRECTIONS, RANK, RISE_HZ, DRAWS, STEPS]  # what caches depend on


def log_factor(white, present, model, rng, draws=DRAWS):
    """Log Bayes factor of one window.

    Args:
        white: (2048, 3), whitened with `RISE_HZ`.
        present: (3,), whether each detector has data.
        model: a `draws.Model`.
        rng: numpy Generator.
        draws: how many; their chance moves a log near 0 by 0.1.

    Returns:
        float: log of the likelihood with a signal of the population over that without.

    Source:
        Neyman & Pearson, Phil. Trans. R. Soc. A 231, 289 (1933), for why it is best;
        Searle, arXiv:0804.1161, for bursts.
    """
    z = _correlations(white, model)
    likely = _detector_ratios(z, present, model)
    waveform, tick, weight = _cells(likely, model, rng, draws)
    place, sky_weight = _directions(likely, waveform, tick, model.sky, rng)
    arrival = tick + rng.uniform(-0.5, 0.5, draws)
    sky, population = model.sky, model.population
    merger = (model.first + arrival) / WHITENED_RATE - sky.geocentre[place]
    low, high = population.merger_s
    inside = (low <= merger) & (merger <= high)
    prior = -np.log(len(likely[0]) * (high - low) * WHITENED_RATE)
    angle = rng.uniform(0, np.pi, draws)[:, None, None]
    response = sky.plus[place] * np.cos(angle) + sky.cross[place] * np.sin(angle)
    response *= np.asarray(present)[:, None]
    times = arrival[:, None] + sky.late[place] * WHITENED_RATE
    matched, power = _match(z, response, waveform, times, model)
    weights = _over_distance(matched, power, population) + prior - weight - sky_weight
    return (
        float(logsumexp(weights[inside]) - np.log(draws)) if inside.any() else -np.inf
    )


def _correlations(white, model):
    """Correlation of each detector with each polarisation, (n, 2, ticks), three."""
    correlations = []
    lags = np.arange(model.ticks) + model.first - BEFORE
    for strain, curve in zip(white.T, CURVE):
        spectra, mix = model.binaries.spectra[curve], model.binaries.mix[curve]
        size = spectra.shape[1]
        data = scipy.fft.fft(strain.astype(np.complex64), size)
        series = scipy.fft.ifft(data * spectra)[:, lags % size]
        flat = mix.reshape(-1, RANK).conj() @ series
        correlations.append(flat.reshape(len(mix), 2, model.ticks))
    return correlations


def _detector_ratios(z, present, model):
    """Likelihood ratio of each detector by itself, (n, ticks) each, for the proposal.

    Of the stronger polarisation, with the normal prior of the marginal matched filter.
    """
    nearer = (REFERENCE_MPC / model.population.typical_mpc) ** 2
    heard = (model.sky.plus**2).sum(axis=2).mean(axis=0)
    middle = model.binaries.power.shape[1] // 2
    ratios = []
    for detector, there in enumerate(present):
        power = model.binaries.power[CURVE[detector], middle, :, 0]
        # Inclined binaries are heard by half of their response, at the least.
        spread = there * 0.75 * nearer * heard[detector] * power / 2
        first = z[detector][:, 0]
        scale = spread / (1 + spread) / (2 * np.maximum(power, 1e-9))
        exponent = (first.real**2 + first.imag**2) * scale[:, None].astype(np.float32)
        likely = np.exp(np.minimum(exponent, LOUDEST))
        ratios.append(likely / (1 + spread)[:, None].astype(np.float32))
    return ratios


def _cells(likely, model, rng, draws):
    """Waveform and tick in H1 of each draw, and the log of their probability.

    The draws lie evenly in the cumulative distribution: no cell gets more by chance.
    """
    joint = likely[0].astype(float)
    for other, later in zip(likely[1:], model.later):
        joint *= other @ later
    joint[:, :EDGE] = joint[:, -EDGE:] = 0
    joint *= (1 - WIDE) / joint.sum()
    joint[:, EDGE:-EDGE] += WIDE / joint[:, EDGE:-EDGE].size
    total = np.cumsum(joint)
    even = (np.arange(draws) + rng.random(draws)) / draws * total[-1]
    cell = np.minimum(np.searchsorted(total, even), total.size - 1)
    waveform, tick = np.divmod(cell, model.ticks)
    return waveform, tick, np.log(joint[waveform, tick])


def _directions(likely, waveform, tick, sky, rng):
    """A direction for each draw, and the log of its probability over the prior."""
    chance = sky.chance.sum(axis=1)[None]
    second, weight = _delays(chance, likely[1], waveform, tick, rng)
    chance = sky.chance[second] / chance[0, second, None]
    third, other = _delays(chance, likely[2], waveform, tick, rng)
    pair = second, third
    within = (rng.random(len(tick)) * sky.count[pair]).astype(int)
    return sky.start[pair] + within, weight + other - np.log(sky.chance[pair])


def _delays(chance, likely, waveform, tick, rng):
    """Index of a delay of one detector for each draw, and its log probability."""
    reach = chance.shape[1] // 2
    ticks = tick[:, None] + np.arange(-reach, reach + 1)
    ticks = np.clip(ticks, 0, likely.shape[1] - 1)
    proposed = chance * likely[waveform[:, None], ticks] ** EAGER
    proposed /= proposed.sum(axis=1, keepdims=True)
    total = np.cumsum(proposed, axis=1)
    place = (total < rng.random((len(tick), 1)) * total[:, -1:]).sum(axis=1)
    return place, np.log(proposed[np.arange(len(tick)), place])


def _match(z, response, waveform, times, model):
    """Modulus of the network's filter output, and its squared optimal SNR.

    Args:
        z: as `_correlations` gives it.
        response: (draws, 3, 2), antenna patterns.
        waveform: (draws,).
        times: (draws, 3), arrival, ticks.
        model: a `draws.Model`.

    Returns:
        Two of (draws,), at `REFERENCE_MPC`.
    """
    crossed = model.binaries.crossed[waveform][:, None, None]
    response = np.where(crossed, response[..., ::-1], response)
    output = np.zeros(len(times), complex)
    power = np.zeros(len(times))
    around = np.arange(-1, 3)
    times = np.clip(times, 1.001, model.ticks - 2.001)
    for detector, curve in enumerate(CURVE):
        whole, part = np.divmod(times[:, detector], 1)
        whole, part = whole.astype(int), part[:, None]
        # Lagrange's cubic through the four nearest.
        others = [np.delete(around, i) for i in range(4)]
        cubic = [
            np.prod((part - other) / (around[i] - other), axis=1)
            for i, other in enumerate(others)
        ]
        turn = np.exp(2j * np.pi * CARRIER_HZ / WHITENED_RATE * (part - around))
        weights = np.stack(cubic, axis=1) * turn
        near = whole[:, None] + around
        for pole in range(2):
            values = z[detector][waveform[:, None], pole, near]
            output += response[:, detector, pole] * (values * weights).sum(axis=1)
        first, second = response[:, detector].T
        grid = np.round(times[:, detector] / GRID).astype(int)
        own, other, both = model.binaries.power[curve][grid, waveform].T
        power += first**2 * own + second**2 * other + 2 * first * second * both
    return np.abs(output), power


def _over_distance(matched, power, population):
    """Log likelihood ratio, averaged over distance and phase, (draws,)."""
    edges = np.geomspace(*population.distance_mpc, STEPS + 1)
    volume = np.diff(edges**3) / (edges[-1] ** 3 - edges[0] ** 3)
    nearer = REFERENCE_MPC / np.sqrt(edges[1:] * edges[:-1])
    x = matched[:, None] * nearer
    exponent = x - power[:, None] * nearer**2 / 2
    return logsumexp(np.log(i0e(x)) + exponent, b=volume, axis=1)
