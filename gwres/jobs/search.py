"""The job that searches recorded strain for mergers."""

import logging
import shlex
import time
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from gwres import cache
from gwres.errors import InputError, within
from gwres.jobs.publish import publish
from gwres.models import pretrained
from gwres.pages import notes, searched
from gwres.search import (
    background,
    events,
    files,
    injections,
    rehearsal,
    scan,
    triggers,
)
from gwres.search.strain import open_strain
from gwres.serve import registered
from gwres.serve.scorer import Scorer
from gwres.simulate.population import population
from gwres.strain import DETECTORS
from gwres.tracking import registry, tags

logger = logging.getLogger(__name__)
PRETRAINED = "pretrained"
SHIPPED = "resnet18-templates-field-detector"
HALF_WIDTH_S = 0.1  # around a candidate's time, in which its merger is
SHOWN = 3  # candidates on the screen


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Args:
        strain: files and folders, with commas between; see `strain.open_strain`.
        event: name of an event whose strain is downloaded; one of both.
        model: "pretrained", or what `registry.pin` takes; "" for the champion, where
            it knows the noise of detectors, and else what ships.
        channels: strain channels of frames, with commas between.
        step: between windows, s.
        slides: number of time slides at the most.
        threshold: of the templates' log-likelihood ratio, from which the network looks.
        injections: signals that are added to a copy of the strain, and searched for.
        noise: hours of simulated noise that give the background of one detector alone,
            which has no slides.
        seed: of the injections and of that noise.
    """

    strain: str = ""
    event: str = ""
    model: str = ""
    channels: str = ""
    step: float = scan.STEP_S
    slides: int = scan.SLIDES
    threshold: float = triggers.THRESHOLD
    injections: int = 0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if bool(self.strain) == bool(self.event):
            raise InputError(
                "expected strain=FILE[,FILE…] or event=NAME, one of both; received "
                f"strain={self.strain or 'none'}, event={self.event or 'none'}"
            )
        within("step", self.step, 0.02, 0.5)
        within("slides", self.slides, 1, 10**6)
        within("threshold", self.threshold, 5.0, 1000.0)
        within("injections", self.injections, 0, 10**6)
        if self.noise:
            within("noise", self.noise, 0.01, 10_000.0)
        within("seed", self.seed, 0, 2**31 - 1)

    @property
    def command(self):
        """What searches the same again."""
        words = ["mlflow", "run", ".", "-e", "search"]
        for one in fields(self):
            value = getattr(self, one.name)
            if value != one.default:
                words += ["-P", f"{one.name}={value}"]
        return shlex.join(words)


def search(chosen):
    """Search strain, and publish candidates, their false-alarm rates and a report.

    Args:
        chosen: a `Search`.

    Returns:
        list of lines for the screen.

    Raises:
        InputError: no such model or event, or what `strain.open_strain` refuses.
    """
    begun = time.process_time()
    # What is wrong is told before anything is loaded.
    sources = files.listed(_list(chosen.strain)) if chosen.strain else None
    judge = named(chosen.model)
    sources = sources or files.event(chosen.event)
    recording = open_strain(sources, channels=_list(chosen.channels))
    made_from = {"files": _stamps(recording), "model": judge.identity}
    made_from |= {"search": asdict(chosen)}
    with cache.workplace(made_from) as folder:
        settings = chosen.step, chosen.slides, chosen.threshold
        found = scan.scan(recording, judge, folder / "search", *settings)
        table = alone(scan.rated(found), found, judge, chosen, folder)
        injected = None
        if chosen.injections:
            injected = inject(recording, found, judge, chosen, folder)
            table = astrophysical(table, found, injected[0])
        cost = {tags.SEARCH_SECONDS: time.process_time() - begun}
        return _published(chosen, judge, recording, found, table, injected, cost)


def _list(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def _stamps(recording):
    """What tells files from others, and from themselves before they were changed."""
    rows = []
    for own in recording.pieces.values():
        for piece in own:
            status = piece.path.stat()
            stamp = status.st_size, status.st_mtime_ns
            rows.append([str(piece.path.resolve()), *stamp, piece.detector, piece.gps])
    return rows


def named(model):
    """The `scan.Judge` of a name: see `Search.model`.

    Raises:
        InputError: there is none, or its run does not tell what it knows.
    """
    uri = None if model == PRETRAINED else _pinned(model)
    if not uri:
        path, card = pretrained.whole(SHIPPED)
        scorer = Scorer({"classifier": str(path)})
        return scan.Judge(scorer, card.name, card.digest, population(card.population))
    known = population(registry.data(uri).population)
    return scan.Judge(registered.load(uri), uri, registry.identity(uri), known)


def _pinned(model):
    """The model's URI; of none that is named, that of a champion that may search."""
    if model:
        return registry.pin(model)
    champion = registry.current()
    if not champion:
        return None
    uri = registry.pin(f"{champion.name}/{champion.number}")
    return uri if registry.data(uri).noise != "gaussian" else None


