"""Predictions as figures and a page that stands alone: of one model or of several."""

import base64
import io
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from gwres import cache
from gwres.judging import metrics, predictions
from gwres.judging.metrics import SIGNIFICANCE
from gwres.pages import gallery, plots

SHOWN = 10  # rows of the tables of misses and false alarms
PICTURED = 3  # rows that are shown as pictures too
MISSES, ALARMS = "Loudest misses", "Loudest false alarms"


def write(
    folder,
    title,
    table,
    history=None,
    baseline=None,
    example=None,
    lists=None,
    view=None,
    evidence=None,
):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        table: predictions of one split.
        history: what `plots.history` draws.
        baseline: the same windows scored by the matched filter, drawn beside.
        example: arguments of `gallery.example`.
        lists: dict of heading, such as Cost, to a dict of names and values to list.
        view: as `gallery.viewer` gives it: the loudest misses and false alarms are
            then shown as pictures too.
        evidence: the same windows scored by the coherent evidence.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: what `predictions.check` and `predictions.align` refuse.
    """
    predictions.check(table)
    if baseline is not None:
        baseline = predictions.align(table, baseline)
        baseline["network_snr"] = table["network_snr"].to_numpy()
        table = table.assign(matched_filter=baseline["logit"].to_numpy())
    cases = worst(table)
    figures = {
        name: (caption, png(figure))
        for name, caption, figure in [
            *_figures(table, history, baseline, example),
            *_gallery(cases, view),
        ]
    }
    two_classes = table["label"].nunique() == 2
    compared = baseline is not None and two_classes
    less = predictions.compare(table, baseline) if compared else None
    beside = evidence is not None and two_classes
    text = _template("report.html.jinja").render(
        **_about(title, table, lists),
        headline=_headline(table, baseline),
        difference=less,
        verdict=less and verdict(less),
        added=added_to(table, evidence) if beside else "",
        snrs=_snrs(table, baseline),
        notes=predictions.summary(table, str(table["split"].iloc[0]))[1],
        figures={
            name: (caption, base64.b64encode(drawn).decode())
            for name, (caption, drawn) in figures.items()
        },
        worst={
            heading: (name, _columns(rows.head(SHOWN)))
            for name, (heading, rows) in cases.items()
        },
    )
    drawn = {name: image for name, (_, image) in figures.items()}
    return _keep(Path(folder), text, drawn)


def compare(folder, title, tables, lists=None):
    """Write the report of several models on the same windows, as `write` does of one.

    Args:
        folder: where to; created.
        title: of the report.
        tables: dict of name to predictions of one split; one will do.
        lists: as for `write`.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: not the same windows, one class alone, or what `predictions.check`
            refuses.
    """
    first = next(iter(tables.values()))
    tables = {name: predictions.align(first, table) for name, table in tables.items()}
    measured = [predictions.ordered(table)[0] for table in tables.values()]
    bins = zip(*map(predictions.by_snr, tables.values()))
    roc = png(plots.rocs(tables))
    text = _template("comparison.html.jinja").render(
        **_about(title, first, lists),
        names=list(tables),
        measures=[
            (heading, [results[name] for results in measured])
            for name, heading, _, _ in predictions.ORDER
            if name in measured[0]
        ],
        pairs=[
            (pair.first, pair.second, difference(pair))
            for pair in predictions.differences(tables).itertuples()
        ],
        snrs=[
            (edges(same[0]), same[0].count, [one.measure for one in same])
            for same in bins
        ],
        figure=base64.b64encode(roc).decode(),
    )
    return _keep(Path(folder), text, {"roc": roc})


def difference(pair):
    """The `metrics.Difference` in a row of `predictions.differences`."""
    return metrics.Difference(pair.difference, pair.low, pair.high, pair.p)


def verdict(difference):
    """Whether the network is better than the matched filter, in words."""
    if difference.p >= SIGNIFICANCE:
        return "On these windows it cannot be told from the matched filter."
    word = "better" if difference.value > 0 else "worse"
    return f"It orders these windows {word} than the matched filter."


def added_to(table, evidence):
    """What a network adds to the coherent evidence of the same windows, in a line.

    It is what the front end `templates` knows before any training, and near what any
    network can reach on Gaussian noise.

    Args:
        table: predictions of one split, of both classes.
        evidence: the same windows scored by the statistic `coherent`.

    Returns:
        Text.
    """
    less = predictions.compare(table, evidence)
    area = metrics.roc_auc(evidence["label"], evidence["logit"])
    shown = "" if less.p < SIGNIFICANCE else ", nothing that these windows show"
    return (
        f"To the coherent evidence, which reads {area} without training, the network "
        f"adds {less}{shown}."
    )


def edges(one):
    """The ends of a bin, as text."""
    if np.isinf(one.high):
        return f"above {one.low:g}"
    return f"{one.low:g} to {one.high:g}"


def png(figure):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def show(value):
    """A number to four digits, an interval with its ends, nothing for NaN."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def worst(table):
    """The loudest signals that were missed, and the noise most like a signal.

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


def _about(title, table, lists):
    """What every page begins and ends with."""
    return {
        "title": title,
        "split": table["split"].iloc[0],
        "signals": int(table["label"].sum()),
        "rows": len(table),
        "lists": lists or {},
    }


def _keep(folder, text, figures):
    """Write a page and its figures.

    All is made before any is written, so that a failure leaves the last report whole.
    """
    for name, image in figures.items():
        with cache.replacing(folder / "plots" / f"{name}.png") as scratch:
            scratch.write_bytes(image)
    with cache.replacing(folder / "report.html") as scratch:
        scratch.write_text(text, encoding="utf-8")
    return folder / "report.html"


def _template(name):
    """A template of this room, which shows numbers as `show` does."""

    def text(name):
        return files("gwres.pages").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    return environment.get_template(name)


def _figures(table, history, baseline, example):
    """Name, caption and Figure of all that the rows suffice for."""
    if table["label"].nunique() == 2:
        yield "roc", "ROC curve with 95% intervals.", plots.roc(table, baseline)
        if predictions.by_snr(table):
            caption = "ROC-AUC and sensitivity by network SNR, with 95% intervals."
            yield "sensitivity", caption, plots.sensitivity(table, baseline)
    caption = "Calibration, in bins of about equal numbers of windows."
    yield "calibration", caption, plots.calibration(table)
    yield "scores", "Logits of signals and of noise.", plots.scores(table)
    if history is not None:
        yield "history", "The course of training.", plots.history(history)
    if example is not None:
        caption = "A window as recorded, and as the network sees it."
        yield "example", caption, gallery.example(*example)


def _gallery(cases, view):
    """Name, caption and Figure of the worst windows, where they can be looked at."""
    for name, (title, rows) in cases.items():
        if view is not None and len(rows):
            caption = (
                f"{title}: whitened strain, and spectrograms by detector. Dotted: the "
                "merger at the geocentre, where it is known."
            )
            yield name, caption, gallery.cases(rows.head(PICTURED), view)


def _headline(table, baseline):
    """Rows of (measure, the network's, the filter's): None where there is none."""
    ours, _ = predictions.ordered(table)
    theirs = {} if baseline is None else predictions.ordered(baseline)[0]
    rows = [
        (title, ours[name], theirs.get(name))
        for name, title, _, _ in predictions.ORDER
        if name in ours
    ]
    labels, logits = table["label"], table["logit"]
    rows += [
        (title, function(labels, logits), None)
        for _, title, function in predictions.ODDS
    ]
    error = metrics.calibration_error(labels, logits)
    return [*rows, ("Expected calibration error (best 0)", error, None)]


def _snrs(table, baseline):
    """Rows of (bin, signals, areas and sensitivities of network and filter or None)."""
    if table["label"].nunique() < 2:
        return []

    def sensitivity(labels, logits):
        return metrics.tpr_at_fpr(labels, logits, 0.01)

    columns = []
    for rows in (table, baseline):
        for options in ({}, {"measure": sensitivity}):
            bins = [] if rows is None else predictions.by_snr(rows, **options)
            columns.append([one.measure for one in bins])
    ours = predictions.by_snr(table)
    columns = [column or [None] * len(ours) for column in columns]
    return [
        (edges(one), one.count, *measured) for one, *measured in zip(ours, *columns)
    ]


def _columns(rows):
    """The columns that say something of the rows."""
    return rows.drop(columns=["split", "label"]).dropna(axis=1, how="all")
