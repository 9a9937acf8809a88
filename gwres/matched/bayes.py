"""The Bayes factor of a signal of a population: the optimal statistic.

By the lemma of Neyman and Pearson, no statistic finds more signals at any false-alarm
rate than the ratio of the likelihoods with a signal and without. Here the ratio is
averaged over the whole population by importance sampling: precessing binaries, sky
positions, times and distances that fit the data are drawn more often and weigh less.
"""

import numpy as np
import scipy.fft
from scipy.special import i0e, logsumexp

from gwres.layers.templates import CURVE
from gwres.matched.draws import (
    BEFORE,
    BINARIES,
    DIRECTIONS,
    EDGE,
    GRID,
    RANK,
    RISE_HZ,
)
from gwres.simulate import waveforms
from gwres.simulate.waveforms import REFERENCE_MPC
from gwres.strain import WHITENED_RATE

DRAWS = 20_000  # per window; usually 100 or more of them carry weight
CARRIER_HZ = 110.0  # removed before interpolation, so that the series varies slowly
STEPS = 48  # distances to average over
WIDE = 0.1  # share of the draws that cover waveforms and times evenly
EAGER = 0.8  # delays are drawn in proportion to the likelihood to this power
LOUDEST = 29.0  # limit of a proposal's log likelihood: the product of 3 fits a float32
LAYOUT = [BINARIES, DIRECTIONS, RANK, RISE_HZ, DRAWS, STEPS]  # what caches depend on


def log_factor(white, present, model, rng, draws=DRAWS):
    """Log Bayes factor of one window.

    Args:
        white: (2048, 3), whitened with `RISE_HZ`.
        present: (3,), whether each detector has data.
        model: a `draws.Model`.
        rng: numpy Generator.
        draws: number of draws; by default, a log near 0 is uncertain by 0.1.

    Returns:
        float: log of the likelihood with a signal of the population over that without.

    Source:
        Neyman & Pearson, Phil. Trans. R. Soc. A 231, 289 (1933), for why it is best;
        Searle, arXiv:0804.1161, for bursts.
    """
    z = _correlations(white, model)
    ratios = _detector_ratios(z, present, model)
    waveform, tick, weight = _waveforms_and_ticks(ratios, model, rng, draws)
    place, sky_weight = _direction_indices(ratios, waveform, tick, model.sky, rng)
    arrival = tick + rng.uniform(-0.5, 0.5, draws)
    sky, population = model.sky, model.population
    merger = (model.first + arrival) / WHITENED_RATE - sky.geocentre[place]
    low, high = population.merger_s
    inside = (low <= merger) & (merger <= high)
    prior = -np.log(len(ratios[0]) * (high - low) * WHITENED_RATE)
    angle = rng.uniform(0, np.pi, draws)[:, None, None]
    response = sky.plus[place] * np.cos(angle) + sky.cross[place] * np.sin(angle)
    heard = response * np.asarray(present)[:, None]
    counted = heard if population.shared and any(present) else response
    reach = waveforms.reach(model.binaries.whole[waveform], counted)
    times = arrival[:, None] + sky.late[place] * WHITENED_RATE
    matched, power = _output_and_power(z, heard, waveform, times, model)
    weights = _over_distance(matched, power, reach, population.loudness)
    weights += prior - weight - sky_weight
    return (
        float(logsumexp(weights[inside]) - np.log(draws)) if inside.any() else -np.inf
    )


def _correlations(white, model):
    """Correlation with both polarisations, (n, 2, ticks), for each detector."""
    correlations = []
    lags = np.arange(model.ticks) + model.first - BEFORE
    for strain, curve in zip(white.T, CURVE):
        spectra, mix = model.binaries.spectra[curve], model.binaries.mix[curve]
        size = spectra.shape[1]
        data = scipy.fft.fft(strain.astype(np.complex64), size)
        series = scipy.fft.ifft(data * spectra)[:, lags % size]
        flat = mix.reshape(-1, mix.shape[-1]).conj() @ series
        correlations.append(flat.reshape(len(mix), 2, model.ticks))
    return correlations


