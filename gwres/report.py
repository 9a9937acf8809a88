"""A run's predictions as figures and one page that stands alone."""

import base64
import io
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from gwres import cache, gallery, metrics, plots
from gwres.evaluate import ODDS, ORDER, align, by_snr, check, compare, ordered, summary

SHOWN = 10  # rows of the tables of misses and false alarms
PICTURED = 3  # of them that are shown as pictures
MISSES, ALARMS = "Loudest misses", "Loudest false alarms"
CERTAIN = 0.05  # two-sided p-value below which a difference is called one


def report(
    folder,
    title,
    table,
    history=None,
    baseline=None,
    example=None,
    lists=None,
    view=None,
):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        table: predictions of one split.
        history: what `plots.history` draws.
        baseline: the same windows scored by the matched filter, drawn beside.
        example: arguments of `gallery.example`.
        lists: dict of headings, such as Cost or Parameters, to a dict each of what is
            to be listed below them.
        view: as `gallery.viewer` gives it: the loudest misses and false alarms are
            then shown as pictures too.

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
    chosen = worst(table)
    figures = {
        name: (caption, picture(figure))
        for name, caption, figure in [
            *_figures(table, history, baseline, example),
            *_gallery(chosen, view),
        ]
    }
    compared = baseline is not None and table["label"].nunique() == 2
    difference = compare(table, baseline) if compared else None
    text = template("report.html.jinja").render(
        title=title,
        split=table["split"].iloc[0],
        signals=int(table["label"].sum()),
        rows=len(table),
        headline=_headline(table, baseline),
        difference=difference,
        verdict=difference and verdict(difference),
        snrs=_snrs(table, baseline),
        notes=summary(table, str(table["split"].iloc[0]))[1],
        figures={
            name: (caption, base64.b64encode(png).decode())
            for name, (caption, png) in figures.items()
        },
        worst={
            title: (name, _columns(rows.head(SHOWN)))
            for name, (title, rows) in chosen.items()
        },
        lists=lists or {},
    )
    # All is made before any is written, so that a failure leaves the last report whole.
    for name, (_, png) in figures.items():
        with cache.replacing(folder / "plots" / f"{name}.png") as scratch:
            scratch.write_bytes(png)
    with cache.replacing(folder / "report.html") as scratch:
        scratch.write_text(text, encoding="utf-8")
    return folder / "report.html"


def verdict(difference):
    """Whether the network is better than the matched filter, in words."""
    if difference.p >= CERTAIN:
        return "On these windows it cannot be told from the matched filter."
    word = "better" if difference.value > 0 else "worse"
    return f"It orders these windows {word} than the matched filter."


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
        yield "example", caption, gallery.example(*example)


def _gallery(chosen, view):
    """Name, caption and Figure of the worst windows, where they can be looked at."""
    for name, (title, rows) in chosen.items():
        if view is not None and len(rows):
            caption = (
                f"{title}: whitened strain, and spectrograms by detector. Dotted: the "
                "merger at the geocentre, where it is known."
            )
            yield name, caption, gallery.cases(rows.head(PICTURED), view)


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
    environment.filters["show"] = show
    return environment.get_template(name)


def show(value):
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


def edges(one):
    """The ends of a bin, as text."""
    if np.isinf(one.high):
        return f"above {one.low:g}"
    return f"{one.low:g} to {one.high:g}"


def _snrs(table, baseline):
    """Rows of (bin, signals, areas and sensitivities of network and filter or None)."""
    if table["label"].nunique() < 2:
        return []

    def found(labels, logits):
        return metrics.tpr_at_fpr(labels, logits, 0.01)

    columns = []
    for rows in (table, baseline):
        for options in ({}, {"measure": found}):
            bins = [] if rows is None else by_snr(rows, **options)
            columns.append([one.measure for one in bins])
    ours = by_snr(table)
    columns = [column or [None] * len(ours) for column in columns]
    return [
        (edges(one), one.count, *measured) for one, *measured in zip(ours, *columns)
    ]


def worst(table):
    """The signals that should not have been missed, the noise most like a signal.

    Returns:
        dict of a figure's name to (title, rows of the table, the worst first).
    """
    missed = table[(table["label"] == 1) & (table["logit"] <= 0)]
    known = missed["network_snr"].notna().any()
    by = "network_snr" if known else "logit"
    alarms = table[(table["label"] == 0) & (table["logit"] > 0)]
    return {
        "misses": (MISSES, missed.sort_values(by, ascending=not known)),
        "alarms": (ALARMS, alarms.sort_values("logit", ascending=False)),
    }


def _columns(rows):
    """The columns that say something of the rows."""
    return rows.drop(columns=["split", "label"]).dropna(axis=1, how="all")
