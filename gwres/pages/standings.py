"""The table of an experiment: its members beside the matched filter, and together."""

from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import t

from gwres.judging import metrics, predictions
from gwres.judging.metrics import Difference, Interval
from gwres.pages.markdown import table as markdown_table
from gwres.pages.report import difference

# Headings of columns in the tables that people read.
HEADINGS = {
    "parameters": "parameters",
    "core_seconds": "core-s",
    "roc_auc": "ROC-AUC",
    "over_evidence": "less the evidence",
    "tpr_at_fpr_0.01": "TPR at FPR 0.01",
    "tpr_at_fpr_0.001": "TPR at FPR 0.001",
    "val_roc_auc": "validation",
    "val_difference": "on validation, less the first",
    "val_error": "its error",
}
# What the columns of measured numbers begin with.
MEASURED = ("roc_auc", "tpr_", "val_", "difference", "low", "high", "deviation")
# Columns that are shown with their interval, and as what.
SPANS = {"roc_auc": Interval, "over_evidence": partial(Difference, p=np.nan)}
FAILED = "FAILED: "  # before the id of a run that has no row of its own
# Columns that an experiment's page leaves to the whole table.
ASIDE = (
    "run",
    "tpr_at_fpr_0.001",
    "val_roc_auc",
    *(f"roc_auc_snr_{ends}" for ends in ("0_4", "8_10", "10_15", "15_up")),
)
HIDDEN = ("roc_auc_low", "roc_auc_high", "over_evidence_low", "over_evidence_high")
HIDDEN += ("partial_auc_0.01", "accuracy", "brier")


def row(tables):
    """What the predictions of one model show.

    Args:
        tables: dict of split to predictions; "validation" may be missing.

    Returns:
        dict of metrics by the names of `predictions.summary` without their prefix, with
        val_roc_auc.
    """
    named, _ = predictions.summary(tables["holdout"])
    columns = {name.partition("/")[2]: value for name, value in named.items()}
    validation = tables.get("validation")
    if validation is not None and validation["label"].nunique() == 2:
        area = metrics.roc_auc(validation["label"], validation["logit"])
        columns["val_roc_auc"] = area.value
    return columns


def over(table, evidence):
    """What a model has over the coherent evidence of the same windows, paired.

    Args:
        table: predictions of the holdout.
        evidence: the same windows scored by the statistic `coherent`.

    Returns:
        dict of over_evidence, over_evidence_low and over_evidence_high; empty for the
        evidence itself.
    """
    if table is evidence:
        return {}
    less = predictions.compare(table, evidence)
    values = {"": less.value, "_low": less.low, "_high": less.high}
    return {f"over_evidence{end}": value for end, value in values.items()}


def varied(recipes):
    """Settings that are not the same in all recipes.

    Args:
        recipes: dict of name to `Recipe`.

    Returns:
        dict of name to dict of depth, front end and all else that varies but the seed.
    """
    flats = {name: recipe.flat() for name, recipe in recipes.items()}
    keys = {"model.depth": "depth", "frontend": "frontend"}
    for key in next(iter(flats.values())):
        values = {str(flat[key]) for flat in flats.values()}
        if len(values) > 1 and key != "fit.seed":
            keys.setdefault(key, key.rpartition(".")[2])
    return {
        name: {short: flat[key] for key, short in keys.items()}
        for name, flat in flats.items()
    }


def table(rows):
    """Rows by name as a DataFrame, one column per metric that any of them has."""
    made = pd.DataFrame([{"name": name} | columns for name, columns in rows.items()])
    over = [name for name in made if name.startswith("over_evidence")]
    names = [name for name in made if name not in over]
    place = names.index("roc_auc") + 1 if over else 0
    return made[[*names[:place], *over, *names[place:]]]


