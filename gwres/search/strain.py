"""Recorded strain: files of the detectors, aligned on one grid of 2048 Hz.

Files are read one at a time, so that a month needs no more memory than its longest
files. What must not be used is cut out, and each cut says why.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from gwpy.segments import Segment, SegmentList
from scipy.signal import upfirdn

from gwres.engine.work import seen
from gwres.errors import InputError
from gwres.search.files import DQ_BITS, INJECTION_BITS, listed, stretches
from gwres.strain import DETECTORS, PHYSICAL, SAMPLE_RATE

# What a second must have to be searched. Category 3 is but a statistical suspicion,
# and burst searches have their own vetoes. A bit of injections is set where there is
# none. Continuous waves are injected for months, and they and a stochastic background
# look like no merger: neither is a reason to cut.
QUALITY = (*DQ_BITS[:3], *INJECTION_BITS[:3])
# A detector never writes the same number for so long: these zeros are no strain.
ZEROS_S = 1 / 16
# The anti-alias filter passes up to 920 Hz and stops what is above 1024 Hz by 100 dB.
# Half its length is what `layers.whiten` silences at the ends of a window.
HALF_S, CUTOFF_HZ, BETA = 1 / 32, 972.0, 10.06
# Starts closer to a sample than this share of one are on it: a GPS time in double
# precision is known to 0.2 microseconds, which is 0.004 samples at 16 kHz.
ON_SAMPLE = 0.01
BLOCK = 64 * SAMPLE_RATE  # samples of the grid that are filtered at a time
HELD = 2  # files of a detector in memory: where one ends, the next is needed as well
APART_S = 7 * 86_400  # files further apart are not one stretch


@dataclass(frozen=True)
class Piece:
    """One file of one detector, or one stretch in a file of several.

    Args:
        path: the file.
        detector: one of `DETECTORS`.
        load: function that gives (GPS start, rate in Hz, strain (n,)).
        gps: GPS of the first sample.
        rate: Hz, a multiple of 2048.
        samples: how many there are.
        holes: (first, stop) of the samples that are no strain: not finite, or zeros.
        head: the first samples, as many as the filter reaches, up to a hole.
        tail: the last ones.
    """

    path: Path
    detector: str
    load: Callable
    gps: float
    rate: int
    samples: int
    holes: tuple
    head: np.ndarray
    tail: np.ndarray

    @property
    def end(self):
        """GPS one sample after the last."""
        return self.gps + self.samples / self.rate

    @property
    def first(self):
        """The first sample of the grid in this piece, counted from GPS 0."""
        return _ceil(self.gps * SAMPLE_RATE, self.rate)

    @property
    def stop(self):
        """The first sample of the grid after this piece."""
        return _ceil(self.end * SAMPLE_RATE, self.rate)

    @property
    def offset(self):
        """Where the grid's first sample lies, in samples of the piece."""
        exact = (self.first / SAMPLE_RATE - self.gps) * self.rate
        near = round(exact)
        return near if abs(exact - near) < ON_SAMPLE else exact

    def on_grid(self, holes):
        """Holes as spans of the grid, each a sample long at least."""
        step = self.rate // SAMPLE_RATE
        for first, stop in holes:
            low = self.first + int(np.floor((first - self.offset) / step))
            high = self.first + int(np.ceil((stop - self.offset) / step))
            low, high = max(low, self.first), min(high, self.stop)
            if low < high:
                yield Segment(low, high)

    def goes_on(self, other):
        """Whether the samples of another piece follow those of this one."""
        late = (other.gps - self.end) * self.rate
        return other.rate == self.rate and abs(late) < ON_SAMPLE

    def __str__(self):
        span = f"{_gps(self.gps)} to {_gps(self.end)}"
        return f"{self.detector} from {span} ({self.path})"


def _ceil(place, rate):
    slack = ON_SAMPLE * SAMPLE_RATE / rate
    return int(np.ceil(place - slack))


