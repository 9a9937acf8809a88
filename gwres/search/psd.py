"""The local PSD of recorded strain, and gates over its extreme excursions.

The spectrum of a detector drifts by a few per cent in a minute, so each 16 s of a
stretch are whitened with that of the minute around them.
"""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import welch

from gwres.engine.item import Prepared
from gwres.engine.work import each
from gwres.errors import within
from gwres.layers.whiten import gain
from gwres.matched.reweighted import GATE, TAPER_S, ZERO_S, gate
from gwres.progress import progress
from gwres.search.strain import runs
from gwres.strain import ASD_SHAPE, DETECTORS, SAMPLE_RATE, SCALE, WHITENED_RATE

logger = logging.getLogger(__name__)

AROUND_S = 64.0  # of usable strain, that an estimate is made from
EVERY_S = 16.0  # from one estimate to the next
GROUP = 32  # parts that a worker whitens at a time, each after the one before
HOP_S = 0.5  # from one Hann segment of 1 s to the next
# Strain on either side of what is whitened, so that no end of the Fourier transform is
# near it, and over how much of it strain fades where it begins and ends.
MARGIN_S, FADE_S = 2.0, 0.5


@dataclass(frozen=True)
class Spectrum:
    """What is known of the noise of the detectors for a part of a stretch.

    Args:
        start: GPS, s, of the part.
        stop: GPS, s, of its end.
        asd: float64 (3, 513), strain/sqrt(Hz), every Hz from 0 to 512 Hz, as
            `whiten.refined` takes it; zeros of a detector without usable strain.
        seconds: float (3,), s of usable strain that it was made from.
        short: bool (3,), whether that is less than was asked for.
    """

    start: float
    stop: float
    asd: np.ndarray
    seconds: np.ndarray
    short: np.ndarray


def along(recording, around_s=AROUND_S, every_s=EVERY_S, gates=None):
    """The local ASDs all along a recording.

    An ASD is the median of the Hann segments of 1 s, half a second apart and wholly
    usable, that are nearest to the middle of its part: as many as `around_s` have, none
    of them further away than that. In whole strain it is what `noise.estimate` gives
    for the `around_s` around; beside a gap, or an end, it reaches further to the other
    side. A stretch that has less gives what it has, a warning, and `short`.

    Memory is that of twice `around_s` of strain, however long the recording is.

    Args:
        recording: `strain.Recording`.
        around_s: s, 64 or more.
        every_s: s, from 1 to `around_s`.
        gates: table of `excursions`, whose times are left out, tapers and all.

    Yields:
        `Spectrum` of each part of `every_s`, in the order of time; the last part may be
        shorter. Detectors without usable strain all around have zeros.

    Raises:
        InputError: a parameter out of range.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), appendix B.
    """
    warned, numbers = set(), range(_count(recording, around_s, every_s))
    for spectrum in _along(recording, around_s, every_s, gates, numbers):
        _tell(spectrum, around_s, warned)
        yield spectrum


