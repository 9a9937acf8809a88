"""The table of an experiment: its members beside the matched filter, and stacked."""

import numpy as np
import pandas as pd
from scipy.stats import t

from gwres import evaluate, metrics, plots
from gwres.ensemble import DEFAULT, best_of
from gwres.errors import InputError
from gwres.markdown import table as table_of

FILTER = "matched filter"
HEADINGS = {
    "parameters": "parameters",
    "core_seconds": "core-s",
    "roc_auc": "ROC-AUC",
    "tpr_at_fpr_0.01": "TPR at FPR 0.01",
    "tpr_at_fpr_0.001": "TPR at FPR 0.001",
    "val_roc_auc": "validation",
    "val_difference": "on validation, less the first",
    "val_error": "its error",
}


def row(tables):
    """What the predictions of one scorer show.

    Args:
        tables: dict of split to predictions; "validation" may be missing.

    Returns:
        dict of metrics by the names of `evaluate.summary` without their prefix, with
        val_roc_auc.
    """
    found, _ = evaluate.summary(tables["holdout"])
    found = {name.partition("/")[2]: value for name, value in found.items()}
    validation = tables.get("validation")
    if validation is not None and validation["label"].nunique() == 2:
        area = metrics.roc_auc(validation["label"], validation["logit"])
        found["val_roc_auc"] = area.value
    return found


