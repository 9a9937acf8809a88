"""The drawn binaries have the distributions that are promised."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from gwres.errors import InputError
from gwres.simulate import dataset
from gwres.simulate.population import PARAMETERS, POPULATIONS, Population, population

COUNT = 20_000
G2NET = population("g2net")
CIRCLE = 2 * np.pi
RANGES = {
    "chirp_mass": (9, 35),
    "mass_ratio": (0.25, 1),
    "a_1": (0, 0.99),
    "a_2": (0, 0.99),
    "tilt_1": (0, np.pi),
    "tilt_2": (0, np.pi),
    "phi_12": (0, CIRCLE),
    "phi_jl": (0, CIRCLE),
    "theta_jn": (0, np.pi),
    "phase": (0, CIRCLE),
    "luminosity_distance": (235, 3530),
    "ra": (0, CIRCLE),
    "dec": (-np.pi / 2, np.pi / 2),
    "psi": (0, np.pi),
    "merger_time": (1.5, 1.8),
}


@pytest.fixture(scope="module")
def drawn():
    return G2NET.draw(np.random.default_rng(5), COUNT)


def component_masses(chirp_mass, mass_ratio):
    primary = chirp_mass * (1 + mass_ratio) ** 0.2 / mass_ratio**0.6
    return primary, primary * mass_ratio


def uniform_components(rng):
    """Component masses uniform in a box, cut to the ranges: the independent way."""
    heavy, light = rng.uniform(3, 90, (2, 40 * COUNT))
    chirp_mass = (heavy * light) ** 0.6 / (heavy + light) ** 0.2
    ratio = light / heavy
    inside = (ratio > 0.25) & (ratio < 1) & (chirp_mass > 9) & (chirp_mass < 35)
    return heavy[inside], light[inside]


def same_distribution(one, other):
    """Assert that a Kolmogorov-Smirnov test sees no difference."""
    test = ks_2samp(one, other) if isinstance(other, np.ndarray) else kstest(one, other)
    assert test.pvalue > 1e-3


def test_parameters_fill_their_ranges(drawn):
    assert tuple(drawn) == PARAMETERS == tuple(RANGES)
    for name, (low, high) in RANGES.items():
        values, span = drawn[name], high - low
        assert values.shape == (COUNT,)
        assert low <= values.min() < low + 0.1 * span, name
        assert high - 0.1 * span < values.max() <= high, name


@pytest.mark.parametrize("which", [0, 1], ids=["primary", "secondary"])
def test_masses_are_uniform_in_the_components(drawn, which):
    expected = uniform_components(np.random.default_rng(6))
    masses = component_masses(drawn["chirp_mass"], drawn["mass_ratio"])
    same_distribution(masses[which], expected[which])
    # Uniform in chirp mass and mass ratio is something else, and is seen.
    rng = np.random.default_rng(7)
    wrong = component_masses(rng.uniform(9, 35, COUNT), rng.uniform(0.25, 1, COUNT))
    with pytest.raises(AssertionError):
        same_distribution(wrong[which], expected[which])


def volume(distance):
    low, high = G2NET.distance_mpc
    return (distance**3 - low**3) / (high**3 - low**3)


def test_distance_is_uniform_in_volume(drawn):
    same_distribution(volume(drawn["luminosity_distance"]), "uniform")
    with pytest.raises(AssertionError):
        uniform = np.random.default_rng(8).uniform(*G2NET.distance_mpc, COUNT)
        same_distribution(volume(uniform), "uniform")


@pytest.mark.parametrize(
    ("name", "function", "low", "high"),
    [
        ("tilt_1", np.cos, -1, 1),
        ("tilt_2", np.cos, -1, 1),
        ("theta_jn", np.cos, -1, 1),
        ("dec", np.sin, -1, 1),
        ("ra", np.array, 0, CIRCLE),
        ("phase", np.array, 0, CIRCLE),
        ("psi", np.array, 0, np.pi),
        ("a_1", np.array, 0, 0.99),
        ("merger_time", np.array, 1.5, 1.8),
    ],
)
def test_directions_are_isotropic_and_the_rest_uniform(
    drawn, name, function, low, high
):
    same_distribution((function(drawn[name]) - low) / (high - low), "uniform")


def test_a_seed_is_all_it_takes(drawn):
    again = G2NET.draw(np.random.default_rng(5), COUNT)
    other = G2NET.draw(np.random.default_rng(6), COUNT)
    for name in PARAMETERS:
        np.testing.assert_array_equal(again[name], drawn[name])
        assert (other[name] != drawn[name]).all()
    np.random.seed(0)  # bilby's own generators must not come into it
    np.testing.assert_array_equal(
        G2NET.draw(np.random.default_rng(5), COUNT)["ra"], drawn["ra"]
    )


def test_some_parameters_alone():
    drawn = G2NET.draw(np.random.default_rng(1), 3, ("ra", "psi"))
    assert list(drawn) == ["ra", "psi"]


def test_populations_are_called_by_their_names():
    assert all(one.name == name for name, one in POPULATIONS.items())
    assert all(isinstance(one, Population) for one in POPULATIONS.values())
    with pytest.raises(InputError, match="one of g2net, loud.*received quiet"):
        population("quiet")


def median_snr(name):
    """Median network SNR of 400 signals; from seed to seed it moves by 0.13."""
    rng = np.random.default_rng(9)
    drawn = [dataset.signal(population(name), rng)[1] for _ in range(400)]
    return np.median([truth["network_snr"] for truth in drawn])


@pytest.mark.parametrize(("name", "expected"), [("g2net", 6.4), ("loud", 7.45)])
def test_median_network_snr(name, expected):
    """2,000 signals of each have these; the two can be told apart."""
    assert median_snr(name) == pytest.approx(expected, abs=0.4)
