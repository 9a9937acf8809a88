"""Where the detectors agree: times that are worth a network's look.

A network costs more than a matched filter by far, and in a hundred time slides there
are a hundred times as many windows as there is strain. So the templates that front
ends begin with look first. The SNRs of a detector do not depend on its offset, and are
computed once. A slide is then a sum of maps that lie on disk.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d
from scipy.signal import find_peaks

from gwres.engine.item import Prepared
from gwres.engine.work import each, seen
from gwres.layers.templates import AFTER, CURVE, FOLD, Templates
from gwres.matched.reweighted import BINS, FREEDOM, chi_squared
from gwres.search import snrs
from gwres.search.slides import arrays
from gwres.search.windows import PART, appended
from gwres.strain import APART_S, DETECTORS, WHITENED_RATE

BIN = 16  # samples of which the highest SNR is kept
BIN_S = BIN / WHITENED_RATE
# Bins on either side in which another detector's SNR may be: light's way.
REACH = {"H1": 0, "L1": 1, "V1": 2}
LOUDEST = 50.0  # the most that a squared SNR counts, as in `evidence`
# Log-likelihood ratio from which a time is a trigger. Noise has one in four minutes,
# and in one it would have 16.
THRESHOLD = 18.5
APART = 32  # bins between triggers at the least
CHUNK = 2**16  # bins at a time
BLOCK = 1024  # bins that a processor's cache holds


@dataclass(frozen=True)
class Maps:
    """What each detector adds to the log-likelihood ratio of a merger.

    Args:
        paths: dict of detector to a file, float16 (bins, templates): the highest
            re-weighted squared SNR near each bin, as far as light may take, times the
            weight that the prior of signals gives it.
        start: GPS of the first bin, s.
        bins: number of bins, of `BIN_S`.
        count: number of templates.
    """

    paths: dict
    start: float
    bins: int
    count: int
    _maps: dict = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self):
        """What is sent to a worker: where the maps lie, not the maps."""
        return Maps, (self.paths, self.start, self.bins, self.count)

    def rows(self, detector, first, stop):
        """Rows of a detector, float32 (stop - first, templates); zeros outside."""
        if detector not in self._maps:
            shape = self.bins, self.count
            path = seen(self.paths[detector])
            self._maps[detector] = np.memmap(path, np.float16, "r", shape=shape)
        low, high = np.clip((first, stop), 0, self.bins)
        rows = np.zeros((stop - first, self.count), np.float32)
        rows[low - first : high - first] = self._maps[detector][low:high]
        return rows


def measure(stretch, filters, folder):
    """Compute the maps of all detectors, part by part; see `windows.appended`.

    Args:
        stretch: a `windows.Stretch`.
        filters: a `filters.Filters`, whose coarse templates are used.
        folder: where the files are, or will be.

    Returns:
        `Maps`.
    """
    design = filters.coarse
    part = Prepared(_parts, design, filters.coarse_prior, stretch)
    bins, paths = stretch.samples // BIN, {}
    for detector in stretch.detectors:
        path = Path(folder) / f"{detector}.f2"

        def parts(done, detector=detector):
            starts = range(done * PART, bins * BIN, PART)
            spans = [(detector, one, min(one + PART, bins * BIN)) for one in starts]
            return each(part, spans, _called, threads=1)

        name = f"templates of {detector}"
        appended(path, bins, PART // BIN, 2 * design.grid.count, parts, name)
        paths[detector] = path
    return Maps(paths, stretch.start, bins, design.grid.count)


def _called(span):
    detector, first, stop = span
    return f"{detector}, samples {first} to {stop - 1}"


def _parts(design, prior, stretch):
    """A function of (detector, first sample, the one after the last) to rows."""
    layer = Templates(design.grid, dtype="float32")
    layer.fit(design)

    def part(span):
        return _part(layer, stretch, *span, _weight(prior, span[0]))

    return part


def _weight(prior, detector):
    """What a detector's squared SNR counts in the log-likelihood ratio, (count,)."""
    spread = prior.spread[DETECTORS.index(detector)]
    return spread / (1 + spread) / 2


