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
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES

SHOWN = 10  # rows of the tables of misses and false alarms
PICTURED = 3  # rows that are shown as pictures too
MISSES, ALARMS = "Loudest misses", "Loudest false alarms"


def write(
    folder,
    title,
    table,
    history=None,
    classical=None,
    example=None,
    lists=None,
    view=None,
    added="",
):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        table: predictions of one split.
        history: what `plots.history` draws.
        classical: dict of a name in `plots.CLASSICAL` to the same windows as it scores
            them, drawn beside.
        example: arguments of `gallery.example`.
        lists: dict of heading, such as Cost, to a dict of names and values to list.
        view: as `gallery.viewer` gives it: the loudest misses and false alarms are
            then shown as pictures too.
        added: what `added_to` says.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: what `predictions.check` and `predictions.align` refuse.
    """
    predictions.check(table)
    classical = {
        name: predictions.align(table, rows).assign(
            network_snr=table["network_snr"].to_numpy()
        )
        for name, rows in (classical or {}).items()
    }
    scores = {name: rows["logit"].to_numpy() for name, rows in classical.items()}
    table = table.assign(**{name.replace(" ", "_"): x for name, x in scores.items()})
    cases = worst(table)
    drawn = [*_figures(table, history, classical, example), *_gallery(cases, view)]
    two_classes = table["label"].nunique() == 2
    filtered = classical.get(plots.MATCHED_FILTER)
    compared = filtered is not None and two_classes
    less = predictions.compare(table, filtered) if compared else None
    said = {
        "beside": list(classical),
        "headline": _headline(table, classical),
        "difference": less,
        "verdict": less and verdict(less),
        "added": added,
        "snrs": _snrs(table, classical),
        "glitches": _glitches(table, classical),
        "notes": predictions.summary(table, str(table["split"].iloc[0]))[1],
        "worst": {
            heading: (name, _columns(rows.head(SHOWN)))
            for name, (heading, rows) in cases.items()
        },
    }
    said |= _about(title, table, lists)
    return page(folder, "report.html.jinja", said, drawn)


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
    said = {
        "names": list(tables),
        "measures": [
            (heading, [results[name] for results in measured])
            for name, heading, _, _ in predictions.ORDER
            if name in measured[0]
        ],
        "pairs": [
            (pair.first, pair.second, difference(pair))
            for pair in predictions.differences(tables).itertuples()
        ],
        "snrs": [
            (edges(same[0]), same[0].count, [one.measure for one in same])
            for same in bins
        ],
    }
    said |= _about(title, first, lists)
    drawn = [("roc", "ROC curves with 95% intervals.", plots.rocs(tables))]
    return page(folder, "comparison.html.jinja", said, drawn)


def page(folder, name, said, drawn):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    All is made before any is written, so that a failure leaves the last report whole.

    Args:
        folder: where to; created.
        name: of a template of this room, which shows numbers as `show` does.
        said: dict of what the template says: title, lists and what is its own.
        drawn: list of (name, caption, Figure).

    Returns:
        Path of `report.html`.
    """
    folder = Path(folder)
    images = {name: png(figure) for name, _, figure in drawn}
    figures = {
        name: (caption, base64.b64encode(images[name]).decode())
        for name, caption, _ in drawn
    }
    text = _template(name).render(**said, figures=figures)
    for name, image in images.items():
        with cache.replacing(folder / "plots" / f"{name}.png") as scratch:
            scratch.write_bytes(image)
    with cache.replacing(folder / "report.html") as scratch:
        scratch.write_text(text, encoding="utf-8")
    return folder / "report.html"


def difference(pair):
    """The `metrics.Difference` in a row of `predictions.differences`."""
    return metrics.Difference(pair.difference, pair.low, pair.high, pair.p)


def verdict(difference):
    """Whether the network is better than the matched filter, in words."""
    if difference.p >= SIGNIFICANCE:
        return "On these windows it cannot be told from the matched filter."
    word = "better" if difference.value > 0 else "worse"
    return f"It orders these windows {word} than the matched filter."


