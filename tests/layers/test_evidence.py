"""The evidence is the likelihood ratio that its docstring says, summed directly."""

import numpy as np
import pytest

from gwres.layers.evidence import DELAYS, FINE, REACH, TICK, Evidence, Prior
from tests.contract import check_layer, close

TICKS, COUNT = 40, 2
PRIOR = Prior(
    cells=np.log(np.full((TICKS, COUNT), [0.3, 0.7]) / TICKS).astype(np.float32),
    spread=np.array([[4.0, 6.0], [3.0, 5.0], [1.0, 2.0]]),
    alignment=-0.9,
    chances=np.arange(1, 1 + len(DELAYS)) / np.arange(1, 1 + len(DELAYS)).sum(),
)


@pytest.fixture
def layer():
    made = Evidence()
    made.fit(PRIOR)
    return made


@pytest.fixture
def snr():
    """SNRs of noise as `Templates` gives them, (3, TICKS, 4, 2 COUNT)."""
    return np.random.default_rng(0).standard_normal((3, TICKS, 4, 2 * COUNT))


def direct(snr, spread=PRIOR.spread, alignment=PRIOR.alignment):
    """The same for one window, one cell after the other, in complex numbers."""
    z = snr[..., :COUNT] + 1j * snr[..., COUNT:]
    fine = z[:, 1:3].reshape(-1, COUNT)
    expected = np.zeros((TICKS, COUNT))
    for template in range(COUNT):
        s = spread[:, template]
        both = alignment * np.sqrt(s[0] * s[1])
        covariance = np.eye(2) + [[s[0], both], [both, s[1]]]
        weights = (np.eye(2) - np.linalg.inv(covariance)) / 2
        for tick in range(TICKS):
            ratio = 0.0
            for delay, chance in zip(DELAYS, PRIOR.chances):
                place = tick * TICK // FINE + delay
                inside = 0 <= place < len(fine)
                pair = np.array(
                    [z[tick, 0, template], fine[place, template] if inside else 0]
                )
                ratio += chance * np.exp((pair.conj() @ weights @ pair).real)
            near = slice(max(tick - REACH // 2, 0), tick + REACH // 2 + 1)
            virgo = np.abs(z[near, 3, template]) ** 2
            seen = np.exp(s[2] / (1 + s[2]) / 2 * virgo).mean() / (1 + s[2])
            ratio *= seen / np.linalg.det(covariance)
            expected[tick, template] = np.log(ratio) + PRIOR.cells[tick, template]
    return expected


def test_it_is_the_likelihood_ratio(layer, snr):
    found = np.asarray(layer(snr.astype(np.float32)))
    for window, one in zip(snr, found):
        close(one, direct(window), rtol=1e-4)
        with pytest.raises(AssertionError):
            close(one, direct(window, alignment=0.9), rtol=1e-4)


def test_opposite_signs_in_the_ligos_are_likelier(layer, snr):
    """H1 and L1 see one wave with opposite signs."""
    quiet = 0.1 * snr[:1].astype(np.float32)
    both = quiet.copy()
    both[0, 20, 0] += 4
    both[0, 20, 1] += 4
    opposite = both.copy()
    opposite[0, 20, 1] -= 8
    alike, other = (np.asarray(layer(x))[0, 20] for x in (both, opposite))
    assert (other > alike + 3).all()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_nothing_is_left_of_a_missing_detector(layer, snr, missing):
    without = snr[:1].copy()
    without[:, :, {0: [0], 1: [1, 2], 2: [3]}[missing]] = 0
    spread = PRIOR.spread.copy()
    spread[missing] = 0
    found = np.asarray(layer(without.astype(np.float32)))[0]
    close(found, direct(without[0], spread), rtol=1e-4)
    with pytest.raises(AssertionError):
        close(found, direct(without[0]), rtol=1e-4)


def test_in_noise_the_ratio_is_one_on_average(layer):
    """The mean of any likelihood ratio over noise is 1, whatever the signals."""
    noise = np.random.default_rng(1).standard_normal((4000, TICKS, 4, 2 * COUNT))
    weak = Evidence()
    # Of loud signals the mean is that of a few windows in a million.
    weak.fit(Prior(PRIOR.cells, PRIOR.spread / 10, PRIOR.alignment, PRIOR.chances))
    cells = np.asarray(weak(noise.astype(np.float32)))[:, 8:-8]
    ratio = np.exp(cells - PRIOR.cells[8:-8])
    assert abs(ratio.mean() - 1) < 0.02


def test_a_loud_signal_stays_finite(layer, snr):
    assert np.isfinite(np.asarray(layer(100 * snr.astype(np.float32)))).all()


def test_unfitted_it_refuses(snr):
    with pytest.raises(ValueError, match="call fit first"):
        Evidence()(snr.astype(np.float32))


def test_layer_contract(layer, snr, tmp_path):
    check_layer(layer, snr.astype(np.float32), tmp_path)
