"""A recording from strain to candidates, and the events of its time slides.

    whitened once -> templates of each detector -> where they agree, in every slide
                  -> the network's look at each -> at all windows of what it takes for
                     a signal -> their averages -> candidates

All that costs time is written into a folder as it comes. A scan that was stopped goes
on there.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from gwres import cache
from gwres.cores import cores
from gwres.engine.item import Prepared
from gwres.engine.work import each
from gwres.errors import InputError
from gwres.matched.design import filters
from gwres.progress import progress
from gwres.search import background, psd, slides, triggers, windows
from gwres.search.candidates import Clusters
from gwres.search.snrs import Snrs
from gwres.serve.scorer import Scorer
from gwres.simulate.population import Population

STEP_S = 0.1
SLIDES = 100
PART = 2048  # windows that are scored before they are put on disk
# Log odds in the window in whose middle a trigger is, from which the network looks at
# all windows that may hold it. Below, it takes the trigger for noise.
EVEN = 0.0
LOW = -1e9  # below every average: what became a candidate has passed these two
COURSE_S = 1.0  # of which the report shows the highest ratio


@dataclass(frozen=True)
class Judge:
    """The network of a search.

    Args:
        scorer: a `Scorer`.
        name: of the model.
        identity: text that no other model has.
        population: the `Population` that it was trained on.
    """

    scorer: Scorer
    name: str
    identity: str
    population: Population

    @property
    def merger_s(self):
        """Times in a window at which a binary may merge, s."""
        return self.population.merger_s

    def count(self, step_s):
        """Number of windows that may hold the same merger."""
        first, last = self.merger_s
        return max(round((last - first) / step_s), 1)


@dataclass(frozen=True)
class Found:
    """What a scan has found.

    Args:
        stretch: `windows.Stretch`.
        gates: as `psd.excursions` gives them.
        spans: times that were searched, dict of detector to GPS spans.
        plan: slides, as `slides.plan` gives them; None without.
        candidates: DataFrame of columns time (GPS of the merger, s), statistic,
            detectors, trigger, template, and snr and chi2 of each detector.
        events: DataFrame of the slides' candidates: slide, time, statistic, detectors
            and the time in each detector's own data; None without slides.
        course: DataFrame of columns time and statistic: the highest log-likelihood
            ratio of the templates in each second, NaN where nothing was searched.
        looked: number of windows that the network was shown.
    """

    stretch: windows.Stretch
    gates: pd.DataFrame
    spans: dict
    plan: pd.DataFrame | None
    candidates: pd.DataFrame
    events: pd.DataFrame | None
    course: pd.DataFrame
    looked: int

    @property
    def background_s(self):
        """Live time of all slides together, s."""
        return 0.0 if self.plan is None else float(self.plan["live_s"].sum())

    @property
    def searched_s(self):
        """Time in which one detector or more was searched, s."""
        return slides.length(self._live(1))

    @property
    def together_s(self):
        """Time in which two detectors or more were searched, s."""
        return slides.length(self._live(slides.LEAST))

    def _live(self, least):
        own = slides.arrays(self.spans).values()
        return slides.covered([(one, 1) for one in own], least)


def scan(
    recording,
    judge,
    folder,
    step_s=STEP_S,
    count=SLIDES,
    threshold=triggers.THRESHOLD,
):
    """Search a recording.

    Args:
        recording: `strain.Recording`, or what is read in the same way.
        judge: a `Judge`.
        folder: for what is on disk, 4 KB for a second of a detector's strain and 8 for
            its templates; a call that finds some of it goes on after it.
        step_s: between windows, s.
        count: number of time slides at the most; 0 for none.
        threshold: of the templates' log-likelihood ratio, from which the network looks.

    Returns:
        `Found`.

    Raises:
        InputError: there is nowhere strain enough around a time to search it.
    """
    windowed = judge.count(step_s)
    length_s = windowed * step_s
    trim_s = windows.trim_s(judge.merger_s, length_s)
    _demand(recording, 2 * trim_s)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    gates = _gates(recording, folder)
    stretch = windows.whiten(recording, folder, gates)
    templates = filters(judge.population, judge.scorer.asd, consistent=True)
    maps = triggers.measure(stretch, templates, folder)
    spans = windows.spans(stretch, trim_s)
    plan = None
    if count and len([own for own in spans.values() if own]) >= slides.LEAST:
        plan = slides.plan({name: own for name, own in spans.items() if own}, count)
    offsets = {0: dict.fromkeys(stretch.detectors, 0.0)}
    if plan is not None:
        for row in plan.to_dict("records"):
            own = {name: row.get(name, 0.0) for name in stretch.detectors}
            offsets[int(row["slide"])] = own
    agreed, course = _triggers(maps, offsets, spans, threshold)

    def looked(times, count, name):
        wanted = _wanted(times, stretch.start, step_s, count)
        return _scored(judge, stretch, wanted, offsets, folder, name)

    first = looked(agreed, 1, "first")
    likely = first.loc[first["statistic"] >= EVEN, ["slide", "time"]]
    scored = looked(likely, windowed, "logits")
    found = _clustered(scored, length_s, step_s, agreed)
    zero = found["slide"] == 0
    around_s = length_s / 2 + 0.1
    located = triggers.locate(stretch, templates, found[zero], around_s)
    events = None
    if plan is not None:
        events = slides.triggers(found[~zero].reset_index(drop=True), plan)
    return Found(
        stretch,
        gates,
        {name: own for name, own in spans.items() if own},
        plan,
        located.drop(columns="slide"),
        events,
        course,
        len(first) + len(scored),
    )


def _demand(recording, length_s):
    """Raise `InputError` unless a detector has a longer span than this."""
    longest = {
        name: max(own, key=lambda span: span[1] - span[0])
        for name, own in recording.spans.items()
        if own
    }
    if not any(stop - start > length_s for start, stop in longest.values()):
        told = ", ".join(
            f"{stop - start:.4g} s of {name} (GPS {start:.12g} to {stop:.12g})"
            for name, (start, stop) in longest.items()
        )
        raise InputError(
            f"expected more than {length_s:g} s of usable strain without a gap; the "
            f"longest received is {told or 'none'}"
        )


def _gates(recording, folder):
    path = folder / "gates.parquet"
    if not cache.whole(path):
        with cache.keeping(path) as scratch:
            psd.excursions(recording).to_parquet(scratch, index=False)
    return pd.read_parquet(path)


def _triggers(maps, offsets, spans, threshold):
    """Triggers of all slides, and the course of the search without one."""
    pieces, course = [], []
    whole = {name: spans.get(name, []) for name in maps.paths}
    slide = partial(_slide, maps, whole, threshold)
    finished = ((1, own) for own in each(slide, offsets.items(), _of, cores()))
    for own, seconds in progress(finished, len(offsets), "time slides", "slide"):
        pieces += own
        course += seconds
    columns = ["time", "statistic"]
    return triggers.table(pieces), pd.concat(
        course or [pd.DataFrame(columns=columns, dtype=float)], ignore_index=True
    )


def _of(offsets):
    return f"slide {offsets[0]}"


def _slide(maps, spans, threshold, offsets):
    """The triggers of a slide, as pieces of `triggers.table`, and their course."""
    slide, own = offsets
    pieces, course = [], []
    least = slides.LEAST if slide else 1
    for times, ratios, every, begin in triggers.find(
        maps, own, spans, least, threshold
    ):
        pieces.append((slide, times, ratios))
        if not slide:
            course.append(_course(every, begin))
    return pieces, course


def _course(every, begin):
    """The highest of the ratios of each second; NaN where none was searched."""
    bins = round(COURSE_S / triggers.BIN_S)
    rows = np.pad(every, (0, -len(every) % bins), constant_values=np.nan)
    highest = np.nan_to_num(rows.reshape(-1, bins), nan=-np.inf).max(axis=1)
    times = begin + (np.arange(len(highest)) + 0.5) * COURSE_S
    highest = np.where(np.isfinite(highest), highest, np.nan)
    return pd.DataFrame({"time": times, "statistic": highest})


def _wanted(agreed, start, step_s, count):
    """The windows that may hold a trigger's merger: DataFrame of slide and number.

    Windows are `step_s` apart all along the recording, so those of triggers that are
    close to each other are the same.
    """
    middle = (agreed["time"].to_numpy() - start) / step_s - (count - 1) / 2
    first = np.round(middle).astype(int)
    rows = pd.DataFrame(
        {
            "slide": np.repeat(agreed["slide"].to_numpy(), count),
            "number": (first[:, None] + np.arange(count)).ravel(),
        }
    ).drop_duplicates()
    # In the order of time, so that what the same strain makes is computed once.
    rows = rows.sort_values(["number", "slide"], ignore_index=True)
    return rows.assign(time=start + rows["number"] * step_s)


def _scored(judge, stretch, wanted, offsets, folder, name):
    """The windows with a network's logits and detectors, part by part."""
    pairs = list(zip(wanted["slide"].tolist(), wanted["time"].tolist()))
    parts = {}
    for first in range(0, len(pairs), PART):
        chosen = pairs[first : first + PART]
        # Of other slides or triggers it is another part.
        path = folder / f"{name}-{first:09d}-{cache.digest(chosen)}.parquet"
        parts[path] = chosen
    missing = {path: chosen for path, chosen in parts.items() if not cache.whole(path)}
    look = Prepared(_look, judge, stretch, offsets)
    looked = zip(missing.items(), each(look, missing.values(), _first, threads=1))
    counted = ((len(chosen), (path, part)) for (path, chosen), part in looked)
    total = sum(map(len, missing.values()))
    for path, part in progress(counted, total, f"network, {name}"):
        with cache.keeping(path) as scratch:
            part.to_parquet(scratch, index=False)
    tables = [pd.read_parquet(path) for path in parts]
    empty = pd.DataFrame({"statistic": pd.Series(dtype=float), "detectors": ""})
    logits = pd.concat(tables or [empty], ignore_index=True)
    return pd.concat([wanted, logits], axis=1)


