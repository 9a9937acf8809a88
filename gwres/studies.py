"""Figures of a study: its course, its settings, and what they matter."""

import numpy as np

from gwres.errors import InputError
from gwres.plots import BLUE, FILTER, GREEN, NETWORK, canvas

SETTINGS = ("number", "state", "value")  # columns that are not settings
SCORE = "Validation ROC-AUC"


def _scored(table):
    """Trials that have a value; raises `InputError` where none has."""
    scored = table.dropna(subset="value")
    if not len(scored):
        raise InputError(f"a study needs trials with a value; received {len(table)}")
    return scored


def _points(axis, scored, name):
    """Complete and pruned trials apart."""
    done = scored["state"] == "complete"
    for chosen, look, label in ((done, NETWORK, "complete"), (~done, FILTER, "pruned")):
        if chosen.any():
            places, values = scored.loc[chosen, name], scored.loc[chosen, "value"]
            axis.plot(places, values, label=label, **(look | {"linestyle": "none"}))


def course(table):
    """The score of every trial in order, and the best so far.

    Args:
        table: DataFrame as `tune.table` gives it.

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


def slices(table):
    """The score of every trial against each setting.

    Args:
        table: as for `course`.

    Returns:
        Figure, up to three panels in a row.

    Raises:
        InputError: no trial has a value, or there are no settings.
    """
    scored = _scored(table)
    settings = [name for name in table if name not in SETTINGS]
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


def importance(shares):
    """How much of the score's variance each setting explains.

    Args:
        shares: dict of setting to its share, 0 to 1, as `tune.importance` gives it.

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
