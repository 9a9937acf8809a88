"""Judges models that exist already, on rows that none of them trained on."""

import logging
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from gwres import (
    comparison,
    evaluate,
    gallery,
    jobs,
    matched_filter,
    notes,
    report,
    tracking,
    versions,
)
from gwres.data.corpus import JUDGED, corpus
from gwres.errors import InputError, among

log = logging.getLogger(__name__)
FILTER = "matched-filter"


def judge(models, data, split="holdout", statistic="marginal"):
    """Score a split with each model, report on each, and compare them.

    One model's report is the run's own. Of several, each has a run of its own below,
    and the run's report compares them.

    Args:
        models: list of what `versions.pin` takes, or `FILTER`.
        data: a `Data`.
        split: one of `corpus.JUDGED`.
        statistic: of the matched filter, one of `matched_filter.NAMES`.

    Raises:
        InputError: no such model, split or statistic, one model named twice, or data
            that has no labels or too few windows.
    """
    among("split", split, JUDGED)
    among("statistic", statistic, matched_filter.NAMES)
    names = [name if name == FILTER else versions.pin(name) for name in models]
    if not names or len(set(names)) < len(names):
        raise InputError(
            "model must name one model or several different ones, with commas between; "
            f"received {', '.join(names) or 'none'}"
        )
    opened = corpus(data)
    windows = opened.judged[split]
    _check(windows, len(names) > 1 or FILTER in names, data.source)
    opened = replace(opened, judged={split: windows})
    tracking.corpus(opened, data.source)
    settings = {f"data.{key}": value for key, value in asdict(data).items()}
    # The bank is for training.
    del settings["data.bank"]
    settings |= {"evaluate.split": split, "evaluate.statistic": statistic}
    tables = {name: versions.scored(name, windows) for name in names if name != FILTER}
    classical = jobs.baseline(opened, data, split, statistic)
    tables = {name: tables.get(name, classical) for name in names}
    if len(names) == 1:
        _report(names[0], tables[names[0]], classical, opened, settings)
        return
    for name in names:
        with tracking.child(name):
            _report(name, tables[name], classical, opened, settings)
    _compare(tables, settings)


def _check(windows, ordered, source):
    """Refuse a split that the models cannot be judged on, before any is loaded."""
    labels = windows.table["label"]
    if not len(labels):
        raise InputError(f"data must have windows in {windows.name}; {source} has none")
    if ordered and labels.nunique() < 2:
        raise InputError(
            f"a comparison needs signals and noise; {windows.name} of {source} has "
            f"{(labels == 1).sum()} signals and {(labels == 0).sum()} noise windows"
        )


def _report(name, table, classical, opened, settings):
    """Log one model's predictions, metrics and report to the present run."""
    [(split, windows)] = opened.judged.items()
    settings = settings | {"evaluate.model": name}
    found, missing = evaluate.summary(table, split)
    beside, _ = evaluate.summary(classical, "matched_filter")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        evaluate.write(out, {split: table})
        if name == FILTER:
            # Its statistic orders windows; it is not log odds.
            odds = {f"{split}/{measure}" for measure, _, _ in evaluate.ODDS}
            found = {key: value for key, value in found.items() if key not in odds}
            comparison.report(out, name, {name: table}, {"Settings": settings})
            alone = {name: table}
            text = notes.compared(alone, comparison.pairs(alone), tracking.place())
        else:
            found |= {key: value for key, value in beside.items() if "roc_auc" in key}
            report.report(
                out,
                name,
                table,
                baseline=classical,
                example=jobs.example(opened),
                lists={"Settings": settings},
                view=gallery.viewer(windows, opened.asd),
            )
            text = notes.judged(name, (table, classical), tracking.place())
        tracking.result(found, missing, out, settings)
    area = evaluate.headline(found, split)
    # The column is of the holdout, which other splits are not compared with.
    tags = {"gwres.roc_auc": area} if area and split == "holdout" else {}
    tracking.described(text, tags | {"gwres.entry": "evaluate"})
    if area:
        log.info("%s: %s/roc_auc %s", name, split, area)


def _compare(tables, settings):
    """Log the comparison of several models to the present run."""
    settings = settings | {"evaluate.model": ", ".join(tables)}
    table = comparison.pairs(tables)
    found = {}
    for pair in table.itertuples():
        both = f"{pair.first} less {pair.second}"
        found |= {f"difference/{both}": pair.difference, f"difference_p/{both}": pair.p}
        log.info(
            "%s: %+.4f (%+.4f to %+.4f), p = %.2g",
            *(both, pair.difference, pair.low, pair.high, pair.p),
        )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        comparison.report(out, "Comparison", tables, {"Settings": settings})
        table.to_parquet(out / "differences.parquet", index=False)
        tracking.result(found, [], out, settings)
    tracking.described(notes.compared(tables, table, tracking.place()))
