"""A matched filter in the graph: whitened strain to SNRs over time and mass."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from gwres.errors import InputError
from gwres.layers.fitted import Fitted
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES

COUNT = 64  # templates, in order of chirp mass
RANK = 40  # waveforms that these are sums of, nearly
LENGTH, AFTER = 1056, 32  # samples of a template; those after its merger
TICK, TICKS = 2, 176  # samples from one SNR to the next, and SNRs: 0.34 s
FIRST_S = 1.4795  # of them, after the window's start: mergers of 1.5 to 1.8 s and light
SHIFTS = range(-16, 17, 2)  # samples by which two templates are moved to match
# H1 and L1 have one noise curve and so one set of templates; V1 has its own.
CURVES, CURVE = (0, 2), (0, 0, 1)
# The convolution takes blocks of samples as channels, which is what fills them.
FOLD = 16


@dataclass(frozen=True)
class Design:
    """Templates as sums of few waveforms.

    Args:
        basis: complex64 (2, RANK, LENGTH), orthonormal, for H1 with L1, and for V1.
        mix: complex64 (2, COUNT, RANK), what each template takes of them.
        share: (COUNT,), of the waveforms to choose from, those that match this one
            best; their sum is 1.
        power: (2, COUNT), their mean squared optimal SNR as `series` has them.
    """

    basis: np.ndarray
    mix: np.ndarray
    share: np.ndarray
    power: np.ndarray


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
    norms = np.linalg.norm(rows, axis=-1)
    rows = rows / norms[..., None]
    match = _match(rows[0])
    chosen = _cover(match)
    parts = [_components(each, each[chosen]) for each in rows]
    basis, mix = (np.stack(part).astype(np.complex64) for part in zip(*parts))
    nearest = match[:, chosen].argmax(axis=1)
    count = np.bincount(nearest, minlength=COUNT)
    # The real part alone is the waveform: half the analytic signal's square.
    total = [np.bincount(nearest, each**2 / 2, COUNT) for each in norms]
    return Design(basis, mix, count / len(nearest), np.stack(total) / count)


def _match(rows):
    """Match of each two rows, the best over phase and `SHIFTS`, (n, n)."""
    match = np.zeros((len(rows), len(rows)), np.float32)
    rows = rows.astype(np.complex64)
    for shift in SHIFTS:
        moved = np.roll(rows, shift, axis=1).conj()
        np.maximum(match, np.abs(rows @ moved.T), out=match)
    return match


def _cover(match):
    """Places of the `COUNT` rows that match all of them best, in their order."""
    best, chosen = np.zeros(len(match)), []
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


def snr_map(x, basis, mix):
    """SNR of one detector with every template.

    z(t) = sum over s of x(s) conj(q(s - t)) with templates q = mix basis, summed over
    the basis first, which is far shorter than the list of templates.

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
    """The samples that the SNRs need, in blocks: (batch, 3, blocks, FOLD)."""
    first = round(FIRST_S * WHITENED_RATE) - (LENGTH - AFTER)
    samples = TICKS * TICK + LENGTH
    x = ops.transpose(whitened, (0, 2, 1))[..., first : first + samples]
    short = max(first + samples - WHITENED_SAMPLES, 0)
    x = ops.pad(x, [(0, 0), (0, 0), (0, short)])
    return ops.reshape(x, (-1, len(DETECTORS), samples // FOLD, FOLD))


def _real(mix):
    """Products with real and imaginary part of `mix`, (2, 2 RANK, COUNT), to a sign."""
    real, imaginary = mix.real.T, mix.imag.T
    return np.stack(
        [np.concatenate([real, -imaginary]), np.concatenate([imaginary, real])]
    )


@keras.saving.register_keras_serializable("gwres")
class Templates(Fitted):
    """Complex SNR of each detector with every template over time.

    Nothing of it is learned: the templates are physics, and a fit that need not go
    back through them takes half the time.

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
        """Take a `Design`."""
        basis = np.swapaxes(designed.basis, 1, 2)
        self.set(
            (None, WHITENED_SAMPLES, len(DETECTORS)),
            basis=np.concatenate([basis.real, basis.imag], axis=-1),
            mix=np.stack([_real(mix) for mix in designed.mix]),
        )

    def call(self, whitened):
        """(batch, 2048, 3) to what `snr_map` gives of H1, L1 and V1.

        Time comes first: a part of that axis is taken without a copy.
        """
        self.demand("design: call fit")
        x = _reach(whitened)
        return tuple(
            snr_map(x[:, place], self.basis[curve], self.mix[curve])
            for place, curve in enumerate(CURVE)
        )

    def compute_output_shape(self, shape):
        """(176, batch, 64), real and imaginary, of three detectors."""
        each = TICKS, shape[0], COUNT
        return tuple((each, each) for _ in DETECTORS)
