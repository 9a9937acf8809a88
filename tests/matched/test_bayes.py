"""The Bayes factor is one: of the population's own likelihood, however it is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import dblquad

from gwres.layers.whiten import FREQUENCIES, fade, gain, whiten
from gwres.matched import bayes, draws
from gwres.simulate import waveforms
from gwres.simulate.detectors import delays, patterns
from gwres.simulate.noise import noise
from gwres.simulate.population import SnrPowerLaw, Volumetric, population
from gwres.strain import DETECTORS, SAMPLE_RATE, SAMPLES, WHITENED_RATE

G2NET = population("g2net")
# So far away that the mean over noise converges.
FAINT = replace(G2NET, loudness=Volumetric(15_000.0, 20_000.0))
ALL = np.ones(3, bool)


@pytest.fixture(scope="module")
def model(curve):
    return draws.draw(G2NET, curve, 150, seed=3)


@pytest.fixture(scope="module")
def white(curve):
    """Ten whitened windows: five of noise, the same five with a loud signal each."""
    rng = np.random.default_rng(9)
    quiet = noise(rng, 5)
    heard = quiet + np.stack([signal(rng)[0] for _ in quiet])
    gains = gain(curve, FREQUENCIES, draws.RISE_HZ)
    return np.asarray(whiten(np.concatenate([quiet, heard]), gains))


def signal(rng, seed=3, distance=900.0):
    """Strain (3, 4096) of the first binary of `model`, somewhere in the sky."""
    _, waveform = waveforms.draw(G2NET, np.random.default_rng(seed), SAMPLE_RATE / 2)
    sky = rng.uniform(0, 6, 1), rng.uniform(-1, 1, 1)
    response = patterns(*sky, rng.uniform(0, 3, 1))[0]
    late = delays(*sky)[0]
    merger = rng.uniform(1.55, 1.75)
    frequencies = np.arange(waveform.shape[1]) * waveforms.STEP_HZ
    turned = np.exp(-2j * np.pi * frequencies * (merger + late)[:, None])
    spectrum = (response @ waveform) * turned * waveforms.REFERENCE_MPC / distance
    strain = np.fft.irfft(spectrum)[:, :SAMPLES] * SAMPLE_RATE
    return strain, response, merger + late


def factor(window, model, seed=0, present=ALL, count=20_000):
    return bayes.log_factor(window, present, model, np.random.default_rng(seed), count)


def test_the_filter_reads_a_signal_at_its_place(model, curve):
    """Without noise: output and power are the square of the optimal SNR."""
    strain, response, arrival = signal(np.random.default_rng(1))
    gains = gain(curve, FREQUENCIES, draws.RISE_HZ)
    window = np.asarray(whiten(strain[None], gains))[0]
    z = bayes._correlations(window, model)
    times = (arrival * WHITENED_RATE - model.first)[None]
    first = np.zeros(1, int)
    output, power = bayes._output_and_power(z, response[None], first, times, model)
    # The window holds the signal times its fade; at 900 Mpc, the reference is 1000.
    expected = (window**2 / np.maximum(fade(len(window)), 1e-3)).sum()
    nearer = waveforms.REFERENCE_MPC / 900.0
    assert power[0] * nearer**2 == pytest.approx(expected, rel=0.02)
    assert output[0] * nearer == pytest.approx(expected, rel=0.02)
    late = bayes._output_and_power(z, response[None], first, times + 4, model)[0]
    other = bayes._output_and_power(z, response[None, ::-1], first, times, model)[0]
    assert max(late[0], other[0]) < 0.9 * output[0]


@pytest.mark.parametrize(
    ("loudness", "index", "nearest", "farthest"),
    [
        # p(rho) as rho^-2.5 with rho = 7000 Mpc / distance is distance^0.5.
        (SnrPowerLaw(4.0, 30.0, -2.5), 0.5, 7000 / 30, 7000 / 4),
        (Volumetric(235.0, 3530.0), 2, 235.0, 3530.0),
    ],
)
def test_distance_and_phase_are_averaged(loudness, index, nearest, farthest):
    for matched, power in ((0.0, 2.0), (9.0, 4.0), (40.0, 30.0)):

        def likely(distance, phase, matched=matched, power=power):
            nearer = waveforms.REFERENCE_MPC / distance
            log = nearer * matched * np.cos(phase) - nearer**2 * power / 2
            return np.exp(log) * distance**index

        total, _ = dblquad(likely, 0, np.pi, nearest, farthest, epsrel=1e-6)
        volume = (farthest ** (index + 1) - nearest ** (index + 1)) / (index + 1)
        expected = np.log(total / np.pi / volume)
        given = (np.array([value]) for value in (matched, power, 7000.0))
        average = bayes._over_distance(*given, loudness)
        assert average[0] == pytest.approx(expected, abs=0.01)


def test_no_data_is_no_evidence(model):
    """The weights have mean 1: a draw is divided by the probability of drawing it."""
    nothing = np.zeros((2048, 3), np.float32)
    assert factor(nothing, model, present=~ALL) == pytest.approx(0, abs=0.03)
    # A detector that was there and silent is evidence against a signal.
    assert factor(nothing, model) < -0.1


def test_mean_is_one_in_noise(curve):
    model = draws.draw(FAINT, curve, 60, seed=3)
    gains = gain(curve, FREQUENCIES, draws.RISE_HZ)
    windows = np.asarray(whiten(noise(np.random.default_rng(2), 225), gains))
    ratios = np.exp([factor(window, model, count=1000) for window in windows])
    error = ratios.std() / 15
    assert error < 0.03
    assert ratios.mean() == pytest.approx(1, abs=3 * error + 0.01)
    louder = np.exp([factor(1.3 * w, model, count=1000) for w in windows])
    assert louder.mean() > ratios.mean() + 0.02


def test_how_it_is_drawn_does_not_matter(model, white, monkeypatch):
    logs = [factor(window, model, count=60_000) for window in white]
    assert min(logs[5:]) > max(logs[:5])
    again = [factor(window, model, seed=1, count=60_000) for window in white]
    assert logs[:5] == pytest.approx(again[:5], abs=0.4)
    monkeypatch.setattr(bayes, "WIDE", 0.6)
    monkeypatch.setattr(bayes, "EAGER", 0.4)
    other = [factor(window, model, count=60_000) for window in white]
    assert logs[:5] == pytest.approx(other[:5], abs=0.4)
    assert logs != other


def test_a_missing_detector_is_left_out(model, white):
    window = white[7].copy()
    window[:, 0] = 0
    without = factor(window, model, present=np.array([False, True, True]))
    assert np.isfinite(without) and without < factor(white[7], model)
    # Silence of H1 would be held against the signal that L1 hears.
    assert without > factor(window, model)


def test_waveforms_of_a_wide_population_are_sums_of_more(curve):
    """All but 0.1% of their power, for mergers in a whole second."""
    model = draws.draw(population("field"), curve, 200, seed=3)
    assert draws.RANK < model.binaries.mix.shape[-1] < draws.MOST
    assert 1060 < model.ticks < 1100
    norms = (np.abs(model.binaries.mix) ** 2).sum(axis=-1) / 2
    last = model.binaries.power[:, -1]
    kept = norms.sum(axis=(1, 2)) / last[..., :2].sum(axis=(1, 2))
    assert (kept > 0.99).all() and (kept < 1.03).all()


def test_waveforms_are_sums_of_few(model, curve):
    assert model.binaries.mix.shape == (2, 150, 2, draws.RANK)
    norms = (np.abs(model.binaries.mix) ** 2).sum(axis=-1) / 2
    middle = model.binaries.power[:, model.binaries.power.shape[1] // 2]
    kept = norms.sum(axis=(1, 2)) / middle[..., :2].sum(axis=(1, 2))
    assert (kept > 0.99).all() and (kept < 1.02).all()
    assert (middle[0, :, 0] >= 0.99 * middle[0, :, 1]).all(), "the stronger one first"
    assert model.sky.chance.sum() == pytest.approx(1)
    assert len(DETECTORS) == model.sky.late.shape[1]