def _detector_ratios(z, present, model):
    """Likelihood ratio of each detector alone, (n, ticks), for the proposal.

    With the stronger polarisation only, and the normal prior of `incoherent.marginal`.
    """
    response = (model.sky.plus**2).sum(axis=2).mean(axis=0)
    middle = model.binaries.power.shape[1] // 2
    powers = model.binaries.power[list(CURVE), middle, :, 0]
    # Inclined binaries keep between half and all of the response.
    heard = 0.75 * response[:, None] * powers / 2
    spreads = model.population.loudness.spread(heard * REFERENCE_MPC**2)
    spreads = model.population.heard(spreads, present)
    ratios = []
    for detector, power in enumerate(powers):
        spread = spreads[detector]
        first = z[detector][:, 0]
        scale = spread / (1 + spread) / (2 * np.maximum(power, 1e-9))
        exponent = (first.real**2 + first.imag**2) * scale[:, None].astype(np.float32)
        ratio = np.exp(np.minimum(exponent, LOUDEST))
        ratios.append(ratio / (1 + spread)[:, None].astype(np.float32))
    return ratios


def _waveforms_and_ticks(ratios, model, rng, draws):
    """Waveform and tick in H1 of each draw, and the log of their probability.

    The draws are stratified: evenly spaced in the cumulative distribution.
    """
    joint = ratios[0].astype(float)
    for ratio, later in zip(ratios[1:], model.later):
        joint *= ratio @ later
    joint[:, :EDGE] = joint[:, -EDGE:] = 0
    joint *= (1 - WIDE) / joint.sum()
    joint[:, EDGE:-EDGE] += WIDE / joint[:, EDGE:-EDGE].size
    total = np.cumsum(joint)
    even = (np.arange(draws) + rng.random(draws)) / draws * total[-1]
    cell = np.minimum(np.searchsorted(total, even), total.size - 1)
    waveform, tick = np.divmod(cell, model.ticks)
    return waveform, tick, np.log(joint[waveform, tick])


def _direction_indices(ratios, waveform, tick, sky, rng):
    """Index of a direction for each draw, and its log probability over the prior."""
    chance = sky.chance.sum(axis=1)[None]
    second, weight = _delay_indices(chance, ratios[1], waveform, tick, rng)
    chance = sky.chance[second] / chance[0, second, None]
    third, other = _delay_indices(chance, ratios[2], waveform, tick, rng)
    pair = second, third
    within = (rng.random(len(tick)) * sky.count[pair]).astype(int)
    return sky.start[pair] + within, weight + other - np.log(sky.chance[pair])


def _delay_indices(chance, ratio, waveform, tick, rng):
    """Index of one detector's delay for each draw, and its log probability."""
    reach = chance.shape[1] // 2
    ticks = tick[:, None] + np.arange(-reach, reach + 1)
    ticks = np.clip(ticks, 0, ratio.shape[1] - 1)
    proposed = chance * ratio[waveform[:, None], ticks] ** EAGER
    proposed /= proposed.sum(axis=1, keepdims=True)
    total = np.cumsum(proposed, axis=1)
    place = (total < rng.random((len(tick), 1)) * total[:, -1:]).sum(axis=1)
    return place, np.log(proposed[np.arange(len(tick)), place])


def _output_and_power(z, response, waveform, times, model):
    """Matched-filter output of the three detectors for each draw, and its power.

    Args:
        z: correlations, from `_correlations`.
        response: antenna patterns, (draws, 3, 2).
        waveform: index of the waveform, (draws,).
        times: arrival times, ticks, (draws, 3).
        model: a `draws.Model`.

    Returns:
        (modulus of the output, squared optimal SNR), (draws,), at `REFERENCE_MPC`.
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
        # Lagrange's cubic through the four nearest ticks.
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
        stronger, weaker, overlap = model.binaries.power[curve][grid, waveform].T
        power += first**2 * stronger + second**2 * weaker + 2 * first * second * overlap
    return np.abs(output), power


def _over_distance(matched, power, reach, loudness):
    """Log of the likelihood ratio averaged over distance and phase, (draws,)."""
    distances, shares = loudness.steps(STEPS, reach)
    nearer = REFERENCE_MPC / distances
    x = matched[:, None] * nearer
    exponent = x - power[:, None] * nearer**2 / 2
    return logsumexp(np.log(i0e(x)) + exponent, b=shares, axis=1)