def _part(layer, stretch, detector, first, stop, weight):
    """The rows of a detector's map from one sample to another."""
    reach = REACH[detector] * BIN
    snr = snrs.measured(layer, stretch, detector, first - reach, stop + reach)
    power = np.minimum(snr[0] ** 2 + snr[1] ** 2, LOUDEST)
    power = power.reshape(-1, BIN // layer.grid.tick, len(weight))
    rows = power.max(axis=1) * weight
    if reach:
        around = 2 * REACH[detector] + 1
        rows = maximum_filter1d(rows, around, axis=0)[REACH[detector] :]
        rows = rows[: (stop - first) // BIN]
    return rows.astype("<f2")


def ratio(maps, offsets, first, stop):
    """Log-likelihood ratio of the best template in each bin, less a constant.

    Args:
        maps: `Maps`.
        offsets: dict of detector to how much later its data are moved, s.
        first: the first bin, in the time of the slide.
        stop: the bin after the last.

    Returns:
        float32 (stop - first,).
    """
    found = np.empty(stop - first, np.float32)
    late = {name: round(offsets[name] / BIN_S) for name in maps.paths}
    for low in range(first, stop, BLOCK):
        high = min(low + BLOCK, stop)
        total = 0.0
        for name, bins in late.items():
            total = total + maps.rows(name, low - bins, high - bins)
        total.max(axis=1, out=found[low - first : high - first])
    return found


def find(maps, offsets, spans, least, threshold=THRESHOLD):
    """Times at which the detectors agree on a signal.

    Args:
        maps: `Maps`.
        offsets: dict of detector to how much later its data are moved, s.
        spans: dict of detector to its spans, see `slides`.
        least: number of detectors that must be live.
        threshold: of the log-likelihood ratio.

    Yields:
        For each chunk of time (GPS times, ratios, of the triggers; the ratios of all
        bins, NaN where the search is not live; GPS time of the first bin).
    """
    first = min(round(offsets[name] / BIN_S) for name in maps.paths)
    last = maps.bins + max(round(offsets[name] / BIN_S) for name in maps.paths)
    known = arrays(spans)
    for low in range(first, last, CHUNK):
        high = min(low + CHUNK, last)
        # A little more on either side, for what is louder there.
        begin, end = low - APART, high + APART
        live = np.zeros(end - begin, int)
        for name, own in known.items():
            there = np.zeros(end - begin, bool)
            for span in own + offsets[name]:
                inside = np.ceil((span - maps.start) / BIN_S).astype(int) - begin
                there[slice(*np.clip(inside, 0, end - begin))] = True
            live += there
        searched = live >= least
        if not searched.any():
            continue
        found = np.where(searched, ratio(maps, offsets, begin, end), np.nan)
        peaks, _ = find_peaks(np.nan_to_num(found), threshold, distance=APART)
        peaks = peaks[(peaks >= low - begin) & (peaks < high - begin)]
        times = maps.start + (begin + peaks + 0.5) * BIN_S
        own = found[low - begin : high - begin]
        yield times, found[peaks], own, maps.start + low * BIN_S


def locate(stretch, filters, candidates, around_s):
    """When each candidate merged, and how well the best template fits.

    Args:
        stretch: a `windows.Stretch`.
        filters: a `filters.Filters`, whose fine templates are used.
        candidates: DataFrame of columns time and detectors.
        around_s: how far from its time a merger may be, s.

    Returns:
        The candidates with time, GPS s, at the first of the detectors; template, its
        number; and of each detector snr and chi2, the reduced chi-squared of `BINS`
        bands, such as snr_H1; NaN of those not used.

    Source:
        Allen, Phys. Rev. D 71, 062001 (2005), for chi-squared.
    """
    design, prior = filters.design, filters.prior
    layer = Templates(design.grid, dtype="float32")
    layer.fit(design)
    rows = [
        _located(layer, design, prior, stretch, row, around_s)
        for row in candidates.to_dict("records")
    ]
    columns = ["template"]
    columns += [f"{part}_{name}" for part in ("snr", "chi2") for name in DETECTORS]
    found = pd.DataFrame(rows, columns=["time", *columns], dtype=float)
    return candidates.drop(columns="time").reset_index(drop=True).join(found)


def _located(layer, design, prior, stretch, candidate, around_s):
    grid, detectors = design.grid, candidate["detectors"].split()
    middle = stretch.sample(candidate["time"])
    half = int(np.ceil(around_s * WHITENED_RATE / FOLD)) * FOLD
    first, stop = middle - half, middle + half
    total, heard = 0.0, {}
    for name in detectors:
        real, imaginary, before = snrs.measured(layer, stretch, name, first, stop)
        power = real**2 + imaginary**2
        reach = 0 if name == detectors[0] else _ticks(name, grid.tick)
        near = maximum_filter1d(power, 2 * reach + 1, axis=0)
        total = total + _weight(prior, name) * near
        heard[name] = power, before, reach
    at, template = np.unravel_index(np.argmax(total), total.shape)
    found = {"time": stretch.start + (first + at * grid.tick) / WHITENED_RATE}
    found["template"] = int(template)
    for name, (power, before, reach) in heard.items():
        low = max(at - reach, 0)
        place = low + int(np.argmax(power[low : at + reach + 1, template]))
        found[f"snr_{name}"] = float(np.sqrt(before[place, template]))
        curve = CURVE[DETECTORS.index(name)]
        wave = design.mix[curve][template] @ design.basis[curve]
        begin = first + place * grid.tick - (grid.length - AFTER)
        x = stretch.series(name, begin, begin + grid.length)
        found[f"chi2_{name}"] = float(_reduced(x, wave))
    return found


def _ticks(detector, tick):
    """Light's way from any other detector, in ticks."""
    return int(np.ceil(max(APART_S.get(detector, 0), 0.01) * WHITENED_RATE / tick))


def _reduced(x, wave):
    """Reduced chi-squared of whitened strain with a template, bands of equal power."""
    own = np.fft.fft(wave)
    power = np.abs(own) ** 2
    total = np.cumsum(power)
    # Each band has a bin of its own at the least.
    edges = np.searchsorted(total, np.arange(1, BINS) / BINS * total[-1])
    edges = np.maximum.accumulate(edges - np.arange(BINS - 1)) + np.arange(BINS - 1)
    edges = np.concatenate([[0], edges + 1])
    product = np.fft.fft(x) * own.conj() / len(x)
    parts = np.add.reduceat(product, edges)
    shares = np.add.reduceat(power, edges) / total[-1]
    return chi_squared(parts, shares) / FREEDOM


def table(pieces):
    """Triggers of `find` as a DataFrame of columns slide, time and trigger.

    Args:
        pieces: list of (slide, times, ratios).
    """
    columns = {
        "slide": np.concatenate(
            [np.full(len(times), slide) for slide, times, _ in pieces] or [np.zeros(0)]
        ).astype(int),
        "time": np.concatenate([times for _, times, _ in pieces] or [np.zeros(0)]),
        "trigger": np.concatenate([x for *_, x in pieces] or [np.zeros(0)]),
    }
    return pd.DataFrame(columns)
