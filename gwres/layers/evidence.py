"""Evidence of one signal in three detectors, at each time and template."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.layers.fitted import Fitted
from gwres.strain import DETECTORS

TICK = 4  # samples at the whitened rate between the times of H1 and V1
FINE = 2  # and of L1, whose phase is compared with that of H1
# By how many of those L1 may come later than H1: light takes 10 ms.
DELAYS = range(-5, 6)
REACH = 15  # ticks within the 28 ms from H1 to V1, on both sides
# The series of SNRs are H1, L1, L1 half a tick later, V1; one of each detector.
SERIES, EACH = 4, (0, 1, 3)
LATEST = 60.0  # the largest exponent: exp of it is a float32


@dataclass(frozen=True)
class Prior:
    """What is known of a signal's SNRs before the data.

    Args:
        cells: float32 (ticks, n), log probability of each time and template; the
            probabilities sum to 1.
        spread: (3, n), variance of each quadrature of the SNR in each detector.
        alignment: correlation of L1's complex SNR with H1's, -1 to 1.
        chances: probability of each of `DELAYS`, of sum 1.
    """

    cells: np.ndarray
    spread: np.ndarray
    alignment: float
    chances: np.ndarray


def couple(spread, alignment):
    """How the squared SNRs of H1 and L1 and their product weigh in the evidence.

    Before the data the two complex SNRs of a signal are normal, of variance s per
    quadrature each and of correlation r: H1 and L1 lie nearly in one plane, turned by
    a right angle, and see one wave with opposite signs. For S that covariance, the
    likelihood ratio is exp(z^+ W z) / det(1 + S) with W = (1 - (1 + S)^-1) / 2.

    Args:
        spread: (..., 2, n), s of H1 and of L1; zero where one is missing, of which
            then nothing is left.
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


def pair(hanford, livingston, weights, chances):
    """Log of the likelihood ratio of H1 and L1, averaged over the delay of L1.

    Args:
        hanford: real and imaginary part of the SNR, (batch, ticks, n), every `TICK`.
        livingston: the same every `FINE`, (batch, ticks, TICK / FINE, n).
        weights: as `couple` gives them, each (batch, 1, n).
        chances: probability of each of `DELAYS`.

    Returns:
        (batch, ticks, n).
    """
    first, second, cross, determinant = weights
    ticks, phases = livingston[0].shape[1:3]
    own = second[:, :, None] * _square(livingston)
    places = [divmod(delay, phases) for delay in DELAYS]
    before, after = -places[0][0], places[-1][0]
    ends = [(0, 0), (before, after), (0, 0)]
    # Each phase by itself: slices with a stride take five times as long.
    padded = [
        [ops.pad(part[:, :, phase], ends) for part in (own, *livingston)]
        for phase in range(phases)
    ]
    real, imaginary = (cross * part for part in hanford)
    likely = 0.0
    for (tick, phase), chance in zip(places, chances):
        start = before + tick
        here = [part[:, start : start + ticks] for part in padded[phase]]
        exponent = here[0] + real * here[1] + imaginary * here[2]
        likely += chance * ops.exp(ops.minimum(exponent, LATEST))
    return first * _square(hanford) - determinant + ops.log(likely)


def alone(snr, spread):
    """Log of the likelihood ratio of V1, averaged over its delays after H1.

    What phase it has beside the others depends on the sky too much to be of use.

    Args:
        snr: real and imaginary part, (batch, ticks, n), every `TICK`.
        spread: (batch, 1, n), zero where it is missing.

    Returns:
        (batch, ticks, n).
    """
    exponent = spread / (1 + spread) / 2 * _square(snr)
    likely = ops.exp(ops.minimum(exponent, LATEST))
    return ops.log(ops.average_pool(likely, REACH, 1, "same") / (1 + spread))


def _square(snr):
    real, imaginary = snr
    return ops.square(real) + ops.square(imaginary)


@keras.saving.register_keras_serializable("gwres")
class Evidence(Fitted):
    """Log of prior times likelihood ratio of each time and template, in float32.

    The log of the sum of their exponentials is the log Bayes factor of a signal.

    Raises:
        ValueError: called before `fit`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)

    def build(self, shape):
        """Make the weights."""
        ticks, count = shape[1], shape[-1] // 2
        self.unset(
            cells=(ticks, count),
            spread=(len(DETECTORS), count),
            alignment=(),
            chances=(len(DELAYS),),
        )

    def fit(self, prior):
        """Take a `Prior`."""
        ticks, count = prior.cells.shape
        self.set((None, ticks, SERIES, 2 * count), **vars(prior))

    def call(self, snr):
        """(batch, ticks, 4, 2 n), as `Templates` gives it, to (batch, ticks, n)."""
        self.demand("prior: call fit")
        count = snr.shape[-1] // 2
        real, imaginary = snr[..., :count], snr[..., count:]
        present = ops.cast(ops.any(snr != 0, axis=(1, 3)), "float32")
        spread = ops.take(present, EACH, axis=1)[..., None] * self.spread
        hanford = real[:, :, 0], imaginary[:, :, 0]
        livingston = real[:, :, 1:3], imaginary[:, :, 1:3]
        virgo = real[:, :, 3], imaginary[:, :, 3]
        weights = couple(spread[:, None, :2], self.alignment)
        chances = [self.chances[place] for place in range(len(DELAYS))]
        found = pair(hanford, livingston, weights, chances)
        return found + alone(virgo, spread[:, 2:]) + self.cells

    def compute_output_shape(self, shape):
        """(batch, ticks, n)."""
        return shape[0], shape[1], shape[-1] // 2
