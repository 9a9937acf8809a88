"""The map of SNRs holds what a matched filter finds, where it finds it."""

import numpy as np
import pytest

from gwres.errors import InputError
from gwres.layers import templates
from gwres.layers.templates import (
    COUNT,
    CURVE,
    FIRST_S,
    TICK,
    TICKS,
    Templates,
    design,
)
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.matched.bank import templates as drawn
from gwres.matched.bank import whitened
from gwres.simulate.population import population
from gwres.strain import WHITENED_RATE, WHITENED_SAMPLES
from tests.binaries import HEAVY, record
from tests.contract import check_layer, close

TIMES = FIRST_S + np.arange(TICKS) * TICK / WHITENED_RATE


@pytest.fixture
def layer(designed):
    made = Templates()
    made.fit(designed.design)
    return made


def snrs(layer, whitened):
    """Complex SNRs (batch, TICKS, 3, COUNT)."""
    found = np.asarray(layer(whitened.astype(np.float32)))
    return np.transpose(found[:, 0] + 1j * found[:, 1], (2, 1, 0, 3))


def test_it_correlates_with_the_templates(layer, designed):
    """Against numpy, sample by sample, for every template and time."""
    x = np.random.default_rng(0).standard_normal((1, WHITENED_SAMPLES, 3))
    found = snrs(layer, x)[0]
    first = round(FIRST_S * WHITENED_RATE) - (templates.LENGTH - templates.AFTER)
    padded = np.pad(x[0], [(0, templates.LENGTH), (0, 0)])
    for detector, curve in enumerate(CURVE):
        q = designed.design.mix[curve] @ designed.design.basis[curve]
        for tick in (0, 1, 50, TICKS - 1):
            start = first + tick * TICK
            z = q.conj() @ padded[start : start + templates.LENGTH, detector]
            close(np.abs(found[tick, detector]), np.abs(z), rtol=1e-4)
            with pytest.raises(AssertionError):
                off = padded[start + 1 : start + 1 + templates.LENGTH, detector]
                close(np.abs(found[tick, detector]), np.abs(q.conj() @ off), rtol=1e-2)


def test_noise_has_unit_quadratures(layer, windows, fitted):
    x = np.asarray(whiten(windows, gain(fitted, FREQUENCIES)))
    found = snrs(layer, x)[:, :120]  # before the window's faded end
    assert np.abs((np.abs(found) ** 2).mean((0, 1, 3)) / 2 - 1).max() < 0.06


def test_a_signal_is_found_at_its_time_and_mass(layer, fitted):
    """Without noise the highest SNR is the optimal one, less what 64 templates miss."""
    strain = record(HEAVY | {"luminosity_distance": 200.0})[0][None]
    x = np.asarray(whiten(strain, gain(fitted, FREQUENCIES)))
    found = np.abs(snrs(layer, x)[0])
    for detector in range(3):
        optimal = np.linalg.norm(x[0, :, detector])
        highest = found[:, detector].max()
        assert 0.8 * optimal < highest < 1.02 * optimal
        tick = found[:, detector].max(axis=1).argmax()
        assert abs(TIMES[tick] - HEAVY["merger_time"]) < 0.03
        best = found[:, detector].max(axis=0).argmax()
        assert best > COUNT / 2, "the heavier templates come last"


def test_few_templates_cover_the_population(designed, curve):
    """Every waveform of another draw matches one of the templates."""
    plus = drawn(population("g2net"), 50, seed=5)
    asd = np.interp(np.arange(plus.shape[1]) / 8, FREQUENCIES, curve[0])
    rows = whitened(plus, gain(asd, np.arange(plus.shape[1]) / 8), WHITENED_RATE)
    before = templates.LENGTH - templates.AFTER
    rows = np.roll(rows, before, axis=-1)[:, : templates.LENGTH]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    q = designed.design.mix[0] @ designed.design.basis[0] / np.sqrt(2)
    match = np.max(
        [np.abs(rows @ np.roll(q, s, axis=1).conj().T) for s in range(-16, 17)],
        axis=0,
    ).max(axis=1)
    # The lightest, of most cycles, are covered least.
    assert match.mean() > 0.9 and match.min() > 0.5
    assert match[match.size // 2 :].min() > 0.85


def test_shares_and_powers_are_the_populations(designed):
    share, power = designed.design.share, designed.design.power
    assert share.shape == (COUNT,) and abs(share.sum() - 1) < 1e-12
    assert share.min() > 0
    # H1 is the more sensitive, and heavier binaries are louder.
    assert (power[0] > power[1]).all()
    assert power[0, -10:].mean() > 2 * power[0, :10].mean()


def test_a_loud_signal_stays_finite(layer):
    x = np.full((1, WHITENED_SAMPLES, 3), 1e3, np.float32)
    assert np.isfinite(np.asarray(layer(x))).all()


def test_unfitted_it_refuses(designed):
    with pytest.raises(ValueError, match="call fit first"):
        Templates()(np.zeros((1, WHITENED_SAMPLES, 3), np.float32))


def test_too_few_to_choose_from():
    with pytest.raises(InputError, match="64 templates or more, received 10"):
        design(np.zeros((2, 10, 8192), complex))


def test_layer_contract(layer, tmp_path):
    x = np.random.default_rng(2).standard_normal((2, WHITENED_SAMPLES, 3))
    check_layer(layer, x.astype(np.float32), tmp_path)
