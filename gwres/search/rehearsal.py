"""Hours of the noise that detectors are simulated with, as a file to search."""

import h5py
import numpy as np

from gwres import cache
from gwres.errors import InputError, among
from gwres.progress import progress
from gwres.simulate.noise import stretch
from gwres.strain import DETECTORS, SAMPLE_RATE

BLOCK_S = 1024  # of one spectrum, which drifts; the next block has another
GAP_S = 4  # between blocks, where strain would jump
GPS = 1_200_000_000


def write(path, seconds, seed, detectors=DETECTORS[:2], gps=GPS, busy=1.0):
    """Simulate continuous noise with glitches, block by block, in constant memory.

    Args:
        path: of the file, in the layout of MLGWSC-1, which `strain.open_strain` reads.
        seconds: of noise in each detector, a multiple of `GAP_S`.
        seed: of the random draws.
        detectors: names.
        gps: of the first sample.
        busy: factor on the rates of glitches.

    Raises:
        InputError: an unknown detector, or seconds that are no multiple of `GAP_S`.
    """
    for name in detectors:
        among("detector", name, DETECTORS)
    if seconds < GAP_S or seconds % GAP_S:
        raise InputError(
            f"seconds must be a multiple of {GAP_S}, above 0; received {seconds}"
        )
    blocks = [
        (number, name) for number in range(-(-seconds // BLOCK_S)) for name in detectors
    ]
    with cache.replacing(path) as scratch, h5py.File(scratch, "w") as file:

        def made():
            for number, name in blocks:
                rng = np.random.default_rng([seed, DETECTORS.index(name), number])
                length = min(BLOCK_S, seconds - number * BLOCK_S)
                yield length, (number, name, stretch(rng, name, length, busy=busy)[0])

        total = seconds * len(detectors)
        for number, name, strain in progress(made(), total, "noise", "second"):
            start = gps + number * (BLOCK_S + GAP_S)
            data = file.create_dataset(f"{name}/{start}", data=strain)
            data.attrs.update(start_time=float(start), delta_t=1 / SAMPLE_RATE)
