"""Evidence for one signal in three detectors, at each time and template."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.layers.fitted import Fitted
from gwres.strain import APART_S, DETECTORS, WHITENED_RATE

POOL = 4  # ticks that become one step of the map, by default
# Each quadrature of an SNR is clipped to this, so that the product of three detectors'
# likelihood ratios, exp(75) at most, fits a float32.
LOUDEST = 5.0


@dataclass(frozen=True)
class Prior:
    """Prior of a signal: its time, template, SNRs and delays.

    Args:
        cells: float32 (ticks, n), log probability of each time and template; the
            probabilities sum to 1.
        spread: (3, n), variance of each quadrature of the SNR in each detector.
        alignment: correlation of L1's complex SNR with H1's, -1 to 1.
        chances: probability of each delay of L1 of `delays`; the sum is 1.
        far: probability of each delay of V1; the sum is 1.
        shared: as `Population.shared`: detectors that have data share the SNR of those
            that have none.
    """

    cells: np.ndarray
    spread: np.ndarray
    alignment: float
    chances: np.ndarray
    far: np.ndarray
    shared: bool = False


def delays(tick):
    """Delays of L1, and of V1, after H1, in ticks: two ranges.

    Args:
        tick: samples between two SNRs.
    """
    reach = (round(APART_S[name] * WHITENED_RATE / tick) for name in DETECTORS[1:])
    return tuple(range(-most, most + 1) for most in reach)


def couple(spread, alignment):
    """Weights of the squared SNRs of H1 and L1, and of their product, in the evidence.

    The prior of a signal's two complex SNRs z is normal, with variance s per quadrature
    and correlation r, near -1: H1 and L1 lie nearly in one plane, turned by a right
    angle, and see a wave with opposite signs. With their covariance S the likelihood
    ratio is exp(z^+ W z) / det(1 + S), where W = (1 - (1 + S)^-1) / 2.

    Args:
        spread: (..., 2, n), s of H1 and of L1; with zero, a missing detector drops out
            of the result.
        alignment: r, -1 to 1.

    Returns:
        Four tensors (..., n): W of H1, W of L1, twice W between them, log det(1 + S).

    Source:
        Searle, Sutton & Tinto, Class. Quantum Grav. 26, 155017 (2009).
    """
    hanford, livingston = spread[..., 0, :], spread[..., 1, :]
    covariance = alignment * ops.sqrt(hanford * livingston)
    determinant = (1 + hanford) * (1 + livingston) - covariance**2
    return (
        (1 - (1 + livingston) / determinant) / 2,
        (1 - (1 + hanford) / determinant) / 2,
        covariance / determinant,
        ops.log(determinant),
    )


def ligo_ratio(hanford, livingston, powers, weights, chances):
    """Likelihood ratio of H1 and L1, averaged over the delay of L1.

    Args:
        hanford: real and imaginary part of H1's SNR, each (ticks, batch, n).
        livingston: real and imaginary part of L1's SNR, each (ticks, batch, n).
        powers: squared modulus of H1's SNR, then L1's, each (ticks, batch, n).
        weights: from `couple`, each (batch, n).
        chances: probability of each delay, in ticks, the middle one 0.

    Returns:
        (ratio without the factor that depends on H1 alone, log of that factor), each
        (ticks, batch, n).
    """
    first, second, cross, log_determinant = weights
    ticks = powers[0].shape[0]
    ends = [(len(chances) // 2, len(chances) // 2), (0, 0), (0, 0)]
    parts = second * powers[1], *livingston
    square, real, imaginary = (ops.pad(part, ends) for part in parts)
    along, across = (cross * part for part in hanford)
    ratio = 0.0
    for start, chance in enumerate(chances):
        here = slice(start, start + ticks)
        exponent = square[here] + along * real[here] + across * imaginary[here]
        ratio += chance * ops.exp(exponent)
    return ratio, first * powers[0] - log_determinant


def virgo_ratio(power, spread, arrivals):
    """Likelihood ratio of V1, averaged over its delay after H1.

    V1's phase is not used: relative to H1 it depends too much on the sky position.

    Args:
        power: squared modulus of V1's SNR, (ticks, batch, n).
        spread: variance per quadrature, (batch, n), zero where V1 is missing.
        arrivals: (ticks, ticks), from `_arrivals`.

    Returns:
        (ticks, batch, n).
    """
    ratio = ops.exp(spread / (1 + spread) / 2 * power)
    ticks, _, count = power.shape
    averaged = ops.matmul(arrivals, ops.reshape(ratio, (ticks, -1)))
    return ops.reshape(averaged, (ticks, -1, count)) / (1 + spread)


def _arrivals(ticks, far):
    """Probability of each tick in V1 (columns) given the tick in H1 (rows)."""
    reach = len(far) // 2
    chances = np.array([np.eye(ticks, k=k) for k in range(-reach, reach + 1)])
    matrix = np.tensordot(far, chances, 1)
    # Only delays that stay inside the map count.
    return matrix / matrix.sum(axis=1, keepdims=True)


def _grouped(x, pool):
    """Reshape (ticks, batch, n) to (ticks / pool, pool, batch, n)."""
    ticks, _, count = x.shape
    return ops.reshape(x, (ticks // pool, pool, -1, count))


@keras.saving.register_keras_serializable("gwres")
class Evidence(Fitted):
    """Map of log(prior x likelihood ratio) over time and template, in float32.

    `logsumexp` of the map is the log Bayes factor of a signal.

    Args:
        tick: samples between two SNRs.
        pool: ticks that become one step of the map.
        shared: as `Prior.shared`; `fit` sets it.
        kwargs: arguments of `Fitted`.

    Raises:
        ValueError: called before `fit`.
    """

    def __init__(self, tick=2, pool=POOL, shared=False, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.tick, self.pool, self.shared = tick, pool, shared

    def build(self, shape):
        """Make the weights."""
        ticks, _, count = shape[0][0]
        self.unset(
            cells=(ticks, 1, count),
            spread=(len(DETECTORS), count),
            alignment=(),
            chances=(len(delays(self.tick)[0]),),
            arrivals=(ticks, ticks),
        )

    def fit(self, prior):
        """Set the weights from a `Prior`."""
        ticks, count = prior.cells.shape
        self.shared = bool(prior.shared)
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
            (batch, ticks / pool, n), and the highest squared SNR of `pool` ticks in
            each detector, (batch, ticks / pool, n, 3); of re-weighted ones also that
            from before, (batch, ticks / pool, n, 6).
        """
        self.demand("prior: call fit")
        # A missing detector has no SNR at any time.
        middle = snr[0][0].shape[0] // 2
        present = [ops.any(real[middle] != 0, axis=1) for real, *_ in snr]
        present = ops.cast(ops.stack(present, 1), "float32")
        spread = present[..., None] * self.spread
        if self.shared:
            kept = ops.maximum(ops.sum(spread, axis=1, keepdims=True), 1e-6)
            spread = spread * ops.sum(self.spread, axis=0) / kept
        hanford, livingston, virgo = (
            [ops.clip(part, -LOUDEST, LOUDEST) for part in parts[:2]] for parts in snr
        )
        powers = [
            ops.square(real) + ops.square(imaginary)
            for real, imaginary in (hanford, livingston, virgo)
        ]
        weights = couple(spread[:, :2], self.alignment)
        chances = [self.chances[place] for place in range(self.chances.shape[0])]
        ratio, log_factor = ligo_ratio(hanford, livingston, powers, weights, chances)
        ratio = ratio * virgo_ratio(powers[2], spread[:, 2], self.arrivals)
        ratio = ratio * ops.exp(log_factor + self.cells)
        cells = ops.log(ops.sum(_grouped(ratio, self.pool), axis=1))
        powers += [before for _, _, *whole in snr for before in whole]
        power = ops.stack(
            [ops.max(_grouped(square, self.pool), 1) for square in powers], -1
        )
        return ops.transpose(cells, (1, 0, 2)), ops.transpose(power, (1, 0, 2, 3))

    def compute_output_shape(self, shape):
        """(batch, ticks / pool, n) and the same with a channel a detector, or two."""
        ticks, batch, count = shape[0][0]
        cells = batch, ticks // self.pool, count
        return cells, (*cells, len(DETECTORS) * (len(shape[0]) - 1))

    def get_config(self):
        """The arguments that make the layer again."""
        return super().get_config() | {
            "tick": self.tick,
            "pool": self.pool,
            "shared": self.shared,
        }


