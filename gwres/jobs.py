"""The whole jobs behind the entry points."""

import logging
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gwres import (
    cache,
    closing,
    evaluate,
    gallery,
    matched_filter,
    notes,
    registry,
    report,
    studies,
    submission,
    tracking,
    train,
    tune,
)
from gwres.data import g2net, pack
from gwres.data.corpus import corpus
from gwres.errors import InputError
from gwres.simulate.population import population
from gwres.trials import Trial, record

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

    Returns:
        list of the lines that matter, for the screen.
    """
    weights = tracking.weights(recipe.fit.init)
    database = tune.storage(storage) if trials else None
    recipe = recipe.sized()
    opened = corpus(recipe.data)
    tracking.corpus(opened, recipe.data.source)
    tuned = ""
    if trials and judgeable(opened):
        study = tune.study(database, tune.name(recipe, opened), recipe.fit.seed)
        recipe = tune.tune(recipe, opened, study, trials, Trial, weights)
        tuned = _studied(study)
    tracking.recipe(recipe)
    log.info("training %s", recipe.name)
    with workplace({"recipe": recipe.flat(), "data": opened.name}) as folder:
        trained = train.fit(recipe, opened, folder, weights, tracking.epoch)
        with tempfile.TemporaryDirectory() as out:
            return _judge(recipe, opened, trained, Path(out), tuned)


def _studied(study):
    """Log a study with its figures; its note."""
    table, shares = tune.table(study), tune.importance(study)
    figures = {"history": studies.course(table), "slices": studies.slices(table)}
    if shares:
        figures["importance"] = studies.importance(shares)
    record(study.study_name, table, figures)
    return notes.tuned(study.study_name, table, shares)


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


def _judge(recipe, opened, trained, out, tuned):
    """Score every judged split through the raw path, and log what it shows.

    Returns:
        list of lines for the screen.
    """
    tables = {
        name: train.score(trained.classifier, windows)
        for name, windows in opened.judged.items()
    }
    evaluate.write(out, tables)
    cost = {
        "cost/train_core_seconds": trained.core_seconds,
        "cost/windows_per_core_second": trained.windows / trained.core_seconds,
        "cost/parameters": trained.classifier.count_params(),
    }
    lists = {"Cost": cost, "Settings": recipe.flat()}
    metrics, missing = cost, []
    tags = {"gwres.command": recipe.command}
    if len(tables["holdout"]):
        classical = baseline(opened, recipe.data)
        found, missing = evaluate.summary(tables["holdout"])
        beside, _ = evaluate.summary(classical, "matched_filter")
        areas = {k: v for k, v in beside.items() if "roc_auc" in k}
        metrics = cost | found | areas
        report.report(
            out,
            recipe.name,
            tables["holdout"],
            trained.history,
            classical,
            example(opened),
            lists,
            gallery.viewer(opened.judged["holdout"], opened.asd),
        )
        judged = tables["holdout"], classical
        text = notes.finished(
            recipe.name, judged, tracking.place(), cost, recipe.command, tuned
        )
        area = evaluate.headline(found)
        tracking.described(text, tags | ({"gwres.roc_auc": area} if area else {}))
    else:
        missing = ["holdout has no windows: no metrics and no report"]
        tracking.described(f"{missing[0]}\n\n{tuned}", tags)
    some = next(w.read(0, 1) for w in opened.judged.values() if len(w.table))
    tracking.finish(metrics, missing, out, trained.classifier, some)
    rows = len(tables["holdout"])
    return [*_told(metrics, rows), *closing.lines(rows > 0)]


def classifier(purpose, recipe):
    """A trained classifier, of no run, for an experiment to measure; resumes.

    Args:
        purpose: keeps the checkpoints of one recipe's uses apart.
        recipe: a `Recipe`.
    """
    opened = corpus(recipe.data)
    with workplace({purpose: recipe.flat(), "data": opened.name}) as folder:
        return train.fit(recipe, opened, folder).classifier


def baseline(opened, data, split="holdout", statistic="marginal"):
    """A split scored by the matched filter: predictions of the same rows."""
    windows = opened.judged[split]
    drawn = population(data.population)
    scores = matched_filter.baseline(windows.key, windows, opened.asd, drawn, statistic)
    return windows.table.assign(logit=scores)


def example(opened):
    """A judged signal, the loudest, for `gallery.example`: raw, whitened, title."""
    for windows in opened.judged.values():
        signals = windows.table[windows.table["label"] == 1]
        if len(signals):
            place = int(signals["network_snr"].fillna(0).idxmax())
            raw = windows.read(place, place + 1)
            whitened = next(pack.whitened([raw], opened.asd))[0].astype(float)
            return raw[0], whitened, f"Window {windows.table['id'][place]}, a signal"
    return None


def _told(metrics, rows):
    """The headline as a line for the screen, beside the matched filter's."""
    area = evaluate.headline(metrics)
    if not area:
        return []
    other = metrics["matched_filter/roc_auc"]
    words = f"on {rows:,} holdout windows; matched filter {other:.4f}"
    return [f"ROC-AUC  {area} {words}"]


def predict(model, data, out):
    """Score the test windows of a G2Net folder with a registered model.

    Args:
        model: see `registry.load`.
        data: the folder, with sample_submission.csv and test/.
        out: path of the CSV to write.

    Raises:
        InputError: no such model, folder or ids, or no window that can be read.
    """
    if Path(out).is_dir():
        raise InputError(f"out must be the file to write; received the folder {out}")
    ids = g2net.submission(data)
    score, uri, key = registry.load(model)
    log.info("scoring %s windows of %s with %s", f"{len(ids):,}", data, uri)
    made_from = {"model": key, "data": str(Path(data).resolve()), "ids": ids}
    with workplace(made_from) as folder:
        bad = submission.write(data, ids, score, out, folder)
    if len(bad):
        tracking.note(
            f"{len(bad):,} of {len(ids):,} windows could not be read and have the "
            f"target {submission.UNKNOWN}; {submission.listed(out)} says why"
        )
    tracking.told(
        {"gwres.model": uri},
        {"predict/windows": len(ids), "predict/bad_windows": len(bad)},
    )
    written = [path for path in (Path(out), submission.listed(out)) if path.is_file()]
    for path in written:
        tracking.file(path)
    names, counts = [path.name for path in written], (len(ids), len(bad))
    tracking.described(notes.predicted(uri, data, counts, tracking.place(), names))
    log.info("%s holds %s targets", out, f"{len(ids):,}")
