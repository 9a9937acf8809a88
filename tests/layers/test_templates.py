"""The map of SNRs holds what a matched filter finds, where it finds it."""

from dataclasses import replace

import numpy as np
import pytest

from gwres.errors import InputError
from gwres.layers import templates
from gwres.layers.templates import (
    COARSE,
    COUPLED,
    CURVE,
    FINE,
    Grid,
    Products,
    Templates,
    consistency,
    design,
    nearby,
    products,
)
from gwres.layers.whiten import FREQUENCIES, fade, gain, whiten
from gwres.matched.bank import templates as drawn
from gwres.matched.bank import whitened
from gwres.matched.design import candidates
from gwres.simulate.population import population
from gwres.strain import WHITENED_RATE, WHITENED_SAMPLES
from tests.binaries import HEAVY, record
from tests.contract import check_layer, close

# Of templates that reach out of the window, at another tick.
EARLY = Grid(count=16, rank=24, length=640, tick=4).over(0.5, 1.5)


def made(grid, filters):
    """A layer of a grid, and its design."""
    layer = Templates(grid)
    chosen = filters.design if grid is FINE else filters.coarse
    layer.fit(chosen)
    return layer, chosen


@pytest.fixture
def layer(designed):
    return made(FINE, designed)[0]


def snrs(layer, whitened):
    """Complex SNRs (batch, ticks, 3, count)."""
    found = np.asarray(layer(whitened.astype(np.float32)))
    return np.transpose(found[:, 0] + 1j * found[:, 1], (2, 1, 0, 3))


@pytest.mark.parametrize("grid", [FINE, COARSE], ids=["fine", "coarse"])
def test_it_correlates_with_the_templates(grid, designed):
    """Against numpy, sample by sample, for every template and time."""
    layer, chosen = made(grid, designed)
    x = np.random.default_rng(0).standard_normal((1, WHITENED_SAMPLES, 3))
    found = snrs(layer, x)[0]
    assert found.shape == (grid.ticks, 3, grid.count)
    first = grid.begin
    padded = np.pad(x[0], [(0, grid.length), (0, 0)])
    for detector, curve in enumerate(CURVE):
        q = chosen.mix[curve] @ chosen.basis[curve]
        for tick in (0, 1, 50, grid.ticks - 1):
            start = first + tick * grid.tick
            z = q.conj() @ padded[start : start + grid.length, detector]
            close(np.abs(found[tick, detector]), np.abs(z), rtol=1e-4)
            with pytest.raises(AssertionError):
                off = padded[start + 1 : start + 1 + grid.length, detector]
                close(np.abs(found[tick, detector]), np.abs(q.conj() @ off), rtol=1e-2)


@pytest.fixture(scope="module")
def early(curve):
    """The layer of `EARLY`, and its design."""
    chosen = design(candidates(population("field"), curve, 100), EARLY)
    layer = Templates(EARLY)
    layer.fit(chosen)
    return layer, chosen


def test_a_grid_follows_from_the_merger_times():
    assert FINE.over(1.5, 1.8) == FINE and COARSE.over(1.5, 1.8) == COARSE
    assert EARLY.times[0] == pytest.approx(0.4795) and EARLY.span == 1088
    assert EARLY.times[-1] > 1.5213 and EARLY.ticks == 272
    assert FINE.coupled == COUPLED == (-4, -2, 0, 2, 4)
    assert EARLY.coupled == (-2, -1, 0, 1, 2)
    # What was saved before there were other merger times.
    before = {"count": 64, "rank": 40, "length": 1056, "tick": 2}
    assert Templates(before).grid == FINE


