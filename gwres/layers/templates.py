"""A matched filter in the graph: whitened strain to SNRs over time and mass."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.errors import InputError
from gwres.layers.fitted import Fitted
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES

COUNT = 64  # templates, in order of chirp mass
RANK = 40  # principal components that the templates are sums of
LENGTH, AFTER = 1056, 32  # samples of a template: all, and after its merger
TICK, TICKS = 2, 176  # samples between two SNRs, and number of SNRs: 0.34 s
FIRST_S = 1.4795  # time of the first SNR: the first merger, less light travel time
SHIFTS = range(-16, 17, 2)  # samples by which a template is moved to match another
# H1 and L1 share a noise curve and so a set of templates, 0; V1 has its own, 1.
CURVES, CURVE = (0, 2), (0, 0, 1)
# The convolution takes blocks of this many samples as channels, which is faster.
FOLD = 16


@dataclass(frozen=True)
class Design:
    """Templates as sums of a few basis waveforms.

    Args:
        basis: complex64 (2, RANK, LENGTH), orthonormal, for H1 with L1, and for V1.
        mix: complex64 (2, COUNT, RANK), coefficients of each template.
        share: (COUNT,), share of the population that matches this template best; the
            sum is 1.
        power: (2, COUNT), mean squared optimal SNR of the waveforms in that share, at
            the distance they were made for.
    """

    basis: np.ndarray
    mix: np.ndarray
    share: np.ndarray
    power: np.ndarray


def design(series):
    """Choose the templates that cover a population best.

    Greedily: the next template is the one that most raises the mean match of all
    waveforms with their best template, maximised over time and phase. The chosen
    templates are then expanded in principal components.

    Args:
        series: complex (2, n, samples): n waveforms, `COUNT` or more, in order of chirp
            mass, whitened for H1 with L1, and for V1; analytic signals at the whitened
            rate, with the merger at sample 0 and the inspiral at the end.

    Returns:
        A `Design`.

    Raises:
        InputError: fewer waveforms than `COUNT`.

    Source:
        Cannon et al., Phys. Rev. D 82, 044025 (2010), for the components.
    """
    if series.shape[1] < COUNT:
        raise InputError(
            f"expected {COUNT} templates or more, received {series.shape[1]}"
        )
    rows = np.roll(series, LENGTH - AFTER, axis=-1)[..., :LENGTH]
    norms = np.linalg.norm(rows, axis=-1)
    rows = rows / norms[..., None]
    match = _match(rows[0])
    chosen = _cover(match)
    parts = [_components(waveforms, waveforms[chosen]) for waveforms in rows]
    basis, mix = (np.stack(part).astype(np.complex64) for part in zip(*parts))
    nearest = match[:, chosen].argmax(axis=1)
    count = np.bincount(nearest, minlength=COUNT)
    # The waveform is the real part, which holds half of the analytic signal's power.
    total = [np.bincount(nearest, norm**2 / 2, COUNT) for norm in norms]
    return Design(basis, mix, count / len(nearest), np.stack(total) / count)


def _match(rows):
    """Match of every two rows, (n, n), maximised over phase and `SHIFTS`."""
    match = np.zeros((len(rows), len(rows)), np.float32)
    rows = rows.astype(np.complex64)
    for shift in SHIFTS:
        moved = np.roll(rows, shift, axis=1).conj()
        np.maximum(match, np.abs(rows @ moved.T), out=match)
    return match


def _cover(match):
    """Indices of the `COUNT` rows that cover all rows best, in rising order."""
    best, chosen = np.zeros(len(match)), []
    for _ in range(COUNT):
        raised = np.maximum(match, best).sum(axis=1)
        raised[chosen] = -1
        chosen.append(int(raised.argmax()))
        best = np.maximum(best, match[chosen[-1]])
    return np.sort(chosen)


def _components(rows, chosen):
    """Principal components of rows, and the coefficients of the chosen rows.

    The coefficients have norm sqrt(2), which gives each quadrature of an SNR unit
    variance.
    """
    _, _, components = np.linalg.svd(rows, full_matrices=False)
    basis = components[:RANK]
    mix = chosen @ basis.conj().T
    return basis, mix * np.sqrt(2) / np.linalg.norm(mix, axis=1, keepdims=True)


def snr_map(x, basis, mix):
    """SNR of one detector with every template.

    z(t) = sum over s of x(s) conj(q(s - t)), with templates q = mix basis. The sum over
    the basis comes first, because the basis is far shorter than the list of templates.

    Args:
        x: (batch, blocks, FOLD), whitened samples, from `_reach`.
        basis: (LENGTH, 2 RANK), real parts, then imaginary ones.
        mix: (2, 2 RANK, COUNT), as `_real` makes it.

    Returns:
        Real and imaginary part, (TICKS, batch, COUNT) each, of unit variance in noise.
    """
    starts = range(0, FOLD, TICK)
    kernels = [ops.pad(basis, [(start, FOLD - start), (0, 0)]) for start in starts]
    shape = -1, FOLD, len(starts) * 2 * RANK
    kernel = ops.reshape(ops.concatenate(kernels, 1), shape)
    y = ops.conv(x, kernel, 1, "valid")
    y = ops.transpose(ops.reshape(y, (-1, TICKS, 2 * RANK)), (1, 0, 2))
    return ops.matmul(y, mix[0]), ops.matmul(y, mix[1])


def _reach(whitened):
    """Samples that the SNRs are computed from, in blocks: (batch, 3, blocks, FOLD)."""
    first = round(FIRST_S * WHITENED_RATE) - (LENGTH - AFTER)
    samples = TICKS * TICK + LENGTH
    x = ops.transpose(whitened, (0, 2, 1))[..., first : first + samples]
    short = max(first + samples - WHITENED_SAMPLES, 0)
    x = ops.pad(x, [(0, 0), (0, 0), (0, short)])
    return ops.reshape(x, (-1, len(DETECTORS), samples // FOLD, FOLD))


def _real(mix):
    """`mix` as real matrices for the real and the imaginary part, (2, 2 RANK, COUNT).

    They give the conjugate of z, with the same modulus.
    """
    real, imaginary = mix.real.T, mix.imag.T
    return np.stack(
        [np.concatenate([real, -imaginary]), np.concatenate([imaginary, real])]
    )


@keras.saving.register_keras_serializable("gwres")
class Templates(Fitted):
    """Complex SNR of each detector with every template over time.

    Nothing here is learned: the templates are physics, and without gradients through
    them training takes half the time.

    Raises:
        ValueError: called before `fit`.

    Source:
        Wang et al., Phys. Rev. D 101, 104003 (2020): matched filters as first layer.
    """

    def build(self, shape):
        """Make the weights."""
        curves = len(CURVES)
        self.unset(basis=(curves, LENGTH, 2 * RANK), mix=(curves, 2, 2 * RANK, COUNT))

    def fit(self, designed):
        """Set the weights from a `Design`."""
        basis = np.swapaxes(designed.basis, 1, 2)
        self.set(
            (None, WHITENED_SAMPLES, len(DETECTORS)),
            basis=np.concatenate([basis.real, basis.imag], axis=-1),
            mix=np.stack([_real(mix) for mix in designed.mix]),
        )

    def call(self, whitened):
        """Whitened windows (batch, 2048, 3) to `snr_map` of H1, L1 and V1.

        Time comes first: slices of the first axis need no copy.
        """
        self.demand("design: call fit")
        x = _reach(whitened)
        return tuple(
            snr_map(x[:, place], self.basis[curve], self.mix[curve])
            for place, curve in enumerate(CURVE)
        )

    def compute_output_shape(self, shape):
        """(176, batch, 64), real and imaginary part, for each detector."""
        part = TICKS, shape[0], COUNT
        return tuple((part, part) for _ in DETECTORS)
