"""The job that searches recorded strain for mergers."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gwres import cache
from gwres.errors import InputError, within
from gwres.jobs.publish import publish
from gwres.matched.design import filters
from gwres.models import pretrained
from gwres.pages import notes, searched
from gwres.progress import progress
from gwres.search import (
    background,
    candidates,
    events,
    files,
    injections,
    psd,
    slides,
    triggers,
    windows,
)
from gwres.search.strain import open_strain
from gwres.serve import registered
from gwres.serve.scorer import Scorer
from gwres.simulate.population import population
from gwres.strain import DETECTORS
from gwres.tracking import log, registry, tags

logger = logging.getLogger(__name__)
PRETRAINED = "pretrained"
SHIPPED = "resnet18-templates-field-detector"
LOW = -1e6  # threshold of candidates: their triggers have passed one
HALF_WIDTH_S = 0.25  # around a candidate, in which its merger is
SHOWN = 5  # candidates on the screen
PART = 2048  # windows that are scored before they are put on disk


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Args:
        strain: files and folders, with commas between; see `strain.open_strain`.
        event: name of an event whose strain is downloaded; one of both.
        model: "pretrained", or what `registry.pin` takes; "" for the champion, where
            it was trained in detectors' noise, and else what ships.
        channels: of frames, with commas between.
        step: between windows, s.
        slides: number of time slides.
        threshold: of the templates' log-likelihood ratio, from which the network looks.
        injections: signals that are added to a copy of the strain, and searched for.
        seed: of the injections.
    """

    strain: str = ""
    event: str = ""
    model: str = ""
    channels: str = ""
    step: float = 0.1
    slides: int = 100
    threshold: float = triggers.THRESHOLD
    injections: int = 0
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
        within("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class Judge:
    """The network of a search.

    Args:
        scorer: a `Scorer`.
        name: of the model.
        identity: what no other model has.
        population: the `Population` that it knows.
    """

    scorer: Scorer
    name: str
    identity: str
    population: object

    @property
    def merger_s(self):
        """Times in a window at which a binary may merge, s."""
        return self.population.merger_s

    def length_s(self, step):
        """Of the average over windows that may hold one merger, s."""
        first, last = self.merger_s
        return max(round((last - first) / step), 1) * step


def search(chosen):
    """Search strain, and publish candidates, their false-alarm rates and a report.

    Args:
        chosen: a `Search`.

    Returns:
        list of lines for the screen.

    Raises:
        InputError: no such model, or what `strain.open_strain` refuses.
    """
    begun = time.process_time()
    judge = named(chosen.model)
    sources = _list(chosen.strain) if chosen.strain else files.event(chosen.event)
    recording = open_strain(sources, channels=_list(chosen.channels))
    made_from = {
        "files": [
            [str(piece.path.resolve()), *_stamp(piece.path), piece.gps, piece.samples]
            for own in recording.pieces.values()
            for piece in own
        ],
        "model": judge.identity,
        "search": asdict(chosen),
    }
    with cache.workplace(made_from) as folder:
        found = _whole(recording, judge, chosen, folder)
        table, background_events, plan, live = found
        background_s = float(plan["live_s"].sum()) if len(plan) else 0.0
        reached = None
        if chosen.injections:
            reached = _injected(recording, judge, chosen, folder, found)
            table = _astrophysical(table, background_events, reached[0], live, plan)
        return _publish(
            chosen, judge, recording, folder, found, table, reached, begun, background_s
        )


def _list(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def _stamp(path):
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def named(model):
    """The `Judge` of a name: see `Search.model`.

    Raises:
        InputError: there is none, or it cannot search.
    """
    if model == PRETRAINED or (not model and not _champion()):
        path, card = pretrained.whole(SHIPPED)
        scorer = Scorer({"classifier": str(path)})
        return Judge(scorer, card.name, card.digest, population(card.population))
    uri = registry.pin(model or registry.ENSEMBLE)
    data = registry.data(uri)
    scorer = registered.load(uri)
    return Judge(scorer, uri, registry.identity(uri), population(data.population))


def _champion():
    """Whether there is a champion that knows detectors' noise."""
    version = registry.current()
    if not version:
        return False
    data = registry.data(f"models:/{version.name}/{version.number}")
    return data.noise == "detector"


def _whole(recording, judge, chosen, folder, gates=None, plan=None):
    """Search a recording.

    Returns:
        `Found`.
    """
    folder = Path(folder)
    gates = _kept(folder / "gates.parquet", lambda: psd.excursions(recording))
    stretch = windows.whiten(recording, folder, gates)
    templates = filters(judge.population, judge.scorer.asd, consistent=True)
    maps = triggers.measure(stretch, templates, folder)
    length_s = judge.length_s(chosen.step)
    spans = windows.spans(stretch, windows.trim_s(judge.merger_s, length_s))
    plan = None