def varied(recipes):
    """Settings that are not the same in all recipes.

    Args:
        recipes: dict of name to `Recipe`.

    Returns:
        dict of name to dict of depth, front end and whatever else varies but the seed.
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
    named = [{"name": name} | found for name, found in rows.items()]
    return pd.DataFrame(named)


def stacked(members):
    """What all members say together, on the holdout.

    Their logits are averaged; and weighed by a stack that sees the split of that name
    alone.

    Args:
        members: dict of name to dict of split to predictions, of the same windows.

    Returns:
        dict of "mean of logits" and "stacked" to predictions of the holdout.

    Raises:
        InputError: the members' windows differ.
    """
    first = next(iter(members.values()))

    def logits(split):
        aligned = [evaluate.align(first[split], m[split]) for m in members.values()]
        return np.column_stack([rows["logit"] for rows in aligned])

    together = {"mean of logits": logits("holdout").mean(axis=1)}
    labels = first["stack"]["label"]
    if labels.nunique() == 2:
        stack = best_of(logits("stack"), labels.to_numpy(), DEFAULT)
        together["stacked"] = stack(logits("holdout"))
    return {name: first["holdout"].assign(logit=x) for name, x in together.items()}


def differences(pairs):
    """Paired differences in area of predictions of the same windows.

    Args:
        pairs: dict of (name, name of what it is held against) to two predictions.

    Returns:
        DataFrame of columns name, against, difference, low, high, p.
    """
    rows = []
    for (name, against), (ours, theirs) in pairs.items():
        found = evaluate.compare(ours, theirs)
        ends = {"low": found.low, "high": found.high, "p": found.p}
        rows.append(
            {"name": name, "against": against, "difference": found.value} | ends
        )
    return pd.DataFrame(rows)


def headline(compared):
    """What the differences say, as a list in Markdown.

    Args:
        compared: as `differences` gives it.
    """
    rows = [
        f"- **{one.name}** less {one.against}: {one.difference:+.4f} in ROC-AUC "
        f"({one.low:+.4f} to {one.high:+.4f}), p = {one.p:.2g}"
        for one in compared.itertuples()
    ]
    chosen = "On the same holdout windows; which network is best, validation tells."
    return "\n".join([chosen, "", *rows])


def spread(found):
    """Mean and spread over seeds, and the difference to the first of the groups.

    The mean is the holdout's. Its interval is Student's over the seeds: it holds the
    chance of training, which DeLong's, of one network, does not. The difference is
    validation's, because a setting is chosen by it.

    Args:
        found: `table` of members whose names end with their seed.

    Returns:
        DataFrame of columns name, seeds, roc_auc, its roc_auc_low and roc_auc_high,
        deviation, val_difference, val_error: the standard error of the mean
        difference, paired by seed. None has less than two seeds.
    """
    parts = found["name"].str.rpartition(" seed ")
    several = found.assign(name=parts[0], seed=parts[2])[found["name"] != parts[2]]
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
        half = t.ppf((1 + metrics.LEVEL) / 2, len(own) - 1) * own.sem()
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


# What the columns of measured numbers begin with.
MEASURED = ("roc_auc", "tpr_", "val_", "difference", "low", "high", "deviation")
FAILED = "FAILED: "  # before the id of a run that has no row of its own
# Columns that an experiment's page leaves to the whole table.
ASIDE = (
    "run",
    "tpr_at_fpr_0.001",
    "val_roc_auc",
    *(f"roc_auc_snr_{ends}" for ends in ("0_4", "8_10", "10_15", "15_up")),
)
HIDDEN = ("roc_auc_low", "roc_auc_high", "partial_auc_0.01", "accuracy", "brier")


def readable(found):
    """A table's numbers as they are read: rounded, with their interval.

    Returns:
        DataFrame of text.
    """
    shown = pd.DataFrame(index=found.index)
    for name in found:
        if name in HIDDEN:
            continue
        heading = HEADINGS.get(name, name)
        if name.startswith("roc_auc_snr_"):
            low, high = name.removeprefix("roc_auc_snr_").split("_")
            heading = f"SNR {low} " + ("up" if high == "up" else f"to {high}")
        shown[heading] = [_text(value, name) for value in found[name]]
        if name == "roc_auc" and "roc_auc_low" in found:
            ends = zip(found["roc_auc_low"], found["roc_auc_high"])
            shown[heading] += [
                "" if pd.isna(low) else f" ({low:.4f} to {high:.4f})"
                for low, high in ends
            ]
    return shown


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


def brief(found, place=None):
    """A table as an experiment's page shows it: without what nobody asks for first.

    Args:
        found: as `table` gives it.
        place: function of a run id to the URL of its page, for links; or None.

    Returns:
        DataFrame of text.
    """
    known = found.drop(columns=[name for name in found if name in ASIDE])
    shown = readable(known)
    if place and "run" in found:
        shown["name"] = [
            f"[{name}]({place(run.removeprefix(FAILED))})"
            + (", failed" if run.startswith(FAILED) else "")
            if isinstance(run, str)
            else name
            for name, run in zip(found["name"], found["run"])
        ]
    return shown


def areas(found):
    """ROC-AUC of all rows with their intervals, the highest on top.

    Args:
        found: as `table` gives it, with columns name, roc_auc and its ends.

    Returns:
        Figure; the matched filter's is drawn through all rows.

    Raises:
        InputError: no row has a ROC-AUC.
    """
    rows = found.dropna(subset="roc_auc").sort_values("roc_auc", ignore_index=True)
    if not len(rows):
        raise InputError(f"expected rows with a ROC-AUC; received {len(found)} without")
    figure, ((axis,),) = plots.canvas(1.4 + 0.32 * len(rows))
    # What has no cost of its own is made of those that have.
    trained = rows.get("core_seconds", rows["roc_auc"]).notna()
    classical = rows["name"].str.startswith(FILTER)
    kinds = (
        ("one network", trained & ~classical, plots.NETWORK),
        ("several together", ~trained & ~classical, plots.LOOKS[2]),
        ("matched filter", classical, plots.FILTER),
    )
    for label, chosen, look in kinds:
        part = rows[chosen]
        low, area, high = (part[f"roc_auc{end}"] for end in ("_low", "", "_high"))
        look = look | {"linestyle": "none", "capsize": 3, "markersize": 5}
        if len(part):
            ends = [area - low, high - area]
            axis.errorbar(area, part.index, xerr=ends, label=label, **look)
    for area in rows["roc_auc"][classical]:
        axis.axvline(area, color=plots.FILTER["color"], linestyle="--", linewidth=0.8)
    axis.set_yticks(rows.index, rows["name"])
    for name in axis.get_yticklabels():
        name.set_parse_math(False)
    axis.set(xlabel="ROC-AUC on the holdout, with 95% interval", ylabel="Classifier")
    figure.legend(loc="outside upper center", ncols=len(kinds))
    return figure


def markdown(found):
    """A table of text in Markdown."""
    return table_of(list(found), found.to_numpy().tolist())
