"""The job that judges models that exist already, on rows that none trained on."""

import logging
from dataclasses import asdict, replace

from gwres.data.corpus import JUDGED, open_corpus
from gwres.errors import InputError, among
from gwres.jobs.publish import classical, judge, publish
from gwres.judging.predictions import differences
from gwres.matched.score import NAMES
from gwres.pages import gallery, notes, report
from gwres.pages.plots import EVIDENCE, MATCHED_FILTER
from gwres.serve import registered
from gwres.simulate.population import population
from gwres.tracking import log, registry, tags

logger = logging.getLogger(__name__)
FILTER = "matched-filter"


def evaluate(models, data, split="holdout", statistic="marginal"):
    """Score a split with each model, report on each, and compare them.

    One model's report is the run's own. Of several, each has a run of its own below,
    and the run's report compares them.

    Args:
        models: list of what `registry.pin` takes, or `FILTER`.
        data: a `Data`.
        split: one of `corpus.JUDGED`.
        statistic: of the matched filter, one of `score.NAMES`.

    Raises:
        InputError: no such model, split or statistic, one model named twice, or data
            that has no labels or too few windows.
    """
    among("split", split, JUDGED)
    among("statistic", statistic, NAMES)
    names = [name if name == FILTER else registry.pin(name) for name in models]
    if not names or len(set(names)) < len(names):
        raise InputError(
            "model must name one model or several different ones, with commas between; "
            f"received {', '.join(names) or 'none'}"
        )
    corpus = open_corpus(data)
    windows = corpus.judged[split]
    _check(windows, len(names) > 1 or FILTER in names, data.source)
    corpus = replace(corpus, judged={split: windows})
    log.corpus(corpus, data.source)
    settings = {f"data.{key}": value for key, value in asdict(data).items()}
    # The bank is for training.
    del settings["data.bank"]
    settings |= {"evaluate.split": split, "evaluate.statistic": statistic}
    tables = {name: registered.score(name, windows) for name in names if name != FILTER}
    drawn = population(data.population)
    beside = classical(windows, corpus.asd, drawn, statistic)
    tables = {name: tables.get(name, beside[MATCHED_FILTER]) for name in names}
    if len(names) == 1:
        _one(names[0], tables[names[0]], beside, corpus, settings)
        return
    for name in names:
        with log.child(name):
            _one(name, tables[name], beside, corpus, settings)
    _several(tables, settings)


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


def _one(name, table, beside, corpus, settings):
    """Publish one model's predictions."""
    [(split, windows)] = corpus.judged.items()
    settings = settings | {"evaluate.model": name}
    lists = {"Settings": settings}
    if name == FILTER:
        judgement = judge(table, split=split, odds=False)
        alone = {name: table}

        def note(place):
            return notes.compared(alone, differences(alone), place)

        def write(out):
            report.compare(out, name, alone, lists)
    else:
        judgement = judge(table, beside, split)
        added = report.added_to(table, beside[EVIDENCE]) if EVIDENCE in beside else ""

        def note(place):
            return notes.judged(name, table, beside, place, added)

        def write(out):
            report.write(
                out,
                name,
                table,
                classical=beside,
                example=gallery.loudest(corpus),
                lists=lists,
                view=gallery.viewer(windows, corpus.asd),
                added=added,
            )

    publish(
        note,
        {split: table},
        write,
        settings,
        judgement.metrics,
        judgement.warnings,
        judgement.named | {tags.ENTRY: "evaluate"},
    )
    if judgement.area:
        logger.info("%s: %s/roc_auc %s", name, split, judgement.area)


def _several(tables, settings):
    """Publish the comparison of several models."""
    settings = settings | {"evaluate.model": ", ".join(tables)}
    table, metrics = differences(tables), {}
    for pair in table.itertuples():
        both = f"{pair.first} less {pair.second}"
        metrics[f"difference/{both}"] = pair.difference
        metrics[f"difference_p/{both}"] = pair.p
        logger.info("%s: %s, p = %.2g", both, report.difference(pair), pair.p)

    def write(out):
        report.compare(out, "Comparison", tables, {"Settings": settings})
        table.to_parquet(out / "differences.parquet", index=False)

    publish(
        lambda place: notes.compared(tables, table, place),
        write=write,
        settings=settings,
        metrics=metrics,
    )
