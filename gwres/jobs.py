"""The whole jobs behind the entry points."""

import logging
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from gwres import cache, evaluate, matched_filter, plots, tracking, train, tune
from gwres.data.corpus import corpus
from gwres.errors import InputError
from gwres.layers.whiten import Whiten
from gwres.simulate.population import population

log = logging.getLogger(__name__)
STORAGE = "sqlite:///optuna.db"


@contextmanager
def workplace(made_from):
    """A folder for checkpoints that one process at a time works in.

    The same description finds the same folder again after a kill. Where a live process
    holds it, as when one command runs twice at once, the next free one is taken.

    Yields:
        Path. It is removed when all goes well, and kept for another try when not.
    """
    base = cache.root() / "training" / cache.digest(made_from)
    for slot in range(1000):
        path = base / str(slot)
        path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(base / f"{slot}.lock", timeout=0):
                yield path
                shutil.rmtree(path)
            return
        except Timeout:
            continue
    raise InputError(f"{base}: 1000 processes train this recipe already")


def fit(recipe, trials=0, storage=STORAGE):
    """Open the data, tune if asked to, train, evaluate, and log it all.

    Args:
        recipe: a `Recipe`.
        trials: how many finished trials the study should hold; 0 does not tune.
        storage: database URL of the study.
    """
    weights = tracking.weights(recipe.fit.init)
    opened = corpus(recipe.data)
    tracking.corpus(opened, recipe.data.source)
    if trials and judgeable(opened):
        study = tune.study(storage, tune.name(recipe, opened), recipe.fit.seed)
        recipe = tune.tune(recipe, opened, study, trials, tracking.Trial, weights)
        tracking.study(study)
    tracking.recipe(recipe)
    log.info("training %s", recipe.name)
    with workplace({"recipe": recipe.flat(), "data": opened.name}) as folder:
        trained = train.fit(recipe, opened, folder, weights, tracking.epoch)
        with tempfile.TemporaryDirectory() as out:
            _judge(recipe, opened, trained, Path(out))


def judgeable(opened):
    """Whether validation holds both classes, which ROC-AUC and so tuning need."""
    labels = opened.judged["validation"].table["label"]
    both = labels.nunique() == 2
    if not both:
        note = (
            f"no tuning: val/roc_auc needs both labels, validation has "
            f"{(labels == 1).sum()} signals and {(labels == 0).sum()} noise windows"
        )
        tracking.note(note)
    return both


def _judge(recipe, opened, trained, out):
    """Score every judged split through the raw path, and log what it shows."""
    tables = {
        name: train.score(trained.classifier, windows)
        for name, windows in opened.judged.items()
    }
    (out / "predictions").mkdir()
    for name, table in tables.items():
        table.to_parquet(out / "predictions" / f"{name}.parquet", index=False)
    holdout = opened.judged["holdout"]
    statistic = matched_filter.baseline(
        holdout.key, holdout, opened.asd, population(recipe.data.population)
    )
    baseline = holdout.table.assign(logit=statistic)
    metrics, notes = evaluate.summary(tables["holdout"])
    classical, _ = evaluate.summary(baseline, "matched_filter")
    metrics |= {
        key: value
        for key, value in classical.items()
        if key.startswith("matched_filter/roc_auc")
    }
    metrics |= {
        "cost/train_core_seconds": trained.core_seconds,
        "cost/windows_per_core_second": trained.windows / trained.core_seconds,
        "cost/parameters": trained.classifier.count_params(),
    }
    evaluate.report(
        out, recipe.name, tables["holdout"], trained.history, baseline, metrics, notes
    )
    _example(opened, out)
    tracking.finish(metrics, notes, out, trained.classifier, _first(opened))
    for line in evaluate.lines(metrics):
        log.info("%s", line)


def _first(opened):
    return next(w.read(0, 1) for w in opened.judged.values() if len(w.table))


def _example(opened, out):
    """Draw the first window of a signal, raw and whitened."""
    for windows in opened.judged.values():
        signals = np.flatnonzero(windows.table["label"])
        if len(signals):
            place = int(signals[0])
            raw = windows.read(place, place + 1)
            layer = Whiten()
            layer.fit(opened.asd)
            name = windows.table["id"][place]
            whitened = np.asarray(layer(raw.astype(np.float32)))[0]
            figure = plots.example(raw[0], whitened, f"window {name}")
            figure.savefig(out / "plots" / "example.png")
            return
