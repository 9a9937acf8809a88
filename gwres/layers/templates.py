"""A matched filter in the graph: whitened strain to a map of SNR over time and mass."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.errors import InputError
from gwres.layers.spectrogram import RAYLEIGH
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES

COUNT = 64  # templates, in order of chirp mass
RANK = 24  # waveforms that these are sums of, nearly
LENGTH, AFTER = 1056, 32  # samples of a template; those after its merger
TICK, TICKS = 4, 128  # samples between the SNRs, and how many: half a second
FIRST_S = 1.4  # of the SNRs, after the window's start
SHIFTS = range(-16, 17, 2)  # samples by which two templates are moved to match
# H1 and L1 have one noise curve and so one set of templates; V1 has its own.
CURVES = (0, 2)
CURVE = (0, 0, 1)
# Ticks within light's travel time of H1, 10 and 28 ms, on both sides.
REACH = 7, 15
# The convolution takes blocks of samples as channels, which is what fills them.
FOLD = 16
LATEST = 60.0  # the largest exponent: exp of it is a float32
EVIDENCE = 3.24, 1.28  # mean and deviation in noise, with the first weights


@dataclass(frozen=True)
class Design:
    """Templates as sums of few waveforms.

    Args:
        basis: complex64 (2, RANK, LENGTH), orthonormal, for H1 with L1, and for V1.
        mix: complex64 (2, COUNT, RANK), what each template takes of them.
    """

    basis: np.ndarray
    mix: np.ndarray


def design(series):
    """Choose the templates that cover a population best.

    Greedily: each next one is that which raises the mean match, over time and phase,
    of all with their best template. All are then expanded in their first principal
    components.

    Args:
        series: complex (2, n, samples): n templates, more than `COUNT`, in order of
            chirp mass, whitened for H1 and L1, and for V1; analytic, at the whitened
            rate, the merger at sample 0 and what comes before it at the end.

    Returns:
        A `Design`.

    Raises:
        InputError: too few templates to choose from.

    Source:
        Cannon et al., Phys. Rev. D 82, 044025 (2010), for the components.
    """
    if series.shape[1] < COUNT:
        raise InputError(
            f"expected {COUNT} templates or more, received {series.shape[1]}"
        )
    rows = np.roll(series, LENGTH - AFTER, axis=-1)[..., :LENGTH]
    rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    chosen = _cover(rows[0])
    parts = [_components(each, each[chosen]) for each in rows]
    return Design(*(np.stack(part).astype(np.complex64) for part in zip(*parts)))


def _cover(rows):
    """Places of the `COUNT` rows that match all of them best, in their order."""
    match = np.zeros((len(rows), len(rows)))
    for shift in SHIFTS:
        moved = np.roll(rows, shift, axis=1).conj()
        np.maximum(match, np.abs(rows @ moved.T), out=match)
    best, chosen = np.zeros(len(rows)), []
    for _ in range(COUNT):
        raised = np.maximum(match, best).sum(axis=1)
        raised[chosen] = -1
        chosen.append(int(raised.argmax()))
        best = np.maximum(best, match[chosen[-1]])
    return np.sort(chosen)


def _components(rows, chosen):
    """Principal components of rows, and the chosen ones' coefficients.

    These have norm sqrt(2), so that either quadrature of an SNR has unit variance.
    """
    _, _, components = np.linalg.svd(rows, full_matrices=False)
    basis = components[:RANK]
    mix = chosen @ basis.conj().T
    return basis, mix * np.sqrt(2) / np.linalg.norm(mix, axis=1, keepdims=True)


def squares(x, basis, mix):
    """Squared SNR of one detector with every template.

    z(t) = sum over s of x(s) conj(q(s - t)) with templates q = mix basis, summed over
    the basis first, which is far shorter than the list of templates.

    Args:
        x: (batch, blocks, FOLD), whitened samples, from `_reach`.
        basis: (LENGTH, 2 RANK), real parts, then imaginary ones.
        mix: (2 RANK, 2 COUNT), as `_real` makes it.

    Returns:
        (batch, TICKS, COUNT), mean 2 in noise.
    """
    phases = FOLD // TICK
    kernels = [
        ops.pad(basis, [(TICK * i, FOLD - TICK * i), (0, 0)]) for i in range(phases)
    ]
    kernel = ops.reshape(ops.concatenate(kernels, 1), (-1, FOLD, phases * 2 * RANK))
    y = ops.conv(x, kernel, 1, "valid")
    z = ops.matmul(ops.reshape(y, (-1, TICKS, 2 * RANK)), mix)
    return ops.square(z[..., :COUNT]) + ops.square(z[..., COUNT:])


def _reach(whitened):
    """The samples that the SNRs need, in blocks: (batch, 3, blocks, FOLD)."""
    first = round(FIRST_S * WHITENED_RATE) - (LENGTH - AFTER)
    samples = TICKS * TICK + LENGTH
    x = ops.transpose(whitened, (0, 2, 1))[..., first : first + samples]
    short = max(first + samples - WHITENED_SAMPLES, 0)
    x = ops.pad(x, [(0, 0), (0, 0), (0, short)])
    return ops.reshape(x, (-1, len(DETECTORS), samples // FOLD, FOLD))


def evidence(squared, weights):
    """Log likelihood ratio of each template and time, up to a constant.

    The sum over detectors of the log of the mean, over the delays that light allows,
    of exp(w |z|^2); see `matched_filter.marginal`, which is its mean over both.

    Args:
        squared: (batch, TICKS, 3, COUNT), as `squares` gives it.
        weights: (3,), 0.5 for a detector that is trusted fully.

    Returns:
        float32 (batch, TICKS, COUNT).
    """
    weighted = ops.cast(squared, "float32") * ops.cast(weights, "float32")[:, None]
    total = weighted[:, :, 0]
    for detector, reach in zip((1, 2), REACH):
        likely = ops.exp(ops.minimum(weighted[:, :, detector], LATEST))
        total += ops.log(ops.average_pool(likely, reach, 1, "same"))
    return total


def _real(mix):
    """The complex product with `mix` as a real one, (2 RANK, 2 COUNT), to a sign."""
    real, imaginary = mix.real.T, mix.imag.T
    return np.block([[real, imaginary], [-imaginary, real]])


@keras.saving.register_keras_serializable("gwres")
class Templates(keras.layers.Layer):
    """A map of SNR over time and template, one channel a detector, and of `evidence`.

    The basis stays as designed; what each template takes of it, and how far each
    detector is trusted, are learned on.

    Args:
        fitted: whether a design is there; set by `fit` and on loading.

    Raises:
        ValueError: called before `fit`.

    Source:
        Wang et al., Phys. Rev. D 101, 104003 (2020): matched filters as first layer.
    """

    def __init__(self, fitted=False, **kwargs):
        super().__init__(**kwargs)
        self.fitted = fitted

    def build(self, shape):
        """Make the weights; NaN, so that none of them passes for a design."""
        unset = keras.initializers.Constant(float("nan"))
        curves = len(CURVES)
        self.basis = self.add_weight(
            name="basis",
            shape=(curves, LENGTH, 2 * RANK),
            initializer=unset,
            trainable=False,
        )
        self.mix = self.add_weight(
            name="mix", shape=(curves, 2 * RANK, 2 * COUNT), initializer=unset
        )
        trust = keras.initializers.Constant(0.42)
        self.trust = self.add_weight(
            name="trust", shape=(len(DETECTORS),), initializer=trust
        )

    def fit(self, designed):
        """Take a `Design`."""
        if not self.built:
            self.build((None, WHITENED_SAMPLES, len(DETECTORS)))
            self.built = True
        basis = np.swapaxes(designed.basis, 1, 2)
        self.basis.assign(np.concatenate([basis.real, basis.imag], axis=-1))
        self.mix.assign(np.stack([_real(mix) for mix in designed.mix]))
        self.fitted = True

    def call(self, whitened):
        """(batch, 2048, 3) to (batch, 128, 64, 4), about unit variance in noise."""
        if not self.fitted:
            raise ValueError("Templates has no design: call fit first")
        x = _reach(whitened)
        both = zip(range(len(DETECTORS)), CURVE)
        found = [squares(x[:, i], self.basis[c], self.mix[c]) for i, c in both]
        squared = ops.stack(found, axis=2)
        mean, deviation = RAYLEIGH
        amplitude = (ops.sqrt(squared + 0.01) - mean) / deviation
        mean, deviation = EVIDENCE
        summed = (evidence(squared, self.trust) - mean) / deviation
        # Loud signals are told from noise long before this.
        summed = ops.cast(ops.clip(summed, -4.0, 12.0), amplitude.dtype)
        together = ops.concatenate([amplitude, summed[:, :, None]], axis=2)
        return ops.transpose(together, (0, 1, 3, 2))

    def compute_output_shape(self, shape):
        """(batch, 128, 64, 4)."""
        return shape[0], TICKS, COUNT, len(DETECTORS) + 1

    def get_config(self):
        """The arguments."""
        return super().get_config() | {"fitted": self.fitted}
