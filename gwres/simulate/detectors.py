"""Antenna patterns of the three detectors, and arrival times at them."""

from dataclasses import dataclass
from functools import cache

import lal
import numpy as np
from bilby.gw.detector import InterferometerList

from gwres.strain import DETECTORS

# The Earth's rotation angle only shifts right ascension, which is isotropic, so
# every simulated window is recorded at one moment.
GPS = 1_264_316_116.0

# Mean squared SNR in one quadrature, over the squared SNR of a face-on binary at the
# same distance, where F+^2 + Fx^2 = 1. Averaged over orientations (1 + cos^2)^2 / 4 is
# 7/15 and cos^2 is 1/3; each quadrature has half of their mean.
# Source: Finn & Chernoff, Phys. Rev. D 47, 2198 (1993).
ORIENTATION = (7 / 15 + 1 / 3) / 4


@cache
def _geometry():
    network = InterferometerList(list(DETECTORS))
    tensors = np.stack([detector.geometry.detector_tensor for detector in network])
    vertices = np.stack([detector.geometry.vertex for detector in network])
    return tensors, vertices


def _directions(ra, dec, gps):
    """Unit vectors in the Earth-fixed frame: to the source, and its south and east."""
    hour = np.asarray(ra) - lal.GreenwichMeanSiderealTime(lal.LIGOTimeGPS(gps))
    theta = np.pi / 2 - np.asarray(dec)
    radial = np.stack(
        [np.sin(theta) * np.cos(hour), np.sin(theta) * np.sin(hour), np.cos(theta)], -1
    )
    south = np.stack(
        [np.cos(theta) * np.cos(hour), np.cos(theta) * np.sin(hour), -np.sin(theta)], -1
    )
    east = np.stack([-np.sin(hour), np.cos(hour), np.zeros_like(hour)], -1)
    return radial, south, east


def patterns(ra, dec, psi, gps=GPS):
    """Antenna patterns of the network.

    Args:
        ra: right ascension, rad, (n,).
        dec: declination, rad, (n,).
        psi: polarisation angle, rad, (n,).
        gps: GPS time, s.

    Returns:
        (n, 3, 2): detector by (plus, cross), each within -1 and 1.

    Source:
        Anderson et al., Phys. Rev. D 63, 042003 (2001), equations B6 to B9.
    """
    _, south, east = _directions(ra, dec, gps)
    cos, sin = np.cos(psi)[:, None], np.sin(psi)[:, None]
    m = -south * sin - east * cos
    n = -south * cos + east * sin
    plus = m[:, :, None] * m[:, None, :] - n[:, :, None] * n[:, None, :]
    cross = m[:, :, None] * n[:, None, :] + n[:, :, None] * m[:, None, :]
    tensors, _ = _geometry()
    return np.stack(
        [np.einsum("dij,nij->nd", tensors, basis) for basis in (plus, cross)], axis=-1
    )


def delays(ra, dec, gps=GPS):
    """Arrival time at each detector, less that at the geocentre.

    Args:
        ra: right ascension, rad, (n,).
        dec: declination, rad, (n,).
        gps: GPS time, s.

    Returns:
        (n, 3) in s, within the Earth's light radius of 21 ms.
    """
    radial, _, _ = _directions(ra, dec, gps)
    _, vertices = _geometry()
    return -radial @ vertices.T / lal.C_SI


@dataclass(frozen=True)
class SkyResponse:
    """The network's response to waves from all over the sky.

    The weight of a direction is how often a signal of a given SNR comes from it: its
    squared response to the power that a population's `sky_index` gives.

    Args:
        delays: arrival at each detector after the geocentre, s, (n, 3), for directions
            drawn evenly over the sky.
        weights: weight of each direction, (n,); the sum is 1.
        covariance: (3, 3), weighted mean of F+ F+ + Fx Fx for each two detectors.
    """

    delays: np.ndarray
    weights: np.ndarray
    covariance: np.ndarray


@cache
def sky_response(index, directions=50_000):
    """The `SkyResponse` at `GPS`, the time of every simulated window."""
    rng = np.random.default_rng(0)
    ra = rng.uniform(0, 2 * np.pi, directions)
    dec = np.arcsin(rng.uniform(-1, 1, directions))
    response = patterns(ra, dec, np.zeros(directions))
    products = np.einsum("ndp,nep->nde", response, response)
    weights = np.trace(products, axis1=1, axis2=2) ** index
    weights /= weights.sum()
    covariance = np.einsum("n,nde->de", weights, products)
    return SkyResponse(delays(ra, dec), weights, covariance)
