"""Several models' predictions of the same windows, side by side in one report."""

import base64
from itertools import combinations
from pathlib import Path

import pandas as pd

from gwres import cache, evaluate, plots
from gwres import report as page


def pairs(tables):
    """Difference in ROC-AUC of each two models, paired by window.

    Args:
        tables: dict of name to predictions of one split, the same windows in each.

    Returns:
        DataFrame of columns first, second, difference (first less second), low, high
        (95%, DeLong) and p (two-sided).

    Raises:
        InputError: not the same windows, or one class alone.
    """
    rows = []
    for (first, ours), (second, theirs) in combinations(tables.items(), 2):
        found = evaluate.compare(ours, theirs)
        rows.append((first, second, found.value, found.low, found.high, found.p))
    return pd.DataFrame(
        rows, columns=["first", "second", "difference", "low", "high", "p"]
    )


def report(folder, title, tables, lists=None):
    """Write `plots/roc.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        tables: as for `pairs`; one will do.
        lists: as for `report.report`.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: as `pairs`, or what `evaluate.check` refuses.
    """
    folder = Path(folder)
    first = next(iter(tables.values()))
    tables = {name: evaluate.align(first, table) for name, table in tables.items()}
    png = page.picture(plots.rocs(tables))
    text = page.template("comparison.html.jinja").render(
        title=title,
        split=first["split"].iloc[0],
        signals=int(first["label"].sum()),
        rows=len(first),
        names=list(tables),
        measures=_measures(tables.values()),
        pairs=list(pairs(tables).itertuples(index=False)),
        snrs=_snrs(tables.values()),
        figure=base64.b64encode(png).decode(),
        lists=lists or {},
    )
    with cache.replacing(folder / "plots" / "roc.png") as scratch:
        scratch.write_bytes(png)
    with cache.replacing(folder / "report.html") as scratch:
        scratch.write_text(text, encoding="utf-8")
    return folder / "report.html"


def _measures(tables):
    """Rows of (measure, one result per table)."""
    results = [evaluate.ordered(table)[0] for table in tables]
    return [
        (title, [result[name] for result in results])
        for name, title, _, _ in evaluate.ORDER
        if name in results[0]
    ]


def _snrs(tables):
    """Rows of (bin of network SNR, signals, one area per table)."""
    rows = []
    for same in zip(*map(evaluate.by_snr, tables)):
        rows.append((page.edges(same[0]), same[0].count, [one.measure for one in same]))
    return rows
