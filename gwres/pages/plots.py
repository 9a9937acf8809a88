"""Figures: of predictions, a training, a study, an experiment, a search.

Drawn on `matplotlib.figure.Figure` itself, never through pyplot, which keeps global
state that a server's threads would share. Each is 800 pixels wide.
"""

import itertools

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm, poisson
from sklearn.metrics import roc_curve

from gwres.errors import InputError
from gwres.judging import metrics
from gwres.tracking.tags import TRAIN_LOSS, VAL_AREA, VAL_LOSS

DPI = 100
WIDTH = 8.0  # inch
# Colours that colour-blind eyes can tell; lines and markers differ too.
# Source: Okabe and Ito, Color Universal Design (2008).
BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
NETWORK_LOOK = {"color": BLUE, "linestyle": "-", "marker": "o"}
FILTER_LOOK = {"color": VERMILLION, "linestyle": "--", "marker": "s"}
LOOKS = (
    NETWORK_LOOK,
    FILTER_LOOK,
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1)), "marker": "D"},
    {"color": "#E69F00", "linestyle": (0, (1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "P"},
)
EVIDENCE_LOOK = LOOKS[3] | {"linestyle": "-."}
COLOURS = (*(look["color"] for look in LOOKS), GREY)  # all that is drawn with
# How they are called beside the networks.
MATCHED_FILTER, EVIDENCE = "matched filter", "coherent evidence"
CLASSICAL = {MATCHED_FILTER: FILTER_LOOK, EVIDENCE: EVIDENCE_LOOK}
# Rows of an experiment's table that networks are held against, with their look, and
# how their names begin.
REFERENCES = (
    (MATCHED_FILTER, FILTER_LOOK, ("matched", "marginal")),
    (EVIDENCE, EVIDENCE_LOOK, ("coherent",)),
    ("Bayes factor", LOOKS[4], ("bayes",)),
)
# False alarms that a point of a ROC curve rests on at least. Where 4 are expected, that
# none comes has a chance of e^-4, less than the 2.5% which a 95% interval leaves out at
# an end. Where 3 are, it has 5%: the interval reaches down to no signal found.
HELD = 4
RATES = (1e-3, 1e-2, 1e-1)  # false-positive rates that get an interval
# Columns of a study's table that are not settings, and how its score is called.
TRIAL = ("number", "state", "value")
SCORE = "Validation ROC-AUC"
# Edges of the bins of network SNR that injections are found by.
SNRS = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, np.inf)
POINTS = 800  # across a statistic over time: as many as a figure has pixels
UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60), ("s", 1))