def added_to(table, evidence, own=False):
    """What a network adds to the coherent evidence of the same windows, in a line.

    It is what the front end `templates` has before any training. For a network on
    another front end, which has no score of its own, it is the bound nearby.

    Args:
        table: predictions of one split.
        evidence: the same windows scored by the statistic `coherent`.
        own: whether it is of the network's own front end.

    Returns:
        Text; "" where the windows are of one class.
    """
    if table["label"].nunique() < 2:
        return ""
    less = predictions.compare(table, evidence)
    area = metrics.roc_auc(evidence["label"], evidence["logit"])
    number = f"{less}, p = {less.p:.2g}"
    chance, better = less.p >= SIGNIFICANCE, less.value > 0
    if own:
        said = "a gain" if better else "a loss"
        said = "nothing that these windows show" if chance else said
        return (
            f"The network adds {number}, to the evidence that its own front end has "
            f"without training, {area}: {said}."
        )
    said = "better than it" if better else "worse than it"
    said = "not to be told from it on these windows" if chance else said
    return (
        f"The coherent evidence, near the most that can be had in Gaussian noise, "
        f"reads {area}; network less evidence: {number}, {said}."
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
    """What a page of windows begins and ends with."""
    return {
        "title": title,
        "split": table["split"].iloc[0],
        "signals": int(table["label"].sum()),
        "rows": len(table),
        "lists": lists or {},
    }


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


def _figures(table, history, classical, example):
    """Name, caption and Figure of all that the rows suffice for."""
    if table["label"].nunique() == 2:
        yield "roc", "ROC curve with 95% intervals.", plots.roc(table, classical)
        if predictions.by_snr(table):
            caption = "ROC-AUC and sensitivity by network SNR, with 95% intervals."
            yield "sensitivity", caption, plots.sensitivity(table, classical)
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


def _headline(table, classical):
    """Rows of (measure, the network's, those of each of `classical`).

    None where there is none: only a network's logits are log odds.
    """
    measured = [predictions.ordered(one)[0] for one in (table, *classical.values())]
    rows = [
        (title, *(results[name] for results in measured))
        for name, title, _, _ in predictions.ORDER
        if name in measured[0]
    ]
    labels, logits = table["label"], table["logit"]
    odds = {title: function(labels, logits) for _, title, function in predictions.ODDS}
    error = metrics.calibration_error(labels, logits)
    odds["Expected calibration error (best 0)"] = error
    none = [None] * len(classical)
    return [*rows, *((title, value, *none) for title, value in odds.items())]


def _snrs(table, classical):
    """Rows of (bin, signals, areas, sensitivities), of the network and each beside."""
    if table["label"].nunique() < 2:
        return []

    def sensitivity(labels, logits):
        return metrics.tpr_at_fpr(labels, logits, 0.01)

    columns = [
        [one.measure for one in predictions.by_snr(rows, **options)]
        for options in ({}, {"measure": sensitivity})
        for rows in (table, *classical.values())
    ]
    return [
        (edges(one), one.count, *measured)
        for one, *measured in zip(predictions.by_snr(table), *columns)
    ]


def _glitches(table, classical):
    """False alarms by glitch: rates, and rows of (kind, windows, counts and shares).

    At each rate the network's and those of each beside it. Without rows where the
    table does not tell of glitches.
    """
    if not predictions.has_glitches(table):
        return [], []
    counted = [
        # The same windows in the same order, so that the rows are of the same kinds.
        predictions.by_glitch(table.assign(logit=one["logit"].to_numpy()))
        for one in (table, *classical.values())
    ]
    first = counted[0]
    rates = [fpr for fpr in predictions.FPRS if fpr in first]
    columns = [first["windows"], *(one[fpr] for fpr in rates for one in counted)]
    kinds = [gallery.spoken(kind) or "none" for kind in first["kind"]]
    rows = list(zip(kinds, *columns))
    rows.append(("all", *(column.sum() for column in columns)))
    return rates, [
        (kind, f"{windows:,}", *(f"{n:,} ({n / windows:.1%})" for n in passed))
        for kind, windows, *passed in rows
        if windows
    ]


def _columns(rows):
    """The columns that say something of the rows."""
    if predictions.has_glitches(rows):
        texts = [gallery.glitches(row) for row in rows.to_dict("records")]
        rows = rows.drop(columns=[*GLITCHES, *GLITCH_SNRS]).assign(glitches=texts)
    return rows.drop(columns=["split", "label"]).dropna(axis=1, how="all")
