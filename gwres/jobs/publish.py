"""Puts what a job has found on its run in MLflow, the same way for every job."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from gwres.judging import predictions
from gwres.tracking import log, runs, tags


@dataclass(frozen=True)
class Judgement:
    """What predictions of one split show.

    Args:
        metrics: dict of name in MLflow to number, those of the matched filter beside.
        warnings: list of text: metrics that the rows are too few for.
        area: ROC-AUC, a `metrics.Interval`, or None where it cannot be had.
        named: tags of the run: the area, where it is of the holdout.
    """

    metrics: dict
    warnings: list
    area: object
    named: dict


def judge(table, classical=None, split="holdout", odds=True, evidence=None):
    """Measure predictions, and the matched filter's of the same windows.

    Args:
        table: predictions of one split.
        classical: the matched filter's, whose ROC-AUC is logged beside; or None.
        split: what the metrics' names begin with.
        odds: whether the logits are log odds; a matched filter's statistic is not.
        evidence: the coherent evidence of the same windows, which the network's
            ROC-AUC is compared with; or None.

    Returns:
        A `Judgement`.
    """
    measured, warnings = predictions.summary(table, split)
    if not odds:
        names = {f"{split}/{name}" for name, _, _ in predictions.ODDS}
        measured = {name: x for name, x in measured.items() if name not in names}
    if classical is not None:
        beside, _ = predictions.summary(classical, "matched_filter")
        measured |= {name: x for name, x in beside.items() if "roc_auc" in name}
    area = predictions.area_of(measured, split)
    if evidence is not None and area:
        less = predictions.compare(table, evidence)
        beside, _ = predictions.summary(evidence, "evidence")
        measured |= {
            tags.EVIDENCE_AREA: beside[tags.EVIDENCE_AREA],
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