@dataclass(frozen=True)
class Noise:
    """What the maps of `Evidence` are in noise.

    Args:
        cells: mean and standard deviation of the evidence.
        highest: the same of the highest SNR, `amplitude` of its square.
    """

    cells: tuple[float, float]
    highest: tuple[float, float]


def amplitude(power):
    """SNRs of the squares that `Evidence` gives.

    With those from before re-weighting among them, which have no limit, they grow as a
    logarithm beyond `LOUDEST`.
    """
    root = ops.sqrt(power + 0.01)  # its slope at zero is finite
    if power.shape[-1] == len(DETECTORS):
        return root
    return LOUDEST * ops.arcsinh(root / LOUDEST)


@keras.saving.register_keras_serializable("gwres")
class Image(Fitted):
    """What a network sees of `Evidence`: maps of zero mean and unit variance in noise.

    Raises:
        ValueError: called before `fit`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)

    def build(self, shape):
        """Make the weights."""
        self.unset(mean=(2,), deviation=(2,))

    def fit(self, noise):
        """Set the weights from a `Noise`."""
        mean, deviation = np.transpose([noise.highest, noise.cells])
        cells = None, None, None
        self.set([cells, (*cells, None)], mean=mean, deviation=deviation)

    def call(self, maps):
        """Turn the maps of `Evidence` into an image.

        Returns:
            The evidence as it is, and (batch, ticks / pool, n, 4 or 7), the highest
            SNR in each detector, re-weighted and before, and the evidence.
        """
        self.demand("levels of noise: call fit")
        cells, power = maps
        highest = (amplitude(power) - self.mean[0]) / self.deviation[0]
        # Evidence that reaches the upper limit is far above noise.
        clipped = ops.clip((cells - self.mean[1]) / self.deviation[1], -4.0, 8.0)
        return cells, ops.concatenate([highest, clipped[..., None]], axis=-1)

    def compute_output_shape(self, shape):
        """(batch, ticks / pool, n), and the same with one channel more than given."""
        cells, (*_, channels) = map(tuple, shape)
        return cells, (*cells, channels + 1)