def _first(pairs):
    slide, time = pairs[0]
    return f"windows from slide {slide}, GPS {time:.1f} on"


def _look(judge, stretch, offsets):
    """A function of pairs of slide and time to a table of logits and detectors."""
    held = Snrs(judge.scorer, stretch) if judge.scorer.templates else None
    known = judge.scorer, stretch

    def look(pairs):
        rows = windows.score(*known, pairs, offsets, judge.merger_s, held)
        return pd.DataFrame(list(rows), columns=["statistic", "detectors"])

    return look


def _clustered(scored, length_s, step_s, agreed):
    """Candidates of every slide, with the trigger that each is of."""
    tables = []
    for slide, rows in scored.groupby("slide", sort=True):
        clusters = Clusters(LOW, length_s, step_s=step_s)
        own = pd.concat([clusters.add(rows), clusters.finish()], ignore_index=True)
        near = agreed[agreed["slide"] == slide]
        own = pd.merge_asof(
            own,
            near[["time", "trigger"]].sort_values("time"),
            on="time",
            direction="nearest",
            tolerance=length_s,
        )
        tables.append(own.assign(slide=slide))
    # A table without rows has the right types as well.
    kinds = {"time": float, "statistic": float, "detectors": str, "trigger": float}
    columns = kinds | {"slide": int}
    empty = pd.DataFrame({name: pd.Series(dtype=x) for name, x in columns.items()})
    return pd.concat(tables or [empty], ignore_index=True)[[*columns]]


def rated(found, half_s=background.HALF_S):
    """Candidates with their false-alarm rates, as `background.table` gives them.

    One detector alone has no slides: its candidates' rate is not known, which is an
    infinite one.

    Args:
        found: a `Found`.
        half_s: see `background.table`.
    """
    table = found.candidates
    single = alone(table)
    rows = table[~single]
    names = ["louder", "background_s", "far_per_year", "ifar_years", "p"]
    names += [f"{name}_exclusive" for name in names]
    unknown = dict(zip(names, [0, 0.0, np.inf, 0.0, 1.0] * 2))
    if found.plan is None:
        rows = rows.assign(**unknown)
    else:
        planned = {name: own for name, own in found.spans.items() if name in found.plan}
        rows = background.table(rows, found.events, found.plan, planned, half_s)
    return ordered([rows, table[single].assign(**unknown)])


def alone(table):
    """Which candidates are of one detector, which has no slides: a boolean Series."""
    return table["detectors"].str.split().str.len() < slides.LEAST


def ordered(parts):
    """Tables of candidates as one, the rarest first, and the louder of equals."""
    table = pd.concat(parts, ignore_index=True)
    order = ["far_per_year", "statistic"]
    return table.sort_values(order, ascending=[True, False], ignore_index=True)
