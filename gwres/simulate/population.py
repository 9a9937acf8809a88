"""Populations of binaries: the priors of the simulated signals."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gwres.errors import among

INTRINSIC = (
    "chirp_mass",
    "mass_ratio",
    "a_1",
    "a_2",
    "tilt_1",
    "tilt_2",
    "phi_12",
    "phi_jl",
    "theta_jn",
    "phase",
)
PLACE = ("ra", "dec", "psi", "merger_time")
EXTRINSIC = ("luminosity_distance", *PLACE)
PARAMETERS = INTRINSIC + EXTRINSIC


# bilby is imported where it is used: a machine that only trains, on draws that were
# made elsewhere, has no need of it.
def _power_law(index, low, high):
    from bilby.core.prior import PowerLaw

    return PowerLaw(index, low, high)


@dataclass(frozen=True)
class Volumetric:
    """Loudness of binaries that are spread evenly in Euclidean volume.

    Args:
        near_mpc: the smallest luminosity distance, Mpc.
        far_mpc: the largest.
    """

    near_mpc: float
    far_mpc: float
    # A direction in which the network hears twice as far counts eight times: signals
    # of one SNR come in proportion to the squared response to this power.
    sky_index: ClassVar[float] = 1.5

    @property
    def _distances(self):
        return _power_law(2, self.near_mpc, self.far_mpc)

    def distance(self, quantile, reach):
        """Distances of given quantiles, the nearest binary first.

        Args:
            quantile: (n,), 0 to 1.
            reach: (n,), distance at which the network SNR is 1, Mpc; not used.

        Returns:
            (n,), Mpc.
        """
        return np.asarray(self._distances.rescale(quantile))

    def steps(self, count, reach):
        """Distances that stand for all, and the share of binaries at each.

        Args:
            count: number of steps.
            reach: (n,), as for `distance`.

        Returns:
            (distances (n, count), Mpc; shares (count,), whose sum is 1).
        """
        edges = np.geomspace(self.near_mpc, self.far_mpc, count + 1)
        middle = np.sqrt(edges[1:] * edges[:-1])
        shares = np.diff(self._distances.cdf(edges))
        return np.broadcast_to(middle, (len(reach), count)), shares

    def spread(self, variance):
        """Variance of each quadrature of the SNR, for a signal as loud as most.

        At the median distance: the mean would be that of the few loudest signals.

        Args:
            variance: (3, ...), the same for binaries at 1 Mpc, in each detector.

        Returns:
            (3, ...).
        """
        return variance / self._distances.rescale(0.5) ** 2

    def quieter(self, factor):
        """The same binaries, with SNRs divided by a factor."""
        near, far = factor * self.near_mpc, factor * self.far_mpc
        return replace(self, near_mpc=near, far_mpc=far)


@dataclass(frozen=True)
class SnrPowerLaw:
    """Loudness by the network SNR: p(rho) goes as rho^index between two limits.

    The SNR is drawn apart from all else, and the distance follows from it.

    Args:
        floor: the lowest optimal network SNR.
        ceiling: the highest.
        index: exponent of the probability density.
    """

    floor: float
    ceiling: float
    index: float
    # Every direction is as likely, because the SNR does not depend on it.
    sky_index: ClassVar[float] = 0.0

    @property
    def _snrs(self):
        return _power_law(self.index, self.floor, self.ceiling)

    def distance(self, quantile, reach):
        """As `Volumetric.distance`: the loudest binary first."""
        return np.asarray(reach) / self._snrs.rescale(1 - np.asarray(quantile))

    def steps(self, count, reach):
        """As `Volumetric.steps`."""
        edges = np.geomspace(self.floor, self.ceiling, count + 1)
        middle = np.sqrt(edges[1:] * edges[:-1])
        return np.asarray(reach)[:, None] / middle, np.diff(self._snrs.cdf(edges))

    def spread(self, variance):
        """As `Volumetric.spread`, for binaries of the median SNR."""
        # A network's squared SNR is the sum of both quadratures of all detectors.
        network = 2 * variance.sum(axis=0)
        return variance / network * self._snrs.rescale(0.5) ** 2

    def quieter(self, factor):
        """As `Volumetric.quieter`."""
        floor, ceiling = self.floor / factor, self.ceiling / factor
        return replace(self, floor=floor, ceiling=ceiling)


@dataclass(frozen=True)
class Population:
    """Ranges of the 15 parameters of a binary black hole, detector frame.

    Component masses are uniform inside the chirp-mass and mass-ratio ranges, spins
    uniform in magnitude and isotropic in direction, orientation and sky position
    isotropic.

    Args:
        name: name of the population in runs and caches.
        loudness: a `Volumetric` or an `SnrPowerLaw`: how loud the signals are.
        chirp_mass_msun: detector-frame chirp mass, solar masses.
        mass_ratio: secondary over primary, 0 to 1.
        spin: dimensionless spin magnitudes.
        merger_s: time of the merger at the geocentre, s after the window's start.
        approximant: lalsimulation's name of a frequency-domain waveform.
    """

    name: str
    loudness: Volumetric | SnrPowerLaw
    chirp_mass_msun: tuple[float, float] = (9.0, 35.0)
    mass_ratio: tuple[float, float] = (0.25, 1.0)
    spin: tuple[float, float] = (0.0, 0.99)
    merger_s: tuple[float, float] = (1.5, 1.8)
    approximant: str = "IMRPhenomPv2"

    def priors(self):
        """The bilby priors of `INTRINSIC` and `PLACE`, by name, in this order."""
        from bilby.core.prior import Cosine, Sine, Uniform
        from bilby.gw.prior import (
            UniformInComponentsChirpMass,
            UniformInComponentsMassRatio,
        )

        angle = {"minimum": 0.0, "maximum": 2 * np.pi}
        return {
            "chirp_mass": UniformInComponentsChirpMass(*self.chirp_mass_msun),
            "mass_ratio": UniformInComponentsMassRatio(*self.mass_ratio),
            "a_1": Uniform(*self.spin),
            "a_2": Uniform(*self.spin),
            "tilt_1": Sine(),
            "tilt_2": Sine(),
            "phi_12": Uniform(**angle),
            "phi_jl": Uniform(**angle),
            "theta_jn": Sine(),
            "phase": Uniform(**angle),
            "ra": Uniform(**angle),
            "dec": Cosine(),
            "psi": Uniform(0.0, np.pi),
            "merger_time": Uniform(*self.merger_s),
        }

    def draw(self, rng, count, names=INTRINSIC + PLACE):
        """Draw parameters; the distance is `loudness.distance` of a uniform draw.

        bilby's own sampling uses one global generator; inverting each prior's
        cumulative distribution on draws of `rng` keeps the seed an argument.

        Args:
            rng: numpy Generator.
            count: number of binaries.
            names: the parameters to draw, from `INTRINSIC` and `PLACE`.

        Returns:
            dict of name to float64 array of shape (count,).
        """
        priors = self.priors()
        return {
            name: np.asarray(priors[name].rescale(rng.random(count))) for name in names
        }


POPULATIONS = {
    population.name: population
    for population in (
        # The competition's signals have a floor in SNR: experiments/README.md.
        Population("g2net", SnrPowerLaw(floor=4.0, ceiling=30.0, index=-2.5)),
        Population("volumetric", Volumetric(near_mpc=235.0, far_mpc=3530.0)),
    )
}


def population(name):
    """The population of that name; `InputError` if there is none."""
    among("population", name, POPULATIONS)
    return POPULATIONS[name]
