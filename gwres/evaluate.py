"""From the predictions table to named metrics and a report that stands alone.

The table is the contract: one row per window, with `COLUMNS` (id and split, text;
label, 0 or 1; logit, finite; network_snr, NaN for noise and where unknown). Further
columns, such as parameters of the signals, are shown in the report and not read.
"""

import base64
import io
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from gwres import cache, metrics, plots
from gwres.errors import InputError

COLUMNS = ("id", "split", "label", "logit", "network_snr")
# Of the order of the windows alone: name, title, false-positive rate if any, function.
ORDER = (
    ("roc_auc", "ROC-AUC", (), metrics.roc_auc),
    ("tpr_at_fpr_0.01", "Sensitivity at FPR 0.01", (0.01,), metrics.tpr_at_fpr),
    ("tpr_at_fpr_0.001", "Sensitivity at FPR 0.001", (0.001,), metrics.tpr_at_fpr),
    ("partial_auc_0.01", "Partial ROC-AUC to FPR 0.01", (0.01,), metrics.partial_auc),
)
# Of the logits as log odds, which a matched filter's statistic need not be.
ODDS = (
    ("accuracy", "Accuracy at logit 0", metrics.accuracy),
    ("brier", "Brier score (chance 0.25, best 0)", metrics.brier),
)
SHOWN = 10  # rows of the tables of misses and false alarms


def check(table):
    """Refuse a table that is not the predictions of one split.

    Rows of other splits beside the holdout's would flatter every number unseen.

    Raises:
        InputError: no rows, a missing column, an id that comes twice, more splits than
            one, or labels or logits that `metrics.check` refuses.
    """
    if any(name not in table for name in COLUMNS):
        raise InputError(
            f"predictions need the columns {', '.join(COLUMNS)}; received "
            f"{', '.join(map(str, table.columns))}"
        )
    metrics.check(table["label"], table["logit"])
    splits = sorted(table["split"].astype(str).unique())
    if len(splits) > 1:
        raise InputError(f"expected rows of one split, received {', '.join(splits)}")
    again = table["id"][table["id"].duplicated()]
    if len(again):
        raise InputError(
            f"expected each id once; {len(again):,} come again, such as {again.iloc[0]}"
        )


def align(table, other):
    """The rows of `other`, predictions of the same windows, in the order of `table`.

    Raises:
        InputError: the two hold other ids or other labels.
    """
    check(table)
    check(other)
    ours, theirs = set(table["id"]), set(other["id"])
    if ours != theirs:
        raise InputError(
            "expected two predictions of the same windows; "
            f"{len(ours - theirs):,} ids are only in the first and "
            f"{len(theirs - ours):,} only in the second"
        )
    rows = other.set_index("id").loc[table["id"]].reset_index()
    differ = int((rows["label"].to_numpy() != table["label"].to_numpy()).sum())
    if differ:
        raise InputError(
            f"expected the same labels in both predictions; {differ:,} of "
            f"{len(rows):,} differ"
        )
    return rows


def compare(table, other):
    """Difference in area, `table` less `other`, paired by id: a `metrics.Difference`.

    Raises:
        InputError: not the same windows, or one class alone.
    """
    rows = align(table, other)
    return metrics.paired(table["label"], table["logit"], rows["logit"])


def summary(table, prefix="holdout"):
    """The metrics of a run by their names in MLflow.

    Args:
        table: predictions of one split.
        prefix: what the names begin with: `holdout/roc_auc`.

    Returns:
        (dict of name to float, list of notes): a note for each metric that the rows are
        too few for, which is then not in the dict.

    Raises:
        InputError: what `check` refuses.
    """
    check(table)
    labels, logits = table["label"], table["logit"]
    found, notes = ordered(table)
    named = {name: function(labels, logits) for name, _, function in ODDS}
    for name, measured in found.items():
        named[name] = getattr(measured, "value", measured)
    if "roc_auc" in found:
        area = found["roc_auc"]
        named |= {"roc_auc_low": area.low, "roc_auc_high": area.high}
        for one in by_snr(table, least=1):
            name = f"roc_auc_snr_{one.low:g}_{one.high:g}".replace("inf", "up")
            if one.count >= metrics.LEAST:
                named[name] = one.measure.value
            else:
                needed = f"{metrics.LEAST} signals, received {one.count}"
                notes.append(f"{name} needs {needed}")
        unknown = int((table["network_snr"].isna() & (labels == 1)).sum())
        if unknown:
            notes.append(f"metrics by SNR leave out {unknown:,} signals of unknown SNR")
    named = {f"{prefix}/{name}": float(value) for name, value in named.items()}
    return named, [f"{prefix}: {note}" for note in notes]


def ordered(table):
    """Results of `ORDER` by name, and a note for each that cannot be had."""
    labels, logits = table["label"], table["logit"]
    signals, noise = int((labels == 1).sum()), int((labels == 0).sum())
    if not signals or not noise:
        return {}, [
            "the metrics of order need signals and noise; received "
            f"{signals:,} signals and {noise:,} noise windows"
        ]
    results, notes = {}, []
    for name, _, rate, function in ORDER:
        least = round(1 / rate[0]) if rate else 1
        if noise < least:
            notes.append(f"{name} needs {least:,} noise windows, received {noise:,}")
        else:
            results[name] = function(labels, logits, *rate)
    return results, notes


