"""Populations of binaries: the priors of the simulated signals."""

from dataclasses import dataclass

import numpy as np
from bilby.core.prior import Cosine, PowerLaw, Sine, Uniform
from bilby.gw.prior import UniformInComponentsChirpMass, UniformInComponentsMassRatio

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
EXTRINSIC = ("luminosity_distance", "ra", "dec", "psi", "merger_time")
PARAMETERS = INTRINSIC + EXTRINSIC


@dataclass(frozen=True)
class Population:
    """Ranges of the 15 parameters of a binary black hole, detector frame.

    Component masses are uniform inside the chirp-mass and mass-ratio ranges, spins
    uniform in magnitude and isotropic in direction, orientation and sky position
    isotropic, distance uniform in Euclidean volume.

    Args:
        name: name of the population in runs and caches.
        distance_mpc: luminosity distance, Mpc.
        chirp_mass_msun: detector-frame chirp mass, solar masses.
        mass_ratio: secondary over primary, 0 to 1.
        spin: dimensionless spin magnitudes.
        merger_s: time of the merger at the geocentre, s after the window's start.
        approximant: lalsimulation's name of a frequency-domain waveform.
    """

    name: str
    distance_mpc: tuple[float, float]
    chirp_mass_msun: tuple[float, float] = (9.0, 35.0)
    mass_ratio: tuple[float, float] = (0.25, 1.0)
    spin: tuple[float, float] = (0.0, 0.99)
    merger_s: tuple[float, float] = (1.5, 1.8)
    approximant: str = "IMRPhenomPv2"

    def priors(self):
        """The bilby priors, by parameter name, in the order of `PARAMETERS`."""
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
            "luminosity_distance": PowerLaw(2, *self.distance_mpc),
            "ra": Uniform(**angle),
            "dec": Cosine(),
            "psi": Uniform(0.0, np.pi),
            "merger_time": Uniform(*self.merger_s),
        }

    @property
    def typical_mpc(self):
        """The median distance, Mpc, at which a typical SNR is computed.

        A mean squared SNR would be that of the few loudest signals.
        """
        return float(self.priors()["luminosity_distance"].rescale(0.5))

    def draw(self, rng, count, names=PARAMETERS):
        """Draw parameters.

        bilby's own sampling uses one global generator; inverting each prior's
        cumulative distribution on draws of `rng` keeps the seed an argument.

        Args:
            rng: numpy Generator.
            count: number of binaries.
            names: the parameters to draw, from `PARAMETERS`.

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
        # With these distances, matched-filter AUC and SNRs are those of G2Net's data.
        Population("g2net", distance_mpc=(235.0, 3530.0)),
        Population("loud", distance_mpc=(200.0, 3000.0)),
    )
}


def population(name):
    """The population of that name; `InputError` if there is none."""
    among("population", name, POPULATIONS)
    return POPULATIONS[name]
