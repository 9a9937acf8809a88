"""Shape and units of a window of strain, and the checks of what users give."""

import math

import numpy as np

from gwres.errors import InputError

DETECTORS = ("H1", "L1", "V1")
SAMPLE_RATE = 2048  # Hz
DURATION = 2  # s
SAMPLES = SAMPLE_RATE * DURATION
SHAPE = (len(DETECTORS), SAMPLES)
# What the network sees: whitened, between these frequencies, at this rate.
BAND = (20.0, 512.0)  # Hz
WHITENED_RATE = 1024  # Hz
WHITENED_SAMPLES = WHITENED_RATE * DURATION
# An ASD that a caller knows for a window: every Hz from 0 to the top of the band.
ASD_SHAPE = (len(DETECTORS), int(BAND[1]) + 1)
EARTH_S = 0.0213  # light travel time to a detector from the geocentre
APART_S = {"L1": 0.010, "V1": 0.028}  # light travel time from H1
# Strain squared (1e-42) underflows float32, so strain is divided by this once, before
# anything is squared.
SCALE = 1e-21
# Detector noise in band is 1e-24 to 1e-18. Data that peak outside these limits are
# whitened, in counts, or not strain at all.
PHYSICAL = (1e-26, 1e-15)


def peaks(windows):
    """Peak amplitude of each detector, 0 for a missing one.

    Args:
        windows: strain of shape (..., 3, 4096), float32 or float64.

    Returns:
        (..., 3) of the same dtype; NaN for a detector whose strain has a NaN.
    """
    # Two passes that allocate nothing; |strain| would be another copy of it.
    return np.maximum(windows.max(axis=-1), -windows.min(axis=-1))


def check(window, source):
    """Refuse a window that no detector could have recorded.

    Args:
        window: array of shape (3, 4096), detector by time, dimensionless strain,
            float32 or float64. A missing detector is a row of zeros.
        source: what to call the window in the message, such as its file.

    Raises:
        InputError: wrong shape, wrong dtype, NaN or infinity, all zero, or an
            amplitude outside `PHYSICAL`.
    """
    if window.shape != SHAPE:
        raise InputError(f"{source}: expected shape {SHAPE}, received {window.shape}")
    if window.dtype not in (np.float32, np.float64):
        raise InputError(
            f"{source}: expected float32 or float64, received {window.dtype}"
        )
    loudest = peaks(window).max()
    if not np.isfinite(loudest):
        raise InputError(f"{source}: expected finite strain, received NaN or infinity")
    if loudest == 0:
        raise InputError(f"{source}: expected strain, received zeros in all detectors")
    low, high = PHYSICAL
    if not low < loudest < high:
        raise InputError(
            f"{source}: expected strain with a peak between {low:g} and {high:g}, "
            f"received a peak of {loudest:.3g} (whitened or rescaled data?)"
        )


def check_all(windows):
    """Refuse a batch with a bad window; the message gives the index of the first.

    Args:
        windows: strain of shape (n, 3, 4096).

    Returns:
        `peaks` of the windows, (n, 3).

    Raises:
        InputError: see `check`.
    """
    if windows.dtype not in (np.float32, np.float64):
        check(windows[0], "window 0")
    highest = peaks(windows)
    low, high = PHYSICAL
    loudest = highest.max(axis=1)
    for place in np.flatnonzero(~((low < loudest) & (loudest < high))):
        check(windows[place], f"window {place}")
    return highest


def check_asds(asds, present):
    """Refuse ASDs that no detector could have had.

    Args:
        asds: (n, 3, 513), strain/sqrt(Hz), every Hz from 0 to 512 Hz; or one for all
            windows, (3, 513) or its rows one after another, (1539,).
        present: bool (n, 3), which detectors have data; of others nothing is asked.

    Returns:
        The ASD of each window, (n, 3, 513).

    Raises:
        InputError: a wrong shape, or, in `BAND`, NaN, infinity or a value that is not
            above zero and below the upper end of `PHYSICAL`.
    """
    expected, flat = (len(present), *ASD_SHAPE), (math.prod(ASD_SHAPE),)
    if np.shape(asds) not in (expected, ASD_SHAPE, flat):
        raise InputError(
            f"expected ASDs {expected}, or one for all windows, {ASD_SHAPE} or {flat}; "
            f"received {np.shape(asds)}"
        )
    asds = np.asarray(asds)
    if asds.shape != expected:
        asds = np.broadcast_to(asds.reshape(ASD_SHAPE), expected)
    inside = asds[..., int(BAND[0]) :]
    bad = ~((0 < inside) & (inside < PHYSICAL[1])).all(axis=-1) & present
    for place, detector in np.argwhere(bad):
        one = inside[place, detector]
        raise InputError(
            f"window {place}: expected an ASD of {DETECTORS[detector]} above 0 and "
            f"below {PHYSICAL[1]:g} strain/sqrt(Hz) from {BAND[0]:g} Hz up; received "
            f"{one.min():.3g} to {one.max():.3g}"
        )
    return asds
