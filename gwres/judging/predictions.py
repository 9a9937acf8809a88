"""The predictions table, and everything that is read from it.

The table is the contract between a model and its judges: one row per window, with
`COLUMNS` (id and split, text; label, 0 or 1; logit, finite; network_snr, NaN for noise
and where unknown). Further columns, such as the parameters of the signals, are shown in
the report and not read, but for those of glitches, where a table has them.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from gwres import proof
from gwres.errors import InputError
from gwres.judging import metrics
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES

COLUMNS = ("id", "split", "label", "logit", "network_snr")
# Measures of the order of the windows alone: name, title, false-positive rate if any,
# function.
ORDER = (
    ("roc_auc", "ROC-AUC", (), metrics.roc_auc),
    ("tpr_at_fpr_0.01", "Sensitivity at FPR 0.01", (0.01,), metrics.tpr_at_fpr),
    ("tpr_at_fpr_0.001", "Sensitivity at FPR 0.001", (0.001,), metrics.tpr_at_fpr),
    ("partial_auc_0.01", "Partial ROC-AUC to FPR 0.01", (0.01,), metrics.partial_auc),
)
# Measures of the logits as log odds, which a matched filter's statistic need not be.
ODDS = (
    ("accuracy", "Accuracy at logit 0", metrics.accuracy),
    ("brier", "Brier score (chance 0.25, best 0)", metrics.brier),
)

FPRS = (0.01, 0.001)  # at which false alarms are counted by glitch


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
    for name in ("label", "logit", "network_snr"):
        if table[name].dtype.kind not in "biuf":
            raise InputError(
                f"expected numbers in the column {name}; received {table[name].dtype}"
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


def write(folder, tables):
    """Write predictions as every run keeps them: `predictions/<split>.parquet`.

    Their digests are beside them, in `proof.LIST`.

    Args:
        folder: Path, in which `predictions` is made.
        tables: dict of split to predictions.
    """
    place = folder / "predictions"
    place.mkdir()
    paths = {split: place / f"{split}.parquet" for split in tables}
    for split, table in tables.items():
        table.to_parquet(paths[split], index=False)
    proof.write_list(place / proof.LIST, paths)


def read(path):
    """The predictions of one split, from a file that `write` wrote.

    Args:
        path: of a Parquet file.

    Returns:
        DataFrame; see `check`.

    Raises:
        InputError: it cannot be read, or `check` refuses what it holds.
    """
    try:
        table = pd.read_parquet(path)
        check(table)
        if not pd.api.types.is_string_dtype(table["id"]):
            raise InputError(f"expected ids as text; received {table['id'].dtype}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # Arrow's own errors are among these, and what pandas says of cells that are lists.
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"{path}: expected predictions in Parquet; damaged or of another kind: "
            f"{error}"
        ) from None
    return table


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
    """Difference in ROC-AUC, `table` less `other`, paired by id: `metrics.Difference`.

    Raises:
        InputError: not the same windows, or one class alone.
    """
    rows = align(table, other)
    return metrics.paired(table["label"], table["logit"], rows["logit"])


def differences(tables, pairs=None):
    """Differences in ROC-AUC between models, each paired by window.

    Args:
        tables: dict of name to predictions of one split, the same windows in each.
        pairs: which two to compare, a list of (name, name); by default each two.

    Returns:
        DataFrame of columns first, second, difference (first less second), low, high
        (95%, DeLong) and p (two-sided).

    Raises:
        InputError: not the same windows, or one class alone.
    """
    rows = []
    for first, second in combinations(tables, 2) if pairs is None else pairs:
        less = compare(tables[first], tables[second])
        rows.append((first, second, less.value, less.low, less.high, less.p))
    return pd.DataFrame(
        rows, columns=["first", "second", "difference", "low", "high", "p"]
    )


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
    measured, notes = ordered(table)
    named = {name: function(labels, logits) for name, _, function in ODDS}
    for name, value in measured.items():
        named[name] = getattr(value, "value", value)
    if "roc_auc" in measured:
        area = measured["roc_auc"]
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


def area_of(named, prefix="holdout"):
    """The ROC-AUC among the metrics of a run, as `summary` names them.

    Returns:
        `metrics.Interval`, or None where the run has none.
    """
    ends = [named.get(f"{prefix}/roc_auc{end}") for end in ("", "_low", "_high")]
    return None if None in ends else metrics.Interval(*ends)


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


def has_glitches(table):
    """Whether a table says which glitches its windows hold."""
    return set(table) >= {*GLITCHES, *GLITCH_SNRS}


def by_glitch(table):
    """False alarms by the kind of glitch that is the loudest in the window.

    Args:
        table: predictions of one split for which `has_glitches` holds.

    Returns:
        DataFrame, a row for each kind that noise windows hold, the most frequent first,
        and last for "", none. Columns: kind; windows, the number of noise windows; and,
        by each of `FPRS` that there is enough noise for, the number of them above the
        logit that this share of all noise windows exceeds.

    Raises:
        InputError: what `check` refuses.
    """
    check(table)
    noise = table[table["label"] == 0]
    loudest = noise[[*GLITCH_SNRS]].to_numpy().argmax(axis=1)
    kinds = noise[[*GLITCHES]].to_numpy()[np.arange(len(noise)), loudest]
    counted = pd.DataFrame({"kind": kinds, "windows": 1})
    for fpr in FPRS:
        if len(noise) >= round(1 / fpr):
            least = metrics.threshold(noise["label"], noise["logit"], fpr)
            counted[fpr] = (noise["logit"] > least).to_numpy()
    rows = counted.groupby("kind", as_index=False).sum()
    rows = rows.assign(none=rows["kind"] == "")
    order = ["none", "windows", "kind"]
    rows = rows.sort_values(order, ascending=[True, False, True], ignore_index=True)
    return rows.drop(columns="none")