def headline(compared):
    """What the differences say, as a list in Markdown.

    Args:
        compared: as `predictions.differences` gives it.
    """
    rows = [
        f"- **{pair.first}** less {pair.second}: {difference(pair)} in ROC-AUC, "
        f"p = {pair.p:.2g}"
        for pair in compared.itertuples()
    ]
    chosen = "On the same holdout windows; which network is best, validation tells."
    return "\n".join([chosen, "", *rows])


def spread(members):
    """Mean and spread over seeds, and the difference to the first of the groups.

    The mean is the holdout's. Its interval is Student's over the seeds: it holds the
    chance of training, which DeLong's, of one network, does not. The difference is
    validation's, because a setting is chosen by it.

    Args:
        members: `table` of members whose names end with their seed.

    Returns:
        DataFrame of columns name, seeds, roc_auc, its roc_auc_low and roc_auc_high,
        deviation, val_difference, val_error: the standard error of the mean
        difference, paired by seed. None has less than two seeds.
    """
    parts = members["name"].str.rpartition(" seed ")
    several = members.assign(name=parts[0], seed=parts[2])
    several = several[members["name"] != parts[2]]
    areas = several.pivot(index="seed", columns="name", values="roc_auc")
    chosen = np.nan * areas
    if "val_roc_auc" in several:
        chosen = several.pivot(index="seed", columns="name", values="val_roc_auc")
    rows = []
    order = [name for name in dict.fromkeys(parts[0]) if name]
    for name in order:
        own = areas[name].dropna()
        apart = (chosen[name] - chosen[order[0]]).dropna()
        if len(own) < 2:
            continue
        half = t.ppf((1 + metrics.CONFIDENCE) / 2, len(own) - 1) * own.sem()
        rows.append(
            {
                "name": name,
                "seeds": len(own),
                "roc_auc": own.mean(),
                "roc_auc_low": own.mean() - half,
                "roc_auc_high": own.mean() + half,
                "deviation": own.std(),
                "val_difference": apart.mean(),
                "val_error": apart.sem(),
            }
        )
    return pd.DataFrame(rows)


def readable(table):
    """A table's numbers as they are read: rounded, with their interval.

    Returns:
        DataFrame of text.
    """
    shown = pd.DataFrame(index=table.index)
    for name in table:
        if name in HIDDEN:
            continue
        heading = HEADINGS.get(name, name)
        if name.startswith("roc_auc_snr_"):
            low, high = name.removeprefix("roc_auc_snr_").split("_")
            heading = f"SNR {low} " + ("up" if high == "up" else f"to {high}")
        if name in SPANS and f"{name}_low" in table:
            ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"])
            shown[heading] = [_interval(name, *interval) for interval in ends]
        else:
            shown[heading] = [_text(value, name) for value in table[name]]
    return shown


def _interval(name, value, low, high):
    """A number of `SPANS` with its interval, where it has one."""
    if pd.isna(low):
        return _text(value, name)
    return str(SPANS[name](value, low, high))


def _text(value, name):
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return ""
    if name == "core_seconds":
        return f"{value:,.0f}"
    if not isinstance(value, float):
        return str(value)
    if name == "p":
        return f"{value:.2g}"
    if name.startswith(MEASURED):
        return f"{value:.4f}" if abs(value) >= 1e-3 or not value else f"{value:.1e}"
    # A setting, or a count that missing neighbours made a float.
    return f"{value:,.6g}"


def brief(table, place=None):
    """A table as an experiment's page shows it, without its lesser columns.

    Args:
        table: as `table` gives it.
        place: function of a run id to the URL of its page, for links; or None.

    Returns:
        DataFrame of text.
    """
    shown = readable(table.drop(columns=[name for name in table if name in ASIDE]))
    if place and "run" in table:
        shown["name"] = [
            f"[{name}]({place(run.removeprefix(FAILED))})"
            + (", failed" if run.startswith(FAILED) else "")
            if isinstance(run, str)
            else name
            for name, run in zip(table["name"], table["run"])
        ]
    return shown


def markdown(table):
    """A table of text in Markdown."""
    return markdown_table(list(table), table.to_numpy().tolist())