def test_templates_that_reach_out_of_the_window_find_what_is_in_it(early):
    """Against numpy: SNRs of the part inside, of unit variance in noise."""
    layer, chosen = early
    x = np.random.default_rng(0).standard_normal((200, WHITENED_SAMPLES, 3))
    x *= fade(WHITENED_SAMPLES)
    found = snrs(layer, x)
    assert found.shape == (200, EARLY.ticks, 3, EARLY.count)
    assert EARLY.begin < 0
    padded = np.pad(x, [(0, 0), (-EARLY.begin, EARLY.length), (0, 0)])
    weight = np.pad(fade(WHITENED_SAMPLES)[:, 0], (-EARLY.begin, EARLY.length))
    for detector, curve in enumerate(CURVE):
        q = chosen.mix[curve] @ chosen.basis[curve]
        for tick in (0, 30, EARLY.ticks - 1):
            part = slice(tick * EARLY.tick, tick * EARLY.tick + EARLY.length)
            z = padded[:, part, detector] @ q.conj().T
            norm = np.sqrt((np.abs(q) ** 2 / 2) @ weight[part] ** 2)
            close(np.abs(found[:, tick, detector]), np.abs(z) / norm, rtol=1e-4)
            if tick > 30:
                continue  # all of a template is in the window
            with pytest.raises(AssertionError):
                close(np.abs(found[:, tick, detector]), np.abs(z) * norm, rtol=1e-4)
    variance = (np.abs(found) ** 2).mean(axis=(0, 2)) / 2
    np.testing.assert_allclose(variance, 1, atol=0.35)
    np.testing.assert_allclose(variance.mean(axis=1), 1, atol=0.2)


def test_layer_contract_of_an_early_grid(early, tmp_path):
    x = np.random.default_rng(2).standard_normal((2, WHITENED_SAMPLES, 3))
    check_layer(early[0], x.astype(np.float32), tmp_path)


@pytest.fixture(scope="module")
def tested(designed):
    """The layer that re-weights SNRs by their consistency."""
    layer = Templates(replace(FINE, consistent=True))
    layer.fit(replace(designed.design, grid=layer.grid))
    return layer


def left_of(layer, x):
    """What consistency leaves of SNRs, and the squared SNRs: (ticks, batch, count)."""
    real, imaginary, power = (np.asarray(part) for part in layer(np.float32(x))[0])
    return np.sqrt((real**2 + imaginary**2) / power), power


def test_consistency_is_its_formula():
    """By hand, where both tests have something to say, or one, or none."""
    share, rank = np.array([0.5]), 40
    level = templates.NEAR * templates.LEVEL - 1
    for first, second in ((2.0, 3.0), (2.0, 1.0), (0.5, 3.0), (1.0, 1.0)):
        power = np.full((1, 1, 1), 100.0)
        span = power / 2 + (rank - 1) * first
        near = share * power + level * second
        r = 1 + np.maximum([first - 1.3, second - 1.5], 0)
        expected = np.prod(((1 + r**6) / 2) ** (-1 / 12))
        found = consistency(power, span, near, share, rank)
        assert float(np.asarray(found)[0, 0, 0]) == pytest.approx(expected, rel=1e-5)
    # However loud the glitch, the result is a number.
    huge = np.full((1, 1, 1), 1e9, np.float32)
    found = np.asarray(consistency(huge, huge, huge, np.float32(share), rank))
    assert np.isfinite(found).all() and 0 <= found.max() < 1e-3


def test_noise_and_signals_are_consistent_and_a_glitch_is_not(tested, layer):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((40, WHITENED_SAMPLES, 3)) * fade(WHITENED_SAMPLES)
    left, power = left_of(tested, x)
    before = np.abs(snrs(layer, x))[:, :, 0] ** 2
    close(np.transpose(power, (1, 0, 2)), before, rtol=1e-4)
    assert np.median(left) == pytest.approx(1) and left.mean() > 0.99
    # One template of SNR 20, its merger on a tick.
    tick, index, curve = 60, 40, 0
    q = tested.mix[curve][0].numpy().T @ tested.basis[curve].numpy().T
    start = FINE.begin + tick * FINE.tick
    inside = slice(max(start, 0), start + FINE.length)
    signal = np.zeros((WHITENED_SAMPLES, 1))
    signal[inside, 0] = q[index][max(-start, 0) :]
    signal *= 20 / np.linalg.norm(signal)
    left, power = left_of(tested, x + signal * [1, 0, 0])
    assert power[tick, :, index].min() > 300
    assert np.median(left[tick, :, index]) == 1 and left[tick, :, index].min() > 0.7
    # A burst of the same loudness: too high for any template, and one too short.
    times = (np.arange(WHITENED_SAMPLES) - start - FINE.length + 48) / WHITENED_RATE
    for hertz, long in ((60, 0.01), (250, 0.02)):
        burst = np.sin(2 * np.pi * hertz * times) * np.exp(-((times / long) ** 2) / 2)
        burst *= 20 / np.linalg.norm(burst)
        left, power = left_of(tested, x + burst[:, None] * [1, 0, 0])
        loudest = power.reshape(len(power), 40, -1).max(axis=(0, 2))
        after = (left**2 * power).max(axis=(0, 2))
        assert np.median(after) < np.median(loudest) / 2


