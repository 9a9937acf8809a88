"""Puts what a job has found on its run in MLflow, the same way for every job."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from gwres.judging import predictions
from gwres.matched.score import baseline
from gwres.pages.plots import EVIDENCE, MATCHED_FILTER
from gwres.tracking import log, runs, tags


@dataclass(frozen=True)
class Judgement:
    """What predictions of one split show.

    Args:
        metrics: dict of name in MLflow to number, those of the classical side beside.
        warnings: list of text: metrics that the rows are too few for.
        area: ROC-AUC, a `metrics.Interval`, or None where it cannot be had.
        named: tags of the run: the area, where it is of the holdout.
    """

    metrics: dict
    warnings: list
    area: object
    named: dict


def classical(windows, asd, population, statistic=""):
    """Windows as the classical side scores them: what networks are held against.

    Args:
        windows: a `corpus.Windows`.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        population: a `Population`.
        statistic: of the matched filter, one of `score.NAMES`; "" takes the one that
            suits the noise.

    Returns:
        dict of `MATCHED_FILTER` and `EVIDENCE` to predictions; without the second where
        it is the first. The evidence is what the front end `templates` begins with.
    """
    usual = ("reweighted", "consistent") if windows.known else ("marginal", "coherent")
    chosen = {MATCHED_FILTER: statistic or usual[0], EVIDENCE: usual[1]}
    if statistic == chosen[EVIDENCE]:
        del chosen[EVIDENCE]
    return {
        name: baseline(windows, asd, population, one) for name, one in chosen.items()
    }


def judge(table, beside=None, split="holdout", odds=True):
    """Measure predictions, and the classical side's of the same windows.

    Args:
        table: predictions of one split.
        beside: as `classical` gives it, whose ROC-AUC is logged beside, and what the
            predictions have over the evidence; or None.
        split: what the metrics' names begin with.
        odds: whether the logits are log odds; a matched filter's statistic is not.

    Returns:
        A `Judgement`.
    """
    measured, warnings = predictions.summary(table, split)
    if not odds:
        names = {f"{split}/{name}" for name, _, _ in predictions.ODDS}
        measured = {name: x for name, x in measured.items() if name not in names}
    beside = beside or {}
    if MATCHED_FILTER in beside:
        found, _ = predictions.summary(beside[MATCHED_FILTER], "matched_filter")
        measured |= {name: x for name, x in found.items() if "roc_auc" in name}
    area = predictions.area_of(measured, split)
    if area and EVIDENCE in beside:
        found, _ = predictions.summary(beside[EVIDENCE], "evidence")
        less = predictions.compare(table, beside[EVIDENCE])
        # No more of it: MLflow's list of metrics is long enough.
        measured |= {
            tags.EVIDENCE_AREA: found[tags.EVIDENCE_AREA],
            tags.ADDED: less.value,
            f"{tags.ADDED}_low": less.low,
            f"{tags.ADDED}_high": less.high,
        }
    # The tag is a column of the runs table, which compares holdouts.
    named = {tags.AREA: area} if area and split == "holdout" else {}
    return Judgement(measured, warnings, area, named)


def publish(
    note, tables=None, write=None, settings=None, metrics=None, warnings=(), named=None
):
    """Log files, settings, metrics, warnings, tags and the note of the present run.

    Args:
        note: function of (experiment id, run id) to Markdown.
        tables: dict of split to predictions, kept as `predictions/<split>.parquet`.
        write: function that writes the report and other files into a folder.
        settings: dict of parameters.
        metrics: dict of name to number.
        warnings: what the reader must know, such as metrics left out.
        named: dict of tags.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        if tables:
            predictions.write(out, tables)
        if write:
            write(out)
        log.params(settings or {})
        log.metrics(metrics or {})
        for text in warnings:
            log.warn(text)
        log.files(out)
    log.describe(note(runs.present().place), named)
