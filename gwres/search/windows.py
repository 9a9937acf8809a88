"""A recording whitened once, on disk, and the windows that a network is shown of it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gwres import proof
from gwres.engine.work import seen
from gwres.errors import writing
from gwres.layers.whiten import fade
from gwres.progress import progress
from gwres.search import psd
from gwres.search.slides import LEAST
from gwres.strain import DETECTORS, DURATION, WHITENED_RATE, WHITENED_SAMPLES

PART_S = psd.EVERY_S  # what is whitened, and written, at a time
PART = round(PART_S * WHITENED_RATE)


@dataclass(frozen=True)
class Stretch:
    """A recording of one to three detectors, whitened.

    Args:
        path: of the file: float32 (samples, detectors), at 1024 Hz, unit variance in
            noise, zeros where strain is cut.
        start: GPS of the first sample, s.
        samples: how many there are.
        detectors: names of its columns.
        whole: dict of detector to a list of (first, stop): samples that are there and
            not faded.
    """

    path: Path
    start: float
    samples: int
    detectors: tuple
    whole: dict
    _map: dict = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self):
        """What is sent to a worker: where the strain lies, not the strain."""
        own = self.path, self.start, self.samples, self.detectors, self.whole
        return Stretch, own

    @property
    def strain(self):
        """The whitened strain, a memory map (samples, detectors)."""
        if not self._map:
            shape = self.samples, len(self.detectors)
            path = seen(self.path)
            self._map[0] = np.memmap(path, np.float32, "r", shape=shape)
        return self._map[0]

    def series(self, detector, first, stop):
        """Whitened samples of a detector, (stop - first,); zeros beyond its ends."""
        low, high = np.clip((first, stop), 0, self.samples)
        series = np.zeros(stop - first, np.float32)
        column = self.detectors.index(detector)
        series[low - first : high - first] = self.strain[low:high, column]
        return series

    def sample(self, time):
        """The sample nearest to a GPS time."""
        return round((time - self.start) * WHITENED_RATE)

    def places(self, begin, offsets):
        """Where a window lies in each detector's data.

        Args:
            begin: GPS of the window's start, s, moved by the offsets.
            offsets: dict of detector to how much later its data are moved, s.

        Returns:
            (dict of detector to its first sample; the detectors that have all of the
            window).
        """
        first = {
            name: self.sample(begin) - round(offsets[name] * WHITENED_RATE)
            for name in self.detectors
        }
        used = [
            name
            for name, own in first.items()
            if any(
                low <= own and own + WHITENED_SAMPLES <= high
                for low, high in self.whole[name]
            )
        ]
        return first, used

    def window(self, first, detectors):
        """What a network is shown: 2 s of some detectors, zeros of others.

        Args:
            first: dict of detector to the first sample.
            detectors: those to show.

        Returns:
            float32 (2048, 3).
        """
        shown = np.zeros((WHITENED_SAMPLES, len(DETECTORS)), np.float32)
        for name in detectors:
            place = slice(first[name], first[name] + WHITENED_SAMPLES)
            column = self.detectors.index(name)
            shown[:, DETECTORS.index(name)] = self.strain[place, column]
        return shown * FADED


FADED = fade(WHITENED_SAMPLES)


def whiten(recording, folder, gates=None):
    """Whiten a recording with its local PSD, part by part; see `psd.parts`.

    Each part is appended to a file. A call that finds parts of an earlier one, which
    was stopped, goes on after them.

    Args:
        recording: `strain.Recording`.
        folder: where the file `white.f4` is, or will be.
        gates: table of `psd.excursions`, which are silenced.

    Returns:
        `Stretch`.
    """
    samples = int((recording.stop - recording.start) * WHITENED_RATE)
    columns = [DETECTORS.index(name) for name in recording.detectors]
    path = Path(folder) / "white.f4"

    def parts(done):
        whitened = psd.parts(recording, gates, first=done)
        for number, (_, white) in enumerate(whitened, done):
            yield white[: samples - number * PART, columns].astype("<f4")

    appended(path, samples, PART, 4 * len(columns), parts, "whiten")
    whole = {
        name: [
            (
                int(np.ceil((start + psd.FADE_S - recording.start) * WHITENED_RATE)),
                int((stop - psd.FADE_S - recording.start) * WHITENED_RATE),
            )
            for start, stop in spans
        ]
        for name, spans in recording.spans.items()
    }
    return Stretch(path, recording.start, samples, recording.detectors, whole)


def appended(path, rows, size, width, make, name):
    """Fill a file of rows part by part, and go on where an earlier call was stopped.

    Each part has a digest. What was written of one that is not complete, and whatever
    follows one that is damaged, is thrown away.

    Args:
        path: of the file.
        rows: that it has in the end.
        size: rows of a part; the last may be shorter.
        width: bytes of a row.
        make: function of the number of parts that are done to the others, arrays.
        name: of what is done, for the progress.
    """
    done = proof.parts(path, size * width)
    if done * size >= rows:
        return
    with path.open("ab") as file, proof.beside(path).open("ab") as digests:
        made = ((len(part), part) for part in make(done))
        rest = round((rows - done * size) * PART_S / size)
        for part in progress(_seconds(made, size), rest, name, "second"):
            data = part.tobytes()
            with writing(path):
                for one, written in ((file, data), (digests, proof.packed(data))):
                    one.write(written)
                    one.flush()


def _seconds(parts, size):
    for count, part in parts:
        yield round(count * PART_S / size), part


def trim_s(merger_s, length_s):
    """How far a candidate must be from an end of its data, s.

    Args:
        merger_s: times in a window at which a binary may merge, s, (first, last).
        length_s: of the average over windows, s.
    """
    middle = sum(merger_s) / 2
    return max(middle, DURATION - middle) + length_s / 2 + psd.FADE_S


def spans(stretch, trim):
    """Times that can be the merger time of a candidate, dict of detector to GPS spans.

    Args:
        stretch: a `Stretch`.
        trim: as `trim_s` gives it, s.
    """
    inner = trim - psd.FADE_S
    return {
        name: [
            (start, stop)
            for start, stop in (
                (
                    stretch.start + first / WHITENED_RATE + inner,
                    stretch.start + last / WHITENED_RATE - inner,
                )
                for first, last in whole
            )
            if start < stop
        ]
        for name, whole in stretch.whole.items()
    }


def score(scorer, stretch, wanted, offsets, merger_s, snrs=None, batch=16):
    """A network's logits of windows of a stretch, in constant memory.

    Args:
        scorer: a `Scorer`.
        stretch: a `Stretch`.
        wanted: list of (slide, time): GPS of the middle of the merger times, s.
        offsets: dict of slide to a dict of each detector's offset, s.
        merger_s: as for `trim_s`.
        snrs: `Snrs` of the network's own templates, which are then not computed anew
            for each window; None where it has none.
        batch: windows at a time.

    Yields:
        (logit, detectors) of each: NaN where no detector has all of the window, or, in
        a slide other than 0, fewer than two.
    """
    middle = sum(merger_s) / 2
    for low in range(0, len(wanted), batch):
        chosen = wanted[low : low + batch]
        places = [
            stretch.places(time - middle, offsets[slide]) for slide, time in chosen
        ]
        if snrs is None:
            shown = np.stack([stretch.window(*place) for place in places])
            logits = scorer.whitened(shown)
        else:
            # Detectors and parts first, and windows after times, as the layer has it.
            shown = np.stack([snrs.window(*place) for place in places], axis=3)
            logits = scorer.of_snrs(tuple(tuple(parts) for parts in shown))
        for logit, (_, used), (slide, _) in zip(logits, places, chosen):
            enough = len(used) >= (LEAST if slide else 1)
            yield (float(logit) if enough else np.nan), " ".join(used)