def test_power_nearby_is_that_of_the_last_samples(tested):
    x = np.random.default_rng(3).standard_normal((2, WHITENED_SAMPLES, 3))
    found = np.asarray(nearby(np.float32(x), FINE))
    assert found.shape == (3, FINE.ticks, 2, 1)
    for tick in (0, 7, FINE.ticks - 1):
        stop = FINE.begin + tick * FINE.tick + FINE.length
        expected = (x[:, stop - templates.NEAR : stop] ** 2).sum(axis=1)
        close(found[:, tick, :, 0].T, expected, rtol=1e-5)


def test_layer_contract_with_consistency(tested, tmp_path):
    x = np.random.default_rng(2).standard_normal((2, WHITENED_SAMPLES, 3))
    check_layer(tested, x.astype(np.float32), tmp_path)


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
        assert abs(FINE.times[tick] - HEAVY["merger_time"]) < 0.03
        best = found[:, detector].max(axis=0).argmax()
        assert best > FINE.count / 2, "the heavier templates come last"


def test_few_templates_cover_the_population(designed, curve):
    """Every waveform of another draw matches one of the templates."""
    plus = drawn(population("g2net"), 50, seed=5)
    asd = np.interp(np.arange(plus.shape[1]) / 8, FREQUENCIES, curve[0])
    rows = whitened(plus, gain(asd, np.arange(plus.shape[1]) / 8), WHITENED_RATE)
    before = FINE.length - templates.AFTER
    rows = np.roll(rows, before, axis=-1)[:, : FINE.length]
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
    assert share.shape == (FINE.count,) and abs(share.sum() - 1) < 1e-12
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
        design(np.zeros((2, 10, 8192), complex), FINE)


def test_layer_contract(layer, tmp_path):
    x = np.random.default_rng(2).standard_normal((2, WHITENED_SAMPLES, 3))
    check_layer(layer, x.astype(np.float32), tmp_path)


def test_products_are_those_of_the_snrs(designed):
    """Against numpy; the delay of L1 is where a wave that comes later there is."""
    layer, _ = made(COARSE, designed)
    x = np.random.default_rng(0).standard_normal((2, WHITENED_SAMPLES, 3)) * 1.4
    z = np.clip(np.asarray(layer(x.astype(np.float32))), -5, 5)
    z = z[:, 0] + 1j * z[:, 1]
    ticks, count = COARSE.ticks, COARSE.count
    late = np.pad(z[1], [(4, 4), (0, 0), (0, 0)])
    expected = [np.abs(one) ** 2 / 2 - 1 for one in z]
    for delay in COUPLED:
        here = late[4 + delay : 4 + delay + ticks]
        expected.append((z[0] * here.conj()).real / np.sqrt(2))
    found = np.asarray(products(layer(x.astype(np.float32))))
    assert found.shape == (ticks, 2, 8 * count)
    close(found, np.concatenate(expected, axis=-1), rtol=1e-4)
    with pytest.raises(AssertionError):
        close(found[..., 3 * count :], found[::-1, :, 3 * count :], rtol=0.1)


def test_products_of_noise_have_unit_variance(designed):
    layer, _ = made(COARSE, designed)
    x = np.random.default_rng(1).standard_normal((200, WHITENED_SAMPLES, 3))
    found = np.asarray(Products()(layer(x.astype(np.float32))))[10:60]
    variance = found.reshape(-1, 8, COARSE.count).var(axis=(0, 2))
    # Whitened noise without its band is a little louder than the band's.
    np.testing.assert_allclose(variance, 1, atol=0.15)
    assert np.abs(found.mean()) < 0.1