def _gps(time):
    return f"{time:.4f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Recording:
    """Strain of one to three detectors on a grid of 2048 Hz, read when it is asked for.

    It keeps the strain of `HELD` files of each detector, at 2048 Hz, at the most.

    Args:
        start: GPS of the first sample, s: that of the earliest file. The grid has a
            sample on every GPS second.
        stop: GPS one sample after the last.
        spans: dict of detector to a list of (start, stop), GPS, that are usable.
        cuts: table of what is not, with the columns detector, start, stop (GPS) and
            reason: "not finite", "zeros", "no file", or the bit of the data's quality
            that is not set. One time may have several reasons.
        pieces: dict of detector to its `Piece`s, in the order of time.
    """

    start: float
    stop: float
    spans: dict
    cuts: pd.DataFrame
    pieces: dict = field(repr=False)
    _held: dict = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self):
        """What is sent to a worker: where the strain lies, not the strain."""
        return vars(self) | {"_held": {}}

    @property
    def detectors(self):
        """Names of the detectors that it has, in the order of `DETECTORS`."""
        return tuple(self.spans)

    def read(self, start, stop):
        """Strain between two times.

        Strain at 4096 or 16384 Hz passes a filter of linear phase without delay, flat
        to 1e-5 up to 920 Hz, before it is decimated. It reaches 31 ms to either side,
        into the next file where that goes on at once; at the ends of what there is,
        strain is extended by its odd reflection. Strain whose samples lie between
        those of the grid is shifted onto it by the same filter. A start within 0.01
        samples of the file's rate is taken to be on the grid. A file's strain does
        not depend on how it is read.

        Args:
            start: GPS, s, on the grid, not before the recording's.
            stop: GPS, s, on the grid, not after the recording's.

        Returns:
            (strain, float64 (3, n), H1, L1, V1, zeros where missing or cut; bool
            (3, n), where it is usable), n = (stop - start) * 2048.

        Raises:
            InputError: the times are not in the recording or not on the grid, or a
                file has changed since it was opened.
        """
        if not self.start <= start < stop <= self.stop:
            raise InputError(
                f"expected times from {_gps(self.start)} to {_gps(self.stop)}; "
                f"received {_gps(start)} to {_gps(stop)}"
            )
        first, last = _sample(start), _sample(stop)
        strain = np.zeros((len(DETECTORS), last - first))
        good = np.zeros(strain.shape, bool)
        for detector, spans in self.spans.items():
            row = DETECTORS.index(detector)
            for begin, end in spans:
                low, high = max(_sample(begin), first), min(_sample(end), last)
                if low < high:
                    good[row, low - first : high - first] = True
            for place, piece in enumerate(self.pieces[detector]):
                low, high = max(piece.first, first), min(piece.stop, last)
                if low < high and good[row, low - first : high - first].any():
                    whole = self._whole(detector, place)
                    part = whole[low - piece.first : high - piece.first]
                    strain[row, low - first : high - first] = part
        strain[~good] = 0
        return strain, good

    def _whole(self, detector, place):
        held = self._held.setdefault(detector, {})
        if place in held:
            held[place] = held.pop(place)  # now the last to go
        else:
            if len(held) == HELD:
                del held[next(iter(held))]  # before another is read
            pieces = self.pieces[detector]
            piece = pieces[place]
            before = after = np.zeros(0)
            if place and pieces[place - 1].goes_on(piece):
                before = pieces[place - 1].tail
            if place + 1 < len(pieces) and piece.goes_on(pieces[place + 1]):
                after = pieces[place + 1].head
            held[place] = _resampled(piece, before, after)
        return held[place]


def _sample(time):
    place = round(time * SAMPLE_RATE)
    if abs(place - time * SAMPLE_RATE) > ON_SAMPLE:
        raise InputError(
            f"expected a GPS time that is a multiple of 1/{SAMPLE_RATE} s; "
            f"received {time!r}"
        )
    return place


@cache
def _taps(rate, fraction):
    """A windowed sinc at the samples of a rate, that far before its centre."""
    half = round(rate * HALF_S)
    times = (np.arange(-half, half + 1) - fraction) / rate
    window = np.i0(BETA * np.sqrt(np.clip(1 - (times / HALF_S) ** 2, 0, None)))
    taps = np.sinc(2 * CUTOFF_HZ * times) * window * (np.abs(times) <= HALF_S)
    return taps / taps.sum()