def alone(table, found, judge, chosen, folder):
    """Rates of candidates in one detector alone, by hours of simulated noise.

    Args:
        table: as `scan.rated` gives it.
        found: a `scan.Found`.
        judge: a `scan.Judge`.
        chosen: a `Search`.
        folder: for what is on disk.

    Returns:
        The table.
    """
    if not chosen.noise:
        return table
    single = scan.alone(table)
    parts = [table[~single]]
    for detector, rows in table[single].groupby("detectors"):
        path = folder / f"{detector}.hdf"
        seconds = round(chosen.noise * 3600 / rehearsal.GAP_S) * rehearsal.GAP_S
        if not cache.whole(path):
            with cache.keeping(path) as scratch:
                rehearsal.write(scratch, seconds, chosen.seed, (detector,))
        quiet = scan.scan(
            *(open_strain(path), judge, folder / f"noise-{detector}", chosen.step),
            count=0,
            threshold=chosen.threshold,
        )
        heard = quiet.candidates["statistic"]
        rate = background.far(rows["statistic"], heard, quiet.searched_s)
        searched_s = found.searched_s - found.together_s
        columns = {
            "louder": background.louder(rows["statistic"], heard),
            "background_s": quiet.searched_s,
            "far_per_year": rate * background.YEAR_S,
            "ifar_years": 1 / (rate * background.YEAR_S),
            "p": background.p_value(rate, searched_s),
        }
        columns |= {f"{name}_exclusive": value for name, value in columns.items()}
        parts.append(rows.assign(**columns))
    return scan.ordered(parts)


def inject(recording, found, judge, chosen, folder):
    """Add signals to the recording, and search for them.

    Args:
        recording: `strain.Recording`.
        found: the `scan.Found` of the recording as it is.
        judge: a `scan.Judge`.
        chosen: a `Search`.
        folder: for what is on disk.

    Returns:
        (a row of each signal, as `injections.found` gives it; what is reached at some
        rates, as `injections.reached` gives it).

    Raises:
        InputError: no two detectors, or no room for so many.
    """
    if found.plan is None:
        raise InputError(
            "injections need a background, and so two detectors with data at the same "
            f"time; received {', '.join(found.spans) or 'none'}"
        )
    path = folder / "injections.parquet"
    if not cache.whole(path):
        table = injections.draw(
            *(recording, found.spans, judge.population, chosen.injections),
            chosen.seed,
            found.gates,
        )
        with cache.keeping(path) as scratch:
            table.to_parquet(scratch, index=False)
    table = pd.read_parquet(path)
    louder = injections.Injected(recording, table, judge.population, chosen.seed)
    settings = {"step_s": chosen.step, "count": 0, "threshold": chosen.threshold}
    heard = scan.scan(louder, judge, folder / "injected", **settings)
    known = found.events["statistic"], found.background_s
    rows = injections.found(table, heard.candidates, *known)
    return rows, injections.reached(rows, judge.population, found.background_s)


def astrophysical(table, found, rows):
    """The table with p_astro, where there are candidates and signals enough.

    Args:
        table: as `scan.rated` gives it.
        found: a `scan.Found`.
        rows: as `inject` gives them.
    """
    signals = rows["statistic"].dropna()
    both = ~scan.alone(table)
    chance, why = background.p_astro(
        *(table.loc[both, "statistic"], found.events["statistic"], signals),
        *(found.together_s, found.background_s),
    )
    if why:
        logger.info("%s", why)
    column = np.full(len(table), np.nan)
    column[both.to_numpy()] = chance
    return table.assign(p_astro=column)


def viewer(stretch):
    """Look at candidates: a function of a row to whitened strain (2048, 3)."""

    def view(row):
        first, _ = stretch.places(row["time"] - 1, dict.fromkeys(DETECTORS, 0.0))
        return stretch.window(first, row["detectors"].split())

    return view


def _published(chosen, judge, recording, found, table, injected, cost):
    """Put what was found on the run; the lines for the screen."""
    measured = cost | {
        tags.SEARCHED: found.searched_s / 3600,
        tags.BACKGROUND: found.background_s / 86400,
        tags.CANDIDATES: len(table),
        tags.GATED: len(found.gates),
    }
    if len(table):
        first = table.iloc[0]
        measured[tags.LOUDEST] = first["statistic"]
        if np.isfinite(first["far_per_year"]):
            measured[tags.RAREST] = first["far_per_year"]
    settings = {f"search.{name}": value for name, value in asdict(chosen).items()}
    settings["search.model"] = judge.name
    title = f"Search of {' '.join(recording.detectors)}"

    def write(out):
        searched.write(
            *(out, title, table, found.course, chosen.threshold, found.searched_s),
            *(recording.cuts, found.gates, viewer(found.stretch)),
            lists={"Settings": settings, "Cost": cost | {"windows": found.looked}},
            injected=injected,
        )
        events.write_tables(out, table)
        events.write(out / "events.hdf", table, HALF_WIDTH_S)
        if found.events is not None:
            with cache.replacing(out / "background.parquet") as scratch:
                found.events.to_parquet(scratch, index=False)
            found.plan.to_parquet(out / "slides.parquet", index=False)
        if injected:
            rows, reached = injected
            rows.to_parquet(out / "injections.parquet", index=False)
            reached.to_csv(out / "sensitivity.csv", index=False)

    publish(
        lambda place: notes.searched(
            *(title, table, found.searched_s, place, chosen.command, injected)
        ),
        write=write,
        settings=settings,
        metrics=measured,
        named={tags.MODEL: judge.name, tags.COMMAND: chosen.command},
    )
    lines = [searched.headline(table, found.searched_s)]
    for row in table[:SHOWN].itertuples():
        lines.append(
            f"GPS {row.time:.3f}  statistic {row.statistic:.2f}  {row.detectors}"
        )
    return lines
