"""Live injection: whitened noise, and whitened signals out of a waveform bank."""

import math

from keras import ops

from gwres.layers.whiten import fade


def respond(spectra, patterns, arrival, gains, frequencies, start, samples):
    """Whitened response of the detectors to waveforms of the bank.

    h_d(f) = (F+ h+(f) + Fx hx(f)) exp(-2 pi i f t_d), times the whitening gain.

    Args:
        spectra: (batch, 2, n, 2): plus and cross; real and imaginary part of the DFT
            at the whitened rate.
        patterns: (batch, 3, 2), antenna patterns, times the bank's distance over the
            signal's.
        arrival: (batch, 3), arrival time in each detector, less the bank's, s.
        gains: (3, n), the whitening gain of each detector; or (batch, 3, n).
        frequencies: (n,), Hz, bins of the bank's segment, from 20 Hz up.
        start: first sample of the segment to keep.
        samples: number of samples to keep.

    Returns:
        (batch, samples, 3). The norm of a signal is its optimal SNR in the window.
    """
    real = ops.matmul(patterns, spectra[..., 0])
    imaginary = ops.matmul(patterns, spectra[..., 1])
    shifted = _delayed(real, imaginary, arrival, gains, frequencies)
    return _window(shifted, frequencies, start, samples)


def _delayed(real, imaginary, delay, gains, frequencies):
    """Transforms (..., n), whitened, and delayed by (...) s: real, imaginary part."""
    phase = (2 * math.pi) * delay[..., None] * frequencies
    cos, sin = ops.cos(phase) * gains, ops.sin(phase) * gains
    return real * cos + imaginary * sin, imaginary * cos - real * sin


def white(normals, band, frequencies, start, samples, disturbed=(0.0, 0.0)):
    """White noise, limited to the band as whitened noise is.

    Args:
        normals: (batch, 3, n, 2), independent standard normal draws.
        band: (n,), 0 to 1, factor of the whitening's band on amplitudes; or what it is
            in each detector of each window, (batch, 3, n), where the spectrum is not
            what whitening takes it for.
        frequencies: (n,), Hz, as for `respond`.
        start: first sample of the segment to keep; a part of it is not periodic.
        samples: number of samples to keep.
        disturbed: from `disturb`, to be added.

    Returns:
        (batch, samples, 3), unit variance per sample less what the band cuts off.
    """
    length = _length(frequencies)
    spectrum = normals * band[..., None] * math.sqrt(length / 2)
    parts = spectrum[..., 0] + disturbed[0], spectrum[..., 1] + disturbed[1]
    return _window(parts, frequencies, start, samples)


def disturb(shapes, snr, late, channel, gains, frequencies):
    """Whitened transforms of glitches, added up by channel.

    Args:
        shapes: (glitches, n, 2), of SNR 1, as `moments.Moments` has them.
        snr: (glitches,).
        late: (glitches,), s by which each is moved.
        channel: (glitches,), int: 3 times the window's place, plus the detector's.
        gains: (batch, 3, n), whitening gain of each detector in each window.
        frequencies: (n,), Hz, as for `respond`.

    Returns:
        Real and imaginary part, (batch, 3, n) each.
    """
    batch, detectors, bins = gains.shape
    own = ops.take(ops.reshape(gains, (-1, bins)), channel, axis=0) * snr[:, None]
    parts = _delayed(shapes[..., 0], shapes[..., 1], late, own, frequencies)
    channels = batch * detectors
    sums = (ops.segment_sum(part, channel, num_segments=channels) for part in parts)
    return tuple(ops.reshape(part, gains.shape) for part in sums)


def _length(frequencies):
    """Samples of a segment whose last bin lies just below its Nyquist frequency."""
    step = float(frequencies[1] - frequencies[0])
    return 2 * (round(float(frequencies[-1]) / step) + 1)


def _window(spectrum, frequencies, start, samples):
    step = float(frequencies[1] - frequencies[0])
    below = round(float(frequencies[0]) / step)
    padded = tuple(ops.pad(part, [(0, 0), (0, 0), (below, 1)]) for part in spectrum)
    series = ops.irfft(padded)[..., start : start + samples]
    return ops.transpose(series, (0, 2, 1)) * fade(samples)