def _resampled(piece, before, after):
    """A piece on the grid, float64; holes are zeros."""
    seen(piece.path)
    gps, rate, values = piece.load()
    if (gps, rate, len(values)) != (piece.gps, piece.rate, piece.samples):
        raise InputError(f"{piece.path}: has changed since it was opened")
    step, count = piece.rate // SAMPLE_RATE, piece.stop - piece.first
    whole = int(np.floor(piece.offset))
    taps = _taps(piece.rate, piece.offset - whole)
    half = len(taps) // 2
    strain = np.zeros(count)
    edges = [0, *np.ravel(piece.holes).astype(int), len(values)]
    for first, stop in zip(edges[::2], edges[1::2]):
        low = max(int(np.ceil((first - piece.offset) / step)), 0)
        high = min(int(np.ceil((stop - piece.offset) / step)), count)
        if first == stop or low >= high:
            continue
        if step == 1 and piece.offset == 0:
            strain[low:high] = values[first:stop]
            continue
        left = before if first == 0 else before[:0]
        right = after if stop == len(values) else after[:0]
        # Block by block: at 16 kHz a copy of a whole file is half a gigabyte.
        for begin in range(low, high, BLOCK):
            end = min(begin + BLOCK, high)
            # What the filter reaches: of the run, and of what is beyond its ends.
            lowest = begin * step + whole - half
            highest = (end - 1) * step + whole + half + 1
            ahead, beyond = max(0, first - lowest), max(0, highest - stop)
            known = np.concatenate(
                [
                    left[max(0, len(left) - ahead) :],
                    values[max(lowest, first) : min(highest, stop)],
                    right[:beyond],
                ]
            )
            missing = max(0, ahead - len(left)), max(0, beyond - len(right))
            known = np.pad(known, missing, mode="reflect", reflect_type="odd")
            skip = 2 * half // step  # outputs that lack the beginning
            strain[begin:end] = upfirdn(taps[::-1], known, down=step)[
                skip : skip + end - begin
            ]
    return strain


def open_strain(sources, quality=QUALITY, channels=()):
    """Open files of strain, and find what of them is usable.

    Every file is read once now, and again when its strain is asked for.

    Args:
        sources: a file, a folder of files, or a list of them: GWOSC's HDF5, frames
            (GWF), or data of the MLGWSC-1 challenge (HDF5), at 2048 Hz or a multiple.
            Consecutive files of a detector make one stretch. Hidden files in a folder,
            and those that do not end in one of `files.SUFFIXES`, are passed over.
        quality: bits of GWOSC's masks DQmask and Injmask that must be set; a second
            without one is cut. Data of the challenge have no masks. A frame without
            them is not cut, and a warning says so.
        channels: strain channels of frames with other names than GWOSC's, such as
            "H1:GDS-CALIB_STRAIN"; the prefix is the detector.

    Returns:
        `Recording`.

    Raises:
        InputError: a file that is missing, damaged, of another kind or detector, at
            another rate, not in units of strain, or without the channel or a bit; two
            files of a detector at the same time; files that do not belong together in
            time; or nothing usable.

    Source:
        The masks: gwosc.org, "Data Quality and Injection Definitions".
    """
    pieces, cuts = {}, []
    for path in listed(sources):
        for detector, load, masks in stretches(path, channels):
            piece = _scan(path, detector, load, masks, quality, cuts)
            pieces.setdefault(detector, []).append(piece)
    pieces = {
        detector: tuple(sorted(pieces[detector], key=lambda piece: piece.gps))
        for detector in DETECTORS
        if detector in pieces
    }
    _refuse_overlaps(pieces)
    _refuse_strangers(pieces)
    every = [piece for own in pieces.values() for piece in own]
    start = min(piece.first for piece in every)
    stop = max(piece.stop for piece in every)
    spans = {}
    for detector, own in pieces.items():
        there = SegmentList(Segment(piece.first, piece.stop) for piece in own)
        absent = SegmentList([Segment(start, stop)]) - there.coalesce()
        cuts += [(detector, *segment, "no file") for segment in absent]
        bad = SegmentList(Segment(*cut[1:3]) for cut in cuts if cut[0] == detector)
        usable = SegmentList([Segment(start, stop)]) - bad.coalesce()
        spans[detector] = [
            (first / SAMPLE_RATE, last / SAMPLE_RATE) for first, last in usable
        ]
    table = pd.DataFrame(cuts, columns=["detector", "start", "stop", "reason"])
    table = table.sort_values(["detector", "start"], ignore_index=True)
    table[["start", "stop"]] = table[["start", "stop"]].astype(float) / SAMPLE_RATE
    if not any(spans.values()):
        reasons = ", ".join(sorted(set(table.reason)))
        files = "; ".join(map(str, every))
        raise InputError(
            f"expected usable strain; all of it is cut ({reasons}): {files}"
        )
    return Recording(start / SAMPLE_RATE, stop / SAMPLE_RATE, spans, table, pieces)