def by_snr(table, **options):
    """`metrics.by_snr` of a table of predictions."""
    columns = table["label"], table["logit"], table["network_snr"]
    return metrics.by_snr(*columns, **options)


def report(folder, title, table, history=None, baseline=None, example=None, lists=None):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        table: predictions of one split.
        history: what `plots.history` draws.
        baseline: the same windows scored by the matched filter, drawn beside.
        example: arguments of `plots.example`.
        lists: dict of headings, such as Cost or Parameters, to a dict each of what is
            to be listed below them.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: what `check` and `align` refuse.
    """
    check(table)
    folder = Path(folder)
    if baseline is not None:
        baseline = align(table, baseline)
        baseline["network_snr"] = table["network_snr"].to_numpy()
        table = table.assign(matched_filter=baseline["logit"].to_numpy())
    figures = [
        (name, caption, picture(figure))
        for name, caption, figure in _figures(table, history, baseline, example)
    ]
    compared = baseline is not None and table["label"].nunique() == 2
    text = template("report.html.jinja").render(
        title=title,
        split=table["split"].iloc[0],
        signals=int(table["label"].sum()),
        rows=len(table),
        headline=_headline(table, baseline),
        difference=compare(table, baseline) if compared else None,
        snrs=_snrs(table, baseline),
        notes=summary(table, str(table["split"].iloc[0]))[1],
        figures=[(text, base64.b64encode(png).decode()) for _, text, png in figures],
        worst=_worst(table),
        lists=lists or {},
    )
    # All is made before any is written, so that a failure leaves the last report whole.
    for name, _, png in figures:
        with cache.replacing(folder / "plots" / f"{name}.png") as scratch:
            scratch.write_bytes(png)
    with cache.replacing(folder / "report.html") as scratch:
        scratch.write_text(text, encoding="utf-8")
    return folder / "report.html"


def _figures(table, history, baseline, example):
    """Name, caption and Figure of all that the rows suffice for."""
    if table["label"].nunique() == 2:
        yield "roc", "ROC curve with 95% intervals.", plots.roc(table, baseline)
        if by_snr(table):
            caption = "ROC-AUC and sensitivity by network SNR, with 95% intervals."
            yield "sensitivity", caption, plots.sensitivity(table, baseline)
    caption = "Calibration, in bins of about as many windows each."
    yield "calibration", caption, plots.calibration(table)
    yield "scores", "Logits of signals and of noise.", plots.scores(table)
    if history is not None:
        yield "history", "The course of training.", plots.history(history)
    if example is not None:
        caption = "A window as recorded, and as the network sees it."
        yield "example", caption, plots.example(*example)


def picture(figure):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def template(name):
    """A template of this package, which shows numbers as `_show` does."""

    def text(name):
        return files("gwres").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = _show
    return environment.get_template(name)


def _show(value):
    """A number to four digits, an interval with its ends, nothing for NaN."""
    if isinstance(value, metrics.Interval):
        return f"{value.value:.4f} ({value.low:.4f} to {value.high:.4f})"
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def _headline(table, baseline):
    """Rows of (what, the network's, the filter's): None where there is none."""
    ours, _ = ordered(table)
    theirs = {} if baseline is None else ordered(baseline)[0]
    rows = [
        (title, ours[name], theirs.get(name))
        for name, title, _, _ in ORDER
        if name in ours
    ]
    labels, logits = table["label"], table["logit"]
    rows += [(title, function(labels, logits), None) for _, title, function in ODDS]
    error = metrics.calibration_error(labels, logits)
    return [*rows, ("Expected calibration error (best 0)", error, None)]


def _snrs(table, baseline):
    """Rows of (bin, signals, the network's area, the filter's or None)."""
    if table["label"].nunique() < 2:
        return []
    ours = by_snr(table)
    theirs = [None] * len(ours) if baseline is None else by_snr(baseline)
    return [
        (
            f"{one.low:g} to {one.high:g}",
            one.count,
            one.measure,
            other and other.measure,
        )
        for one, other in zip(ours, theirs)
    ]


def _worst(table):
    """The signals that should not have been missed, the noise most like a signal."""
    missed = table[(table["label"] == 1) & (table["logit"] <= 0)]
    known = missed["network_snr"].notna().any()
    by = "network_snr" if known else "logit"
    alarms = table[(table["label"] == 0) & (table["logit"] > 0)]
    sorted_rows = {
        "Loudest misses": missed.sort_values(by, ascending=not known),
        "Loudest false alarms": alarms.sort_values("logit", ascending=False),
    }
    return {
        title: rows.head(SHOWN)
        .drop(columns=["split", "label"])
        .dropna(axis=1, how="all")
        for title, rows in sorted_rows.items()
    }
