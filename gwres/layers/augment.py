"""Symmetries of the data: changes of a whitened window that keep its label."""

from keras import ops


def augment(windows, sign, swap, shift, keep):
    """Apply symmetries, drawn for each window.

    Args:
        windows: (batch, time, 3), whitened, H1, L1, V1.
        sign: (batch,), +1 or -1, factor on all detectors; -1 is a polarisation angle
            90 degrees larger.
        swap: (batch,), 1 exchanges H1 and L1, which share their noise curve.
        shift: (batch,), int, delay of all detectors in samples, cyclic: samples that
            leave at the end come in at the start.
        keep: (batch, 3), 0 drops a detector.

    Returns:
        (batch, time, 3).
    """
    time = ops.shape(windows)[1]
    index = ops.mod(ops.arange(time) - ops.expand_dims(shift, 1), time)
    windows = ops.take_along_axis(windows, ops.expand_dims(index, 2), axis=1)
    swapped = ops.stack([windows[..., 1], windows[..., 0], windows[..., 2]], axis=-1)
    chosen = ops.reshape(ops.cast(swap, windows.dtype), (-1, 1, 1))
    windows = chosen * swapped + (1 - chosen) * windows
    factor = ops.expand_dims(sign, 1) * keep
    return windows * ops.expand_dims(ops.cast(factor, windows.dtype), 1)
