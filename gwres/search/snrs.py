"""SNRs of a whitened recording with the templates of a front end, of any length.

A window of 2 s cuts templates that reach out of it. A long stretch does not: for
mergers of which a window holds all that the templates are long, the SNRs are the same,
and for earlier ones they are those of the whole template.
"""

from collections import OrderedDict

import numpy as np
from keras import ops

from gwres.layers.templates import AFTER, CURVE, FOLD, NEAR, kernels, recent
from gwres.strain import DETECTORS, WHITENED_RATE

BLOCK = WHITENED_RATE  # samples of which SNRs are computed at a time
HELD = 256  # blocks in memory, some 200 MB


def measured(layer, stretch, detector, first, stop, snr=None, kernel=None):
    """SNRs of mergers at some samples of a detector.

    Args:
        layer: a fitted `templates.Templates`.
        stretch: a `windows.Stretch`.
        detector: its name.
        first: the first sample.
        stop: a multiple of `FOLD` later.
        snr: the layer's function `snr`, where it was made a graph of.
        kernel: as for `Templates.snr`.

    Returns:
        float32 parts as `Templates.call` has them, each (times, templates), every
        `Grid.tick` samples.
    """
    grid = layer.grid
    begin = first - (grid.length - AFTER)
    x = stretch.series(detector, begin, stop + AFTER)
    near = None
    if grid.consistent:
        # A template's length, of which one sample more than is needed.
        latest = x[None, grid.length - NEAR : len(x) - grid.tick, None]
        near = recent(ops.convert_to_tensor(latest), grid.tick)[0]
    blocks = ops.convert_to_tensor(x.reshape(1, -1, FOLD))
    curve = CURVE[DETECTORS.index(detector)]
    parts = (snr or layer.snr)(blocks, near, curve, kernel)
    return [ops.convert_to_numpy(part)[:, 0] for part in parts]


class Snrs:
    """SNRs of windows of a recording, in the order of time best; none computed twice.

    Args:
        scorer: a `Scorer` with `templates`.
        stretch: a `windows.Stretch`.
    """

    def __init__(self, scorer, stretch):
        self.layer, self.snr, self.stretch = scorer.templates, scorer.snr, stretch
        tick = self.layer.grid.tick
        every = ops.convert_to_numpy(self.layer.basis)
        self._kernels = [kernels(basis, tick) for basis in every]
        self._held = OrderedDict()

    def window(self, first, detectors):
        """What the layer would say of a window.

        Args:
            first: sample at which the window begins, of each detector's data.
            detectors: those that have all of it; others have no SNR.

        Returns:
            float32 (3, parts, ticks, count).
        """
        grid = self.layer.grid
        parts = 3 if grid.consistent else 2
        found = np.zeros((len(DETECTORS), parts, grid.ticks, grid.count), np.float32)
        each = BLOCK // grid.tick
        for name in detectors:
            # The nearest time of which there are SNRs.
            low = (first[name] + round(grid.first_s * WHITENED_RATE)) // grid.tick
            high, own = low + grid.ticks, found[DETECTORS.index(name)]
            for number in range(low // each, -(-high // each)):
                begin, end = max(number * each, low), min((number + 1) * each, high)
                block = self._block(name, number)
                piece = block[:, begin - number * each : end - number * each]
                own[:, begin - low : end - low] = piece
        return found

    def _block(self, name, number):
        key = name, number
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        span = number * BLOCK, (number + 1) * BLOCK
        kernel = self._kernels[CURVE[DETECTORS.index(name)]]
        parts = measured(self.layer, self.stretch, name, *span, self.snr, kernel)
        block = np.stack(parts)
        self._held[key] = block
        if len(self._held) > HELD:
            self._held.popitem(last=False)
        return block