def _count(recording, around_s, every_s):
    """Number of parts of a recording; `InputError` if a parameter is out of range."""
    within("around_s", around_s, AROUND_S, 4096)
    within("every_s", every_s, 1, around_s)
    return -(-_samples(recording) // round(every_s * SAMPLE_RATE))


def _samples(recording):
    return round((recording.stop - recording.start) * SAMPLE_RATE)


def _tell(spectrum, around_s, warned):
    """Warn of an estimate that is made from little, once of each detector."""
    for row in np.flatnonzero(spectrum.short & (spectrum.seconds > 0)):
        if row not in warned:
            logger.warning(
                "%s: PSD from GPS %.0f on is made from %.1f s of strain, not %g",
                *(DETECTORS[row], spectrum.start, spectrum.seconds[row], around_s),
            )
            warned.add(row)


def _along(recording, around_s, every_s, gates, numbers):
    """The local ASDs of some parts, which follow each other; see `along`."""
    wanted = round(around_s / HOP_S) - 1
    hop = round(HOP_S * SAMPLE_RATE)
    known = [{} for _ in DETECTORS]  # of each detector: segment's number to its power
    total = _samples(recording)
    segments = max(0, total // hop - 1)
    size, reach, done = round(every_s * SAMPLE_RATE), around_s / HOP_S, 0
    for number in numbers:
        first, last = number * size, min((number + 1) * size, total)
        middle = (first + last) / 2 / hop - 1  # in segments, whose centres are 1 s in
        done = max(done, int(np.ceil(middle - reach)))
        while done < min(segments, middle + reach):
            _add(recording, done, min(segments - done, wanted), gates, known)
            done += min(segments - done, wanted)
        asd, seconds = np.zeros(ASD_SHAPE), np.zeros(len(DETECTORS))
        short = np.ones(len(DETECTORS), bool)
        for row, spectra in enumerate(known):
            for number in [one for one in spectra if one < middle - reach]:
                del spectra[number]
            near = sorted(spectra, key=lambda one: abs(one - middle))[:wanted]
            near = [one for one in near if abs(one - middle) <= reach]
            if near:
                asd[row] = _median_asd([spectra[one] for one in near])
                apart = np.minimum(np.diff(sorted(near)) * HOP_S, 1)
                seconds[row], short[row] = 1 + apart.sum(), len(near) < wanted
        start, stop = (recording.start + end / SAMPLE_RATE for end in (first, last))
        yield Spectrum(start, stop, asd, seconds, short)


def _add(recording, number, count, gates, known):
    """Add the power spectra of usable segments, from a number on."""
    hop = round(HOP_S * SAMPLE_RATE)
    start = recording.start + number * HOP_S
    strain, good = recording.read(start, start + (count + 1) * HOP_S)
    if gates is not None:
        good &= weights(gates, start, strain.shape[1]) == 1
    for row in range(len(DETECTORS)):
        places = [
            place
            for place in range(count)
            if good[row, place * hop : place * hop + SAMPLE_RATE].all()
        ]
        if places:
            segments = np.stack(
                [strain[row, one * hop : one * hop + SAMPLE_RATE] for one in places]
            )
            _, powers = welch(segments, SAMPLE_RATE, nperseg=SAMPLE_RATE, detrend=False)
            for place, power in zip(places, powers):
                known[row][number + place] = power[: ASD_SHAPE[1]]


def _median_asd(powers):
    """ASD from power spectra by their median, without its bias."""
    odd = 2 * np.arange(1, (len(powers) - 1) // 2 + 1)
    bias = 1 + (1 / (odd + 1) - 1 / odd).sum()
    return np.sqrt(np.median(powers, axis=0) / bias)


def parts(recording, gates=None, around_s=AROUND_S, every_s=EVERY_S, first=0):
    """Whiten a recording with its local ASDs; processes and a cluster may help.

    Args:
        recording: `strain.Recording`.
        gates: table of `excursions`, which are silenced.
        around_s: as for `along`.
        every_s: as for `along`.
        first: number of the first part that is wanted.

    Yields:
        (`Spectrum` of a part, the part as `whitened` gives it), in the order of time.

    Raises:
        InputError: a parameter out of range.
    """
    count, warned = _count(recording, around_s, every_s), set()
    spans = [(one, min(one + GROUP, count)) for one in range(first, count, GROUP)]
    worked = Prepared(_whitening, recording, gates, around_s, every_s)

    def called(span):
        begin, end = (recording.start + one * every_s for one in span)
        return f"strain from GPS {begin:.12g} to {end:.12g}"

    # One thread, for more would take as many recordings' memory.
    for group in each(worked, spans, called, threads=1):
        for spectrum, white in group:
            _tell(spectrum, around_s, warned)
            yield spectrum, white


def _whitening(recording, gates, around_s, every_s):
    """A function of a span of parts' numbers to what `parts` gives of them."""

    def worked(span):
        spectra = _along(recording, around_s, every_s, gates, range(*span))
        return [(one, whitened(recording, one, gates)) for one in spectra]

    return worked


def excursions(recording, level=GATE, around_s=AROUND_S, every_s=EVERY_S):
    """What is too extreme to be a signal or noise, by `reweighted.gate`'s measure.

    Strain is whitened with its local ASD, whose median an excursion hardly moves.
    Around every sample beyond the level strain is to be zero, with a cosine taper
    outside. In the half second beside what is cut strain fades, so that its end is no
    excursion, and less is found.

    Args:
        recording: `strain.Recording`.
        level: modulus of a whitened sample that is let through at the most, in
            standard deviations of the noise.
        around_s: as for `along`.
        every_s: as for `along`.

    Returns:
        Table with the columns detector, start, stop (GPS, s, of what is zero; the
        tapers of `reweighted.TAPER_S` lie outside) and peak (modulus of the loudest
        whitened sample), in the order of detector and time.

    Source:
        Usman et al., Class. Quantum Grav. 33, 215004 (2016).
    """
    found = {detector: [] for detector in recording.detectors}
    white = parts(recording, around_s=around_s, every_s=every_s)
    total = round(recording.stop - recording.start)
    counted = ((round(one[0].stop - one[0].start), one) for one in white)
    for spectrum, white in progress(counted, total, "gates", "second"):
        # The zeros of an excursion may reach into the neighbouring parts.
        around = round(ZERO_S * WHITENED_RATE)
        white = np.pad(white, [(around, around), (0, 0)])
        beyond = gate(white, level, ZERO_S, taper_s=0)[1]
        begin = spectrum.start - ZERO_S
        for detector, rows in found.items():
            own = beyond[:, DETECTORS.index(detector)]
            for first, last in runs(own):
                peak = np.abs(white[first:last, DETECTORS.index(detector)]).max()
                start, stop = (begin + end / WHITENED_RATE for end in (first, last))
                if rows and start <= rows[-1][2]:
                    _, start, _, before = rows.pop()
                    peak = max(peak, before)
                rows.append((detector, start, stop, peak))
    return pd.DataFrame(
        [row for detector in DETECTORS for row in found.get(detector, [])],
        columns=["detector", "start", "stop", "peak"],
    )


def whitened(recording, spectrum, gates=None):
    """The part of a recording that a spectrum is of, whitened with it.

    Args:
        recording: `strain.Recording`.
        spectrum: one of `along`.
        gates: table of `excursions`, which are silenced first.

    Returns:
        float64 (n, 3) at 1024 Hz, of unit variance in noise; zeros where strain is
        cut. Strain fades within `FADE_S` of a cut, and where the recording ends.
    """
    start = max(spectrum.start - MARGIN_S, recording.start)
    stop = min(spectrum.stop + MARGIN_S, recording.stop)
    strain, good = recording.read(start, stop)
    if gates is not None:
        strain = silenced(strain, start, gates)
    strain = strain * _faded(good) / SCALE
    # An even number of samples, all of them whole at the lower rate.
    samples = strain.shape[1] + -strain.shape[1] % SAMPLE_RATE
    frequencies = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    keep = frequencies <= WHITENED_RATE / 2
    series = np.zeros((len(DETECTORS), samples // 2))
    for row, asd in enumerate(spectrum.asd):
        if asd.any():
            fine = np.interp(frequencies[keep], np.arange(len(asd)), asd / SCALE)
            factor = gain(fine, frequencies[keep]) * WHITENED_RATE / SAMPLE_RATE
            spectra = np.fft.rfft(strain[row], samples)[keep] * factor
            series[row] = np.fft.irfft(spectra, samples // 2)
    series = np.where(good[:, ::2], series[:, : good[:, ::2].shape[1]], 0)
    first = round((spectrum.start - start) * WHITENED_RATE)
    last = first + round((spectrum.stop - spectrum.start) * WHITENED_RATE)
    return series[:, first:last].T


def _faded(good):
    """Weight that rises from 0 to 1 within `FADE_S` of what is not usable."""
    fade = round(FADE_S * SAMPLE_RATE)
    weight = np.zeros(good.shape)
    for row in np.flatnonzero(good.any(axis=1)):
        for first, stop in runs(good[row]):
            place = np.arange(stop - first)
            inside = np.minimum(place, place[::-1])
            rise = np.clip((inside + 0.5) / fade, 0, 1)
            weight[row, first:stop] = np.sin(np.pi / 2 * rise) ** 2
    return weight


def weights(gates, start, samples):
    """What gates multiply strain with.

    Args:
        gates: table of `excursions`.
        start: GPS of the first sample, s.
        samples: how many, at 2048 Hz.

    Returns:
        float64 (3, samples): 0 in a gate, 1 away from it, a cosine taper between.
    """
    weight = np.ones((len(DETECTORS), samples))
    stop = start + samples / SAMPLE_RATE
    near = gates[(gates.start - TAPER_S < stop) & (gates.stop + TAPER_S > start)]
    for one in near.itertuples():
        # Only the samples that it may touch: a stretch may have many gates.
        first = max(0, int((one.start - TAPER_S - start) * SAMPLE_RATE))
        last = min(samples, int((one.stop + TAPER_S - start) * SAMPLE_RATE) + 2)
        times = start + np.arange(first, last) / SAMPLE_RATE
        away = np.maximum(one.start - times, times - one.stop)
        own = np.sin(np.pi / 2 * np.clip(away / TAPER_S, 0, 1)) ** 2
        row = DETECTORS.index(one.detector)
        weight[row, first:last] = np.minimum(weight[row, first:last], own)
    return weight


def silenced(strain, start, gates):
    """Raw strain with its gates.

    Args:
        strain: (3, n) at 2048 Hz, as `Recording.read` gives it.
        start: GPS of its first sample, s.
        gates: table of `excursions`.

    Returns:
        A copy, (3, n): zero in each gate, with cosine tapers outside.
    """
    return strain * weights(gates, start, strain.shape[1])
