"""Populations of binaries: the priors of the simulated signals."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar

import numpy as np

from gwres.errors import InputError, among, within
from gwres.strain import DETECTORS, DURATION, EARTH_S, WHITENED_RATE

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
class Segment:
    """Where waveforms of a bank lie, at `WHITENED_RATE`, and where a window of them.

    Args:
        samples: length of the segment.
        merger_s: time of the merger, s after the segment's start; on a sample.
        start: first sample of a window, in which most mergers need little shift.
    """

    samples: int
    merger_s: float
    start: int

    @property
    def nominal_s(self):
        """Time of the merger in a window whose signal is not shifted, s."""
        return self.merger_s - self.start / WHITENED_RATE


TAPER_S = 0.25  # rise of a signal at the start of a bank's segment, or where it is cut
STEP_S = 1 / 8  # segments begin and merge at multiples of this
# Fields of a population that came later. Where they change nothing they are left out
# of the keys of caches.
LATER = ("total_mass_msun", "held_s", "missing")


@dataclass(frozen=True)
class Population:
    """Ranges of the 15 parameters of a binary black hole, detector frame.

    Masses are given by chirp mass or by total mass. With chirp mass, component masses
    are uniform inside the ranges of chirp mass and mass ratio. With total mass, this is
    uniform, and so are the component masses at each: uniform component masses alone
    would leave 3% of the binaries of 10 to 160 solar masses below 30, where waveforms
    differ most. Spins are uniform in magnitude and isotropic in direction, orientation
    and sky position isotropic.

    Args:
        name: name of the population in runs and caches.
        loudness: a `Volumetric` or an `SnrPowerLaw`: how loud the signals are, in the
            detectors that have data.
        chirp_mass_msun: detector-frame chirp mass, solar masses, or None.
        mass_ratio: secondary over primary, 0 to 1.
        spin: dimensionless spin magnitudes.
        merger_s: time of the merger at the geocentre, s after the window's start.
        approximant: lalsimulation's name of a frequency-domain waveform.
        total_mass_msun: detector-frame total mass, solar masses, or None.
        held_s: how much of a signal there is before its merger, s; what came earlier is
            cut off, and the SNR is that of the rest. It must be more than a window can
            hold. None: all of it, from 20 Hz up.
        missing: probability that a detector has no data, for H1, L1 and V1, each 0 to
            1; one always has.

    Raises:
        InputError: masses given by none or by both, signals cut off in the window, or
            chances out of range.
    """

    name: str
    loudness: Volumetric | SnrPowerLaw
    chirp_mass_msun: tuple[float, float] | None = (9.0, 35.0)
    mass_ratio: tuple[float, float] = (0.25, 1.0)
    spin: tuple[float, float] = (0.0, 0.99)
    merger_s: tuple[float, float] = (1.5, 1.8)
    approximant: str = "IMRPhenomPv2"
    total_mass_msun: tuple[float, float] | None = None
    held_s: float | None = None
    missing: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self):
        masses = self.chirp_mass_msun, self.total_mass_msun
        if (masses[0] is None) == (masses[1] is None):
            raise InputError(
                "a population has either chirp_mass_msun or total_mass_msun; received "
                f"{masses[0]} and {masses[1]}"
            )
        for chance in self.missing:
            within("missing", chance, 0.0, 0.95)
        latest = self.merger_s[1] + EARTH_S
        if self.held_s is not None and self.held_s < latest:
            raise InputError(
                f"held_s must be {latest:g} or more, which a window can hold of a "
                f"signal that merges at {self.merger_s[1]:g} s; received {self.held_s}"
            )

    @property
    def key(self):
        """What caches of the population depend on, a JSON-able dict."""
        described, usual = asdict(self), {one.name: one.default for one in fields(self)}
        for name in LATER:
            if described[name] == usual[name]:
                del described[name]
        return described

    @property
    def lightest_msun(self):
        """The lowest chirp mass, solar masses."""
        if self.total_mass_msun is None:
            return self.chirp_mass_msun[0]
        ratio = self.mass_ratio[0]
        return self.total_mass_msun[0] * (ratio / (1 + ratio) ** 2) ** 0.6

    @property
    def segment(self):
        """The `Segment` of its bank.

        With the earliest and the latest merger, give or take the way through the Earth,
        a window lies clear of the segment's taper, and nothing wraps round into it.
        """
        low, high = self.merger_s
        nominal = round((low + high) / 2 / STEP_S) * STEP_S
        early, late = nominal - low + EARTH_S, high - nominal + EARTH_S
        clear = math.ceil((TAPER_S + late) / STEP_S) * STEP_S
        length = math.ceil(2 * (clear + DURATION + early)) / 2
        start = math.floor((length - DURATION - early) / STEP_S) * STEP_S
        rate = WHITENED_RATE
        return Segment(int(length * rate), start + nominal, int(start * rate))

    def priors(self):
        """The bilby priors of what is drawn, by name, in this order.

        They are those of `INTRINSIC` and `PLACE`. With total mass, `chirp_mass` stands
        for the total mass, and `mass_ratio` for the secondary's share of it.
        """
        from bilby.core.prior import Cosine, Sine, Uniform
        from bilby.gw.prior import (
            UniformInComponentsChirpMass,
            UniformInComponentsMassRatio,
        )

        angle = {"minimum": 0.0, "maximum": 2 * np.pi}
        if self.total_mass_msun is None:
            masses = {
                "chirp_mass": UniformInComponentsChirpMass(*self.chirp_mass_msun),
                "mass_ratio": UniformInComponentsMassRatio(*self.mass_ratio),
            }
        else:
            shares = (ratio / (1 + ratio) for ratio in self.mass_ratio)
            masses = {
                "chirp_mass": Uniform(*self.total_mass_msun),
                "mass_ratio": Uniform(*shares),
            }
        return {
            **masses,
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
            names: the parameters to draw, from `INTRINSIC` and `PLACE`; both masses or
                none.

        Returns:
            dict of name to float64 array of shape (count,).
        """
        priors = self.priors()
        drawn = {
            name: np.asarray(priors[name].rescale(rng.random(count))) for name in names
        }
        if self.total_mass_msun is not None and "chirp_mass" in drawn:
            total, share = drawn["chirp_mass"], drawn["mass_ratio"]
            drawn["chirp_mass"] = total * (share * (1 - share)) ** 0.6
            drawn["mass_ratio"] = share / (1 - share)
        return drawn

    def present(self, rng, count):
        """Draw which detectors have data.

        Where none is ever missing, nothing is drawn.

        Args:
            rng: numpy Generator.
            count: number of windows.

        Returns:
            bool (count, 3), at least one in each row.
        """
        there = np.ones((count, len(DETECTORS)), bool)
        if any(self.missing) and count:
            there = rng.random(there.shape) >= self.missing
            rows = ~there.any(axis=1)
            there[rows] = self.present(rng, int(rows.sum()))
        return there

    def heard(self, spread, present):
        """Variance of each quadrature of the SNR where detectors are missing.

        In a population whose detectors may be missing, a signal is as loud in those
        that have data as it would be in all three.

        Args:
            spread: (3, ...), with all detectors.
            present: (3,), whether each detector has data.

        Returns:
            (3, ...), zero for a missing detector.
        """
        kept = (spread.T * present).T
        if not (self.shared and any(present)):
            return kept
        return kept * spread.sum(axis=0) / kept.sum(axis=0)

    @property
    def shared(self):
        """Whether detectors that have data share the SNR of those that have none."""
        return any(self.missing) and isinstance(self.loudness, SnrPowerLaw)


POPULATIONS = {
    population.name: population
    for population in (
        # The competition's signals have a floor in SNR: experiments/README.md.
        Population("g2net", SnrPowerLaw(floor=4.0, ceiling=30.0, index=-2.5)),
        Population("volumetric", Volumetric(near_mpc=235.0, far_mpc=3530.0)),
        # Spread evenly in volume, signals have SNRs as rho^-4. A search looks at every
        # second of a stretch, so that a merger lies in the middle second of one window.
        Population(
            "field",
            SnrPowerLaw(floor=4.0, ceiling=100.0, index=-4.0),
            chirp_mass_msun=None,
            total_mass_msun=(10.0, 160.0),
            mass_ratio=(0.1, 1.0),
            merger_s=(0.5, 1.5),
            held_s=1.6,
            missing=(0.1, 0.1, 0.3),
        ),
    )
}


def population(name):
    """The population of that name; `InputError` if there is none."""
    among("population", name, POPULATIONS)
    return POPULATIONS[name]
