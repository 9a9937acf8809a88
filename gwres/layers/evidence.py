"""Evidence of one signal in three detectors, at each time and template."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.layers.fitted import Fitted
from gwres.strain import DETECTORS

# Delays of L1 after H1, and of V1 after H1, in ticks: light takes 10 and 28 ms.
DELAYS, FAR = range(-5, 6), range(-14, 15)
POOL = 4  # ticks that become one step of the map
# Each quadrature of an SNR is cut to this, so that the product of three detectors'
# likelihood ratios, exp(75) at most, is a float32.
LOUDEST = 5.0


@dataclass(frozen=True)
class Prior:
    """What is known of a signal's SNRs before the data.

    Args:
        cells: float32 (ticks, n), log probability of each time and template; the
            probabilities sum to 1.
        spread: (3, n), variance of each quadrature of the SNR in each detector.
        alignment: correlation of L1's complex SNR with H1's, -1 to 1.
        chances: probability of each of `DELAYS`, of sum 1.
        far: probability of each of `FAR`, of sum 1.
    """

    cells: np.ndarray
    spread: np.ndarray
    alignment: float
    chances: np.ndarray
    far: np.ndarray


def couple(spread, alignment):
    """Weights of the squared SNRs of H1 and L1, and of their product, in the evidence.

    The prior of a signal's two complex SNRs is normal, with variance s in a quadrature
    and correlation r: H1 and L1 lie nearly in one plane, turned by a right angle, and
    see a wave with opposite signs. With S this covariance, the likelihood ratio is
    exp(z^+ W z) / det(1 + S), where W = (1 - (1 + S)^-1) / 2.

    Args:
        spread: (..., 2, n), s of H1 and of L1; zero for a missing detector, which then
            drops out of the result.
        alignment: r, -1 to 1.

    Returns:
        Four tensors (..., n): W of H1, W of L1, twice W of both, log det(1 + S).

    Source:
        Searle, Sutton & Tinto, Class. Quantum Grav. 26, 155017 (2009).
    """
    hanford, livingston = spread[..., 0, :], spread[..., 1, :]
    both = alignment * ops.sqrt(hanford * livingston)
    determinant = (1 + hanford) * (1 + livingston) - both**2
    return (
        (1 - (1 + livingston) / determinant) / 2,
        (1 - (1 + hanford) / determinant) / 2,
        both / determinant,
        ops.log(determinant),
    )


def ligo_ratio(hanford, livingston, powers, weights, chances):
    """Likelihood ratio of H1 and L1, averaged over the delay of L1.

    Args:
        hanford: real and imaginary part of the SNR, (ticks, batch, n) each.
        livingston: the same.
        powers: their squared moduli.
        weights: as `couple` gives them, each (batch, n).
        chances: probability of each of `DELAYS`.

    Returns:
        Two of (ticks, batch, n): the ratio without the factor that H1 alone gives, and
        the log of that factor.
    """
    first, second, cross, determinant = weights
    ticks = powers[0].shape[0]
    ends = [(-DELAYS[0], DELAYS[-1]), (0, 0), (0, 0)]
    parts = second * powers[1], *livingston
    own, real, imaginary = (ops.pad(part, ends) for part in parts)
    along, across = (cross * part for part in hanford)
    likely = 0.0
    for start, chance in enumerate(chances):
        here = slice(start, start + ticks)
        exponent = own[here] + along * real[here] + across * imaginary[here]
        likely += chance * ops.exp(exponent)
    return likely, first * powers[0] - determinant


def virgo_ratio(power, spread, arrivals):
    """Likelihood ratio of V1, averaged over its delay after H1.

    Its phase beside that of the others depends on the sky too much to be of use.

    Args:
        power: squared modulus of the SNR, (ticks, batch, n).
        spread: (batch, n), zero where it is missing.
        arrivals: (ticks, ticks), as `_arrivals` makes it.

    Returns:
        (ticks, batch, n).
    """
    likely = ops.exp(spread / (1 + spread) / 2 * power)
    ticks, _, count = power.shape
    averaged = ops.matmul(arrivals, ops.reshape(likely, (ticks, -1)))
    return ops.reshape(averaged, (ticks, -1, count)) / (1 + spread)


def _arrivals(ticks, far):
    """Probability of each tick in V1 for each in H1, (ticks, ticks)."""
    chances = np.array([np.eye(ticks, k=delay) for delay in FAR])
    matrix = np.tensordot(far, chances, 1)
    # A signal that would arrive outside the map counts as one inside.
    return matrix / matrix.sum(axis=1, keepdims=True)


def _grouped(x):
    """(ticks, batch, n) to (ticks / POOL, POOL, batch, n)."""
    ticks, _, count = x.shape
    return ops.reshape(x, (ticks // POOL, POOL, -1, count))


@keras.saving.register_keras_serializable("gwres")
class Evidence(Fitted):
    """Log of prior times likelihood ratio over time and template, in float32.

    The log of the sum of the map's exponentials is the log Bayes factor of a signal.

    Raises:
        ValueError: called before `fit`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)

    def build(self, shape):
        """Make the weights."""
        ticks, _, count = shape[0][0]
        self.unset(
            cells=(ticks, 1, count),
            spread=(len(DETECTORS), count),
            alignment=(),
            chances=(len(DELAYS),),
            arrivals=(ticks, ticks),
        )

    def fit(self, prior):
        """Take a `Prior`."""
        ticks, count = prior.cells.shape
        self.set(
            [[(ticks, None, count)] * 2] * len(DETECTORS),
            cells=prior.cells[:, None],
            spread=prior.spread,
            alignment=prior.alignment,
            chances=prior.chances,
            arrivals=_arrivals(ticks, prior.far),
        )

    def call(self, snr):
        """Turn the SNRs of `Templates` into a map of evidence and one of squared SNRs.

        Returns:
            (batch, ticks / POOL, n), and the highest squared SNR of `POOL` ticks in
            each detector, (batch, ticks / POOL, n, 3).
        """
        self.demand("prior: call fit")
        # A missing detector has no SNR at any time.
        middle = snr[0][0].shape[0] // 2
        present = [ops.any(real[middle] != 0, axis=1) for real, _ in snr]
        present = ops.cast(ops.stack(present, 1), "float32")
        spread = present[..., None] * self.spread
        hanford, livingston, virgo = (
            [ops.clip(part, -LOUDEST, LOUDEST) for part in parts] for parts in snr
        )
        powers = [
            ops.square(real) + ops.square(imaginary)
            for real, imaginary in (hanford, livingston, virgo)
        ]
        weights = couple(spread[:, :2], self.alignment)
        chances = [self.chances[place] for place in range(len(DELAYS))]
        likely, outer = ligo_ratio(hanford, livingston, powers, weights, chances)
        likely = likely * virgo_ratio(powers[2], spread[:, 2], self.arrivals)
        likely = likely * ops.exp(outer + self.cells)
        cells = ops.log(ops.sum(_grouped(likely), axis=1))
        power = ops.stack([ops.max(_grouped(each), 1) for each in powers], -1)
        return ops.transpose(cells, (1, 0, 2)), ops.transpose(power, (1, 0, 2, 3))

    def compute_output_shape(self, shape):
        """(batch, ticks / POOL, n) and (batch, ticks / POOL, n, 3)."""
        ticks, batch, count = shape[0][0]
        cells = batch, ticks // POOL, count
        return cells, (*cells, len(DETECTORS))
