"""Antenna patterns and delays are those of lal."""

import lal
import numpy as np
import pytest

from gwres.simulate.detectors import GPS, delays, patterns, sky_response
from gwres.strain import DETECTORS
from tests.contract import close

rng = np.random.default_rng(2)
RA = rng.uniform(0, 2 * np.pi, 500)
DEC = np.arcsin(rng.uniform(-1, 1, 500))
PSI = rng.uniform(0, np.pi, 500)
LAL = [lal.cached_detector_by_prefix[name] for name in DETECTORS]


def lal_patterns(gps):
    gmst = lal.GreenwichMeanSiderealTime(lal.LIGOTimeGPS(gps))
    return np.array(
        [
            [lal.ComputeDetAMResponse(d.response, *angles, gmst) for d in LAL]
            for angles in zip(RA, DEC, PSI)
        ]
    )


def lal_delays(gps):
    gps = lal.LIGOTimeGPS(gps)
    return np.array(
        [
            [lal.TimeDelayFromEarthCenter(d.location, *sky, gps) for d in LAL]
            for sky in zip(RA, DEC)
        ]
    )


@pytest.mark.parametrize("gps", [GPS, GPS + 40_000.5])
def test_patterns_are_lals(gps):
    close(patterns(RA, DEC, PSI, gps), lal_patterns(gps), rtol=1e-6)


@pytest.mark.parametrize("gps", [GPS, GPS + 40_000.5])
def test_delays_are_lals(gps):
    close(delays(RA, DEC, gps), lal_delays(gps), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: patterns(RA, DEC, PSI)[..., ::-1],
        lambda: patterns(RA, DEC, PSI)[:, [1, 0, 2]],
        lambda: patterns(RA, -DEC, PSI),
        lambda: patterns(RA, DEC, -PSI),
        lambda: patterns(RA + 1e-5, DEC, PSI),
        lambda: patterns(RA, DEC, PSI, GPS + 1),
        lambda: patterns(RA, DEC, PSI) * np.array([1, -1]),
    ],
    ids=["plus-cross", "H1-L1", "dec", "psi", "2 arcsec", "1 s", "cross sign"],
)
def test_wrong_patterns_are_seen(wrong):
    with pytest.raises(AssertionError):
        close(wrong(), lal_patterns(GPS), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: -delays(RA, DEC),
        lambda: delays(RA, DEC)[:, [1, 0, 2]],
        lambda: delays(RA, DEC) + 1e-7,
        lambda: delays(RA, DEC, GPS + 1),
    ],
    ids=["sign", "H1-L1", "100 ns", "1 s"],
)
def test_wrong_delays_are_seen(wrong):
    with pytest.raises(AssertionError):
        close(wrong(), lal_delays(GPS), rtol=1e-6)


def test_limits_and_symmetries():
    all_patterns, all_delays = patterns(RA, DEC, PSI), delays(RA, DEC)
    assert np.abs(all_patterns).max() <= 1
    assert np.abs(all_delays).max() < 0.0215  # the Earth's radius over c
    between = all_delays[:, 0] - all_delays[:, 1]
    assert 0.0098 < np.abs(between).max() < 0.01002  # H1 and L1 are 10 ms apart
    # A quarter turn of the polarisation turns the sign, which `augment` relies on.
    close(patterns(RA, DEC, PSI + np.pi / 2), -all_patterns, rtol=1e-10)
    # From the other side of the Earth a detector sees plus the same, cross reversed.
    behind = patterns(RA + np.pi, -DEC, -PSI)
    close(np.abs(behind), np.abs(all_patterns), rtol=1e-10)
    close(delays(RA + np.pi, -DEC), -all_delays, rtol=1e-10)


def test_the_ligos_see_one_wave_with_opposite_signs():
    """Over the whole sky each detector's mean of F+^2 + Fx^2 is 2/5."""
    even = sky_response(0.0)
    np.testing.assert_allclose(even.weights, even.weights[0])
    np.testing.assert_allclose(np.diag(even.covariance), 2 / 5, atol=0.005)
    sky = sky_response(1.5)
    assert abs(sky.weights.sum() - 1) < 1e-12
    # Weighed by what the three hear best, the LIGOs hear more than that.
    assert 0.4 < sky.covariance[0, 0] < 0.6 and 0.4 < sky.covariance[1, 1] < 0.6
    both = sky.covariance[0, 1]
    both /= np.sqrt(sky.covariance[0, 0] * sky.covariance[1, 1])
    assert -0.97 < both < -0.85
    late = sky.delays[:, 1] - sky.delays[:, 0]
    assert np.abs(late).max() < 0.01005
