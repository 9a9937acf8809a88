"""The evidence is the likelihood ratio that its docstring says, summed directly."""

from dataclasses import replace

import numpy as np
import pytest

from gwres.layers.evidence import (
    LOUDEST,
    POOL,
    Evidence,
    Image,
    Noise,
    Prior,
    delays,
)
from tests.contract import check_layer, close

TICKS, COUNT = 40, 2
DELAYS, FAR = delays(2)


def chances(delays):
    rising = np.arange(1.0, 1 + len(delays))
    return rising / rising.sum()


PRIOR = Prior(
    cells=np.log(np.full((TICKS, COUNT), [0.3, 0.7]) / TICKS).astype(np.float32),
    spread=np.array([[4.0, 6.0], [3.0, 5.0], [1.0, 2.0]]),
    alignment=-0.9,
    chances=chances(DELAYS),
    far=chances(FAR),
)


@pytest.fixture
def layer():
    made = Evidence()
    made.fit(PRIOR)
    return made


@pytest.fixture
def snr():
    """Complex SNRs of noise, (3, TICKS, 3, COUNT)."""
    parts = np.random.default_rng(0).standard_normal((2, 3, TICKS, 3, COUNT))
    return parts[0] + 1j * parts[1]


def given(snr):
    """SNRs as `Templates` gives them."""
    first = np.swapaxes(snr, 0, 1).astype(np.complex64)
    return tuple((first[:, :, i].real, first[:, :, i].imag) for i in range(3))


def evidence(layer, snr):
    return np.asarray(layer(given(snr))[0])


def direct(z, spread=PRIOR.spread, alignment=PRIOR.alignment):
    """The evidence of one window, one cell after the other."""
    expected = np.zeros((TICKS, COUNT))
    for template in range(COUNT):
        s = spread[:, template]
        both = alignment * np.sqrt(s[0] * s[1])
        covariance = np.eye(2) + [[s[0], both], [both, s[1]]]
        weights = (np.eye(2) - np.linalg.inv(covariance)) / 2
        for tick in range(TICKS):
            ratio = 0.0
            for delay, chance in zip(DELAYS, PRIOR.chances):
                inside = 0 <= tick + delay < TICKS
                late = z[tick + delay, 1, template] if inside else 0
                pair = np.array([z[tick, 0, template], late])
                ratio += chance * np.exp((pair.conj() @ weights @ pair).real)
            seen = {
                tick + delay: chance
                for delay, chance in zip(FAR, PRIOR.far)
                if 0 <= tick + delay < TICKS
            }
            virgo = sum(
                chance * np.exp(s[2] / (1 + s[2]) / 2 * abs(z[at, 2, template]) ** 2)
                for at, chance in seen.items()
            ) / sum(seen.values())
            ratio *= virgo / (1 + s[2]) / np.linalg.det(covariance)
            expected[tick, template] = ratio * np.exp(PRIOR.cells[tick, template])
    return np.log(expected.reshape(-1, POOL, COUNT).sum(axis=1))


def test_it_is_the_likelihood_ratio(layer, snr):
    for window, one in zip(snr, evidence(layer, snr)):
        close(one, direct(window), rtol=1e-4)
        with pytest.raises(AssertionError):
            close(one, direct(window, alignment=0.9), rtol=1e-4)


def test_the_highest_snrs_are_those_of_the_same_ticks(layer, snr):
    power = np.asarray(layer(given(snr))[1])
    squared = np.swapaxes(np.abs(snr) ** 2, 2, 3)
    close(power, squared.reshape(3, -1, POOL, COUNT, 3).max(axis=2), rtol=1e-5)