def _scan(path, detector, load, masks, quality, cuts):
    """Read a stretch once: its `Piece`; what must be cut is added to `cuts`."""
    gps, rate, values = load()
    if not (np.isfinite(rate) and rate > 0 and rate % SAMPLE_RATE == 0):
        raise InputError(
            f"{path}: expected {SAMPLE_RATE} Hz or a multiple; received {rate:g} Hz"
        )
    if not np.isfinite(gps):
        raise InputError(f"{path}: expected a GPS start; received {gps}")
    if values.ndim != 1 or not len(values) or values.dtype.kind != "f":
        raise InputError(
            f"{path}: expected strain as a row of floats; received shape "
            f"{values.shape} of {values.dtype}"
        )
    rate = round(rate)
    lost = runs(~np.isfinite(values))
    shortest = round(ZEROS_S * rate)
    zeros = [run for run in runs(values == 0) if run[1] - run[0] >= shortest]
    holes = sorted(lost + zeros)
    _refuse_units(path, values)
    half = round(rate * HALF_S)
    first, stop = (holes[0][0], holes[-1][1]) if holes else (len(values), 0)
    # Copies: a slice would keep all of the values in memory.
    head = values[: min(half, first)].copy()
    tail = values[max(len(values) - half, stop) :].copy()
    piece = Piece(
        path, detector, load, gps, rate, len(values), tuple(holes), head, tail
    )
    for reason, found in ("not finite", lost), ("zeros", zeros):
        cuts += [(detector, *segment, reason) for segment in piece.on_grid(found)]
    for bit in quality if masks is not None else ():
        cuts += [(detector, *one, bit) for one in _unset(piece, masks, bit)]
    return piece


def runs(mask):
    """Places (first, stop) of each run of true in a row of bools."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist()))


def _refuse_units(path, values):
    """Detector noise is between the limits; a glitch may be beyond them."""
    some = np.abs(values[:: max(1, len(values) // 100_000)])
    some = some[np.isfinite(some) & (some > 0)]
    low, high = PHYSICAL
    if len(some) and not low < np.median(some) < high:
        raise InputError(
            f"{path}: expected strain between {low:g} and {high:g}; received a median "
            f"of {np.median(some):.3g} (whitened, rescaled or in counts?)"
        )


def _unset(piece, masks, bit):
    """Spans of the grid where a bit is not set."""
    mask = next((one for one in masks if bit in one[2]), None)
    if mask is None:
        known = ", ".join(name for one in masks for name in one[2])
        raise InputError(
            f"{piece.path}: expected the quality bit {bit}; it has {known}"
        )
    start, spacing, names, values = mask
    clear = (values.astype(np.int64) >> names.index(bit)) & 1 == 0
    for first, stop in runs(clear):
        low = _ceil((start + first * spacing) * SAMPLE_RATE, piece.rate)
        high = _ceil((start + stop * spacing) * SAMPLE_RATE, piece.rate)
        low, high = max(low, piece.first), min(high, piece.stop)
        if low < high:
            yield Segment(low, high)


def _refuse_overlaps(pieces):
    for own in pieces.values():
        for one, other in zip(own, own[1:]):
            if other.first < one.stop:
                raise InputError(
                    f"expected one file of a detector at a time; received {one} and "
                    f"{other}"
                )


def _refuse_strangers(pieces):
    """Refuse a detector that never records with another, and files far apart."""
    every = sorted((one for own in pieces.values() for one in own), key=lambda x: x.gps)
    told = "; ".join(map(str, every[:20])) + ("; ..." if len(every) > 20 else "")
    end = every[0].end
    for piece in every:
        if piece.gps - end > APART_S:
            raise InputError(
                f"expected files of one stretch, less than {APART_S / 86_400:g} days "
                f"apart; received {told}"
            )
        end = max(end, piece.end)
    times = {
        detector: SegmentList(Segment(one.first, one.stop) for one in own).coalesce()
        for detector, own in pieces.items()
    }
    for detector, own in times.items():
        others = [other for name, other in times.items() if name != detector]
        if others and not any(own & other for other in others):
            raise InputError(
                f"expected detectors that record at the same time, and {detector} "
                f"does not with another; received {told}"
            )
