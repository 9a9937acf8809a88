"""Time slides: which offsets, and for how long each is live, by interval arithmetic.

A slide moves the data of each detector later by its own offset, so that what coincides
in it is noise. Nothing is moved around a circle: a slide has no seam in which data of
the end meet data of the beginning, and loses the ends instead. Offsets of both signs
make up for that. Of T seconds, a circle has T/step slides that are T long; without it
there are 2T/step that are T/2 long on average. Either gives T^2/step of background.

Spans are the times that can be the merger time of a candidate: data that are usable,
less what a window needs before and after, and less half the length of the average. They
are given as {detector: list of (start, stop), GPS s}. A time is live where two
detectors or more have it.
"""

import numpy as np
import pandas as pd

from gwres.errors import InputError, among, within
from gwres.strain import APART_S, DETECTORS, DURATION

# A merger scores in the windows of 2 s around it, which averages of 1 s join. Where the
# offsets differ by more than 3 s and the light's way, data of one merger are never
# averaged in two slides, or with the same merger in another detector. The PSD asks for
# nothing, for it is that of each detector's own data, estimated before they are moved.
STEP_S = 4.0
LEAST_STEP_S = DURATION + max(APART_S.values())
LEAST = 2  # detectors that make a time live
# Of each detector in units of the step: any two differ in every slide, and no two
# slides have two detectors at the same distance.
MULTIPLES = (0, 1, -1)


def plan(spans, count=None, step_s=STEP_S):
    """The slides of a stretch, those with the smallest offsets first.

    Args:
        spans: see the module; two detectors or three.
        count: of slides; None for all there can be.
        step_s: between offsets, s, `LEAST_STEP_S` to 3600. A multiple of the windows'
            step, so that what was computed of one detector's window is of use again.

    Returns:
        DataFrame, a row for each slide that is live at all: slide, a whole number
        that is not 0; an offset for each detector by its name, s, such as 0, 4 and -4;
        live_s. It has fewer than `count` rows where there are no more.

    Raises:
        InputError: spans that `arrays` refuses, one detector alone, or an argument out
            of range.
    """
    spans = arrays(spans)
    if len(spans) < LEAST:
        raise InputError(
            f"time slides need two detectors; received {', '.join(spans) or 'none'}"
        )
    within("step_s", step_s, LEAST_STEP_S, 3600)
    if count is not None:
        within("count", count, 1, 10**7)
    ends = np.concatenate(list(spans.values()))
    reach = int(np.ptp(ends) / step_s) if len(ends) else 0
    rows = []
    for size in range(1, reach + 1):
        for slide in (size, -size):
            offsets = dict(zip(spans, np.multiply(MULTIPLES, slide * step_s).tolist()))
            live_s = length(_live(spans, offsets))
            if live_s > 0 and len(rows) != count:
                rows.append({"slide": slide} | offsets | {"live_s": live_s})
        if len(rows) == count:
            break
    return pd.DataFrame(rows, columns=["slide", *spans, "live_s"])


def foreground_s(spans):
    """The live time of zero-lag, s.

    Raises:
        InputError: spans that `arrays` refuses.
    """
    spans = arrays(spans)
    return length(_live(spans, dict.fromkeys(spans, 0.0)))


def without(slides, spans, times, half_s):
    """The slides' live time without what lies near some times in any detector.

    Args:
        slides: as `plan` gives them.
        spans: those that they were planned for.
        times: GPS s of candidates, (n,).
        half_s: half the length of what is left out around each, s, 0.001 to 60.

    Returns:
        (slides,) array, s. What is left out is where `triggers` would have a time
        within `half_s` of one of `times`.

    Raises:
        InputError: spans that `arrays` refuses, or `half_s` out of range.
    """
    within("half_s", half_s, 0.001, 60)
    spans = arrays(spans)
    near = _joined(np.add.outer(np.asarray(times, dtype=float), [-half_s, half_s]))
    cut = {name: covered([(own, 1), (near, 1)], 2) for name, own in spans.items()}
    left = []
    for offsets in slides[[*spans]].to_dict("records"):
        moved = [(own + offsets[name], 1) for name, own in spans.items()]
        # Heavier than all detectors together.
        moved += [(own + offsets[name], -len(spans)) for name, own in cut.items()]
        left.append(length(covered(moved, LEAST)))
    return np.array(left, dtype=float)


def triggers(events, slides):
    """When in each detector's own data the events of slides happened.

    Args:
        events: DataFrame of columns slide, time (in the slide, s) and detectors (those
            used, such as "H1 L1").
        slides: as `plan` gives them.

    Returns:
        The events with a column for each detector of the slides, GPS s; NaN where it
        was not used.

    Raises:
        InputError: an event of a slide that is not in the plan.
    """
    names = [name for name in DETECTORS if name in slides]
    unknown = set(events["slide"]) - set(slides["slide"])
    if unknown:
        raise InputError(f"events of slides that are not in the plan: {min(unknown)}")
    offsets = slides.set_index("slide")[names].reindex(events["slide"])
    used = events["detectors"].str.split()
    return events.assign(
        **{
            name: np.where(
                used.map(lambda those, name=name: name in those).astype(bool),
                events["time"] - offsets[name].to_numpy(),
                np.nan,
            )
            for name in names
        }
    )


def arrays(spans):
    """Spans as arrays (n, 2) in the detectors' order, sorted, joined where they touch.

    Raises:
        InputError: a detector that is not known, or a span that is not finite or does
            not end after it starts.
    """
    for name in spans:
        among("detector", name, DETECTORS)
    tidy = {}
    for name in sorted(spans, key=DETECTORS.index):
        own = np.asarray(spans[name], dtype=float).reshape(-1, 2)
        bad = ~(np.isfinite(own).all(axis=1) & (own[:, 0] < own[:, 1]))
        if bad.any():
            start, stop = own[np.argmax(bad)].tolist()
            raise InputError(
                f"a span of {name} must end after it starts; received {start} to {stop}"
            )
        tidy[name] = _joined(own)
    return tidy


def covered(weighted, least):
    """Where the weights of spans add up to `least` or more.

    Args:
        weighted: list of (spans (n, 2), weight); spans of one array must not overlap.
        least: above 0.

    Returns:
        Spans (m, 2), sorted; none touches another.
    """
    edges = np.concatenate([own.ravel() for own, _ in weighted])
    steps = np.concatenate(
        [np.tile([weight, -weight], len(own)) for own, weight in weighted]
    )
    times, place = np.unique(edges, return_inverse=True)
    heights = np.bincount(place, weights=steps, minlength=len(times)).cumsum()
    inside = np.concatenate([[False], heights >= least]).astype(int)
    turns = np.diff(inside)
    return np.column_stack([times[turns == 1], times[turns == -1]])


def length(spans):
    """Seconds in spans (n, 2) that do not overlap."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def _joined(spans):
    """Spans (n, 2) that overlap or touch made one."""
    return covered([(one[None], 1) for one in spans], 1) if len(spans) else spans


def _live(spans, offsets):
    """Where two detectors or more are live once each is moved by its offset."""
    return covered([(own + offsets[name], 1) for name, own in spans.items()], LEAST)