def test_opposite_signs_in_the_ligos_are_likelier(layer, snr):
    """H1 and L1 see one wave with opposite signs."""
    quiet = 0.1 * snr[:1]
    both = quiet.copy()
    both[0, 20, 0] += 4 + 4j
    both[0, 20, 1] += 4 + 4j
    opposite = both.copy()
    opposite[0, 20, 1] -= 8 + 8j
    alike, other = (evidence(layer, z)[0, 20 // POOL] for z in (both, opposite))
    assert (other > alike + 3).all()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_nothing_is_left_of_a_missing_detector(layer, snr, missing):
    without = snr[:1].copy()
    without[:, :, missing] = 0
    spread = PRIOR.spread.copy()
    spread[missing] = 0
    found = evidence(layer, without)[0]
    close(found, direct(without[0], spread), rtol=1e-4)
    with pytest.raises(AssertionError):
        close(found, direct(without[0]), rtol=1e-4)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_where_they_share_the_snr_the_others_are_louder(layer, snr, missing):
    """The evidence is that of the spread which those that are there have."""
    shared = Evidence()
    shared.fit(replace(PRIOR, shared=True))
    close(evidence(shared, snr), evidence(layer, snr), rtol=1e-6)
    without = snr[:1].copy()
    without[:, :, missing] = 0
    there = np.arange(3)[:, None] != missing
    kept = PRIOR.spread * there
    kept = kept * PRIOR.spread.sum(axis=0) / kept.sum(axis=0)
    found = evidence(shared, without)[0]
    close(found, direct(without[0], kept), rtol=1e-4)
    with pytest.raises(AssertionError):
        close(found, direct(without[0], PRIOR.spread * there), rtol=1e-4)


def test_delays_are_those_that_light_takes():
    assert (DELAYS, FAR) == (range(-5, 6), range(-14, 15))
    assert delays(4) == (range(-3, 4), range(-7, 8))


def test_a_tick_of_four_has_fewer_delays(snr):
    near, far = (chances(one) for one in delays(4))
    made = Evidence(4)
    made.fit(replace(PRIOR, chances=near, far=far))
    assert made.chances.shape == (7,)
    assert Evidence.from_config(made.get_config()).tick == 4
    assert np.isfinite(evidence(made, snr)).all()


def test_an_image_has_the_levels_of_noise(snr, layer, tmp_path):
    maps = layer(given(snr))
    image = Image()
    with pytest.raises(ValueError, match="call fit first"):
        image(maps)
    image.fit(Noise(cells=(-10.0, 2.0), highest=(1.5, 0.5)))
    cells, found = image(maps)
    np.testing.assert_array_equal(cells, maps[0])
    assert found.shape == (*maps[0].shape, 4)
    highest = (np.sqrt(np.asarray(maps[1]) + 0.01) - 1.5) / 0.5
    close(found[..., :3], highest, rtol=1e-6)
    clipped = np.clip((np.asarray(maps[0]) + 10) / 2, -4, 8)
    close(found[..., 3], clipped, rtol=1e-6)
    loud = np.full((1, 2, 3), 75.0), np.zeros((1, 2, 3, 3))
    assert np.asarray(image(loud)[1])[..., 3].max() == 8
    maps = tuple(np.asarray(one) for one in maps)
    check_layer(image, maps, tmp_path)


def test_in_noise_the_ratio_is_one_on_average():
    """The mean of any likelihood ratio over noise is 1, whatever the signals."""
    parts = np.random.default_rng(1).standard_normal((2, 4000, TICKS, 3, COUNT))
    weak = Evidence()
    # Of loud signals the mean is that of a few windows in a million.
    quiet = PRIOR.spread / 10
    cells = PRIOR.cells.copy()
    # Near the ends L1 may be outside the map, and then counts as silent.
    cells[:5] = cells[-5:] = -40
    cells += np.log(TICKS / (TICKS - 10))
    weak.fit(Prior(cells, quiet, PRIOR.alignment, PRIOR.chances, PRIOR.far))
    ratio = np.exp(evidence(weak, parts[0] + 1j * parts[1])).sum((1, 2))
    assert abs(ratio.mean() - 1) < 0.02


@pytest.mark.parametrize("loud", [5, 100, 1e6])
def test_a_loud_signal_stays_finite(layer, snr, loud):
    """In all detectors at once, and in phase or out of it."""
    for signs in ([1, 1, 1], [1, -1, 1]):
        z = snr + loud * (1 + 1j) * np.array(signs)[:, None]
        found = evidence(layer, z)
        assert np.isfinite(found).all() and found.min() > LOUDEST


def test_unfitted_it_refuses(snr):
    with pytest.raises(ValueError, match="call fit first"):
        Evidence()(given(snr))


def test_layer_contract(layer, snr, tmp_path):
    check_layer(layer, given(snr), tmp_path)