def canvas(height, rows=1, columns=1, **options):
    """An empty Figure of the house's width, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curves(table, classical):
    """Each scored table with its name and its look."""
    yield table, "network", NETWORK_LOOK
    for name, rows in (classical or {}).items():
        yield rows, name, CLASSICAL[name]


def _errorbar(axis, places, intervals, style, **options):
    """Points with their intervals, which need not be symmetric."""
    values = np.array([one.value for one in intervals])
    below = values - [one.low for one in intervals]
    above = [one.high for one in intervals] - values
    axis.errorbar(
        places,
        values,
        yerr=[below, above],
        capsize=3,
        markersize=5,
        **(style | options),
    )


def roc(table, classical=None):
    """ROC curve over the false alarms that matter, on a logarithmic axis.

    Args:
        table: predictions of one split, with columns label and logit.
        classical: dict of a name in `CLASSICAL` to the same rows as it scores them.

    Returns:
        Figure, with 95% intervals of the sensitivity at `RATES`. Curves begin where
        `HELD` windows of noise pass.

    Raises:
        InputError: one class alone.
    """
    return _roc(list(_curves(table, classical)))


def rocs(tables):
    """ROC curves of several models, as `roc` draws them.

    Args:
        tables: dict of name to predictions of the same windows.

    Returns:
        Figure.

    Raises:
        InputError: one class alone.
    """
    looks = itertools.cycle(LOOKS)
    return _roc(
        [(table, name, look) for (name, table), look in zip(tables.items(), looks)]
    )


def _roc(curves):
    """`curves` as `_curves` gives them."""
    crowded = len(curves) > 2
    figure, ((axis,),) = canvas(5.2 + 0.25 * len(curves) * crowded)
    noise = int((curves[0][0]["label"] == 0).sum())
    # The decade in which the curves begin, and one at the least.
    left = 10 ** min(np.floor(np.log10(HELD / max(noise, 1))), -1.0)
    for i, (rows, name, style) in enumerate(curves):
        labels, logits = rows["label"].to_numpy(), rows["logit"].to_numpy()
        area = metrics.roc_auc(labels, logits)
        passed, sensitivity, _ = roc_curve(labels, logits, drop_intermediate=False)
        # Of points one above the other, where the curve begins, the highest.
        known = np.append(passed[1:] > passed[:-1], True)
        known |= passed * noise > HELD + 0.5
        known &= passed * noise > HELD - 0.5
        axis.step(
            passed[known],
            sensitivity[known],
            where="post",
            color=style["color"],
            linestyle=style["linestyle"],
            label=f"{name}: AUC {area}",
        )
        rates = [rate for rate in RATES if rate * noise >= HELD]
        points = [metrics.tpr_at_fpr(labels, logits, rate) for rate in rates]
        # A little apart, so that no interval hides another.
        places = [rate * 1.06**i for rate in rates]
        _errorbar(axis, places, points, style, linestyle="none")
    chance = np.geomspace(left, 1, 200)
    axis.plot(chance, chance, color=GREY, linestyle=":", label="chance")
    axis.set(
        xscale="log",
        xlim=(left, 1),
        ylim=(0, 1.02),
        xlabel=f"False-positive rate (of {noise:,} noise windows; drawn from where "
        f"{HELD} of them pass)",
        ylabel="Sensitivity (share of signals)",
        title="Signals found against false alarms",
    )
    if crowded:
        # Inside, it would lie over the curves.
        legend = figure.legend(loc="outside lower center")
    else:
        legend = axis.legend(loc="upper left")
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def sensitivity(table, classical=None, fpr=0.01):
    """Area under the ROC curve, and sensitivity at `fpr`, by network SNR.

    Args:
        table: predictions of one split, with columns label, logit and network_snr.
        classical: as for `roc`.
        fpr: false-positive rate, between 0 and 1.

    Returns:
        Figure; points stand at the mean SNR of their bin, with 95% intervals.

    Raises:
        InputError: no bin has enough signals of known SNR, or there is no noise.
    """
    figure, ((left, right),) = canvas(4.2, columns=2, sharex=True)

    def share_found(labels, logits):
        return metrics.tpr_at_fpr(labels, logits, fpr)

    for i, (rows, name, style) in enumerate(_curves(table, classical)):
        columns = [rows[key].to_numpy() for key in ("label", "logit", "network_snr")]
        for axis, measure in ((left, metrics.roc_auc), (right, share_found)):
            bins = metrics.by_snr(*columns, measure=measure)
            if not bins:
                raise InputError(
                    f"expected {metrics.LEAST} signals or more in some bin of network "
                    "SNR; received none"
                )
            places = [one.mean * 1.02**i for one in bins]
            _errorbar(axis, places, [one.measure for one in bins], style, label=name)
    left.axhline(0.5, color=GREY, linestyle=":", label="chance")
    right.axhline(fpr, color=GREY, linestyle=":", label="chance")
    left.set(
        ylim=(min(0.4, left.get_ylim()[0]), 1.02), ylabel="ROC-AUC against all noise"
    )
    right.set(ylim=(0, 1.02), ylabel=f"Sensitivity at {fpr:g} false-positive rate")
    for axis in (left, right):
        axis.set_xlabel("Network SNR (optimal)")
        axis.legend(loc="lower right")
    return figure


def calibration(table, bins=10):
    """Observed share of signals against predicted probability.

    Args:
        table: predictions of one split, with columns label and logit.
        bins: number of bins, with about equal numbers of windows.

    Returns:
        Figure, with 95% intervals.
    """
    figure, ((axis,),) = canvas(5.2)
    labels, logits = table["label"].to_numpy(), table["logit"].to_numpy()
    rows = metrics.calibration(labels, logits, bins)
    error = metrics.calibration_error(labels, logits, bins)
    places = [one.mean for one in rows]
    label = f"network: expected calibration error {error:.4f}"
    _errorbar(axis, places, [one.measure for one in rows], NETWORK_LOOK, label=label)
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    axis.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        xlabel="Predicted probability of a signal",
        ylabel="Observed share of signals",
        title="Calibration",
    )
    axis.legend(loc="upper left")
    return figure


def history(table):
    """Losses and validation AUC by epoch.

    Args:
        table: DataFrame with columns epoch and any of train/loss, val/loss and
            val/roc_auc; NaN where an epoch has none.

    Returns:
        Figure with a panel for losses, for the AUC, or for both.

    Raises:
        InputError: no epoch column, or nothing to draw.
    """
    panels = {"Loss (binary cross-entropy)": (TRAIN_LOSS, VAL_LOSS)}
    panels[SCORE] = (VAL_AREA,)
    drawn = {
        title: [name for name in names if name in table and table[name].notna().any()]
        for title, names in panels.items()
    }
    drawn = {title: names for title, names in drawn.items() if names}
    if "epoch" not in table or not drawn:
        raise InputError(
            f"a history needs the column epoch and one of {TRAIN_LOSS}, {VAL_LOSS} "
            f"and {VAL_AREA}; received {list(table.columns)}"
        )
    styles = {TRAIN_LOSS: NETWORK_LOOK, VAL_LOSS: FILTER_LOOK, VAL_AREA: LOOKS[2]}
    figure, axes = canvas(2.7 * len(drawn), rows=len(drawn), sharex=True)
    for axis, (title, names) in zip(axes[:, 0], drawn.items()):
        for name in names:
            rows = table[["epoch", name]].dropna()
            axis.plot(rows["epoch"], rows[name], label=name, ms=4, **styles[name])
        axis.set(xlabel="Epoch", ylabel=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return figure


def scores(table):
    """Histograms of the logits of signals and of noise.

    Args:
        table: predictions of one split, with columns label and logit.

    Returns:
        Figure; windows are counted on a logarithmic axis, for the tails matter.
    """
    figure, ((axis,),) = canvas(4.5)
    labels, logits = metrics.check(table["label"], table["logit"])
    edges = np.histogram_bin_edges(logits, bins=60)
    looks = (
        ("noise", ~labels, {"color": VERMILLION, "linestyle": "--", "hatch": "///"}),
        ("signal", labels, {"color": BLUE, "linestyle": "-"}),
    )
    for name, rows, look in looks:
        label = f"{name} ({int(rows.sum()):,} windows)"
        axis.hist(logits[rows], edges, histtype="step", lw=1.6, label=label, **look)
    axis.axvline(0, color=GREY, linestyle=":", label="probability one half")
    axis.set(
        yscale="log",
        xlabel="Logit (log odds of a signal)",
        ylabel="Windows per bin",
        title="Scores by class",
    )
    axis.legend()
    return figure


def _scored(table):
    """Trials that have a value; raises `InputError` where none has."""
    scored = table.dropna(subset="value")
    if not len(scored):
        raise InputError(f"a study needs trials with a value; received {len(table)}")
    return scored


def _points(axis, scored, name):
    """Complete and pruned trials apart."""
    done = scored["state"] == "complete"
    for chosen, look, label in (
        (done, NETWORK_LOOK, "complete"),
        (~done, FILTER_LOOK, "pruned"),
    ):
        if chosen.any():
            places, values = scored.loc[chosen, name], scored.loc[chosen, "value"]
            axis.plot(places, values, label=label, **(look | {"linestyle": "none"}))


def study_course(table):
    """The score of every trial in order, and the best so far.

    Args:
        table: DataFrame as `study.table` gives it.

    Returns:
        Figure.

    Raises:
        InputError: no trial has a value.
    """
    scored = _scored(table).sort_values("number")
    figure, ((axis,),) = canvas(3.6)
    _points(axis, scored, "number")
    complete = scored["value"].where(scored["state"] == "complete", -np.inf).cummax()
    best = complete.replace(-np.inf, np.nan)
    axis.step(scored["number"], best, where="post", color=GREEN, label="best so far")
    axis.set(xlabel="Trial", ylabel=SCORE, title="Course of the study")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
    return figure


def study_slices(table):
    """The score of every trial against each setting.

    Args:
        table: as for `study_course`.

    Returns:
        Figure, up to three panels in a row.

    Raises:
        InputError: no trial has a value, or there are no settings.
    """
    scored = _scored(table)
    settings = [name for name in table if name not in TRIAL]
    if not settings:
        raise InputError(f"a study needs settings; received {', '.join(table)}")
    rows = -(-len(settings) // 3)
    figure, axes = canvas(0.4 + 2.8 * rows, rows=rows, columns=min(3, len(settings)))
    for axis, name in zip(axes.flat, settings):
        _points(axis, scored, name)
        low = scored[name].min()
        if low > 0 and scored[name].max() > 10 * low:
            axis.set_xscale("log")
        axis.set(xlabel=name, ylabel=SCORE)
    for axis in axes.flat[len(settings) :]:
        axis.remove()
    looks = {
        label: handle
        for axis in figure.axes
        for handle, label in zip(*axis.get_legend_handles_labels())
    }
    # Inside a panel, it would lie over its points.
    figure.legend(looks.values(), looks, loc="outside upper center", ncols=2)
    return figure


def study_importance(shares):
    """How much of the score's variance each setting explains.

    Args:
        shares: dict of setting to its share, 0 to 1, as `study.importance` gives it.

    Returns:
        Figure.

    Raises:
        InputError: no settings.
    """
    if not shares:
        raise InputError("importance needs settings; received none")
    figure, ((axis,),) = canvas(1.2 + 0.4 * len(shares))
    names = sorted(shares, key=shares.get)
    axis.barh(names, [shares[name] for name in names], color=BLUE)
    axis.set(
        xlim=(0, 1),
        xlabel="Share of the score's variance between trials",
        ylabel="Setting",
        title="Importance of the settings (fANOVA)",
    )
    return figure


def areas(table):
    """ROC-AUC of all rows of an experiment with their intervals, in the table's order.

    The axis holds the intervals and no more: from 0, all would look alike.

    Args:
        table: as `standings.table` gives it, with columns name, roc_auc and its ends;
            and, for a second panel, over_evidence and its ends.

    Returns:
        Figure. Lines through all rows are those of `REFERENCES` that the table has.
        The second panel has each row less the coherent evidence, paired by window: its
        intervals are shorter, for all rows have the same windows in common.

    Raises:
        InputError: no row has a ROC-AUC.
    """
    rows = table.dropna(subset="roc_auc").reset_index(drop=True)
    if not len(rows):
        raise InputError(f"expected rows with a ROC-AUC; received {len(table)} without")
    panels = {"roc_auc": "ROC-AUC on the holdout\nwith 95% interval"}
    if "over_evidence" in rows and rows["over_evidence"].notna().any():
        panels["over_evidence"] = f"less the {EVIDENCE}\npaired, with 95% interval"
    figure, axes = canvas(1.7 + 0.3 * len(rows), columns=len(panels), sharey=True)
    kinds = list(_kinds(rows))
    for axis, (column, title) in zip(axes.flat, panels.items()):
        for label, chosen, look, _ in kinds:
            part = rows[chosen].dropna(subset=column)
            low, value, high = (part[f"{column}{end}"] for end in ("_low", "", "_high"))
            ends = [value - low, high - value]
            look = look | {"linestyle": "none", "capsize": 3, "markersize": 6}
            if len(part):
                axis.errorbar(value, part.index, xerr=ends, label=label, **look)
        for _, chosen, look, reference in kinds:
            for value in rows[column][chosen].dropna() if reference else ():
                _through(axis, value, look)
        axis.xaxis.get_major_locator().set_params(nbins=8 // len(panels))
        axis.set(xlabel=title)
    first = axes[0, 0]
    if len(panels) > 1:
        _through(axes[0, 1], 0, EVIDENCE_LOOK)
    first.set_yticks(rows.index, rows["name"])
    for name in first.get_yticklabels():
        name.set_parse_math(False)
    first.set(ylabel="Classifier", ylim=(len(rows) - 0.4, -0.6))
    handles, labels = first.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _through(axis, value, look):
    """A line through all rows."""
    axis.axvline(value, lw=1.2, color=look["color"], linestyle=look["linestyle"])


def _kinds(rows):
    """Rows of `areas` by what they are: label, which rows, look, whether a reference.

    Only an experiment that trains tells what it cost: its rows are networks, and what
    is made of them. A measurement's have names that say what they are.
    """
    names = rows["name"].str.lower()
    held = [names.str.startswith(beginnings) for _, _, beginnings in REFERENCES]
    others = ~np.any(held, axis=0)
    if "core_seconds" in rows:
        trained = rows["core_seconds"].notna()
        yield "one network", others & trained, NETWORK_LOOK, False
        yield "several together", others & ~trained, LOOKS[2], False
    else:
        yield None, others, NETWORK_LOOK, False
    for (label, look, _), chosen in zip(REFERENCES, held):
        values = rows["roc_auc"][chosen]
        # Of several populations or splits there are several.
        number = f" {values.iloc[0]:.4f}" if len(values) == 1 else ""
        yield label + number, chosen, look, True


def ifar(table, searched_years):
    """Candidates by inverse false-alarm rate, beside what noise alone makes.

    Args:
        table: DataFrame of candidates with a column ifar_years, and, for a second
            curve, ifar_years_exclusive.
        searched_years: time that was searched, Julian years, above 0.

    Returns:
        Figure: candidates counted from the rarest on, on logarithmic axes; and the band
        that the count of noise alone, a Poisson variable, is in with the probability of
        1, 2 and 3 standard deviations of a normal one.

    Raises:
        InputError: no candidate whose rate is known.
    """
    rates = {"all triggers in the background": ("ifar_years", NETWORK_LOOK)}
    if "ifar_years_exclusive" in table:
        rates["without the candidates' own"] = ("ifar_years_exclusive", FILTER_LOOK)
    counted = {
        name: (np.sort(table[column])[::-1], look)
        for name, (column, look) in rates.items()
    }
    known = np.concatenate([values for values, _ in counted.values()])
    known = known[known > 0]
    if not len(known):
        raise InputError(
            f"expected candidates of known false-alarm rate; received {len(table)} "
            "without"
        )
    # To where even three standard deviations of noise make none.
    low, high = known.min() / 2, max(known.max() * 3, searched_years * 1e3)
    places = np.geomspace(low, high, 500)
    expected = searched_years / places
    figure, ((axis,),) = canvas(5.2)
    for sigma, grey in ((3, "#eeeeee"), (2, "#dcdcdc"), (1, "#c4c4c4")):
        ends = poisson.ppf(norm.cdf([[-sigma], [sigma]]), expected)
        label = f"noise alone, {sigma}\u03c3"
        # A step is 0 in places, which a logarithmic axis has no room for.
        floor = np.maximum(ends, 1e-9)
        axis.fill_between(places, *floor, step="mid", color=grey, lw=0, label=label)
    axis.plot(places, expected, color=GREY, linestyle=":", label="noise alone, mean")
    for name, (values, look) in counted.items():
        numbers = np.arange(1, len(values) + 1)
        # The many that are not rare would run together.
        marked = {"markevery": slice(0, 20), "markersize": 5}
        axis.step(values, numbers, where="post", label=name, **(look | marked))
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        ylim=(0.5, 2 * max(len(table), expected[0])),
        xlabel="Inverse false-alarm rate (years)",
        ylabel="Candidates as rare or rarer",
        title="Candidates, and what noise alone makes",
    )
    handles, labels = axis.get_legend_handles_labels()
    order = [*range(3, len(handles)), 2, 1, 0]
    axis.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="upper right"
    )
    return figure


def injections(rows, rates):
    """Share of the injected signals that are found, by network SNR.

    Args:
        rows: DataFrame of injected signals, of columns network_snr and far_per_month,
            the false-alarm rate they are found at, infinite where they are not.
        rates: false alarms per month at or below which a signal counts as found, at
            least one.

    Returns:
        Figure; points stand at the mean SNR of their bin, with 95% intervals (Wilson).

    Raises:
        InputError: no rates, a rate of an injection that is NaN, or no bin with enough
            injections.
    """
    if not len(rates):
        raise InputError("injections need a false-alarm rate; received none")
    reached = rows["far_per_month"].to_numpy(dtype=float)
    if np.isnan(reached).any():
        raise InputError(
            f"far_per_month must be a number or infinite; received "
            f"{int(np.isnan(reached).sum()):,} of {len(rows):,} that are NaN"
        )
    figure, ((axis,),) = canvas(4.2)
    for i, (rate, look) in enumerate(zip(rates, itertools.cycle(LOOKS))):
        bins = metrics.by_snr(
            np.ones(len(rows)),
            np.where(reached <= rate, 1.0, -1.0),
            rows["network_snr"],
            measure=lambda _, found: metrics.wilson((found > 0).sum(), len(found)),
            edges=SNRS,
        )
        if not bins:
            raise InputError(
                f"expected {metrics.LEAST} injections or more in some bin of network "
                f"SNR; received {len(rows):,}"
            )
        # A little apart, so that no interval hides another.
        places = [one.mean * 1.01**i for one in bins]
        label = f"{rate:,g} per month"
        _errorbar(axis, places, [one.measure for one in bins], look, label=label)
    axis.set(
        ylim=(-0.02, 1.02),
        xlabel="Network SNR (optimal)",
        ylabel="Share of injections found",
        title="Injections found, by false-alarm rate",
    )
    axis.legend(loc="lower right")
    return figure


def statistic(table, candidates, threshold, name="log Bayes factor"):
    """The statistic of a search over time, with its candidates.

    Args:
        table: DataFrame of columns time (GPS s, rising) and statistic (NaN where there
            is none), of all windows or of their averages.
        candidates: DataFrame of columns time and statistic, any number of rows.
        threshold: of the candidates.
        name: what the statistic is.

    Returns:
        Figure: of every pixel's time the lowest and the highest value.

    Raises:
        InputError: no finite statistic.
    """
    rows = table.dropna(subset="statistic")
    if not len(rows):
        raise InputError(
            f"expected a statistic over time; received {len(table)} windows without"
        )
    begin = float(np.floor(rows["time"].iloc[0]))
    span = rows["time"].iloc[-1] - begin
    unit, seconds = next(one for one in UNITS if span > 2 * one[1] or one[1] == 1)
    lows, highs, middles = _envelope(*rows[["time", "statistic"]].to_numpy().T)
    figure, ((axis,),) = canvas(3.8)
    moved = (middles - begin) / seconds
    ends = np.column_stack([lows, highs]).ravel()
    axis.plot(np.repeat(moved, 2), ends, color=GREY, lw=0.8, label="statistic")
    axis.axhline(threshold, color=VERMILLION, linestyle="--", label="threshold")
    axis.plot(
        (candidates["time"] - begin) / seconds,
        candidates["statistic"],
        label=f"candidates ({len(candidates):,})",
        **(NETWORK_LOOK | {"linestyle": "none", "markersize": 6}),
    )
    axis.set(
        xlabel=f"Time after GPS {begin:.0f} ({unit})",
        ylabel=f"Statistic ({name})",
        title="Statistic over time, and candidates",
    )
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _envelope(times, values):
    """Lowest and highest value in each of many equal times, and the times' middles.

    There are `POINTS` or fewer, so that each holds two values and more. NaN where there
    is none, so that a line breaks there.
    """
    step = np.median(np.diff(times)) if len(times) > 1 else 1.0
    count = int(np.clip(np.ptp(times) / (2 * step), 1, POINTS))
    edges = np.linspace(times[0], times[-1] + step / 2, count + 1)
    place = np.searchsorted(edges, times, side="right") - 1
    lows, highs = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(lows, place, values)
    np.maximum.at(highs, place, values)
    lows[lows > highs] = np.nan
    highs[np.isnan(lows)] = np.nan
    return lows, highs, (edges[:-1] + edges[1:]) / 2
