"""Whitened windows in one file, so that an epoch does not read a tree of files."""

import numpy as np

from gwres import cache
from gwres.layers.whiten import Whiten, fingerprint
from gwres.progress import progress
from gwres.strain import DETECTORS, WHITENED_SAMPLES

CHUNK = 128


def whitened(chunks, asd):
    """Whiten windows chunk by chunk, as the model itself does.

    Args:
        chunks: iterable of (strain (n, 3, 4096), ASDs as `Whiten` takes them or None).
        asd: as `whiten.fit_asd` gives it.

    Yields:
        float16 (n, 2048, 3). Noise has unit variance and no sample is above 100, so
        half precision keeps three digits, a thousandth of the noise.
    """
    layer = Whiten()
    layer.fit(asd)
    for strain, known in chunks:
        white = layer(strain.astype(np.float32), asd=known)
        yield np.asarray(white).astype(np.float16)


def pack(windows, asd, made_from):
    """Whitened windows as one cached array on disk.

    Args:
        windows: a `corpus.Windows`.
        asd: as `whiten.fit_asd` gives it.
        made_from: JSON-able key of the windows.

    Returns:
        float16 memory map (n, 2048, 3), in the windows' order.
    """

    def make(folder):
        count = len(windows)
        with open(folder / "whitened.npy", "wb") as file:
            shape = (count, WHITENED_SAMPLES, len(DETECTORS))
            cache.begin_array(file, "<f2", shape)
            finished = ((len(w), w) for w in whitened(windows.chunks(CHUNK), asd))
            for chunk in progress(finished, count, f"pack {windows.name}"):
                file.write(chunk.tobytes())

    key = {"windows": made_from, "asd": fingerprint(asd), "layout": 1}
    return np.load(cache.folder("pack", key, make) / "whitened.npy", mmap_mode="r")
