"""Constant-Q spectrogram of whitened strain, computed in the graph."""

from functools import cache

import keras
import numpy as np
from keras import ops

from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES

ROWS = 64  # frequencies, evenly spaced in their logarithm
RANGE = (24.0, 400.0)  # Hz
Q = 8.0
COLUMNS = 128  # steps of 1/64 s
BINS = 256  # DFT bins of a row, 128 Hz; the wider bands of high rows are cut to them
# Mean and standard deviation of the modulus of a complex unit normal.
RAYLEIGH = float(np.sqrt(np.pi / 2)), float(np.sqrt(2 - np.pi / 2))


@cache
def _rows():
    """Bins of each row in the window's DFT, and their weights, (64, 256) each."""
    step = WHITENED_RATE / WHITENED_SAMPLES
    centre = np.geomspace(*RANGE, ROWS)[:, None]
    index = np.round(centre / step).astype(int) + np.arange(BINS) - BINS // 2
    half = np.minimum(centre * np.sqrt(11) / Q, (BINS // 2 - 1) * step)
    offset = (index * step - centre) / half
    inside = (np.abs(offset) < 1) & (index >= 0) & (index <= WHITENED_SAMPLES // 2)
    weights = np.where(inside, (1 - offset**2) ** 2, 0.0)
    power = (weights**2).sum(axis=1, keepdims=True)
    weights *= np.sqrt(2 / (WHITENED_SAMPLES * power))
    return np.clip(index, 0, WHITENED_SAMPLES // 2), weights.astype(np.float32)


def spectrogram(whitened):
    """Amplitude in time and frequency at constant Q.

    Each row takes the bins around its frequency, weights them with the bisquare
    window, and transforms them back to time at the low sample rate of its band.

    Args:
        whitened: (batch, 2048, 3) at 1024 Hz, unit variance.

    Returns:
        (batch, 64, 128, 3): frequency, time, detector; in noise, zero mean and about
        unit variance.

    Source:
        Chatterji et al., Class. Quantum Grav. 21, S1809 (2004).
    """
    index, weights = _rows()
    real, imaginary = ops.rfft(ops.transpose(whitened, (0, 2, 1)))
    weights = ops.convert_to_tensor(weights)
    # The modulus of the inverse transform is that of the conjugate's transform.
    band = (
        ops.take(real, index, axis=-1) * weights,
        -ops.take(imaginary, index, axis=-1) * weights,
    )
    real, imaginary = ops.fft(band)
    power = ops.square(real) + ops.square(imaginary)
    shape = (-1, len(DETECTORS), ROWS, COLUMNS, BINS // COLUMNS)
    amplitude = ops.sqrt(ops.mean(ops.reshape(power, shape), axis=-1) + 1e-6)
    mean, deviation = RAYLEIGH
    return ops.transpose((amplitude - mean) / deviation, (0, 2, 3, 1))


@keras.saving.register_keras_serializable("gwres")
class Spectrogram(keras.layers.Layer):
    """`spectrogram`, in float32 whatever the network computes in."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)

    def call(self, whitened):
        """(batch, 2048, 3) to (batch, 64, 128, 3)."""
        return spectrogram(whitened)

    def compute_output_shape(self, shape):
        """(batch, 64, 128, 3)."""
        return shape[0], ROWS, COLUMNS, len(DETECTORS)
